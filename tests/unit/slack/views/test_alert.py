"""An alert in words: as it is, as it was, and whatever everything is called."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.alerts import Alert, AlertState, News, Saying
from bot.domain.findings.model import (
    Blocks,
    Cancel,
    End,
    Finding,
    Full,
    Rule,
    Run,
    Severity,
    Subject,
    SubjectOf,
)
from bot.domain.findings.survey import Survey
from bot.domain.sessions import BackendId, Limit
from bot.domain.tracks import Topic
from bot.grammar.parser import read_sessions
from bot.slack.buttons import unseal
from bot.slack.views import alert as view
from tests.unit.builders import ALICE, CAROL, KEY, NOW, ago, backend, look
from tests.unit.reading import lines, parsed, pressable
from tests.unit.slack.views.test_any_input import few_texts, holds, rows_of, views
from tests.unit.slack.views.test_why import findings

HOLDER = backend()
FOR_LONG = "idle in transaction for 32 min"
LIMIT = Finding(
    rule=Rule.LIMIT,
    severity=Severity.ERROR,
    subject=Subject(SubjectOf.ROLE, "some_user"),
    evidence=Full(limit=Limit("some_user", 1, 1), error="FATAL: too many", holders=(HOLDER,)),
    hurt=1,
    acts=(End(HOLDER),),
)
BLOCKER = replace(
    LIMIT,
    rule=Rule.BLOCKER,
    subject=Subject.session(33507, HOLDER),
    evidence=Blocks(pid=33507, behind=2, freed=2, backend=HOLDER, since=ago(minutes=6)),
    hurt=2,
)


def alert(finding: Finding = LIMIT, **values: Any) -> Alert:
    story: dict[str, Any] = {
        "id": 7,
        "key": KEY,
        "topic": Topic("main", finding.rule, finding.subject),
        "channel_id": "C0OPS",
        "message_ts": "1.1",
        "state": AlertState.OPEN,
        "since": ago(minutes=2),
        "opened_at": ago(minutes=1),
        "told_at": ago(minutes=1),
        "told_hurt": finding.hurt,
        "worst": finding.hurt,
        "seen_at": NOW,
    }
    return Alert(**{**story, **values})


def saying(finding: Finding | None = LIMIT, **values: Any) -> Saying:
    about = finding or LIMIT
    told = values.pop("told", None) or alert(about, **values)
    survey = None if finding is None else Survey(look=look(HOLDER))
    return Saying(alert=told, now=NOW, hurt=about.hurt, finding=finding, survey=survey)


def over(finding: Finding = LIMIT, **values: Any) -> Alert:
    ended = {"state": AlertState.OVER, "over_at": NOW, "since": ago(minutes=7), **values}
    return alert(finding, **ended)


def test_alert_says_what_is_wrong_who_is_in_the_way_and_what_to_press() -> None:
    message = view.alert(saying())
    assert lines(message) == [
        "⚠ main: some_user is at its limit, 1 of 1 (2 min so far). New logins fail.",
        f"held by pid 33507 · some_user · psql from 127.0.0.1 port 43512 · {FOR_LONG}",
        "since 11:58 UTC · told once; changes and the end come as replies",
    ]
    assert message.text == lines(message)[0]
    assert list(pressable(message)) == ["Preview the end of pid 33507", "Why", "Mute 1 h"]


def test_no_button_carries_a_session() -> None:
    for finding in (LIMIT, BLOCKER):
        for button in pressable(view.alert(saying(finding))).values():
            assert "33507" not in button["value"]


def test_why_asks_about_the_role_the_database_or_the_cluster() -> None:
    asked = {
        Subject(SubjectOf.ROLE, "some user"): 'why main/ user="some user"',
        Subject(SubjectOf.DATABASE, "some_db"): "why main/some_db",
        BLOCKER.subject: "why main/",
    }
    for subject, text in asked.items():
        button = pressable(view.alert(saying(replace(LIMIT, subject=subject))))["Why"]
        assert str(read_sessions(unseal(button["value"]))) == text


def test_cancel_is_named_as_one() -> None:
    labels = list(pressable(view.alert(saying(replace(LIMIT, acts=(Cancel(HOLDER),))))))
    assert labels[0] == "Preview the cancel of pid 33507"


def test_what_only_sql_mends_has_the_sql_and_no_preview() -> None:
    run = replace(LIMIT, acts=(Run("rollback prepared 'tx7';", "some_db", "web"),))
    message = view.alert(saying(run))
    assert list(pressable(message)) == ["Why", "Mute 1 h"]
    assert "rollback prepared 'tx7';" in lines(message)


def test_muted_alert_says_until_when_and_by_whom() -> None:
    muted = saying(muted_until=NOW + timedelta(hours=1), muted_by=ALICE)
    message = view.alert(muted)
    assert lines(message)[-1] == "since 11:58 UTC · muted until 13:00 UTC by <@U0ALICE>"
    assert "Mute 1 h" not in pressable(message)


def test_alert_that_came_back_says_how_often() -> None:
    told = lines(view.alert(saying(relapses=2)))
    assert " · came back 2 times · " in told[-1]
    assert told[0].endswith("at its limit, 1 of 1 (on and off for 2 min so far). New logins fail.")
    ended = view.alert(saying(told=over(relapses=2))).text
    assert "was at its limit on and off for 7 min (11:53 to 12:00 UTC)." in ended


def test_alert_that_is_over_says_for_how_long_and_which_kill_ended_it() -> None:
    message = view.alert(saying(told=over(ended_by=(41, CAROL))))
    assert message.text == (
        "✓ main: some_user was at its limit for 7 min (11:53 to 12:00 UTC)."
        " Ended by kill 41, <@U0CAROL>."
    )
    assert list(pressable(message)) == ["Timeline"]
    assert len(message.blocks) == 2


def test_end_says_how_many_were_affected_at_most() -> None:
    message = view.alert(saying(told=over(BLOCKER, worst=5)))
    assert message.text == (
        "✓ main: pid 33507 held up others, up to 5 sessions at once, for 7 min"
        " (11:53 to 12:00 UTC)."
    )


def test_end_after_days_has_its_dates() -> None:
    message = view.alert(saying(told=over(since=ago(days=3))))
    assert message.text.endswith("for 3 d (2026-01-28 12:00 to 2026-01-31 12:00 UTC).")


def test_end_within_a_minute_has_one_time() -> None:
    message = view.alert(saying(told=over(since=ago(seconds=1))))
    assert message.text == "✓ main: some_user was at its limit for 1 s (12:00 UTC)."


def test_queue_says_for_whom_it_waits() -> None:
    queue = next(each for each in findings(["x"]) if each.rule is Rule.DDL_QUEUE)
    shown = lines(view.alert(saying(queue)))
    assert any(line.startswith("it waits for ") for line in shown)


def test_alert_that_nobody_watches_any_more_does_not_claim_an_end() -> None:
    message = view.alert(saying(told=over(state=AlertState.UNWATCHED)))
    assert message.text == "main: some_user was at its limit. The bot no longer watches this."
    assert list(pressable(message)) == ["Timeline"]


def test_replies_say_what_is_new() -> None:
    worse = view.reply(saying(BLOCKER, news=News.WORSE, since=ago(minutes=6)))
    assert worse.text == "⚠ Worse: main: pid 33507 holds up others: 2 sessions wait (6 min so far)."
    still = view.reply(saying(BLOCKER, news=News.STILL, since=ago(minutes=50)))
    assert (
        still.text == "⚠ Still: main: pid 33507 holds up others: 2 sessions wait (50 min so far)."
    )
    again = view.reply(saying(news=News.AGAIN))
    assert again.text.startswith("⚠ Again: main: some_user is at its limit, 1 of 1 (2 min so far).")
    end = view.reply(saying(told=over(news=News.OVER)))
    assert end.text.startswith("✓ main: some_user was at its limit for 7 min")
    for message in (worse, still, again, end):
        assert pressable(message) == {}


@pytest.mark.parametrize(
    ("hurt", "words"),
    [
        (1, "1 more problem has no alert of its own: 6 were told"),
        (3, "3 more problems have no alerts of their own: 6 were told"),
    ],
)
def test_line_over_the_most_says_how_many_more(hurt: int, words: str) -> None:
    told = replace(alert(), topic=Topic.more("main"))
    message = view.alert(Saying(alert=told, now=NOW, hurt=hurt))
    assert words in message.text
    assert pressable(message) == {}


def test_alert_whose_finding_is_out_of_sight_says_when_it_was_last_seen() -> None:
    told = alert(since=ago(minutes=7), relapses=1)
    message = view.alert(Saying(alert=told, now=NOW, hurt=1, last=ago(minutes=2)))
    assert lines(message)[0] == "⚠ main: some_user was at its limit on and off for 5 min."
    seen = f"last seen {ago(minutes=2):%H:%M} UTC · came back 1 time"
    assert any(seen in line for line in lines(message))
    assert "New logins" not in message.text


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("subject", list(SubjectOf))
def test_every_finding_has_words_as_it_is_and_as_it_was(rule: Rule, subject: SubjectOf) -> None:
    backend_id = BackendId(33507, NOW) if subject is SubjectOf.SESSION else None
    finding = replace(LIMIT, rule=rule, subject=Subject(subject, "33507", backend_id))
    now = view.alert(saying(None, told=alert(finding))).text
    then = view.alert(saying(None, told=over(finding))).text
    assert now != then
    assert "  " not in now + then
    assert " ." not in now + then


@given(few_texts, st.sampled_from(SubjectOf), st.booleans())
@views
def test_alert_holds_whatever_everything_is_called(
    names: list[str], of: SubjectOf, is_over: bool
) -> None:
    survey = Survey(look=look(*rows_of(names, 8)))
    for at, finding in enumerate(findings(names)):
        name = names[at % len(names)]
        subject = Subject(of, "7" if of is SubjectOf.SESSION else name)
        about = replace(finding, subject=subject, acts=finding.acts[at % 3 :])
        told = over(about) if is_over else alert(about)
        said = Saying(alert=told, now=NOW, hurt=3, finding=about, survey=survey)
        assert holds(view.alert(said))
        assert holds(view.reply(said))
        for answer in (view.over, view.muted, view.nothing_left, view.nothing_to_end):
            assert holds(answer(told))
    assert holds(view.unknown())


def test_client_text_is_nowhere_where_slack_reads_markup() -> None:
    hostile = backend(usename="<!channel> *x*", application_name="http://evil.example")
    full = Full(limit=Limit("<!here>", 1, 1), error="", holders=(hostile,))
    finding = replace(LIMIT, subject=Subject(SubjectOf.ROLE, "<!here> *x*"), evidence=full)
    message = view.alert(saying(finding))
    assert "<!" not in parsed(message)
    assert "http://evil" not in parsed(message)
