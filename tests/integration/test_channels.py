"""Channels that take no alerts: who learns of it, before one is due."""

from dataclasses import replace

import pytest
import structlog

from bot.domain.channels import Closed
from bot.service.metrics import Metrics
from bot.slack.api_errors import Client
from bot.slack.channels import AlertChannels
from bot.slack.views.alert import CLOSED
from workspace import Workspace

CHANNEL = "C0INCIDENTS"


def change(slack: Workspace, **values: object) -> None:
    slack.state.put_channel(replace(slack.state.channels[CHANNEL], **values))  # type: ignore[arg-type]


def remove_the_bot(slack: Workspace) -> None:
    change(slack, kind="private")
    slack.state.leave(CHANNEL, slack.state.app.user_id)


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (lambda slack: change(slack, is_archived=True), Closed.ARCHIVED),
        (remove_the_bot, Closed.UNKNOWN),
    ],
)
async def test_channel_that_takes_nothing_is_in_the_log_and_the_metrics_once(
    slack: Workspace, client: Client, happens, why: Closed
) -> None:
    metrics = Metrics(dict)
    channels = AlertChannels(client, (CHANNEL,), (), metrics)
    takes = f'pg_sessions_alert_channel_ok{{channel="{CHANNEL}"}}'
    await channels.ask()
    assert channels.closed == {}
    assert f"{takes} 1.0".encode() in metrics.exposed()
    before = slack.state.channels[CHANNEL]
    happens(slack)
    with structlog.testing.capture_logs() as logs:
        await channels.ask()
        slack.faults.fail("conversations.info")
        await channels.ask()  # what was said last stands
        await channels.ask()
    assert channels.closed == {CHANNEL: why}
    assert f"{takes} 0.0".encode() in metrics.exposed()
    (line,) = [each for each in logs if each["log_level"] == "error"]
    assert (line["event"], line["channel"]) == ("alerts.channel_takes_nothing", CHANNEL)
    assert line["why"] == CLOSED[why]
    slack.state.put_channel(before)
    await channels.ask()
    assert channels.closed == {}
    assert f"{takes} 1.0".encode() in metrics.exposed()
