"""All clusters at a glance: the answer to `/pg-sessions` if there are several. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.sessions import Look, since
from bot.errors import ClusterError, TargetError
from bot.grammar.requests import Target
from bot.operations.results import ClusterCard, Overview
from bot.slack.buttons import ActionId, PageOf
from bot.slack.views import blocks, cluster, lines, tables
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, as_of, strong, unmarked
from bot.slack.views.message import Message, message
from bot.slack.views.session_table import since_on
from bot.slack.views.tables import Column, Fitted, Numbers, data_table, seconds
from bot.slack.views.text import age, clock, count, dotted, some, used

_SPOKEN_CARDS = 10
"""How many clusters the top-level text mentions."""

_PRESSING = 5
"""How many limits have a line above the table of clusters."""

_OVERVIEW = (
    Column("cluster", (40, 30, 20)),
    Column("state", (160, 110, 80, 60)),
    Column("sessions"),
    Column("connections"),
    Column("waiting"),
    Column("oldest xact"),
    Column("at its limit", (63, 40, 20)),
    Column("host", (63, 40, 20, 0)),
)


_NUMBERS: Mapping[str, Callable[[Look], float | None]] = {
    "sessions": lambda look: look.counts.total,
    "connections": lambda look: look.server.ordinary.used,
    "waiting": lambda look: look.counts.waiting,
    "oldest xact": lambda look: seconds(since(look.counts.oldest_xact, look.server.now)),
}
"""By what a column is sorted."""


def overview(answer: Overview) -> Message:
    """Each cluster in a row of a table, with a button for a look at it."""
    answer = replace(answer, cards=tuple(sorted(answer.cards, key=pain)))
    fitted = tables.fit(_OVERVIEW, [_card(card, answer.now) for card in answer.cards])
    left_out = len(answer.cards) - fitted.shown
    below = [f"{left_out} more not shown: name a cluster to see it"] if left_out else []
    below += cluster.left_out(answer.left_out)
    if answer.request.columns or answer.request.sort or answer.request.limit:
        below.append(
            "columns=, sort= and limit= are for the sessions of one cluster: use its button"
        )
    if answer.request.pids and not any(
        card.look and card.look.counts.total for card in answer.cards
    ):
        below.append(f"no session has pid {some(list(map(str, answer.request.pids)), 5, 'or')}")
    return message(
        _overview_summary(answer),
        _table(answer, fitted) if fitted.shown else None,
        blocks.foot((dotted(below),)) if below else None,
        blocks.actions(_overview_controls(answer)),
        blocks.foot(as_of(answer.now, answer.asked_by)),
        also=[_spoken_card(card, answer.now) for card in answer.cards[:_SPOKEN_CARDS]],
    )


def _table(answer: Overview, fitted: Fitted) -> Block:
    numbers: Numbers = {
        name: [None if card.look is None else number(card.look) for card in answer.cards]
        for name, number in _NUMBERS.items()
    }
    caption = (
        f"{fitted.shown} of {count(len(answer.cards), 'cluster')}",
        unmarked(str(answer.request), 100).strip(),
        f"as of {clock(answer.now)}",
    )
    return data_table(fitted.cells, caption, numbers=numbers, row_header="cluster")


def pain(card: ClusterCard) -> tuple[bool, bool, int, float]:
    """Sort order: clusters in trouble, full ones, those with waiters, then the oldest transaction.

    Otherwise clusters keep the order of the settings.
    """
    if card.look is None:
        return not isinstance(card.trouble, ClusterError), True, 0, 0.0
    counts, server = card.look.counts, card.look.server
    oldest = since_on(counts.oldest_xact, card.look) if counts.oldest_xact else timedelta(0)
    hurts = bool(cluster.pressing(server)) or counts.waiting > 0
    return True, not hurts, -counts.waiting, -oldest.total_seconds() if hurts else 0.0


def _spoken_card(card: ClusterCard, now: datetime) -> Line:
    told = [_card(card, now)[1]]
    if card.look is not None:
        counts = card.look.counts
        told += [count(counts.total, "session"), f"connections {used(card.look.server.ordinary)}"]
        told += [f"{counts.waiting} waiting for a lock"]
    return (Quoted(card.cluster), ": ", Quoted(dotted(told), 300))


def _overview_summary(answer: Overview) -> list[Line]:
    in_trouble = [card for card in answer.cards if isinstance(card.trouble, ClusterError)]
    head = strong(count(len(answer.cards), "cluster"))
    if in_trouble:
        head += (f" · {len(in_trouble)} in trouble: ",)
        head += lines.listed(tuple(Quoted(card.cluster) for card in in_trouble), most=5)
    pressing = [
        ("⚠ ", Quoted(card.cluster), ": ", *line)
        for card in answer.cards
        if card.look is not None
        for line in cluster.pressing(card.look.server)
    ]
    more = len(pressing) - _PRESSING
    return [
        head,
        *pressing[:_PRESSING],
        *([(f"{more} more at or near their limit",)] if more > 0 else []),
        *(
            ("⚠ ", Quoted(card.cluster), ": ", *line)
            for card in answer.cards
            if card.look is not None
            for line in cluster.unseen(card.look.server)
        ),
        *(
            ("⚠ ", Quoted(card.cluster), f": {cluster.stale(card.look.names)}")
            for card in answer.cards
            if card.look is not None and card.look.names.stale
        ),
    ]


def _card(card: ClusterCard, now: datetime) -> list[str | None]:
    if card.look is None:
        return [card.cluster, trouble(card, now), *[None] * 5, card.host]
    server, counts = card.look.server, card.look.counts
    oldest = counts.oldest_xact
    return [
        card.cluster,
        f"{'standby' if server.in_recovery else 'primary'}, {server.version}",
        str(counts.total),
        used(server.ordinary),
        str(counts.waiting),
        None if oldest is None else age(since_on(oldest, card.look), short=True),
        cluster.at_limit(server.pressing),
        card.host,
    ]


def trouble(card: ClusterCard, now: datetime) -> str:
    """Why there is no look, and when the cluster last answered."""
    if isinstance(card.trouble, TargetError):
        return f"{card.trouble.problem}: {card.trouble.name}"
    problem = card.trouble.problem if card.trouble is not None else "not asked"
    if card.last_seen is None:
        return problem
    return f"{problem}; last seen {age(now - card.last_seen)} ago"


def _overview_controls(answer: Overview) -> Iterable[Block]:
    value = PageOf(str(answer.request)).encode()
    yield from blocks.fitting("Refresh", ActionId.SESSIONS_REFRESH, value)
    for at, card in enumerate(answer.cards[: blocks.BUTTONS - 1]):
        request = replace(answer.request, target=Target(card.cluster))
        value = PageOf(str(request)).encode()
        if card.look is not None and blocks.fits_button(value):
            label = f"{card.cluster}/"
            yield blocks.button(label, ActionId.SESSIONS_CHOOSE.numbered(at), value, spoken=label)
