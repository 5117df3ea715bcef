"""The answer to `/pg-sessions horizon`: what holds back vacuum, and what ends that. Pure."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from bot.domain.findings.model import PATIENCE, Act, Run
from bot.domain.findings.survey import Held, Holder, Part, Survey
from bot.domain.findings.transactions import counts, drop, lets_go
from bot.domain.kills import Action
from bot.domain.sessions import CLIENT_BACKEND, Backend
from bot.operations.results import Horizon
from bot.slack.buttons import ActionId, RowRef, seal
from bot.slack.views import blocks, cluster, tables
from bot.slack.views.blocks import Block
from bot.slack.views.findings import transactions, words
from bot.slack.views.lines import Line, Quoted, as_of, plain, strong
from bot.slack.views.message import Message, message
from bot.slack.views.tables import Column
from bot.slack.views.text import age, dotted
from bot.slack.views.why import no_answer

ROWS = 30
"""How many of a cluster's holders are listed."""

_STATEMENTS = 5
"""How many holders have their statement written out."""

_COLUMNS = (
    Column("what", (60, 50, 40)),
    Column("cluster", (40, 30, 20)),
    Column("holds", (20,)),
    Column("since", (12,)),
    Column("lets go by", (60, 40, 30)),
    Column("state", (60, 40, 30)),
)

_STANDBY = (
    " is a standby: its sessions hold back the primary's vacuum only with hot_standby_feedback, and"
    " what the primary itself holds can be seen only there."
)

_PARTS = (Part.HORIZON, Part.PREPARED, Part.SLOTS)

Row = tuple[Survey, Held]


def horizon(answer: Horizon, offered: Callable[[str], Action | None]) -> Message:
    """Everything that holds back vacuum, the furthest behind first.

    The menu ends sessions of the clusters where that is `offered`.
    """
    rows = [(survey, held) for survey in answer.surveys for held in survey.holders[:ROWS]]
    rows.sort(key=lambda row: -row[1].xids)
    several = len(answer.surveys) > 1
    columns = _COLUMNS if several else (_COLUMNS[0], *_COLUMNS[2:])
    cells = [list(_cells(row, several=several)) for row in rows]
    fitted = tables.fit(columns, cells)
    left_out = sum(len(survey.holders) for survey in answer.surveys) - fitted.shown
    below = [f"{left_out} more not shown"] if left_out else []
    if answer.elsewhere:
        hold = "holds" if answer.elsewhere == 1 else "hold"
        below.append(f"{answer.elsewhere} more {hold} back only other databases")
    endable = [row for row in rows if offered(row[0].server.cluster) is Action.TERMINATE]
    return message(
        _summary(answer),
        blocks.table(fitted.cells) if fitted.shown else None,
        blocks.foot((dotted(below),)) if below else None,
        *_statements(rows),
        *(blocks.foot(line) for line in _not_visible(answer)),
        *(blocks.foot((line,)) for line in cluster.left_out(answer.left_out)),
        blocks.actions(_controls(answer, list(_options(endable)))),
        blocks.foot(as_of(_now(answer), answer.asked_by)),
        also=[_spoken(row) for row in rows[:3]],
    )


def _summary(answer: Horizon) -> list[Line]:
    told: list[Line] = []
    for survey in answer.surveys:
        on = survey.server.cluster
        name = Quoted(on if answer.database is None else f"{answer.database} on {on}")
        worst = next((held for held in survey.holders if _counts(survey, held)), None)
        if worst is None or worst.xids <= 0:
            told.append((name, f": nothing holds back vacuum{' yet' if worst else ''}"))
        else:
            xids = words.transactions(worst.xids)
            held = f": vacuum can't remove what was deleted in the last {xids}, because of "
            few = " (so few is normal)" if worst.xids < PATIENCE.horizon_xids else ""
            told.append((name, held, *transactions.holder(worst), *((few,) if few else ())))
        if survey.server.in_recovery:
            told.append(("⚠ ", Quoted(on), _STANDBY))
    head, *rest = told
    return [strong(*head), *rest, *map(no_answer, answer.troubles[:5])]


def _counts(survey: Survey, held: Held) -> bool:
    return held.kind is not Holder.SESSION or counts(survey.backend(held.pid))


def _now(answer: Horizon) -> datetime:
    return answer.surveys[0].now if len(answer.surveys) == 1 else answer.now


def _cells(row: Row, *, several: bool) -> Iterable[str | None]:
    survey, held = row
    yield _what(survey, held)
    if several:
        yield survey.server.cluster
    yield words.transactions(held.xids).removesuffix("s").removesuffix(" transaction")
    yield None if held.since is None else age(survey.now - held.since, short=True)
    yield _lets_go(survey, held)
    yield _state(survey, held)


def _what(survey: Survey, held: Held) -> str:
    backend = survey.backend(held.pid)
    if held.kind is not Holder.SESSION:
        return _flat(transactions.holder(held))
    # What an autovacuum worker does stands in its query: `autovacuum: VACUUM public.orders`.
    who = None if backend is None else backend.usename or backend.query or backend.backend_type
    return dotted((f"pid {held.pid}", who))


def _lets_go(survey: Survey, held: Held) -> str:
    acts = lets_go(survey, held)
    match held.kind:
        case Holder.SESSION if not acts:
            backend = survey.backend(held.pid)
            spared = held.pid in survey.spared and backend is not None and _is_client(backend)
            return "its own end; the bot won't end it" if spared else "itself"
        case Holder.SESSION:
            return "its end"
        case Holder.PREPARED:
            return dotted(("ROLLBACK PREPARED", held.datname and f"in {held.datname}"))
        case Holder.SLOT if acts:
            return "pg_drop_replication_slot"
        case Holder.SLOT if held.is_copy:
            return "the primary's slot of that name"
        case Holder.SLOT if held.is_unused_slot:
            who = "standby" if held.physical else "consumer"
            return f"its {who}; if gone for good, pg_drop_replication_slot"
        case Holder.SLOT if not held.physical:
            return "its consumer"
        case Holder.SLOT if held.catalog_only:
            return "a slot of its standby"
        case Holder.SLOT | Holder.STANDBY:
            return "the end of a query there"


def _is_client(backend: Backend) -> bool:
    """If its kind can't be seen, it is one if it has a role: the server's own workers have none."""
    if backend.backend_type is None:
        return backend.usename is not None
    return backend.backend_type == CLIENT_BACKEND


def _state(survey: Survey, held: Held) -> str:
    backend = survey.backend(held.pid) if held.kind is Holder.SESSION else None
    if backend is not None:
        return dotted((words.lasting(backend, survey), backend.datname))
    return _flat(transactions.state(held))


def _flat(line: Line) -> str:
    return "".join(part.text if isinstance(part, Quoted) else str(part) for part in line)


def _spoken(row: Row) -> Line:
    _, held = row
    return (*transactions.holder(held), f": {words.transactions(held.xids)}")


def _statements(rows: Sequence[Row]) -> Iterable[Block]:
    """What people run themselves: slots and prepared transactions have no session to end."""
    runs = [(held, act) for survey, held in rows for act in _runs(survey, held)]
    for held, act in runs[:_STATEMENTS]:
        yield blocks.paragraph(_before(held, act))
        yield blocks.preformatted(act.sql)


def _runs(survey: Survey, held: Held) -> Iterable[Run]:
    """An unused slot's consumer may be back in a moment: people judge that, by `_before`."""
    if held.is_unused_slot:
        return (drop(held),)
    return (act for act in lets_go(survey, held) if isinstance(act, Run))


def _before(held: Held, act: Run) -> Line:
    what = transactions.drop_if(held)
    return (*transactions.holder(held, capital=True), f": {what}run", *words.run_in(act), ":")


def _not_visible(answer: Horizon) -> Iterable[Line]:
    for survey in answer.surveys:
        hidden = [f"{each.part} ({each.why})" for each in survey.unread if each.part in _PARTS]
        if survey.server.unseen:
            hidden.append(cluster.partly_seen(survey.server.unseen))
        if hidden:
            told = f"not visible on {survey.server.cluster}: {', '.join(hidden)}"
            yield (Quoted(told, 600),)


def _options(rows: Sequence[Row]) -> Iterable[Block]:
    for survey, held in rows:
        backend = survey.backend(held.pid) if held.kind is Holder.SESSION else None
        acts: tuple[Act, ...] = lets_go(survey, held)
        if backend is None or backend.id is None or not acts:
            continue
        value = RowRef(survey.server.cluster, backend.id).encode()
        if blocks.fits_option(value):
            user = plain(backend.usename, 28).strip()
            holds = words.transactions(held.xids)
            yield blocks.option(dotted((str(backend.pid), user, holds)), value)


def _controls(answer: Horizon, endable: Sequence[Block]) -> Iterable[Block]:
    yield from blocks.fitting("Refresh", ActionId.ANSWER_REFRESH, seal(str(answer.request)))
    if endable:
        yield blocks.menu("Terminate a session…", ActionId.SESSIONS_KILL_ROW, endable)
