"""What the check says about alerts: what is told where, and whether it can be."""

from datetime import timedelta
from typing import Any

import pytest

from bot.check.alerts import of_alerts
from bot.check.facts import Bot, SlackFacts, Unknown, Untold
from bot.check.findings import Level
from bot.domain.channels import Channel
from bot.scopes import OPTIONAL_SCOPES, SCOPES

AFTER = {"limit": timedelta(seconds=30), "blocker": timedelta(seconds=300)}
OPS = Channel(id="C1", name="ops", is_member=True)


def said(*channels: Any, allowed: tuple[str, ...] = (), **changes: Any) -> list[tuple[Level, str]]:
    known = {each.id: each for each in channels if isinstance(each, Channel)}
    facts = SlackFacts(
        bot=Bot("b", "Acme", "T1", "A1"),
        scopes=changes.pop("scopes", frozenset({*SCOPES, *OPTIONAL_SCOPES})),
        channels=known or changes.pop("answers", {}),
    )
    told = changes.pop("told", {"main": "C1", "prod": "C1"})
    section = of_alerts(told, AFTER, facts, allowed=allowed, sampled=changes.pop("sampled", True))
    return [(finding.level, finding.text) for finding in section.findings]


def test_what_is_told_where_and_after_how_long() -> None:
    assert said(OPS) == [
        (Level.OK, "main and prod: told in #ops (C1); the bot is a member and may post"),
        (Level.OK, "told once it has held: limit 30 s and blocker 300 s"),
    ]


def test_without_a_channel_nothing_is_told() -> None:
    assert said(told={}) == [(Level.OK, "not set: the bot says nothing unasked")]


def test_channel_without_samples_is_a_warning() -> None:
    why = "SAMPLE_EVERY is 0: without samples the bot tells nothing"
    assert said(OPS, sampled=False) == [(Level.WARNING, why)]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"is_archived": True}, "archived"),
        ({"is_read_only": True}, "may not post"),
        ({"is_shared": True}, "another workspace shares it"),
        ({"is_shared": None}, "Slack didn't say whether"),
        ({"is_direct": True}, "direct message"),
    ],
)
def test_channel_that_takes_no_alert_is_a_failure(changes: dict[str, Any], why: str) -> None:
    channel = Channel(id="C1", name="ops", is_member=True, **changes)
    (level, text), *_ = said(channel)
    assert level is Level.FAILURE
    assert why in text


def test_shared_channel_that_the_settings_name_takes_alerts() -> None:
    channel = Channel(id="C1", name="ops", is_member=True, is_shared=True)
    assert said(channel, allowed=("C1",))[0][0] is Level.OK


def test_channel_outside_allowed_channels_has_no_use_for_buttons() -> None:
    texts = [text for _, text in said(OPS, allowed=("C9",))]
    assert any("buttons of alerts are refused" in text for text in texts)


def test_bot_that_is_no_member_should_be_invited() -> None:
    (level, text), *_ = said(Channel(id="C1", name="ops"))
    assert level is Level.WARNING
    assert "invite it" in text


def test_channel_that_slack_does_not_know_is_a_failure() -> None:
    assert said(answers={"C1": Unknown()})[0][0] is Level.FAILURE
    assert said(answers={"C1": Untold("slow")})[0][0] is Level.WARNING


def test_missing_history_scope_says_what_it_costs() -> None:
    (level, text) = said(OPS, scopes=frozenset({*SCOPES, "channels:history"}))[-1]
    assert level is Level.WARNING
    assert text.startswith("scopes: groups:history is missing: if the bot crashes")
