"""The form of a message shortcut, and how what was typed in it becomes a command."""

import pytest

from bot.domain.kills import Actor
from bot.slack import shortcuts
from bot.slack.buttons import ActionId
from bot.slack.payloads import Click
from bot.slack.views import shortcut as view
from bot.slack.views.shortcut import FIELD, Here
from workspace.blocks import problems_of_view

HERE = Here(
    channel_id="C0OPS",
    channel_name="ops",
    thread_ts="1708300799.000100",
    begun=True,
    response_url="https://hooks/1",
)


def submitted(metadata: str, text: str) -> Click:
    return Click(
        action_id="pg_kill_here",
        value=metadata,
        actor=Actor("U0ALICE", "T0HOME"),
        channel_id="",
        channel_name="",
        message_ts="",
        ephemeral=False,
        response_url="",
        trigger_id="",
        inputs={FIELD: text},
    )


@pytest.mark.parametrize("here", [HERE, Here(channel_id="D0X")])
def test_form_carries_where_it_was_asked_for(here):
    assert Here.decode(here.encode()) == here


@pytest.mark.parametrize(
    "metadata",
    [
        *("", "x", "null", "{}", "[]", '["C0OPS"]', "[1,2,3,4,5]", "[" * 10_000),
        '["C0OPS","","1.1","yes",""]',
        '["c0ps; drop","","1.1",true,""]',
        '["C0OPS","","../1",true,""]',
    ],
)
def test_metadata_that_no_form_of_ours_has_makes_no_command(metadata):
    with pytest.raises(ValueError):
        Here.decode(metadata)
    assert shortcuts.command("/pg-kill", submitted(metadata, "41")) is None


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("user=web", "user=web"),
        ("  /pg-kill user=web ", "user=web"),
        ("/pg-kill", ""),
        ("/pg-sessions some_db", "/pg-sessions some_db"),
        ("/pg-killer", "/pg-killer"),
        ("user=a&lt;b age>1h", "user=a&amp;lt;b age&gt;1h"),  # as Slack escapes a command's
        ("", ""),
    ],
)
def test_what_was_typed_becomes_the_commands_text(typed, text):
    command = shortcuts.command("/pg-kill", submitted(HERE.encode(), typed))
    assert command is not None
    assert (command.command, command.text) == ("/pg-kill", text)
    assert (command.channel_id, command.channel_name) == ("C0OPS", "ops")
    assert (command.thread_ts, command.thread_begun) == (HERE.thread_ts, True)
    assert (command.response_url, command.actor.user_id) == ("https://hooks/1", "U0ALICE")


@pytest.mark.parametrize("command", ["/pg-sessions", "/pg-kill"])
@pytest.mark.parametrize("here", [HERE, Here(channel_id="C0OPS", response_url="u" * 5000)])
def test_slack_takes_the_form(command, here):
    assert problems_of_view(view.form(ActionId.KILL_HERE, command, here)) == []
