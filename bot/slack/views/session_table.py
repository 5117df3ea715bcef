"""One server's sessions as a table: the columns, the cells, the numbers behind them. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from bot.domain.sessions import CLIENT_BACKEND, Backend, LimitOf, Look
from bot.domain.sessions import since as time_since
from bot.grammar.columns import ACTIVITY_COLUMNS, AGES, TAGS
from bot.grammar.requests import SessionsRequest
from bot.operations.results import Sessions
from bot.slack.views import blocks, tables
from bot.slack.views.blocks import Block
from bot.slack.views.lines import NAME, unmarked
from bot.slack.views.tables import Column, data_table, seconds
from bot.slack.views.targets import THROUGH_POOLER
from bot.slack.views.text import age, clock, count, dotted, some, timestamp

Cell = Callable[[Look, Backend], str | None]
Number = Callable[[Look, Backend], float | None]

PAGE = 20
"""Sessions on a page."""

TURNED_PAGE = blocks.TABLE_CELLS - 1
"""Sessions on a page whose table is turned on its side; one more column holds the names."""

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
    "tags",
    "query",
)
"""The default columns, each shown only if it says something that no other column does."""

_BLOCKERS = 3
"""How many blockers `why` names."""

_WIDTHS = {"query": (80, 50, 30, 20), TAGS: (80, 50, 30, 20), "why": (60, 40, 30, 20)}


def page_size(request: SessionsRequest) -> int:
    """How many sessions of this request fit in one message."""
    return TURNED_PAGE if is_turned(request) else PAGE


def is_turned(request: SessionsRequest) -> bool:
    """Whether the table stands on its side: one session a column."""
    return len(request.columns) > blocks.TABLE_CELLS


def tabled(answer: Sessions) -> tuple[Block | None, Sequence[Backend]]:
    """The rows of a look as a table, if there are any, and those of them that fit into it."""
    request, look = answer.request, answer.look
    said = {
        name: [CELLS[name](look, backend) for backend in look.rows]
        for name in request.columns or DEFAULT_COLUMNS
    }
    names = request.columns or [name for name in said if _tells(name, look, said)]
    columns = [Column(name, _WIDTHS.get(name, tables.WIDTHS)) for name in names]
    rows = list(zip(*(said[name] for name in names), strict=True))
    fitted = tables.fit(columns, rows, most=page_size(request))
    shown = look.rows[: fitted.shown]
    if not shown:
        return None, shown
    if is_turned(request):  # to sort the columns' names would help nobody
        return blocks.table(fitted.turned), shown
    numbers = {
        name: [NUMBERS[name](look, backend) for backend in shown]
        for name in names
        if name in NUMBERS
    }
    caption = _caption(answer, len(shown))
    return data_table(fitted.cells, caption, numbers=numbers, row_header="pid"), shown


def _caption(answer: Sessions, shown: int) -> Iterable[str]:
    """What the table shows: the order is the reader's, so only the summary can tell the bot's."""
    place, total, first = answer.cluster, answer.look.counts.total, answer.offset
    if answer.database is not None:
        place = f"{answer.database} on {place}"
    yield unmarked(place, 2 * NAME)
    yield unmarked(" ".join(map(str, (*answer.request.pids, *answer.request.terms))), 100).strip()
    yield page_of(first, shown, count(total, "session"))
    yield f"as of {clock(answer.look.server.now)}"


def page_of(offset: int, shown: int, total: str) -> str:
    """Which sessions are on a page: `20 of 41`, `21 to 40 of 41`, `number 41 of 41`."""
    if not offset:
        return f"{shown} of {total}"
    last = offset + shown
    return f"{offset + 1} to {last} of {total}" if shown > 1 else f"number {last} of {total}"


def _tells(name: str, look: Look, said: Mapping[str, Sequence[str | None]]) -> bool:
    """Whether a column says something that its absence wouldn't, by what its cells say."""
    cells = set(said[name])
    match name:
        case "pid":
            return True
        case "datname":
            return len(cells) > 1
        case "backend_type":
            return not cells <= {None, "", CLIENT_BACKEND}
        case "xact_age":  # it may equal the state's own age
            ages = zip(said[name], said["state_age"], strict=True)
            return any(open_for not in (None, lasting) for open_for, lasting in ages)
        case "wait_event":  # `state` covers waits for a client, `why` waits for a lock
            types = {row.wait_event_type for row in look.rows}
            return not types <= {None, "Client", "Lock"}
        case "blocked_by":
            return any(_blockers(look, row)[1] > _BLOCKERS for row in look.rows)
        case _:
            return not cells <= {None, ""}


def since_on(then: datetime, look: Look) -> timedelta:
    """How long ago that was, by the clock of the server that was looked at."""
    return look.server.now - then


_AT_LIMIT = {LimitOf.ROLE: "at its limit", LimitOf.DATABASE: "its database at its limit"}


IDLE = "idle"
FAILED = "transaction failed"
QUIET = frozenset({IDLE, FAILED})
"""What `why` says of sessions that do nothing and hold up nobody."""


def why(look: Look, backend: Backend) -> str:
    """Why a session has its place in the order: what it holds up, waits for, or does."""
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
    """What the order goes by for a session that holds up nobody: its transaction, its query."""
    now = look.server.now
    if backend.backend_type not in (None, CLIENT_BACKEND):
        return backend.backend_type or ""
    if backend.state == "starting":
        length = backend.age(now)
        return "logging in" if length is None else f"logging in for {age(length, short=True)}"
    if backend.is_idle:
        length = backend.xact_age(now)
        if length is not None:
            return f"transaction open {age(length, short=True)}"
        return FAILED if backend.is_idle_in_transaction else IDLE
    length = backend.query_age(now)
    if backend.state == "active" and length is not None:
        return f"running {age(length, short=True)}"
    return backend.state or ""


def _blockers(look: Look, backend: Backend) -> tuple[list[str], int]:
    """The first few that it waits for, and how many in all; a worker counts as its leader."""
    pid = backend.leader_pid if backend.leader_pid and backend.is_waiting else backend.pid
    first, number = look.waits.blockers_of(pid)
    return ["a prepared transaction" if each < 1 else str(each) for each in first], number


def _blocked_by(look: Look, backend: Backend) -> str:
    blockers, number = _blockers(look, backend)
    more = number - len(blockers)
    return ", ".join([*blockers, *([f"{more} more"] if more else [])])


def _client_addr(look: Look, backend: Backend) -> str | None:
    address = None if backend.client_addr is None else str(backend.client_addr)
    if backend.pid not in look.through_pooler:
        return address
    return THROUGH_POOLER if address is None else f"{address} {THROUGH_POOLER}"


def _tags(look: Look, backend: Backend) -> str | None:
    tags = look.tags.get(backend.pid, {})
    return " ".join(f"{key}:{value}" for key, value in tags.items()) or None


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


def _number(name: str) -> Number:
    return lambda _, backend: getattr(backend, name)


def _seconds(instant: str) -> Number:
    return lambda look, backend: seconds(time_since(getattr(backend, instant), look.server.now))


NUMBERS: Mapping[str, Number] = {
    **{name: _number(name) for name in ("pid", "leader_pid", "client_port")},
    **{name: _number(name) for name in ("datid", "usesysid", "backend_xid", "backend_xmin")},
    **{name: _seconds(instant) for name, instant in AGES.items()},
}
"""The columns that sort by a number, and not by the text of their cells. A `query_id` isn't one:
it may be too large for a client that counts in floating point."""

CELLS: Mapping[str, Cell] = {
    **{name: _column(name) for name in ACTIVITY_COLUMNS},
    **{name: _aged(instant) for name, instant in AGES.items()},
    "client_addr": _client_addr,
    "blocked_by": _blocked_by,
    TAGS: _tags,
    "why": why,
}
"""The text of a column's cell for a backend; None is NULL."""
