"""What is on record of a time, in one list."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.record import Entry, HistoryFilter, Noted, Record, Unreadable
from bot.domain.timeline import Event, Step, Timeline, of_alert, of_kill, of_note
from bot.errors import UsageError
from bot.grammar.parser import read_kill, read_sessions
from bot.grammar.requests import KILL, SESSIONS, HelpRequest
from bot.ports import Ledger

BEFORE = timedelta(days=1, hours=1)
"""How long before a step of a kill its preview may be: `CONFIRM_TTL` is a day at most."""

CHUNK = 200
"""How much is read of the record at once."""


async def read(ledger: Ledger, asked: Timeline, *, without_a_cluster: bool = True) -> Timeline:
    """Fill a timeline with what is on record. Raises `LedgerError`.

    A refused attempt may have named no cluster. Such a one is in the timeline of each, unless
    `without_a_cluster` is False: it may have been meant for another one.
    """
    kills = await all_kills(ledger, HistoryFilter(since=asked.since - BEFORE))
    looks = await all_noted(ledger, Record.LOOKS, asked.since)
    refusals = await all_noted(ledger, Record.REFUSALS, asked.since)
    alerts = await ledger.alerts.current(asked.since, asked.since)

    def events() -> Iterator[Event]:
        # In the order of the record, which counts if two are of the same instant.
        entries = [each for each in reversed(kills) if isinstance(each, Entry)]
        for entry in entries:
            yield from of_kill(entry)
        for alert in alerts:
            yield from of_alert(alert)
        for look in reversed(looks):
            yield from of_note(look, Step.LOOK, look.cluster)
        by_key = {each.proposal.key: each.proposal.cluster for each in entries}
        by_key |= {alert.key: alert.topic.cluster for alert in alerts}
        for refusal in reversed(refusals):
            yield from of_note(refusal, Step.REFUSED, _meant(refusal.what, by_key))

    def is_of_it(event: Event) -> bool:
        return (without_a_cluster and event.cluster is None) or event.cluster == asked.cluster

    found = asked.of(each for each in events() if asked.cluster is None or is_of_it(each))
    unreadable = tuple(each for each in kills if isinstance(each, Unreadable))
    return replace(asked, events=found, unreadable=unreadable)


async def all_kills(ledger: Ledger, where: HistoryFilter) -> list[Entry | Unreadable]:
    """Every kill that matches, newest first. Raises `LedgerError`."""
    entries: list[Entry | Unreadable] = []
    before: int | None = None
    while True:
        chunk = await ledger.history(where, limit=CHUNK, before_id=before)
        entries += chunk
        if len(chunk) < CHUNK:
            return entries
        before = chunk[-1].number


async def all_noted(ledger: Ledger, record: Record, since: datetime | None) -> list[Noted]:
    """Every refusal or look since an instant, newest first. Raises `LedgerError`."""
    noted: list[Noted] = []
    before: int | None = None
    while True:
        chunk = await ledger.noted(record, since=since, limit=CHUNK, before_id=before)
        noted += chunk
        if len(chunk) < CHUNK:
            return noted
        before = chunk[-1].id


def _meant(what: str, by_key: Mapping[str, str]) -> str | None:
    """The cluster that a refused command names, or of the kill or alert with the clicked button."""
    asked, _, rest = what.partition(" ")
    if asked not in (SESSIONS, KILL):
        return by_key.get(rest.partition(" ")[0])
    try:
        request = read_kill(rest) if asked == KILL else read_sessions(rest)
    except UsageError:
        return None
    return None if isinstance(request, HelpRequest) else request.target.cluster
