"""What people see, and how waiting for it ends; also the clock and the log underneath."""

import asyncio

import aiohttp
import pytest

from workspace import NotSeen, Workspace
from workspace.clock import Clock
from workspace.log import Log
from workspace.state import Message


def plain(text: str) -> dict[str, object]:
    return {"type": "plain_text", "text": text}


async def test_visible_channels(slack):
    for channel in ("incidents", "war-room", "shared"):
        slack.person("ana").say(f"hello {channel}", channel=channel)
    ana, gus, olga = slack.people("ana", "gus", "olga")
    assert "hello war-room" in ana.screen("war-room")
    assert "hello shared" in olga.screen("shared")
    assert olga.screen("incidents") == ""
    assert "hello incidents" in gus.screen("incidents")
    assert gus.screen("shared") == ""
    assert gus.screen("war-room") == ""


async def test_somebody_outside_looks_at_a_public_channel_but_cannot_act_there(slack, client):
    await client.chat_postMessage(channel="C0INCIDENTS", text="look")
    slack.state.leave("C0INCIDENTS", "U0SAM")
    sam = slack.person("sam")
    assert "look" in sam.screen("incidents")
    with pytest.raises(NotSeen, match="sam is not in #incidents"):
        await sam.command("/pg-kill", channel="incidents")
    with pytest.raises(NotSeen, match="sam is not in #incidents"):
        await sam.click("Go")


async def test_missing_message_is_reported_with_what_is_seen(slack, client):
    await client.chat_postMessage(channel="C0INCIDENTS", text="something else")
    with pytest.raises(NotSeen, match="something else"):
        await slack.person("ana").sees("this", channel="incidents", seconds=0.05)
    with pytest.raises(NotSeen, match="something else"):
        await slack.person("ana").click("Terminate")
    with pytest.raises(NotSeen, match="no modal"):
        await slack.person("ana").sees_modal("x", seconds=0.05)


async def test_a_command_without_an_answer_is_reported(slack, client):
    opened = await client.apps_connections_open(app_token=slack.app_token)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(opened["url"]) as socket,
    ):
        await slack.connected()
        ana = slack.person("ana")
        typing = asyncio.create_task(ana.command("/pg-kill", channel="incidents", seconds=0.05))
        await socket.receive_json()
        envelope = await socket.receive_json()
        await socket.send_json({"envelope_id": envelope["envelope_id"]})
        with pytest.raises(NotSeen, match="no answer to '/pg-kill'"):
            await typing


async def test_a_channel_has_to_be_named_once(slack):
    with pytest.raises(LookupError):
        slack.person("ana").messages()
    assert slack.person("ana").messages("random") == []
    assert slack.person("ana").messages() == []


async def test_a_direct_message_with_the_bot_is_opened_once(slack, client):
    first = await client.chat_postMessage(channel="U0VERA", text="one")
    second = await client.chat_postMessage(channel="U0VERA", text="two")
    assert first["channel"] == second["channel"]
    assert [each.text for each in slack.person("vera").messages("bot")] == ["one", "two"]


async def test_a_choice_stays_in_its_own_message_until_its_ids_change(slack, client):
    def blocks(block_id: str) -> list[dict[str, object]]:
        select = {
            "type": "static_select",
            "action_id": "which",
            "placeholder": plain("Choose…"),
            "options": [{"text": plain(text), "value": text} for text in ("one", "two")],
        }
        button = {"type": "button", "text": plain("one button"), "action_id": "b"}
        return [{"type": "actions", "block_id": block_id, "elements": [button, select]}]

    def sent() -> list[str]:
        return [
            each.subject.payload["actions"][0]["selected_option"]["value"]
            for each in slack.state.log
            if each.kind == "interaction_sent"
        ]

    for text in ("first", "second"):
        await client.chat_postMessage(channel="C0INCIDENTS", text=text, blocks=blocks("a"))
    ana = slack.person("ana")
    first, second = ana.messages("incidents")
    await ana.choose("Choose", "one", in_message=first)
    await ana.choose("Choose", "two", in_message=second)
    await client.chat_update(
        channel="C0INCIDENTS", ts=second.ts, text="x", blocks=[{"type": "divider"}]
    )
    await ana.choose("Choose", "one", in_message=first)
    assert sent() == ["one", "two"]
    await client.chat_update(channel="C0INCIDENTS", ts=first.ts, text="x", blocks=blocks("a"))
    await ana.choose("Choose", "one", in_message=first)
    assert sent() == ["one", "two"]
    await client.chat_update(channel="C0INCIDENTS", ts=first.ts, text="x", blocks=blocks("b"))
    await ana.choose("Choose", "one", in_message=first)
    assert sent() == ["one", "two", "one"]
    with pytest.raises(NotSeen, match="'one', 'two'"):
        await ana.choose("Choose", "three", in_message=first)
    with pytest.raises(NotSeen, match="nothing to press"):
        await ana.choose("one button", "one", in_message=first)


async def test_a_person_sees_what_comes_later(slack, client):
    ana = slack.person("ana")
    waiting = asyncio.create_task(ana.sees("one", "two", channel="incidents"))
    await asyncio.sleep(0)
    posted = await client.chat_postMessage(channel="C0INCIDENTS", text="one")
    assert not waiting.done()
    await client.chat_update(channel="C0INCIDENTS", ts=posted["ts"], text="one two")
    message = await waiting
    assert message.ts == posted["ts"]
    with pytest.raises(NotSeen):
        await ana.sees("one", after=message, seconds=0.05)


async def test_a_screen_shows_blocks_as_text(slack, client):
    table = {
        "type": "table",
        "rows": [
            [{"type": "raw_text", "text": "pid"}, {"type": "raw_text", "text": "usename"}],
            [
                {"type": "raw_number", "value": 33507, "text": "33507"},
                {"type": "raw_text", "text": "名前"},
            ],
            [{"type": "raw_text", "text": "7"}, {"type": "raw_text", "text": "<!here> &lt;"}],
        ],
    }
    blocks = [
        {"type": "header", "text": plain("Sessions")},
        {
            "type": "section",
            "text": {
                "type": "mrkdwn",
                "text": "by <@U0BEN> of <!subteam^S0ONCALL> in <#C0RANDOM>, "
                "<https://x|docs>, a &lt; b &amp; c, <!date^1^{time}|12:00>",
            },
            "fields": [plain("f1"), plain("<@U0BEN>")],
            "accessory": {"type": "button", "text": plain("Refresh")},
        },
        {"type": "divider"},
        table,
        {
            "type": "rich_text",
            "elements": [
                {
                    "type": "rich_text_section",
                    "elements": [
                        {"type": "text", "text": "<@U0ANA> is not "},
                        {"type": "user", "user_id": "U0BEN"},
                    ],
                }
            ],
        },
        {
            "type": "actions",
            "elements": [
                {
                    "type": "static_select",
                    "placeholder": plain("Terminate a session…"),
                    "options": [{"text": plain("1"), "value": "1"}],
                },
                {"type": "overflow", "options": [{"text": plain("1"), "value": "1"}]},
            ],
        },
        {"type": "context", "elements": [plain("as of"), {"type": "mrkdwn", "text": "*now*"}]},
    ]
    await client.chat_postMessage(channel="C0INCIDENTS", text="fallback", blocks=blocks)
    assert slack.person("ana").screen("incidents").splitlines() == [
        "pg_sessions:",
        "  # Sessions",
        "  by @ben of @oncall in #random, docs, a < b & c, 12:00",
        "  f1",
        "  <@U0BEN>",
        "  [Refresh]",
        "  ---",
        "  pid    usename",
        "  33507  名前",
        "  7      <!here> &lt;",
        "  <@U0ANA> is not @ben",
        "  [Terminate a session… ▾] […]",
        "  as of · *now*",
    ]


async def test_the_newest_button_is_pressed_unless_a_message_is_named(slack, client):
    for value in ("old", "new"):
        await client.chat_postMessage(
            channel="C0INCIDENTS",
            text=value,
            blocks=[
                {
                    "type": "actions",
                    "elements": [{"type": "button", "text": plain("Go"), "value": value}],
                }
            ],
        )
    ana = slack.person("ana")
    old = ana.messages("incidents")[0]
    await ana.click("Go")
    await ana.click("Go", in_message=old)
    sent = [each.subject for each in slack.state.log if each.kind == "interaction_sent"]
    assert [each.payload["actions"][0]["value"] for each in sent] == ["new", "old"]


async def test_timestamps_are_unique_and_grow_even_at_one_instant(slack):
    instant = slack.clock.now()
    slack.state.clock.now = lambda: instant
    stamps = [slack.state.new_ts() for _ in range(1000)]
    assert stamps == sorted(stamps)
    assert len(set(stamps)) == 1000


async def test_the_clock_wakes_sleepers_when_it_is_moved():
    clock = Clock()
    early, late = (asyncio.create_task(clock.sleep(seconds)) for seconds in (10, 20))
    await asyncio.sleep(0)
    clock.advance(15)
    await early
    assert not late.done()
    clock.advance(5)
    await late
    await clock.sleep(0.001)
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)


async def test_a_watcher_gets_every_change_from_where_it_likes():
    log = Log(lambda: 0.0)
    log.append("api_called", "a")
    got: list[object] = []

    async def watch() -> None:
        async for change in log.follow(0):
            got.append(change.subject)
            if change.subject == "c":
                return

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    log.append("api_called", "b")
    log.append("api_called", "c")
    await watching
    assert got == ["a", "b", "c"]
    assert [change.seq for change in log] == [0, 1, 2]
    assert [change.subject for change in log.since(2)] == ["c"]
    assert await log.until(lambda: len(log) == 4, 0.01) is False


async def test_watcher_sees_a_message_appear_and_disappear(slack: Workspace):
    seen = len(slack.state.log)
    message = slack.person("ana").say("x", channel="incidents")
    slack.state.change(message)
    slack.state.delete(message)
    changes = slack.state.log.since(seen)
    assert [change.kind for change in changes] == [
        "message_posted",
        "message_changed",
        "message_deleted",
    ]
    assert all(isinstance(change.subject, Message) for change in changes)


async def test_two_workspaces_run_side_by_side():
    async with Workspace() as one, Workspace() as two:
        assert one.api_url != two.api_url
        assert one.bot_token != two.bot_token
        assert one.env["SLACK_API_URL"] == one.api_url
        assert one.api_url.endswith("/api/")
