"""The tree of blockers: roots first, with what can be done about each.

Pure.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

from bot.domain.blocking import Branch, Prepared
from bot.domain.kills import Action
from bot.domain.sessions import CLIENT_BACKEND, Backend
from bot.domain.sql_text import rollback_prepared
from bot.grammar.requests import Target, TreeRequest
from bot.operations.results import Tree
from bot.slack.buttons import ActionId, RowRef, seal
from bot.slack.views import blocks, cluster, tables, targets
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, as_of, plain, strong
from bot.slack.views.message import Message, message
from bot.slack.views.tables import Column, Fitted
from bot.slack.views.text import age, count, dotted

_COLUMNS = (
    Column("pid", (40,), drawn=True),
    Column("usename", (63, 40, 30, 20)),
    Column("holds up", (20,)),
    Column("state", (60, 40, 30)),
    Column("waits", (110, 80, 50, 30)),
    Column("datname", (63, 40, 30, 20)),
    Column("application_name", (63, 40, 30, 20)),
    Column("query", (80, 50, 30, 20)),
)

_NO_BREAK_SPACE = "\u00a0"

_DEEPEST = 12
"""How many levels are indented; a queue on one lock can be hundreds deep."""

_REMEDIES = 8
"""For how many roots the remedy is written out."""

_PREPARED = "prepared transaction"

DEADLOCK = "A deadlock: PostgreSQL itself ends one of the transactions after deadlock_timeout."


def tree(answer: Tree, action: Action | None) -> Message:
    """Who waits for whom, roots first; those who may get a menu that does `action` to the roots."""
    fitted, left_out = _fitted(answer)
    roots = _roots(answer) if action is not None else ()
    if action is Action.CANCEL:
        roots = [root for root in roots if _runs(answer, root)]
    endable = [option for root in roots if (option := _root_to_end(answer, root)) is not None]
    below = [f"{count(left_out, 'session')} of the tree not shown"] if left_out else []
    if (unlisted := len(endable) - blocks.OPTIONS) > 0:
        below.append(f"{count(unlisted, 'root')} not in the menu: use /pg-kill with the pid")
    return message(
        list(_summary(answer)),
        blocks.table(fitted.cells) if fitted.shown else None,
        blocks.foot((dotted(below),)) if below else None,
        *(() if answer.past else _remedies(answer)),
        blocks.actions(_controls(answer, action, endable)),
        blocks.foot(as_of(answer.look.server.now, answer.asked_by)),
        also=[_spoken(answer, branch) for branch in _roots(answer)[:3]],
    )


def _fitted(answer: Tree) -> tuple[Fitted, int]:
    """The rows that fit, and how many branches are left out: children before roots."""
    most = blocks.TABLE_ROWS - 1
    while True:
        chosen = _chosen(answer.branches, most)
        fitted = tables.fit(_COLUMNS, [list(_row(answer, branch)) for branch in chosen])
        if fitted.shown == len(chosen):
            return fitted, len(answer.branches) - len(chosen)
        most = fitted.shown


def _chosen(branches: Sequence[Branch], most: int) -> Sequence[Branch]:
    """At most `most` branches: as many roots as fit, and the rest shared among them."""
    if len(branches) <= most:
        return branches
    groups: list[list[Branch]] = []
    for branch in branches:
        if branch.is_root:
            groups.append([])
        groups[-1].append(branch)
    groups = groups[:most]
    room = most - len(groups)
    chosen: list[Branch] = []
    for at, (root, *children) in enumerate(groups):
        share = min(len(children), room // (len(groups) - at))
        chosen += [root, *children[:share]]
        room -= share
    return chosen


def _roots(answer: Tree) -> Sequence[Branch]:
    return [branch for branch in answer.branches if branch.is_root]


def _summary(answer: Tree) -> Iterable[Line]:
    name = answer.look.server.cluster
    yield (
        *strong("Who waits for whom on ", Quoted(name)),
        " · ",
        *cluster.introduction(answer.look.server),
    )
    yield from (("⚠ ", *line) for line in cluster.unseen(answer.look.server))
    if answer.look.names.stale:
        yield (f"⚠ {cluster.stale(answer.look.names)}",)
    waiting = sum(not branch.is_root or branch.in_cycle for branch in answer.branches)
    if not waiting:
        seen = " that the bot can see" if answer.look.server.unseen else ""
        yield (f"No session{seen} waits for a lock.",)
        return
    roots = sum(branch.is_root and not branch.in_cycle for branch in answer.branches)
    circles = sum(branch.in_cycle for branch in answer.branches)
    behind = [count(roots, "root")] if roots else []
    behind += [count(circles, "cycle")] if circles else []
    waits = "waits" if waiting == 1 else "wait"
    yield (f"{count(waiting, 'session')} {waits} behind {' and '.join(behind)}",)
    if circles:
        yield (f"⚠ {DEADLOCK}",)


def _spoken(answer: Tree, branch: Branch) -> Line:
    backend = answer.rows.get(branch.pid)
    who: Line = (_PREPARED,) if branch.is_prepared else (f"pid {branch.pid}",)
    if backend is not None and backend.usename:
        who += (" · ", Quoted(backend.usename))
    return (*who, f" holds up {_held_up(answer, branch)}")


def _row(answer: Tree, branch: Branch) -> Iterable[str]:
    backend = answer.rows.get(branch.pid)
    yield indented(branch)
    if branch.is_prepared:
        yield from _prepared_row(answer, branch)
    elif backend is None:
        yield from ("", _held_up(answer, branch), "", "not fetched", "", "", "")
    else:
        yield backend.usename or ""
        yield _held_up(answer, branch)
        yield _state(answer, backend)
        yield _waits(answer, branch)
        yield backend.datname or ""
        yield backend.application_name or ""
        yield backend.query or ""


def _prepared_row(answer: Tree, branch: Branch) -> Iterable[str]:
    one = answer.locks.prepared.get(branch.pid)
    if one is None:
        yield from ("", _held_up(answer, branch), "prepared", "", "", "", "")
    else:
        length = age(answer.look.server.now - one.prepared, short=True)
        yield from (one.owner or "", _held_up(answer, branch), f"prepared {length} ago")
        yield from ("", one.datname or "", one.gid, "")


def indented(branch: Branch) -> str:
    """`└ 33911`, indented by its depth. Slack may strip other kinds of space at a cell's edge."""
    name = _named(branch.pid)
    if not branch.depth:
        return name
    return f"{_NO_BREAK_SPACE * 2 * (min(branch.depth, _DEEPEST) - 1)}└ {name}"


def _named(pid: int) -> str:
    return str(pid) if pid > 0 else _PREPARED


def _state(answer: Tree, backend: Backend) -> str:
    length = backend.state_age(answer.look.server.now)
    lasting = f"{backend.state} {age(length, short=True)}" if length is not None else backend.state
    if backend.backend_type not in (None, CLIENT_BACKEND):
        return dotted((backend.backend_type, lasting))
    return lasting or ""


def _waits(answer: Tree, branch: Branch) -> str:
    """How long it waits, for whom else, for what: `4 min · also for 5983 · accounts, ShareLock`."""
    wait, backend = answer.locks.waits.get(branch.pid), answer.rows.get(branch.pid)
    now = answer.look.server.now
    parts: list[str | None] = []
    if wait is not None and wait.since is not None:
        parts.append(age(now - wait.since, short=True))
    if branch.in_cycle:
        parts.append("deadlock")
    if branch.others:
        others = ", ".join(map(_named, branch.others))
        more = f" and {branch.more} more" if branch.more else ""
        parts.append(f"{'for' if branch.is_root else 'also for'} {others}{more}")
    if wait is not None:
        parts.append(f"{wait.on}, {wait.mode}")
    elif backend is not None and backend.wait_event == "SafeSnapshot":
        parts.append("a safe snapshot (SERIALIZABLE READ ONLY DEFERRABLE)")
    return dotted(parts)


def _held_up(answer: Tree, branch: Branch) -> str:
    """How many wait behind it, and how few can go on if others also hold them up."""
    if not branch.behind:
        return ""
    freed = answer.freed.get(branch.pid, branch.behind)
    return f"{branch.behind}" if freed == branch.behind else f"{branch.behind} ({freed} only by it)"


def _remedies(answer: Tree) -> Iterable[Block]:
    """For roots that no button here can end: who can, and with what command."""
    server = answer.look.server.id
    prepared = (answer.locks.prepared.get(branch.pid) for branch in answer.branches)
    for one in islice(filter(None, prepared), _REMEDIES):
        yield blocks.paragraph(_prepared(answer, one))
        yield blocks.preformatted(rollback_prepared(one.gid))
    for branch in _roots(answer)[:_REMEDIES]:
        backend = answer.rows.get(branch.pid)
        barrier = answer.barriers.get(branch.pid)
        if backend is None or backend.backend_start is None or barrier is None:
            continue
        yield blocks.paragraph(
            (
                f"pid {branch.pid} holds up {branch.behind}, and the bot won't end it: ",
                *targets.barred(barrier, backend),
                " This ends it and no other backend with that pid:",
            )
        )
        yield blocks.preformatted(
            # The function, because the view hangs while its catalogs are locked.
            f"select pg_terminate_backend(pid) from pg_stat_get_activity({backend.pid})\n"
            f"where backend_start = '{backend.backend_start.isoformat()}'\n"
            f"and pg_postmaster_start_time() = '{server.postmaster_start_time.isoformat()}';"
        )


def _prepared(answer: Tree, one: Prepared) -> Line:
    length = age(answer.look.server.now - one.prepared)
    owner: Line = (" by ", Quoted(one.owner)) if one.owner else ()
    where: Line = (Quoted(one.datname),) if one.datname else ("its database",)
    return (
        f"A transaction prepared {length} ago",
        *owner,
        " is in the way. It has no session. Its owner or a superuser can end it, connected to ",
        *where,
        ":",
    )


def _runs(answer: Tree, branch: Branch) -> bool:
    backend = answer.rows.get(branch.pid)
    return backend is not None and backend.state == "active"


def _controls(answer: Tree, action: Action | None, endable: Sequence[Block]) -> Iterable[Block]:
    request = TreeRequest(Target(answer.look.server.cluster))
    yield blocks.button("Refresh", ActionId.ANSWER_REFRESH, seal(str(request)))
    if endable:
        is_kill = action is Action.TERMINATE
        label = "Terminate a blocker…" if is_kill else "Cancel a blocker's query…"
        yield blocks.menu(label, ActionId.SESSIONS_KILL_ROW, endable)


def _root_to_end(answer: Tree, branch: Branch) -> Block | None:
    backend = answer.rows.get(branch.pid)
    if backend is None or backend.id is None or branch.pid in answer.barriers:
        return None
    value = RowRef(answer.look.server.cluster, backend.id).encode()
    if not blocks.fits_option(value):
        return None
    user = plain(backend.usename, 28).strip()
    return blocks.option(dotted((str(branch.pid), user, f"holds up {branch.behind}")), value)
