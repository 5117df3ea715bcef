"""The answers to `/pg-sessions`: one server's sessions, all clusters, or a choice.

Pure.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import takewhile

from bot.domain.sessions import CLIENT_BACKEND, Backend, LimitOf, Look
from bot.domain.sessions import since as time_since
from bot.grammar.columns import ACTIVITY_COLUMNS, AGES
from bot.grammar.requests import Aged, AgeOf, Field, Match, SessionsRequest, Term
from bot.operations.results import Sessions
from bot.slack.buttons import ActionId, PageOf, RowRef
from bot.slack.views import blocks, cluster, tables
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, person, strong
from bot.slack.views.message import Message, message
from bot.slack.views.tables import Column
from bot.slack.views.text import age, clock, count, dotted, plain, some, timestamp

PAGE = 20
"""Sessions on a page."""

TURNED_PAGE = blocks.TABLE_CELLS - 1
"""Sessions on a page whose table stands on its side, beside the column of names."""

DEFAULT_COLUMNS = (
    "pid",
    "usename",
    "why",
    "state",
    "state_age",
    "application_name",
    "client_addr",
    "datname",
    "backend_type",
    "xact_age",
    "wait_event",
    "blocked_by",
    "query",
)
"""What is shown unless columns are asked for, if it says what no other column does."""

_FEW = 5
"""Rows that are listed though they say nothing: on a quiet server people still see who is there."""

_BLOCKERS = 3
"""Blockers that `why` names."""

SPOKEN = 3
"""Rows that the top-level text tells of."""

_STATE_ORDER = ("active", "idle in transaction", "idle in transaction (aborted)", "idle")
_WIDTHS = {"query": (80, 50, 30, 20), "why": (60, 40, 30, 20)}

Cell = Callable[[Look, Backend], str | None]


def page_size(request: SessionsRequest) -> int:
    """How many sessions of this request one message shows."""
    return TURNED_PAGE if _is_turned(request) else PAGE


def _is_turned(request: SessionsRequest) -> bool:
    return len(request.columns) > blocks.TABLE_CELLS


def sessions(answer: Sessions) -> Message:
    """One page of one server's sessions: how it stands, who is there, what can be done."""
    listed = _listed(answer)
    look = replace(answer.look, rows=answer.look.rows[:listed])
    names = answer.request.columns or _default_columns(look)
    columns = [Column(name, _WIDTHS.get(name, tables.WIDTHS)) for name in names]
    rows = [[CELLS[name](look, backend) for name in names] for backend in look.rows]
    fitted = tables.fit(columns, rows, most=page_size(answer.request))
    cells = fitted.turned if _is_turned(answer.request) else fitted.cells
    shown = look.rows[: fitted.shown]
    return message(
        _summary(answer),
        blocks.table(cells) if shown else None,
        blocks.foot(_below(answer, len(shown), folded=listed < len(answer.look.rows))),
        blocks.actions(_controls(answer, shown, folded=listed < len(answer.look.rows))),
        blocks.foot(
            (f"as of {clock(look.server.now)} · asked by ", person(answer.asked_by.user_id))
        ),
        also=[_spoken(look, backend) for backend in shown[:SPOKEN]],
    )


def _listed(answer: Sessions) -> int:
    """How many rows of the page are listed: those at its end with nothing to say are counted.

    Who asks for idle sessions, or for an order, sees them.
    """
    rows, request = answer.look.rows, answer.request
    asked_for = request.sort or request.limit or request.pids or answer.offset
    asked_for = asked_for or any(map(_speaks_of_idle, request.terms))
    if asked_for or _is_turned(request):
        return len(rows)
    quiet = takewhile(lambda row: why(answer.look, row) == "idle", reversed(rows))
    return min(max(len(rows) - sum(1 for _ in quiet), _FEW), len(rows))


def _rest(answer: Sessions, shown: int) -> str:
    """Those that are counted: `21 idle`, or `22 more` if others, too, have nothing open."""
    counts = answer.look.counts
    number = counts.total - shown
    return f"{number} idle" if number <= counts.by_state.get("idle", 0) else f"{number} more"


def _speaks_of_idle(term: Term) -> bool:
    match term:
        case Match(Field.STATE):
            return True
        case Aged(AgeOf.IDLE):
            return True
        case _:
            return False


def _spoken(look: Look, backend: Backend) -> Line:
    told = (backend.usename, backend.state, why(look, backend))
    parts = tuple(part for each in told if each for part in (" · ", Quoted(each)))
    return (f"pid {backend.pid}", *parts)


def _summary(answer: Sessions) -> list[Line]:
    server = answer.look.server
    place = strong(Quoted(answer.cluster))
    if answer.database is not None:
        place = strong(Quoted(answer.database), " on ", Quoted(answer.cluster))
    return [
        (*place, " · ", *cluster.introduction(server)),
        (_counts(answer.look),),
        *(("⚠ ", *line) for line in cluster.pressing(server)),
        *([line] if (line := cluster.connections(server)) else []),
        *_blind_spots(answer.look),
    ]


def _counts(look: Look) -> str:
    counts = look.counts
    states = sorted(counts.by_state.items(), key=lambda item: _state_rank(item[0]))
    parts = [f"{number} {state or 'without a state'}" for state, number in states if number]
    if counts.waiting:
        parts.append(f"{counts.waiting} waiting for a lock")
    if counts.oldest_xact is not None:
        parts.append(f"oldest transaction {age(since_on(counts.oldest_xact, look))}")
    head = count(counts.total, "session")
    return f"{head}: {' · '.join(parts)}" if parts else head


def since_on(then: datetime, look: Look) -> timedelta:
    """How long ago that was, by the clock of the server that was looked at."""
    return look.server.now - then


def _state_rank(state: str) -> tuple[int, str]:
    at = _STATE_ORDER.index(state) if state in _STATE_ORDER else len(_STATE_ORDER)
    return at, state


def _blind_spots(look: Look) -> Iterable[Line]:
    yield from (("⚠ ", *line) for line in cluster.unseen(look.server))
    if look.names.stale:
        yield (f"⚠ {cluster.stale(look.names)}",)


def _default_columns(look: Look) -> tuple[str, ...]:
    return tuple(name for name in DEFAULT_COLUMNS if name == "pid" or _tells(name, look))


def _tells(name: str, look: Look) -> bool:
    """Whether a column says something that isn't said by leaving it out."""
    said = {CELLS[name](look, backend) for backend in look.rows}
    match name:
        case "datname":
            return len(said) > 1
        case "backend_type":
            return not said <= {None, "", CLIENT_BACKEND}
        case "xact_age":  # it may be the state's own age, as told
            ages = ((CELLS[name](look, row), CELLS["state_age"](look, row)) for row in look.rows)
            return any(open_for not in (None, lasting) for open_for, lasting in ages)
        case "wait_event":  # a client is what `state` says, a lock what `why` says
            types = {row.wait_event_type for row in look.rows}
            return not types <= {None, "Client", "Lock"}
        case "blocked_by":
            return any(_blockers(look, row)[1] > _BLOCKERS for row in look.rows)
        case _:
            return not said <= {None, ""}


def _below(answer: Sessions, shown: int, *, folded: bool) -> Line:
    total, offset = answer.look.counts.total, answer.offset
    if folded:
        line: Line = (
            f"{shown} of {total} shown, what hurts most first · + {_rest(answer, shown)}",
        )
    elif shown:
        page = f"{offset + 1} to {offset + shown}" if offset else f"{shown}"
        line = (f"{page} of {total} shown, ", *_order(answer.request))
    elif total:
        line = (f"no session on this page; {count(total, 'session')} in all",)
    else:
        line = ("no session matches",)
    if answer.matched < total:
        line += (f" · {total - answer.matched} beyond the limit of {answer.matched}",)
    if hidden := answer.look.counts.hidden:
        own = f"the bot's own {hidden}"
        line += (f" · {own} left out" if total else f" except {own} (`all` shows them)",)
    if missing := _missing(answer):
        line += (f" · no session has pid {some(missing, 5, 'or')}",)
    if not blocks.fits_button(PageOf(str(answer.request), total).encode()):
        line += (" · this request is too long for buttons: type a shorter one",)
    return line


def _missing(answer: Sessions) -> list[str]:
    """The pids that were asked for and that no session has, where all that have are here."""
    found = {backend.pid for backend in answer.look.rows}
    if len(found) < answer.look.counts.total:
        return []
    return [str(pid) for pid in answer.request.pids if pid not in found]


def _order(request: SessionsRequest) -> Line:
    if not request.sort:
        return ("what hurts most first",)
    return ("sorted by ", Quoted(", ".join(map(str, request.sort)), 200))


def _controls(answer: Sessions, shown: Sequence[Backend], *, folded: bool) -> Iterable[Block]:
    text, offset = str(answer.request), answer.offset
    pages = [("Refresh", ActionId.SESSIONS_REFRESH, offset)]
    if offset:
        before = max(0, offset - page_size(answer.request))
        pages.append(("Previous", ActionId.SESSIONS_PREVIOUS, before))
    if shown and offset + len(shown) < answer.matched:
        more = f"Show {_rest(answer, len(shown))}" if folded else "Next"
        pages.append((more, ActionId.SESSIONS_NEXT, offset + len(shown)))
    for label, action_id, start in pages:
        value = PageOf(text, start).encode()
        if blocks.fits_button(value):
            yield blocks.button(label, action_id, value)
    if answer.look.waits.blocked_by:
        yield blocks.button("Blocking tree", ActionId.SESSIONS_TREE, answer.cluster)
    if options := list(_options(answer.cluster, shown)):
        yield blocks.menu("Show a session…", ActionId.SESSIONS_INSPECT, options)
    endable = [backend for backend in shown if backend.pid in answer.endable]
    if options := list(_options(answer.cluster, endable)):
        yield blocks.menu("Terminate a session…", ActionId.SESSIONS_KILL_ROW, options)


def _options(cluster_name: str, shown: Iterable[Backend]) -> Iterable[Block]:
    for backend in shown:
        if backend.id is None:
            continue
        value = RowRef(cluster_name, backend.id).encode()
        if blocks.fits_option(value):
            names = (plain(backend.usename, 28), plain(backend.state, 30))
            label = dotted((str(backend.pid), *map(str.strip, names)))
            yield blocks.option(label, value)


_AT_LIMIT = {LimitOf.ROLE: "at its limit", LimitOf.DATABASE: "its database at its limit"}


def why(look: Look, backend: Backend) -> str:
    """Why this session stands where it stands: what it holds up, or waits for, or does."""
    behind = look.waits.holds_up(backend.pid)
    return dotted(
        (
            _AT_LIMIT[limit] if (limit := look.at_limit(backend)) else None,
            f"blocks {behind}" if behind else None,
            _waits(look, backend),
        )
    ) or _doing(look, backend)


def _waits(look: Look, backend: Backend) -> str | None:
    blockers, number = _blockers(look, backend)
    if not blockers:
        return None
    since = look.waits.since.get(backend.pid)
    lasting = f" {age(since_on(since, look), short=True)}" if since is not None else ""
    return f"waits{lasting} for {some(blockers, _BLOCKERS, of=number)}"


def _doing(look: Look, backend: Backend) -> str:
    """What the order goes by where a session holds up nobody: its transaction, its query."""
    now = look.server.now
    if backend.backend_type not in (None, CLIENT_BACKEND):
        return backend.backend_type or ""
    if backend.state == "starting":
        length = backend.age(now)
        return "logging in" if length is None else f"logging in for {age(length, short=True)}"
    if backend.is_idle:
        length = backend.xact_age(now)
        return "idle" if length is None else f"transaction open {age(length, short=True)}"
    length = backend.query_age(now)
    if backend.state == "active" and length is not None:
        return f"running {age(length, short=True)}"
    return backend.state or ""


def _blockers(look: Look, backend: Backend) -> tuple[list[str], int]:
    """Whom it waits for, the first few, and how many they are; a worker, as its leader does."""
    pid = backend.leader_pid if backend.leader_pid and backend.is_waiting else backend.pid
    first, number = look.waits.blockers_of(pid)
    return ["a prepared transaction" if each < 1 else str(each) for each in first], number


def _blocked_by(look: Look, backend: Backend) -> str:
    blockers, number = _blockers(look, backend)
    more = number - len(blockers)
    return ", ".join([*blockers, *([f"{more} more"] if more else [])])


def _column(name: str) -> Cell:
    def cell(_: Look, backend: Backend) -> str | None:
        value = getattr(backend, name)
        if isinstance(value, datetime):
            return timestamp(value)
        return None if value is None else str(value)

    return cell


def _aged(instant: str) -> Cell:
    def cell(look: Look, backend: Backend) -> str | None:
        length = time_since(getattr(backend, instant), look.server.now)
        return None if length is None else age(length, short=True)

    return cell


CELLS: Mapping[str, Cell] = {
    **{name: _column(name) for name in ACTIVITY_COLUMNS},
    **{name: _aged(instant) for name, instant in AGES.items()},
    "blocked_by": _blocked_by,
    "why": why,
}
"""What a column's cell shows of a backend; None is NULL."""
