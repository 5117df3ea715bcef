"""The timeline's words: nothing in them can format or ping, wherever they are pasted."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.alerts import Alert, AlertState
from bot.domain.findings.model import Rule, Subject, SubjectOf
from bot.domain.kills import Action, Outcome, Result, State
from bot.domain.record import Entry, Noted, Unreadable
from bot.domain.timeline import Event, Step, Timeline, of_alert, of_kill, of_note
from bot.domain.tracks import Topic
from bot.report.timeline import LISTED, as_json, as_markdown
from tests.unit.builders import ALICE, CAROL, KEY, NOW, ago, backend, confirmed, proposal, target


def seconds(number: int) -> timedelta:
    return timedelta(seconds=number)


def kill(**changes: Any) -> Entry:
    one = target(backend(**changes))
    done = confirmed(one, state=State.DONE, reason=changes.get("query", "blocks the deploy"))
    return Entry(
        proposal=done,
        expired=False,
        results=(Result(one.id, Outcome.UNKNOWN, "no reply"),),
        amendments=(Result(one.id, Outcome.TERMINATED, changes.get("query", "")),),
        notes=("nobody came back",),
        concluded_at=NOW + seconds(100),
        took=timedelta(milliseconds=12),
    )


def noted(what: str, **changes: Any) -> Noted:
    usual = {"id": 7, "at": NOW, "actor": ALICE, "channel_id": "C1", "cluster": "main"}
    return Noted(**{**usual, "what": what, **changes})


def alert(**changes: Any) -> Alert:
    usual: dict[str, Any] = {
        "id": 1,
        "key": KEY,
        "topic": Topic("main", Rule.LIMIT, Subject(SubjectOf.ROLE, "some_user")),
        "channel_id": "C1",
        "message_ts": "",
        "state": AlertState.OVER,
        "since": ago(minutes=2),
        "opened_at": ago(minutes=1),
        "told_at": ago(minutes=1),
        "told_hurt": 2,
        "worst": 2,
        "seen_at": NOW + seconds(270),
        "over_at": NOW + seconds(300),
        "ended_by": (41, CAROL),
    }
    return Alert(**usual | changes)


def timeline(*events: Event, **changes: Any) -> Timeline:
    hours = {"since": ago(hours=2), "until": NOW + timedelta(hours=1)}
    empty = Timeline(**{**hours, **changes})
    return replace(empty, events=empty.of(iter(events)))


def story() -> Timeline:
    looked = noted("sessions, in the channel", at=ago(seconds=30))
    again = replace(looked, at=ago(seconds=10))
    refused = noted("/pg-kill 33507", at=NOW + seconds(50), why="PG_KILL_ALLOWLIST", cluster=None)
    return timeline(
        *of_kill(kill()),
        *of_alert(alert()),
        *of_note(looked, Step.LOOK, "main"),
        *of_note(again, Step.LOOK, "main"),
        *of_note(refused, Step.REFUSED, None),
        cluster="main",
    )


def test_alert_of_less_than_a_minute_is_told_in_seconds():
    short = alert(since=NOW, opened_at=NOW, told_at=NOW, seen_at=NOW + seconds(28))
    assert any(
        "· alert over after 28 s: " in line for line in as_markdown(timeline(*of_alert(short)))
    )


def test_refused_click_is_told_without_what_its_button_carries():
    click = noted(f"kill.terminate {KEY}", at=NOW, why="PG_KILL_ALLOWLIST", cluster=None)
    (line,) = list(as_markdown(timeline(*of_note(click, Step.REFUSED, None))))[2:]
    assert line.endswith("refused to `U0ALICE` in `C1`: `kill.terminate` (`PG_KILL_ALLOWLIST`)")


def test_timeline_tells_the_story_in_order():
    assert list(as_markdown(story())) == [
        "## Timeline of `main`, 2026-01-31 10:00:01 to 2026-01-31 13:00:01 UTC",
        "",
        (
            "- 2026-01-31 11:59:01 · alert: `limit` of role `some_user` on `main`,"
            " since 2026-01-31 11:58:01"
        ),
        (
            "- 2026-01-31 11:59:31 · look at `main` by `U0ALICE` in `C1`:"
            " `sessions, in the channel` (2 times, until 2026-01-31 11:59:51)"
        ),
        (
            "- 2026-01-31 12:00:01 · kill 41: preview for `U0ALICE` in `C0OPS`:"
            " `/pg-kill user=some_user` on `main`. Reason: `blocks the deploy`"
        ),
        (
            "  - pid 33507, `some_user` in `some_db`, `psql`, `idle in transaction`:"
            " `update accounts set balance = balance - ? where id = ?`"
        ),
        (
            "- 2026-01-31 12:00:51 · refused to `U0ALICE` in `C1`: `/pg-kill 33507`"
            " (`PG_KILL_ALLOWLIST`)"
        ),
        "- 2026-01-31 12:01:40 · kill 41: `U0CAROL` confirmed (terminate)",
        "- 2026-01-31 12:01:41 · kill 41: 1 terminated in 0.012 s",
        "  - pid 33507, `some_user` in `some_db`: terminated",
        "  - `nobody came back`",
        (
            "- 2026-01-31 12:05:01 · alert over after 6 min: `limit` of role `some_user` on `main`,"
            " ended by kill 41"
        ),
    ]


def test_previews_that_nobody_confirmed_say_what_became_of_them():
    dismissed = proposal(
        state=State.DISMISSED, dismissed_by=CAROL, dismissed_at=NOW + seconds(5), reason=None
    )
    lines = list(as_markdown(timeline(*of_kill(Entry(proposal=dismissed, expired=False)))))
    assert lines[-1] == "- 2026-01-31 12:00:06 · kill 41: dismissed by `U0CAROL`"
    assert lines[2].endswith("`/pg-kill user=some_user` on `main`")
    lines = list(as_markdown(timeline(*of_kill(Entry(proposal=proposal(), expired=True)))))
    assert lines[-1] == "- 2026-01-31 12:10:01 · kill 41: expired, nobody confirmed it"
    lines = list(as_markdown(timeline(*of_kill(Entry(proposal=proposal(), expired=False)))))
    assert "preview" in lines[2]
    assert len(lines) == 4


def test_alert_that_nobody_watches_any_more_does_not_claim_an_end():
    lost = timeline(*of_alert(alert(state=AlertState.UNWATCHED, ended_by=None)))
    assert list(as_markdown(lost))[-1] == (
        "- 2026-01-31 12:05:01 · alert no longer watched: `limit` of role `some_user` on `main`"
    )


def test_kill_of_two_steps_names_both():
    both = Entry(proposal=confirmed(action=Action.CANCEL_THEN_TERMINATE), expired=False)
    assert list(as_markdown(timeline(*of_kill(both))))[-1].endswith(
        "`U0CAROL` confirmed (cancel then terminate)"
    )


def test_only_events_of_the_time_are_listed():
    late = timeline(*of_kill(kill()), since=NOW + seconds(99), until=NOW + seconds(99))
    assert [event.step for event in late.events] == [Step.CONFIRMED]


def test_unreadable_kills_are_named():
    other = replace(timeline(), unreadable=(Unreadable(9, "unknown basis"),))
    assert list(as_markdown(other))[2:] == ["- kill 9 was recorded by another version of the bot"]
    assert [json.loads(line)["kill"] for line in as_json(other)] == [9]


def test_many_targets_are_counted():
    many = [target(backend(33507 + at)) for at in range(LISTED + 5)]
    lines = list(as_markdown(timeline(*of_kill(Entry(proposal=proposal(*many), expired=False)))))
    assert len(lines) == 2 + 1 + LISTED + 1
    assert lines[-1] == "  - and 5 more"


HOSTILE = [
    "<!channel> @here @everyone <@U0ALICE>",
    "`code` ``` ``` ~~a~~ **b** _c_",
    "[link](https://example.com) ![i](x) <script>",
    "a\n# heading\n- item\n> quote",
    "\u202ereversed\u200b",
    "`",
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_others_stays_in_its_code_span(text):
    """Outside the spans there is the same as for an ordinary name."""

    def outside(name: str) -> list[str]:
        told = timeline(
            *of_kill(kill(usename=name, datname=name, application_name=name, query=name)),
            *of_note(noted(name), Step.LOOK, name),
            *of_note(noted(name, why=name), Step.REFUSED, None),
            *of_alert(alert(topic=Topic("main", Rule.LIMIT, Subject(SubjectOf.ROLE, name)))),
            cluster=name,
        )
        lines = list(as_markdown(told))
        assert all(line.isprintable() and line.count("`") % 2 == 0 for line in lines)
        return ["".join(line.split("`")[::2]) for line in lines]

    ordinary = "x" if text else None
    if ordinary:
        assert outside(text) == outside(ordinary)
    else:
        outside(text)


def test_json_has_one_event_per_line():
    events = [json.loads(line) for line in as_json(story())]
    assert [each["event"] for each in events] == [
        *("alert", "look", "look", "preview", "refused", "confirmed", "outcome", "alert over"),
    ]
    preview, outcome = events[3], events[6]
    assert preview["targets"][0]["usename"] == "some_user"
    assert (preview["by"], preview["reason"]) == ("U0ALICE", "blocks the deploy")
    assert outcome["outcomes"] == [{"pid": 33507, "outcome": "terminated", "detail": None}]
    assert outcome["took"] == 0.012
    assert events[4]["why"] == "PG_KILL_ALLOWLIST"
    assert events[7]["ended_by_kill"] == 41
