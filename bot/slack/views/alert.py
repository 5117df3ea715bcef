"""An alert: what is wrong, who is in the way, and when it is over.

Pure. Its buttons carry the alert's own key or words of the grammar, and no session: a preview is
made of what is found when somebody presses.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from bot.domain.alerts import MOST_NEW, Alert, AlertState, News, Saying
from bot.domain.channels import Closed
from bot.domain.findings.model import (
    Blocks,
    Builds,
    Cancel,
    Finding,
    Full,
    HoldsBack,
    Queue,
    Rule,
    Run,
    Subject,
    SubjectOf,
    Waits,
)
from bot.domain.findings.survey import Survey
from bot.domain.tracks import Topic
from bot.grammar.requests import Target, WhyRequest
from bot.grammar.terms import Field, Match, Pattern
from bot.slack.buttons import ActionId, seal
from bot.slack.views import blocks
from bot.slack.views.blocks import Block
from bot.slack.views.findings import told as tell
from bot.slack.views.findings import words
from bot.slack.views.lines import Line, Quoted, linked, person, strong
from bot.slack.views.message import Message, message
from bot.slack.views.text import age, clock_short, count, used
from bot.text import is_visible

_LINES = 2
"""How many lines of evidence are shown: the diagnosis has the rest."""

_LONG = timedelta(hours=20)
"""From this length on, the time of day alone would mislead."""


def alert(saying: Saying) -> Message:
    """The alert's message, as it is now."""
    told = saying.alert
    if told.has_ended:
        timeline = blocks.button("Timeline", ActionId.ALERT_TIMELINE, told.key)
        return message([_ended(told)], blocks.actions([timeline]))
    headline = _headline(saying) if saying.last is None else _unseen(told, saying.last)
    return message(
        [(*_strong("⚠ ", told), *headline)],
        *_evidence(saying),
        blocks.actions(_controls(saying)),
        *(blocks.foot(line) for line in _feet(saying)),
    )


def reply(saying: Saying) -> Message:
    """What is said in its thread: that it got worse, is still there, is back, or is over."""
    told = saying.alert
    if told.news not in _NEWS:
        return message([_ended(told)])
    return message([(*_strong(f"⚠ {_NEWS[told.news]}: ", told), *_headline(saying))])


_NEWS: Mapping[News | None, str] = {
    News.WORSE: "Worse",
    News.STILL: "Still",
    News.AGAIN: "Again",
}


def _strong(before: str, told: Alert) -> Line:
    return strong(*_tidy((before, Quoted(told.topic.cluster), ": ")))


CLOSED: Mapping[Closed, str] = {
    Closed.UNKNOWN: "Slack knows no such channel, or it is private and the bot isn't a member:"
    " invite the bot",
    Closed.ARCHIVED: "it is archived",
    Closed.READ_ONLY: "the bot may not post there. Ask whoever manages the channel to let it",
    Closed.DIRECT: "it is a direct message",
    Closed.SHARED: "another workspace shares it; ALLOWED_CHANNELS would have to name it",
    Closed.MAYBE_SHARED: "Slack didn't say whether another workspace shares it",
}
"""Why a channel takes no alerts."""


# --- in a line -----------------------------------------------------------------------


class _Words(NamedTuple):
    """A finding in words: what follows its subject, as it is and as it was.

    `before` comes before the subject. `so` is what it means while it lasts.
    """

    now: str
    then: str
    before: str = ""
    so: str = ""


_LOGINS = " New logins fail."

_WORDS: Mapping[Rule, _Words] = {
    Rule.LIMIT: _Words(" is at its limit", " was at its limit", so=_LOGINS),
    Rule.SERVER_FULL: _Words(
        "no connection is left for ordinary roles",
        "no connection was left for ordinary roles",
        so=_LOGINS,
    ),
    Rule.BLOCKER: _Words(" holds up others", " held up others"),
    Rule.DDL_QUEUE: _Words(
        " waits for a lock and holds up others", " waited for a lock and held up others"
    ),
    Rule.WRAPAROUND_VACUUM: _Words(
        ", a vacuum to prevent wraparound, holds up others",
        ", a vacuum to prevent wraparound, held up others",
        so=" Leave the vacuum alone.",
    ),
    Rule.PREPARED_TRANSACTION: _Words(" is not finished", " was not finished"),
    Rule.IDLE_IN_TRANSACTION: _Words(" is idle in transaction", " was idle in transaction"),
    Rule.HORIZON: _Words(" holds back vacuum", " held back vacuum"),
    Rule.CONCURRENT_INDEX: _Words(
        " builds an index and waits for others", " built an index and waited for others"
    ),
    Rule.LOGIN: _Words(" can't log in", " couldn't log in"),
    Rule.WAITING: _Words("", "", before="sessions wait for "),
}

_KINDS: Mapping[SubjectOf, str] = {
    SubjectOf.DATABASE: "the database ",
    SubjectOf.PREPARED: "the prepared transaction ",
    SubjectOf.SLOT: "the replication slot ",
    SubjectOf.STANDBY: "the standby ",
}


def listed(told: Alert, url: str) -> Line:
    """An open alert in a list of them; `url` leads to its message, if that is known."""
    about = strong("⚠ ", Quoted(told.topic.cluster), ": ", *_about(told.topic, past=False))
    return (*about, f" · since {clock_short(told.since)} · ", *linked(told.channel_id, url))


def _about(topic: Topic, *, past: bool) -> Line:
    if topic.rule is None:
        have = "had" if past else "have"
        return (f"problems beyond {MOST_NEW} an hour {have} no alerts of their own",)
    said = _WORDS[topic.rule]
    subject = () if topic.rule is Rule.SERVER_FULL else _subject(topic.subject)
    return _tidy((said.before, *subject, said.then if past else said.now))


def _subject(subject: Subject) -> Line:
    match subject.of:
        case SubjectOf.SERVER:
            return ("the server",)
        case SubjectOf.SESSION:
            return (f"pid {subject.name}",)
        case _:
            return (_KINDS.get(subject.of, ""), Quoted(subject.name, 200))


def _headline(saying: Saying) -> Line:
    """What is wrong, how badly, and for how long."""
    topic = saying.alert.topic
    if topic.rule is None:
        no_alert = " has no alert of its own", "s have no alerts of their own"
        number = count(saying.hurt, *(f"more problem{each}" for each in no_alert))
        return (f"{number}: {MOST_NEW} were told within an hour.",)
    often = "on and off for " if saying.alert.relapses else ""
    lasting = f" ({often}{age(saying.now - saying.alert.since)} so far)."
    about = _about(topic, past=False)
    return _tidy((*about, _detail(saying.finding), lasting, _WORDS[topic.rule].so))


def _unseen(told: Alert, last: datetime) -> Line:
    """What it was, and for how long, as far as it was seen; it isn't over yet."""
    return _tidy((*_about(told.topic, past=True), f"{_for(told, max(last, told.since))}."))


def _detail(finding: Finding | None) -> str:
    match finding.evidence if finding is not None else None:
        case Full(limit=limit):
            return f", {used(limit)}"
        case Blocks(behind=behind) | Queue(behind=behind) if behind:
            return f": {words.wait(behind)}"
        case Builds(build=build):
            return f": {build.lockers_done} of {build.lockers_total} done"
        case HoldsBack(held=held):
            return f" by {words.transactions(held.xids)}"
        case Waits(number=number):
            return f": {count(number, 'session')}"
        case _:
            return ""


def _ended(told: Alert) -> Line:
    """What it was, for how long, and which kill ended it."""
    about = _about(told.topic, past=True)
    if told.state is AlertState.UNWATCHED:
        return (*_strong("", told), *about, ". The bot no longer watches this.")
    until = max(told.seen_at, told.since)
    worst = f", up to {count(told.worst, 'session')} at once," if told.worst > 1 else ""
    if told.topic.rule is None or told.topic.rule is Rule.LIMIT:
        worst = ""
    lasted = f"{worst}{_for(told, until)} ({_span(told.since, until)})."
    return (*_strong("✓ ", told), *about, lasted, *_ender(told))


def _for(told: Alert, until: datetime) -> str:
    """` for 7 min`; ` on and off for 7 min` if it came back in the meantime."""
    return f"{' on and off' if told.relapses else ''} for {age(until - told.since)}"


def _ender(told: Alert) -> Line:
    if told.ended_by is None:
        return ()
    number, by = told.ended_by
    return (f" Ended by kill {number}, ", person(by.user_id), ".")


def _span(since: datetime, until: datetime) -> str:
    if until - since >= _LONG:
        return f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC"
    begun = "" if clock_short(since) == clock_short(until) else f"{since:%H:%M} to "
    return f"{begun}{clock_short(until)}"


def _tidy(line: Line) -> Line:
    return tuple(part for part in line if part != "")


# --- below it ------------------------------------------------------------------------


def _evidence(saying: Saying) -> Iterable[Block]:
    """Who is in the way; and what to do, if the bot itself can do nothing about it."""
    finding, survey = saying.finding, saying.survey
    if finding is None or survey is None:
        return
    lines = [*_lines(finding, survey)]
    act = finding.acts[0] if finding.acts else None
    if (act is None or isinstance(act, Run)) and (cheapest := tell.cheapest(finding, survey)):
        lines.append((*strong("Cheapest: "), *cheapest))
    if lines:
        yield blocks.paragraph(*lines)
    if isinstance(act, Run):
        yield blocks.preformatted(act.sql)


def _lines(finding: Finding, survey: Survey) -> Iterable[Line]:
    lines = [*tell.evidence(finding, survey)]
    if isinstance(finding.evidence, Full):
        lines = lines[1:]  # the error says what the headline says
    if isinstance(finding.evidence, Queue):
        return [*lines[:_LINES], *lines[-1:]]  # for whom it waits
    return lines[:_LINES]


def _controls(saying: Saying) -> Iterable[Block]:
    told, finding = saying.alert, saying.finding
    if told.topic.rule is None:
        return
    act = finding.acts[0] if finding is not None and finding.acts else None
    if act is not None and not isinstance(act, Run) and act.backend.id is not None:
        what = "cancel" if isinstance(act, Cancel) else "end"
        label = f"Preview the {what} of pid {act.backend.pid}"
        yield blocks.button(label, ActionId.ALERT_PREVIEW, told.key)
    if blocks.fits_button(value := seal(str(_why(told.topic)))):
        yield blocks.button("Why", ActionId.ANSWER_SHOW, value)
    if not told.is_muted(saying.now):
        yield blocks.button("Mute 1 h", ActionId.ALERT_MUTE, told.key)


def _why(topic: Topic) -> WhyRequest:
    """The diagnosis of its role or database, if that can be typed, or else of its cluster."""
    of, name = topic.subject.of, topic.subject.name
    if of is SubjectOf.ROLE and is_visible(name):
        role = Match(Field.USENAME, Pattern((name,)))
        return WhyRequest(target=Target(topic.cluster), terms=(role,))
    if of is SubjectOf.DATABASE and is_visible(name):
        return WhyRequest(target=Target(topic.cluster, name))
    return WhyRequest(target=Target(topic.cluster))


def _feet(saying: Saying) -> Iterable[Line]:
    told = saying.alert
    since = f"since {clock_short(told.since)}"
    if saying.now - told.since >= _LONG:
        since = f"since {told.since:%Y-%m-%d %H:%M} UTC"
    if told.topic.rule is None:
        yield (f"{since} · /pg-sessions why has the worst five",)
        return
    back = f" · came back {count(told.relapses, 'time')}" if told.relapses else ""
    if saying.last is not None:
        back = f" · last seen {clock_short(saying.last)}{back}"
    if told.muted_until is not None and told.is_muted(saying.now):
        by: Line = () if told.muted_by is None else (" by ", person(told.muted_by.user_id))
        yield (f"{since}{back} · muted until {clock_short(told.muted_until)}", *by)
    else:
        yield (f"{since}{back} · told once; changes and the end come as replies",)


# --- answers to clicks ---------------------------------------------------------------


def muted(told: Alert) -> Message:
    """To the person who muted it."""
    until = clock_short(told.muted_until or told.opened_at)
    return message(
        [(f"Muted until {until}: no replies in its thread. The message is still redrawn.",)]
    )


def nothing_left(told: Alert) -> Message:
    """The finding is gone, so there is nothing to act on."""
    return message(
        [
            (*_strong("", told), *_about(told.topic, past=True), ". That is over."),
            ("Nothing was done. The alert says so within a minute.",),
        ]
    )


def over(told: Alert) -> Message:
    """The alert is closed."""
    return message([_ended(told), ("Nothing was done.",)])


def nothing_to_end(told: Alert) -> Message:
    """There is no session to end or cancel."""
    return message(
        [
            (*_strong("", told), "there is no session now that the bot could end or cancel here."),
            ("Nothing was done. Press Why: it has what else helps.",),
        ]
    )


def unknown() -> Message:
    """The ledger doesn't have it."""
    return message([("Nothing was done: this alert is no longer on record here.",)])
