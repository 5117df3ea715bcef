"""The answer to `/pg-sessions by=`: counts, shares, the oldest transaction of each group. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.groups import MOST_GROUPS, Group, members
from bot.domain.sessions import since
from bot.grammar.terms import Field
from bot.grammar.tokens import quote
from bot.operations.results import Counted, Grouped
from bot.slack.buttons import ActionId, seal
from bot.slack.views import blocks, cluster, tables
from bot.slack.views.blocks import Block
from bot.slack.views.lines import NAME, Line, Quoted, as_of, parted, plain, strong, unmarked
from bot.slack.views.message import Message, message
from bot.slack.views.tables import Column, Numbers, data_table, seconds
from bot.slack.views.text import age, clock, count, dotted, some
from bot.slack.views.why import no_answer

NULL = "NULL"
"""The cell of a value that PostgreSQL doesn't have. A client that calls itself that is shown in
quotes, and so is an empty name."""

_SPOKEN = 3
_TROUBLES = 5
_MEANINGS = {
    Field.CLIENT_ADDR: "a Unix socket, or no client",
    Field.STATE: "a background process, or not visible to the bot",
    Field.WAIT_EVENT: "waits for nothing",
}
"""What it means that a session has no value in a column."""

Row = tuple[Counted, Group]


def groups(answer: Grouped) -> Message:
    """The largest groups of all clusters that were asked, in one table."""
    several = len(answer.counted) > 1
    rows = [(counted, group) for counted in answer.counted for group in counted.groups.largest]
    rows = sorted(rows, key=lambda row: row[1].rank)[:MOST_GROUPS]
    total = sum(counted.groups.sessions for counted in answer.counted)
    names = [*(["cluster"] if several else []), *answer.request.by]
    columns = [*map(Column, ["sessions", *names, "share", "oldest_xact"])]
    cells = [_cells(row, total, several=several) for row in rows]
    fitted = tables.fit(columns, cells)
    shown = rows[: fitted.shown]
    options, unnamed = _options(answer, shown)
    return message(
        _summary(answer),
        _table(answer, fitted.cells, shown) if shown else None,
        *map(blocks.foot, _below(answer, shown, unnamed)),
        *(blocks.foot((line,)) for line in cluster.left_out(answer.left_out)),
        blocks.actions(_controls(answer, options)),
        blocks.foot(as_of(_now(answer), answer.asked_by)),
        also=[_spoken(row) for row in shown[:_SPOKEN]],
    )


def _table(answer: Grouped, cells: Sequence[Sequence[str]], shown: Sequence[Row]) -> Block:
    sessions = [group.sessions for _, group in shown]
    ages = [seconds(_age(row)) for row in shown]
    numbers: Numbers = {"sessions": sessions, "share": sessions, "oldest_xact": ages}
    return data_table(
        cells, _caption(answer, len(shown)), numbers=numbers, row_header=answer.request.by[0]
    )


def _caption(answer: Grouped, shown: int) -> Iterable[str]:
    clusters = [counted.look.server.cluster for counted in answer.counted]
    yield f"sessions by {', '.join(answer.request.by)}"
    yield unmarked(some(clusters, 3), 2 * NAME)
    yield unmarked(str(replace(answer.request.of, private=False)), 100).strip()
    number = sum(counted.groups.number for counted in answer.counted)
    yield f"{shown} of {count(number, 'group')}"
    yield f"as of {clock(_now(answer))}"


def _summary(answer: Grouped) -> list[Line]:
    told: list[Line] = []
    for counted in answer.counted:
        server, target = counted.look.server, counted.target
        place: Line = (Quoted(server.cluster),)
        if target.database is not None:
            place = (Quoted(target.database), " on ", *place)
        number = count(counted.groups.sessions, "session")
        told.append((*strong(*place, ": "), number, " · ", *_slots(counted)))
        told += (("⚠ ", *line) for line in cluster.pressing(server))
        told += (("⚠ ", *line) for line in cluster.unseen(server))
        if counted.look.names.stale:
            told.append((f"⚠ {cluster.stale(counted.look.names)}",))
    return [*told, *map(no_answer, answer.troubles[:_TROUBLES])]


def _slots(counted: Counted) -> Line:
    ordinary = counted.look.server.ordinary
    return (f"connections {ordinary.used} of {ordinary.limit}",)


def _cells(row: Row, total: int, *, several: bool) -> list[str]:
    """The count comes first: a phone in portrait shows little more than one column."""
    counted, group = row
    return [
        str(group.sessions),
        *([counted.look.server.cluster] if several else []),
        *map(_shown, group.values),
        _share(group.sessions, total),
        _oldest(row),
    ]


def _shown(value: str | None) -> str:
    if value is None:
        return NULL
    ambiguous = not value.strip() or value == NULL or value.startswith('"')
    return quote(value, always=True) if ambiguous else value


def _share(part: int, whole: int) -> str:
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 1 else "< 1 %"


def _oldest(row: Row) -> str:
    length = _age(row)
    return "" if length is None else age(length, short=True)


def _age(row: Row) -> timedelta | None:
    """How old the oldest transaction of a group is."""
    counted, group = row
    return since(group.oldest_xact, counted.look.server.now)


def _below(answer: Grouped, shown: Sequence[Row], unnamed: int) -> Iterable[Line]:
    number = sum(counted.groups.number for counted in answer.counted)
    sessions = sum(counted.groups.sessions for counted in answer.counted)
    if not number:
        yield ("no session matches",)
    elif (more := number - len(shown)) > 0:
        left = sessions - sum(group.sessions for _, group in shown)
        yield (f"{len(shown)} of {number} groups shown · {more} more have {left} of the sessions",)
    empty = [
        column
        for at, column in enumerate(answer.request.by)
        if column in _MEANINGS and any(group.values[at] is None for _, group in shown)
    ]
    if empty:
        meanings: list[Line] = [(f"no {each} ({_MEANINGS[each]})",) for each in empty]
        yield (f"{NULL}: ", *parted(meanings, " · "))
    if unnamed:
        yield (f"{count(unnamed, 'group')} not in the menu: type their filters",)
    if (hidden := sum(counted.look.counts.hidden for counted in answer.counted)) > 0:
        yield (f"the bot's own {hidden} left out (`all` counts them)",)


def _now(answer: Grouped) -> datetime:
    return answer.counted[0].look.server.now if len(answer.counted) == 1 else answer.now


def _spoken(row: Row) -> Line:
    _, group = row
    values = [(Quoted(_shown(value)),) for value in group.values]
    oldest = _oldest(row)
    tail = f", oldest transaction {oldest}" if oldest else ""
    return (*parted(values, " · "), f": {count(group.sessions, 'session')}{tail}")


def _options(answer: Grouped, shown: Iterable[Row]) -> tuple[list[Block], int]:
    """An option for each group whose look fits in one, and how many have none.

    An option carries the text of the look, which is read and authorized as if it were typed.
    """
    options, unnamed = [], 0
    for counted, group in shown:
        request = members(answer.request, counted.target, group)
        value = None if request is None else seal(str(request))
        if value is None or not blocks.fits_option(value):
            unnamed += 1
            continue
        width = 56 // len(group.values)
        names = [plain(_shown(each), width).strip() for each in group.values]
        options.append(blocks.option(dotted((*names, str(group.sessions))), value))
    return options, unnamed


def _controls(answer: Grouped, options: Sequence[Block]) -> Iterable[Block]:
    yield from blocks.fitting("Refresh", ActionId.ANSWER_REFRESH, seal(str(answer.request)))
    if options:
        yield blocks.menu("Show a group…", ActionId.ANSWER_SHOW, options)
