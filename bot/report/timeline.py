"""The record of some hours in one list: Markdown for a postmortem, or JSON.

Pure. Clients chose the names, queries and reasons in it, so each stands in a code span, which shows
what it holds and formats nothing: wherever the text is pasted, no name can ping, link or style. A
backtick would end the span; it is written as a similar character. Times are in UTC, and people are
ids that notify nobody.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.domain.alerts import Alert, AlertState
from bot.domain.kills import Actor, Outcome, Result, Target
from bot.domain.record import Entry, Noted
from bot.domain.sessions import Backend
from bot.domain.timeline import Event, Step, Timeline
from bot.grammar.requests import KILL
from bot.report import UNREADABLE, json_line
from bot.text import cut, visible

LONGEST = 300
"""Characters that are shown of a query, a reason or a name."""

LISTED = 10
"""Targets that are listed one by one."""


def as_markdown(timeline: Timeline) -> Iterator[str]:
    """A heading, then a list with one item for each event. The same look in a row is one item."""
    of = "" if timeline.cluster is None else f" of {_code(timeline.cluster)}"
    yield f"## Timeline{of}, {_second(timeline.since)} to {_second(timeline.until)} UTC"
    yield ""
    for run in _runs(timeline.events):
        yield from _item(run)
    for kill in timeline.unreadable:
        yield f"- kill {kill.number} was recorded by another version of the bot"


def as_json(timeline: Timeline) -> Iterator[str]:
    """One line for each event."""
    for event in timeline.events:
        yield json_line(
            {
                "at": _instant(event.at),
                "event": event.step.value,
                "cluster": event.cluster,
                "by": event.by.user_id if event.by else None,
                **_facts(event),
            }
        )
    for kill in timeline.unreadable:
        yield json_line({"at": None, "event": UNREADABLE, "kill": kill.number, "detail": kill.why})


# --- Markdown ------------------------------------------------------------------------


def _runs(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Each event by itself, but somebody's same looks in a row together."""
    run: list[Event] = []
    for event in events:
        if run and _look(run[-1]) and _look(run[-1]) == _look(event):
            run.append(event)
            continue
        if run:
            yield run
        run = [event]
    if run:
        yield run


def _look(event: Event) -> tuple[object, ...] | None:
    if event.step is not Step.LOOK or not isinstance(event.of, Noted):
        return None
    return (event.cluster, event.by, event.of.channel_id, event.of.what)


def _item(run: Sequence[Event]) -> Iterator[str]:
    event = run[0]
    match event.of:
        case Entry() as entry:
            said, more = _of_kill(event, entry)
        case Alert() as alert:
            said, more = _of_alert(event, alert), ()
        case noted:
            said, more = _of_note(event, noted), ()
    again = f" ({len(run)} times, until {_second(run[-1].at)})" if len(run) > 1 else ""
    yield f"- {_second(event.at)} · {said}{again}"
    for line in more:
        yield f"  - {line}"


def _of_note(event: Event, noted: Noted) -> str:
    where = f"{_by(event.by)} in {_code(noted.channel_id)}"
    if event.step is Step.REFUSED:
        # What a button carries, a random key, tells nobody anything.
        what = noted.what if noted.what.startswith("/") else noted.what.partition(" ")[0]
        return f"refused to {where}: {_code(what)} ({_code(noted.why or '')})"
    return f"look at {_code(event.cluster or '')} by {where}: {_code(noted.what)}"


def _of_alert(event: Event, alert: Alert) -> str:
    rule, subject = alert.topic.rule, alert.topic.subject
    what = "further findings" if rule is None else f"{_code(rule)} of {subject.of}"
    what += f" {_code(subject.name)} on {_code(alert.topic.cluster)}"
    if event.step is Step.ALERT:
        return f"alert: {what}, since {_second(alert.since)}"
    if alert.state is AlertState.UNWATCHED:
        return f"alert no longer watched: {what}"
    seconds = max(0.0, (alert.seen_at - alert.since).total_seconds())
    lasted = f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
    by = "" if alert.ended_by is None else f", ended by kill {alert.ended_by[0]}"
    return f"alert over after {lasted}: {what}{by}"


def _of_kill(event: Event, entry: Entry) -> tuple[str, Sequence[str]]:
    kill = entry.proposal
    head = f"kill {kill.id}"
    match event.step:
        case Step.PREVIEW:
            reason = f". Reason: {_code(kill.reason)}" if kill.reason else ""
            asked = f"{_code(f'{KILL} {kill.wording}')} on {_code(kill.cluster)}"
            by = f"{_by(event.by)} in {_code(kill.channel_id)}"
            return f"{head}: preview for {by}: {asked}{reason}", _listed(_targets(entry))
        case Step.CONFIRMED:
            return f"{head}: {_by(event.by)} confirmed ({kill.action.replace('_', ' ')})", ()
        case Step.DISMISSED:
            return f"{head}: dismissed by {_by(event.by)}", ()
        case Step.EXPIRED:
            return f"{head}: expired, nobody confirmed it", ()
        case _:
            return f"{head}: {_outcome(entry)}", (
                *_listed(_results(entry)),
                *(_code(note) for note in entry.notes),
            )


def _outcome(entry: Entry) -> str:
    counts = Counter(result.outcome for result in entry.latest)
    became = ", ".join(f"{counts[each]} {each}" for each in Outcome if counts[each])
    took = "" if entry.took is None else f" in {entry.took.total_seconds():.3f} s"
    limits = [
        f"{_code(before.name)} {before.used} of {before.limit} → {after.used} of {after.limit}"
        for before, after in entry.limits
    ]
    return "; ".join([f"{became}{took}", *limits])


def _listed(lines: Sequence[str]) -> Sequence[str]:
    more = len(lines) - LISTED
    return lines if more <= 0 else [*lines[:LISTED], f"and {more} more"]


def _targets(entry: Entry) -> Sequence[str]:
    return [_session(target.seen) for target in entry.proposal.targets]


def _session(seen: Backend) -> str:
    what = ", ".join(_code(each) for each in (seen.application_name, seen.state) if each)
    query = f": {_code(seen.query)}" if seen.query else ""
    return f"{_who(seen)}, {what}{query}" if what else f"{_who(seen)}{query}"


def _who(seen: Backend) -> str:
    return f"pid {seen.pid}, {_code(seen.usename or '')} in {_code(seen.datname or '')}"


def _results(entry: Entry) -> Sequence[str]:
    seen = {target.id: target.seen for target in entry.proposal.targets}
    return [
        f"{_who(seen[each.id])}: {each.outcome}{f', {_code(each.detail)}' if each.detail else ''}"
        for each in entry.latest
        if each.id in seen
    ]


def _by(actor: Actor | None) -> str:
    return "nobody" if actor is None else _code(actor.user_id)


def _code(text: str) -> str:
    """Any text as a code span on one line, so that Markdown and Slack show it as it is."""
    return f"`{cut(visible(text).replace('`', 'ˋ'), LONGEST) or ' '}`"


def _second(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


# --- JSON ----------------------------------------------------------------------------


def _facts(event: Event) -> dict[str, Any]:
    match event.of:
        case Entry() as entry:
            return _facts_of_kill(event, entry)
        case Alert() as alert:
            return {
                "channel": alert.channel_id,
                "finding": alert.topic.rule,
                "of": alert.topic.subject.of,
                "subject": alert.topic.subject.name,
                "since": _instant(alert.since),
                "ended_by_kill": alert.ended_by[0] if alert.ended_by else None,
            }
        case noted:
            return {"channel": noted.channel_id, "what": noted.what, "why": noted.why}


def _facts_of_kill(event: Event, entry: Entry) -> dict[str, Any]:
    kill = entry.proposal
    facts: dict[str, Any] = {"kill": kill.id, "channel": kill.channel_id}
    match event.step:
        case Step.PREVIEW:
            targets = [_target(each) for each in kill.targets]
            facts |= {"request": kill.wording, "reason": kill.reason, "targets": targets}
        case Step.CONFIRMED:
            facts |= {"action": kill.action}
        case Step.OUTCOME:
            took = entry.took.total_seconds() if entry.took is not None else None
            results = [_result(each) for each in entry.latest]
            facts |= {"took": took, "outcomes": results, "notes": list(entry.notes)}
        case _:
            pass
    return facts


def _target(target: Target) -> dict[str, Any]:
    seen = target.seen
    names = ("pid", "usename", "datname", "application_name", "state", "query")
    return {name: getattr(seen, name) for name in names}


def _result(result: Result) -> dict[str, Any]:
    return {"pid": result.id.pid, "outcome": result.outcome, "detail": result.detail or None}


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat()
