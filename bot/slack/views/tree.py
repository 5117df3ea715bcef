"""The tree of blockers: roots first, with what can be done about each.

Pure.
"""

from collections.abc import Iterable, Sequence

from bot.answers import Tree
from bot.backends import CLIENT_BACKEND, Backend
from bot.blocking import Branch, Prepared
from bot.slack.views import blocks, cluster, tables
from bot.slack.views.actions import ActionId, RowRef
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, person, strong
from bot.slack.views.message import Message, message
from bot.slack.views.tables import Column
from bot.slack.views.text import age, clock, count, dotted, plain

_COLUMNS = (
    Column("pid", (40,)),
    Column("usename", (63, 40, 30, 20)),
    Column("holds up", (16,)),
    Column("state", (60, 40, 30)),
    Column("waits", (40, 40, 30, 20)),
    Column("datname", (63, 40, 30, 20)),
    Column("application_name", (63, 40, 30, 20)),
    Column("query", (80, 50, 30, 20)),
)

_DEEPEST = 12
"""Levels that are indented; a queue on one lock can be hundreds deep."""

_REMEDIES = 8
"""Roots for which the way out is written."""

_PREPARED = "prepared transaction"


def tree(answer: Tree) -> Message:
    """Who waits for whom, roots first; a menu ends a root, where the bot may."""
    rows = [list(_row(answer, branch)) for branch in answer.branches]
    fitted = tables.fit(_COLUMNS, rows)
    left_out = len(rows) - fitted.shown + answer.more
    remedies = list(_remedies(answer))
    return message(
        list(_summary(answer)),
        blocks.table(fitted.cells) if fitted.shown else None,
        blocks.foot((f"{count(left_out, 'session')} of the tree not shown",)) if left_out else None,
        *remedies,
        blocks.actions(_controls(answer)),
        blocks.foot(
            (f"as of {clock(answer.look.server.now)} · asked by ", person(answer.asked_by.user_id))
        ),
        also=[_spoken(answer, branch) for branch in _roots(answer)[:3]],
    )


def _roots(answer: Tree) -> Sequence[Branch]:
    return [branch for branch in answer.branches if branch.is_root]


def _summary(answer: Tree) -> Iterable[Line]:
    name = answer.look.server.cluster
    yield (
        *strong("Who waits for whom on ", Quoted(name)),
        " · ",
        *cluster.introduction(answer.look.server),
    )
    waiting = sum(not branch.is_root for branch in answer.branches)
    if not waiting:
        yield ("Nobody waits for a lock.",)
        return
    roots = _roots(answer)
    waits = "waits" if waiting == 1 else "wait"
    yield (f"{count(waiting, 'session')} {waits} behind {count(len(roots), 'root')}",)
    if any(branch.in_cycle for branch in roots):
        yield ("⚠ A deadlock: PostgreSQL ends one of them by itself after deadlock_timeout.",)


def _spoken(answer: Tree, branch: Branch) -> Line:
    backend = answer.rows.get(branch.pid)
    who: Line = (_PREPARED,) if branch.is_prepared else (f"pid {branch.pid}",)
    if backend is not None and backend.usename:
        who += (" · ", Quoted(backend.usename))
    return (*who, f" holds up {branch.behind}")


def _row(answer: Tree, branch: Branch) -> Iterable[str]:
    backend = answer.rows.get(branch.pid)
    yield indented(branch)
    if backend is None:
        yield from ("", _held_up(branch))
        yield from (_PREPARED, "") if branch.is_prepared else ("", "not shown")
        yield from ("", "", "")
        return
    yield backend.usename or ""
    yield _held_up(branch)
    yield _state(answer, backend)
    yield _waits(answer, branch)
    yield backend.datname or ""
    yield backend.application_name or ""
    yield backend.query or ""


def indented(branch: Branch) -> str:
    """`└ 33911`: the longer the way to its root, the longer the line."""
    name = _PREPARED if branch.is_prepared else str(branch.pid)
    # No space would be sure to stay at a cell's edge.
    return f"└{'─' * (min(branch.depth, _DEEPEST) - 1)} {name}" if branch.depth else name


def _state(answer: Tree, backend: Backend) -> str:
    length = backend.state_age(answer.look.server.now)
    lasting = f"{backend.state} {age(length, short=True)}" if length is not None else backend.state
    if backend.backend_type not in (None, CLIENT_BACKEND):
        return dotted((backend.backend_type, lasting))
    return lasting or ""


def _waits(answer: Tree, branch: Branch) -> str:
    wait = answer.locks.waits.get(branch.pid)
    parts: list[str | None] = []
    if wait is not None:
        since = answer.look.server.now - wait.since if wait.since is not None else None
        parts.append(age(since, short=True) if since is not None else None)
        parts.append(f"{wait.locktype} {wait.mode}")
    if branch.in_cycle:
        parts.append("deadlock")
    if branch.others:
        others = ", ".join(str(pid) if pid else _PREPARED for pid in branch.others[:3])
        more = ", …" if len(branch.others) > 3 else ""
        parts.append(f"also for {others}{more}" if not branch.is_root else f"for {others}{more}")
    return dotted(parts)


def _held_up(branch: Branch) -> str:
    return str(branch.behind) if branch.behind else ""


def _remedies(answer: Tree) -> Iterable[Block]:
    """For roots that no button here can end: who can, and with what."""
    for one in answer.locks.all_prepared[:_REMEDIES]:
        yield blocks.paragraph(_prepared(answer, one))
        yield blocks.preformatted(f"ROLLBACK PREPARED {_literal(one.gid)};")
    for branch in _roots(answer)[:_REMEDIES]:
        backend = answer.rows.get(branch.pid)
        barrier = answer.barriers.get(branch.pid)
        if backend is None or backend.backend_start is None or barrier is None:
            continue
        yield blocks.paragraph(
            (
                f"pid {branch.pid} holds up {branch.behind}, and the bot does not end it: ",
                Quoted(barrier.why),
                f". Who can: {barrier.who}. This spares any other backend under that pid:",
            )
        )
        yield blocks.preformatted(
            "select pg_terminate_backend(pid) from pg_stat_activity\n"
            f"where pid = {backend.pid} and backend_start = '{backend.backend_start.isoformat()}';"
        )


def _prepared(answer: Tree, one: Prepared) -> Line:
    length = age(answer.look.server.now - one.prepared)
    owner: Line = (" by ", Quoted(one.owner)) if one.owner else ()
    return (
        f"A transaction prepared {length} ago",
        *owner,
        " is in the way. It has no session: its owner or a superuser ends it, in its database:",
    )


def _literal(text: str) -> str:
    """A string literal of SQL; `E''` where a backslash must not depend on a setting."""
    quoted = text.replace("'", "''")
    if "\\" in quoted:
        return "E'" + quoted.replace("\\", "\\\\") + "'"
    return f"'{quoted}'"


def _controls(answer: Tree) -> Iterable[Block]:
    name = answer.look.server.cluster
    yield blocks.button("Refresh", ActionId.TREE_REFRESH, name)
    options = [
        option for branch in _roots(answer) if (option := _root_to_end(answer, branch)) is not None
    ]
    if options:
        yield blocks.menu("Terminate a root…", ActionId.SESSIONS_KILL_ROW, options)


def _root_to_end(answer: Tree, branch: Branch) -> Block | None:
    backend = answer.rows.get(branch.pid)
    if backend is None or backend.id is None or branch.pid in answer.barriers:
        return None
    value = RowRef(answer.look.server.cluster, backend.id).encode()
    if not blocks.fits_option(value):
        return None
    user = plain(backend.usename, 28).strip()
    return blocks.option(dotted((str(branch.pid), user, f"holds up {branch.behind}")), value)
