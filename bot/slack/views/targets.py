"""What several messages say about a kill: its command, its sessions, who did what, who is spared.

Pure.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from bot.domain.kills import Action, Actor, Basis, Proposal, Spared, Target
from bot.domain.people import Right
from bot.domain.protection import Barrier, Ender
from bot.domain.sessions import Backend, Limit, SpareReason
from bot.grammar.requests import KILL
from bot.slack.views import blocks, tables
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, person, strong
from bot.slack.views.tables import Column
from bot.slack.views.text import age, count, dotted, some, used

REASON = 500
WORDING = 500
"""How many characters of a reason or a command are shown."""


def head_of(proposal: Proposal) -> Line:
    """`Terminate 3 sessions on main`."""
    return (f"{verb_of(proposal)} {objects_of(proposal)} on ", Quoted(proposal.cluster))


def verb_of(proposal: Proposal) -> str:
    """What the button does."""
    return "Terminate" if proposal.action is Action.TERMINATE else "Cancel"


def right_of(proposal: Proposal) -> Right:
    """The right that confirming the whole of it takes."""
    return Right.CANCEL if proposal.action is Action.CANCEL else Right.KILL


def objects_of(proposal: Proposal) -> str:
    """`3 sessions`, or the queries that they run if these are cancelled: `2 queries`."""
    if proposal.action is Action.TERMINATE:
        return count(len(proposal.targets), "session")
    return count(len(running_in(proposal)), "query", "queries")


def running_in(proposal: Proposal) -> list[Backend]:
    """The targets that run a query."""
    return [each.seen for each in proposal.targets if each.seen.state == "active"]


def command_of(wording: str) -> Line:
    """The request as it can be typed; a pid alone would be just a number."""
    return (Quoted(f"{KILL} {wording}", WORDING, code=True),)


def change_of(before: Limit, after: Limit) -> Line:
    """`some_user 1 of 1 → 0 of 1`, and `connections 62 → 61 of 97`; `still` what didn't change."""
    if used(before) == used(after):
        return (Quoted(before.name), f" still {used(after)}")
    if before.name == after.name == "connections":
        return (f"connections {before.used} → {used(after)}",)
    return (Quoted(before.name), f" {used(before)} → {used(after)}")


def request_of(proposal: Proposal) -> Line:
    """The request or, for one target, who that is."""
    if len(proposal.targets) == 1:
        return (*who(proposal.targets[0].seen), " · ", *command_of(proposal.wording))
    return command_of(proposal.wording)


def signed_of(proposal: Proposal, did: str, actor: Actor | None) -> Line:
    """Who asked for it, and who did what."""
    line: Line = ("asked by ", person(proposal.asked_by.user_id))
    if actor is not None:
        line += (f" · {did}", person(actor.user_id))
    if proposal.basis is Basis.IDENTITY:
        line += (" · whatever it ran",)
    return line


def by_of(words: str, actor: Actor | None) -> Line:
    """Who did it, if anyone did."""
    return () if actor is None else (words, person(actor.user_id))


LISTED = 10
"""The most sessions that are listed line by line."""

SPOKEN = 3
"""The most sessions that a notification's text mentions."""

_QUERY = 300
NO_ROLE = "without a role"
THROUGH_POOLER = "through a pooler"

_COLUMNS = (
    Column("pid", (10,)),
    Column("usename", (63, 40, 30, 20)),
    Column("application_name", (63, 40, 30, 20, 16, 0)),
    Column("state", (30, 30, 30, 20)),
    Column("state_age", (8,)),
    Column("note", (60, 40, 40, 30, 24)),
    Column("query", (80, 50, 30, 0)),
    Column("xact_age", (8,)),
    Column("datname", (63, 40, 30, 20, 16, 0)),
    Column("client_addr", (40, 40, 30, 20, 16, 0)),
)
"""A preview's table. At its narrowest it holds as many targets as a table has rows."""

_SPARED_FOR = {
    SpareReason.UNSEEN: "the bot can't see it: grant pg_read_all_stats",
    SpareReason.ROLE_UNSEEN: "its role can't be seen",
    SpareReason.ROLE_NAME_UNSEEN: "its role's name can't be seen, and PROTECTED_ROLES may name it",
    SpareReason.OWN_ROLE: "the bot's own role",
    SpareReason.PROTECTED_ROLES: "protected by PROTECTED_ROLES",
    SpareReason.PROTECTED_APPLICATIONS: "protected by PROTECTED_APPLICATIONS",
    SpareReason.SUPERUSER: "a superuser's session",
    SpareReason.NO_QUERY: "no query runs in it",
    SpareReason.NO_RIGHT: "the bot may not end this role's sessions: grant it pg_signal_backend",
}

_ENDERS = {
    Ender.SUPERUSER: "a superuser",
    Ender.SIGNAL_BACKEND: "a member of pg_signal_backend",
    Ender.SIGNAL_AUTOVACUUM_WORKER: (
        "a superuser or, from PostgreSQL 18 on, a member of pg_signal_autovacuum_worker"
    ),
}


def who(backend: Backend) -> Line:
    """`pid 33507 · some_user`."""
    return (f"pid {backend.pid} · ", Quoted(backend.usename or NO_ROLE))


def spared_for(spared: Spared) -> Line:
    """Why a session is left alone."""
    if spared.why is SpareReason.SUPERUSER:
        return ("a superuser's session: only a superuser can end it",)
    return reason(spared.why, spared.seen)


def reason(why: SpareReason | str, seen: Backend) -> Line:
    """Why the bot never ends a backend."""
    if why is SpareReason.NOT_A_CLIENT:
        return (Quoted(f"{seen.backend_type}"), ", not a client backend")
    return (_SPARED_FOR[why],) if isinstance(why, SpareReason) else (Quoted(why, 200),)


def barred(barrier: Barrier, seen: Backend) -> Line:
    """Why the bot does not end a backend, and who can."""
    return (*reason(barrier.why, seen), f". Who can: {_ENDERS[barrier.who]}.")


def _address(backend: Backend) -> str:
    if backend.client_addr is None:
        return "a Unix socket" if backend.client_port == -1 else ""
    port = f" port {backend.client_port}" if backend.client_port is not None else ""
    return f"{backend.client_addr}{port}"


def spoken(proposal: Proposal) -> Iterable[Line]:
    """The first few targets, for the top-level text."""
    for target in proposal.targets[:SPOKEN]:
        yield _described(target, proposal)
    if len(proposal.targets) > SPOKEN:
        yield (f"and {len(proposal.targets) - SPOKEN} more",)


def details(proposal: Proposal) -> Iterable[Block]:
    """One target in three lines, several as a table: each is shown in full, none left out."""
    if len(proposal.targets) == 1:
        return (blocks.paragraph(*_lines(proposal.targets[0], proposal)),)
    return _all(proposal)


def _lines(target: Target, proposal: Proposal) -> Iterable[Line]:
    """Who it is, what it does and since when, what it runs."""
    seen = target.seen
    yield (
        *strong(*who(seen)),
        *((" · ", Quoted(seen.datname)) if seen.datname else ()),
        *client(seen),
    )
    if doing := "; ".join(part for part in _doing(target, proposal) if part):
        yield (Quoted(doing, 300),)
    if seen.query:
        label = "last statement  " if seen.is_idle else "statement  "
        yield (label, Quoted(seen.query, _QUERY, code=True))


def client(seen: Backend) -> Line:
    """` · psql from 127.0.0.1 port 43512`."""
    address = _address(seen)
    app: Line = (" · ", Quoted(seen.application_name)) if seen.application_name else ()
    if not address:
        return app
    return (*app, f" from {address}") if app else (f" · from {address}",)


def _doing(target: Target, proposal: Proposal) -> Iterable[str]:
    seen, now = target.seen, proposal.seen_at
    lasting, xact_age = seen.state_age(now), seen.xact_age(now)
    yield _lasting(seen.state, lasting)
    if xact_age is not None and (lasting is None or age(xact_age) != age(lasting)):
        yield _lasting("in a transaction", xact_age)
    if not seen.is_idle and seen.wait_event:
        yield f"waits on {seen.wait_event_type}/{seen.wait_event}"
    yield f"blocks {target.waiting_behind}" if target.waiting_behind else ""
    yield _lasting("connected", seen.age(now))
    yield "new since the last look" if target.is_new else ""


def _lasting(what: str | None, length: timedelta | None) -> str:
    return " for ".join(part for part in (what, None if length is None else age(length)) if part)


def _note(target: Target) -> str:
    return dotted(
        (
            "new since the last look" if target.is_new else None,
            f"blocks {target.waiting_behind}" if target.waiting_behind else None,
            "has written" if target.seen.backend_xid is not None else None,
        )
    )


def _all(proposal: Proposal) -> Iterable[Block]:
    """A table, and below it the targets that don't fit into it."""
    rows = [_row(target, proposal) for target in proposal.targets]
    order = _order(rows)
    fitted = tables.fit([_COLUMNS[at] for at in order], [[row[at] for at in order] for row in rows])
    yield blocks.table(fitted.cells)
    if rest := proposal.targets[fitted.shown :]:
        yield blocks.paragraph(*(("and ", *_whole(target, proposal)) for target in rest))


def _order(rows: Sequence[Sequence[str | None]]) -> Sequence[int]:
    """The columns that say something, starting with those that distinguish targets."""
    said = [set(column) for column in zip(*rows, strict=True)]
    telling = [at for at, cells in enumerate(said) if not cells <= {None, ""}]
    return sorted(telling, key=lambda at: at != 0 and len(said[at]) == 1)


def _whole(target: Target, proposal: Proposal) -> Line:
    """A target that the table has no room for, with everything its row would have said."""
    told = dotted(_row(target, proposal)[2:])
    return (*who(target.seen), *((" · ", Quoted(told, 500)) if told else ()))


def _described(target: Target, proposal: Proposal) -> Line:
    """Who it is, what it does and for how long."""
    state = _lasting(target.seen.state, target.seen.state_age(proposal.seen_at))
    told = dotted((state, _note(target)))
    return (*who(target.seen), " · ", Quoted(told, 200)) if told else who(target.seen)


def _row(target: Target, proposal: Proposal) -> list[str | None]:
    seen, now = target.seen, proposal.seen_at
    return [
        str(seen.pid),
        seen.usename,
        seen.application_name,
        seen.state,
        _short(seen.state_age(now)),
        _note(target),
        seen.query,
        _short(seen.xact_age(now)),
        seen.datname,
        None if seen.client_addr is None else str(seen.client_addr),
    ]


def _short(length: timedelta | None) -> str | None:
    return None if length is None else age(length, short=True)


def spared_lines(spared: Sequence[Spared]) -> Iterable[Line]:
    """Who is left alone, and why."""
    for each in spared[:LISTED]:
        yield ("Left alone: ", *who(each.seen), ", ", *spared_for(each))
    if len(spared) > LISTED:
        yield (f"Left alone: {len(spared) - LISTED} more",)


def gone_lines(pids: Sequence[int], basis: Basis) -> Iterable[Line]:
    """The pids that no longer belong to what was meant."""
    if pids:
        # Another backend may have the pid by now, but that isn't the one that was meant.
        what = "no longer matching" if basis is Basis.FILTER else "never there"
        yield (f"Already gone, or {what}: pid {some([str(pid) for pid in pids], LISTED)}.",)
