"""What a message says of the sessions that a kill is about: who they are, what their end costs.

Pure.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from bot.backends import Backend
from bot.kills import Action, Proposal, Target
from bot.slack.views import blocks, tables
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted
from bot.slack.views.tables import Column
from bot.slack.views.text import age, count, dotted, plain, some

_QUERY = 300
_SPOKEN = 3
_NO_ROLE = "without a role"

_COLUMNS = (
    Column("pid", (10,)),
    Column("usename", (63, 40, 30, 20)),
    Column("datname", (63, 40, 30, 20, 16, 0)),
    Column("state", (30, 30, 30, 20)),
    Column("state_age", (8,)),
    Column("xact_age", (8,)),
    Column("note", (60, 40, 40, 30, 24)),
    Column("application_name", (63, 40, 30, 20, 16, 0)),
    Column("client_addr", (40, 40, 30, 20, 16, 0)),
    Column("query", (80, 50, 30, 0)),
)
"""A preview's table. At its least, it takes as many targets as a table has rows."""


def who(backend: Backend) -> Line:
    """`pid 33507 · some_user`."""
    return (f"pid {backend.pid} · ", Quoted(backend.usename or _NO_ROLE))


def _address(backend: Backend) -> str:
    if backend.client_addr is None:
        return "a Unix socket" if backend.client_port == -1 else ""
    port = f" port {backend.client_port}" if backend.client_port is not None else ""
    return f"{backend.client_addr}{port}"


def spoken(proposal: Proposal) -> Iterable[Line]:
    """The first few of them, for the top-level text."""
    for target in proposal.targets[:_SPOKEN]:
        yield _described(target, proposal)
    if len(proposal.targets) > _SPOKEN:
        yield (f"and {len(proposal.targets) - _SPOKEN} more",)


def details(proposal: Proposal) -> Iterable[Block | None]:
    """One target as fields, several as a table: each is shown whole, none left out."""
    if len(proposal.targets) == 1:
        target = proposal.targets[0]
        return blocks.fields(_fields(target, proposal)), _statement(target.seen)
    return _all(proposal)


def _fields(target: Target, proposal: Proposal) -> Iterable[tuple[str, str]]:
    """Up to 10 facts about one target, as of the snapshot."""
    seen, now = target.seen, proposal.seen_at
    everything = (
        ("pid", str(seen.pid)),
        ("usename", seen.usename),
        ("datname", seen.datname),
        ("application_name", seen.application_name),
        ("client_addr", _address(seen)),
        ("state", _lasting(seen.state, seen.state_age(now))),
        ("xact_age", _lasting(None, seen.xact_age(now))),
        ("connected for", _lasting(None, seen.age(now))),
        ("wait_event", dotted((seen.wait_event_type, seen.wait_event))),
        ("note", _note(target)),
    )
    return ((name, value) for name, value in everything if value)


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


def _statement(backend: Backend) -> Block | None:
    """What it runs, or ran last, redacted as it is."""
    if not backend.query:
        return None
    label = "last statement  " if backend.is_idle else "statement  "
    return blocks.paragraph((label, Quoted(backend.query, _QUERY, code=True)))


def _all(proposal: Proposal) -> Iterable[Block]:
    """A table, and below it those that it has no room for."""
    fitted = tables.fit(_COLUMNS, [_row(target, proposal) for target in proposal.targets])
    yield blocks.table(fitted.cells)
    if rest := proposal.targets[fitted.shown :]:
        yield blocks.paragraph(*(("and ", *_whole(target, proposal)) for target in rest))


def _whole(target: Target, proposal: Proposal) -> Line:
    """One that the table has no room for, with all that its row would have said."""
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
        seen.datname,
        seen.state,
        _short(seen.state_age(now)),
        _short(seen.xact_age(now)),
        _note(target),
        seen.application_name,
        None if seen.client_addr is None else str(seen.client_addr),
        seen.query,
    ]


def _short(length: timedelta | None) -> str | None:
    return None if length is None else age(length, short=True)


def cost(proposal: Proposal) -> str:
    """What their end undoes: open transactions, how old, and whether they have written."""
    if proposal.action is Action.CANCEL:
        return "what runs stops with an error; the session stays."
    ages = [t.seen.xact_age(proposal.seen_at) for t in proposal.targets]
    open_ones = [length for length in ages if length is not None]
    if not open_ones:
        return "no open transaction."
    oldest = age(max(open_ones))
    wrote = sum(t.seen.backend_xid is not None for t in proposal.targets)
    if len(proposal.targets) == 1:
        written = "; it has written" if wrote else ""
        return f"its open transaction rolls back after {oldest}{written}."
    rolled = count(len(open_ones), "open transaction rolls", "open transactions roll")
    written = (
        f"; {wrote} of the sessions {'has' if wrote == 1 else 'have'} written" if wrote else ""
    )
    return f"{rolled} back, the oldest after {oldest}{written}."


def warning(proposal: Proposal) -> str:
    """Who ends and what that costs, for a dialog of 300 characters."""
    return f"{_named(proposal.targets)} {_short_cost(proposal)} This can't be undone."


def _named(ending: Sequence[Target]) -> str:
    names = dict.fromkeys(plain(target.seen.usename or _NO_ROLE, 40) for target in ending)
    if len(ending) == 1:
        return f"pid {ending[0].id.pid}, {next(iter(names))}."
    return f"{count(len(ending), 'session')} of {some(list(names), 3)}."


def _short_cost(proposal: Proposal) -> str:
    if proposal.action is Action.CANCEL:
        return "What runs stops with an error."
    number = sum(target.seen.xact_start is not None for target in proposal.targets)
    if len(proposal.targets) == 1:
        return "Its transaction rolls back." if number else "It has no open transaction."
    if not number:
        return "They have no open transaction."
    return f"{count(number, 'transaction rolls', 'transactions roll')} back."
