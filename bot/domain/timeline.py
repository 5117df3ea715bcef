"""What happened, in one list by time: the steps of kills, looks, refusals and alerts. Pure.

What else is on record joins the list by a `Step`, a function like `of_kill`, and its words in
`bot.report.timeline`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from bot.domain.alerts import Alert
from bot.domain.kills import Actor, State
from bot.domain.record import Entry, Noted, Unreadable


class Step(StrEnum):
    """What an event is."""

    ALERT = "alert"
    ALERT_OVER = "alert over"
    LOOK = "look"
    REFUSED = "refused"
    PREVIEW = "preview"
    DISMISSED = "dismissed"
    EXPIRED = "expired"
    CONFIRMED = "confirmed"
    OUTCOME = "outcome"


_FIRST = (Step.ALERT, Step.ALERT_OVER, Step.LOOK, Step.REFUSED)
"""What comes first of one instant, in this order. Then come kills in the order of the record."""

_ORDER = {step: at for at, step in enumerate(_FIRST)}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, and what the record has of it.

    `cluster` is None if the record names none. `by` is None for what nobody did.
    """

    at: datetime
    step: Step
    cluster: str | None
    by: Actor | None
    of: Entry | Noted | Alert

    @property
    def channel_id(self) -> str | None:
        """Where it was asked for; None for an alert, which nobody asked for."""
        match self.of:
            case Entry(proposal=proposal):
                return proposal.channel_id
            case Noted(channel_id=channel_id):
                return channel_id
            case Alert():
                return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The events from one instant to another, oldest first.

    `cluster` is None for all. `unreadable` are kills of another version, of which not even the time
    can be read.
    """

    since: datetime
    until: datetime
    cluster: str | None = None
    events: tuple[Event, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    def of(self, events: Iterator[Event]) -> "tuple[Event, ...]":
        """Those of its time and its cluster, oldest first."""
        found = [each for each in events if self.since <= each.at <= self.until]
        return tuple(sorted(found, key=lambda each: (each.at, _ORDER.get(each.step, len(_FIRST)))))

    def asked_in(self, channel_id: str) -> "Timeline":
        """Only what was asked for in this channel, and the alerts."""
        kept = (each for each in self.events if each.channel_id in (None, channel_id))
        return replace(self, events=tuple(kept))


def of_kill(entry: Entry) -> Iterator[Event]:
    """The steps of a kill so far."""
    kill = entry.proposal
    steps = [
        (kill.created_at, Step.PREVIEW, kill.asked_by),
        (kill.dismissed_at, Step.DISMISSED, kill.dismissed_by),
        (kill.claimed_at, Step.CONFIRMED, kill.confirmed_by),
        (entry.concluded_at, Step.OUTCOME, None),
    ]
    if kill.state is State.PROPOSED and entry.expired:
        steps.append((kill.expires_at, Step.EXPIRED, None))
    for at, step, by in steps:
        if at is not None:
            yield Event(at, step, kill.cluster, by, entry)


def of_note(noted: Noted, step: Step, cluster: str | None) -> Iterator[Event]:
    """A look or a refusal."""
    yield Event(noted.at, step, cluster, noted.actor, noted)


def of_alert(alert: Alert) -> Iterator[Event]:
    """When an alert was told, and when it was over."""
    cluster = alert.topic.cluster
    yield Event(alert.opened_at, Step.ALERT, cluster, None, alert)
    if alert.over_at is not None:
        yield Event(alert.over_at, Step.ALERT_OVER, cluster, None, alert)
