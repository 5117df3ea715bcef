"""All clusters at a glance: the answer to `/pg-sessions` where there are several. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from bot.errors import ClusterError, TargetError
from bot.grammar.requests import Target
from bot.operations.results import ClusterCard, Overview
from bot.slack.buttons import ActionId, PageOf
from bot.slack.views import blocks, cluster, lines, tables
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, person, strong
from bot.slack.views.message import Message, message
from bot.slack.views.sessions import since_on
from bot.slack.views.tables import Column
from bot.slack.views.text import age, clock, count, dotted, some, used

_SPOKEN_CARDS = 10
"""Clusters that the top-level text tells of."""

_PRESSING = 5
"""Limits that the table of clusters has a line for above it."""

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


def overview(answer: Overview) -> Message:
    """Every cluster in a line of a table, with a button for a look at it."""
    answer = replace(answer, cards=tuple(sorted(answer.cards, key=_pain)))
    fitted = tables.fit(_OVERVIEW, [_card(card, answer.now) for card in answer.cards])
    left_out = len(answer.cards) - fitted.shown
    below = [f"{left_out} more not shown: name a cluster to see it"] if left_out else []
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
        blocks.table(fitted.cells) if fitted.shown else None,
        blocks.foot((dotted(below),)) if below else None,
        blocks.actions(_overview_controls(answer)),
        blocks.foot((f"as of {clock(answer.now)} · asked by ", person(answer.asked_by.user_id))),
        also=[_spoken_card(card, answer.now) for card in answer.cards[:_SPOKEN_CARDS]],
    )


def _pain(card: ClusterCard) -> tuple[bool, bool, int, float]:
    """Those in trouble first, then the full, those with waiters, and the oldest transaction.

    Clusters that are alike stay in the order of the settings.
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
        return [card.cluster, _trouble(card, now), *[None] * 5, card.host]
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


def _trouble(card: ClusterCard, now: datetime) -> str:
    if isinstance(card.trouble, TargetError):
        return f"{card.trouble.problem}: {card.trouble.name}"
    problem = card.trouble.problem if card.trouble is not None else "not asked"
    if card.last_seen is None:
        return problem
    return f"{problem}; last seen {age(now - card.last_seen)} ago"


def _overview_controls(answer: Overview) -> Iterable[Block]:
    value = PageOf(str(answer.request)).encode()
    if blocks.fits_button(value):
        yield blocks.button("Refresh", ActionId.SESSIONS_REFRESH, value)
    for at, card in enumerate(answer.cards[: blocks.BUTTONS - 1]):
        request = replace(answer.request, target=Target(card.cluster))
        value = PageOf(str(request)).encode()
        if card.look is not None and blocks.fits_button(value):
            label = f"{card.cluster}/"
            yield blocks.button(label, ActionId.SESSIONS_CHOOSE.numbered(at), value, spoken=label)
