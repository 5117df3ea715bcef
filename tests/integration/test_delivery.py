"""By which ways and in which layouts a message arrives, whatever Slack answers."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from bot.domain.kills import Place
from bot.service.clock import SystemClock
from bot.slack import delivery as module
from bot.slack import response_url
from bot.slack.api_errors import Client
from bot.slack.delivery import Delivery, Undelivered
from bot.slack.layouts import Layouts
from bot.slack.views import blocks
from bot.slack.views.message import Message, message
from workspace import Workspace
from workspace.faults import TABLE_ERRORS

CHANNEL = "C0INCIDENTS"
ANA = "U0ANA"
TABLE = blocks.table([["pid", "usename"], ["33507", "web"], ["33508", "batch"]])
BUTTON = blocks.button("Preview again", "kill.preview_again", "key")
OUTCOME = message([("Terminated 2 of 2 on main",)], TABLE, blocks.actions([BUTTON]))
OTHER_CODES = ("ratelimited", "channel_not_found", "invalid_auth", "restricted_action_thread_only")


@pytest.fixture
async def delivery(slack: Workspace, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Delivery]:
    for each in (module, response_url):
        monkeypatch.setattr(each, "AGAIN_AFTER", 0.0)
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0, 0.0))
    async with aiohttp.ClientSession() as session:
        client = Client(
            token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[]
        )
        yield Delivery(client, session, Layouts(SystemClock()))


def url(slack: Workspace, channel: str = CHANNEL, ts: str | None = None) -> str:
    """A new response_url of ana's."""
    made = slack.state.new_response_url(channel, ANA, ts)
    return f"{slack.server.base_url}/{'actions' if ts else 'commands'}/T0ACME/{made.secret}"


async def posted(delivery: Delivery, outcome: Message = OUTCOME) -> Place:
    place = await delivery.post(CHANNEL, outcome, response_url="")
    assert isinstance(place, Place)
    return place


def shown(slack: Workspace, channel: str = "incidents") -> list[str]:
    """What ana sees there."""
    ana = slack.person("ana")
    return [ana.text_of(each) for each in ana.messages(channel)]


def stands_once(slack: Workspace, *words: str, channel: str = "incidents") -> None:
    (only,) = shown(slack, channel)
    assert all(word in only for word in ("Terminated 2 of 2 on main", *words)), only


@pytest.mark.parametrize("error", TABLE_ERRORS)
@pytest.mark.parametrize(
    "way", ["post", "post by url", "update", "update by url", "update anew", "whisper", "by api"]
)
async def test_outcome_with_a_refused_table_arrives_once_without_it(
    slack: Workspace, delivery: Delivery, way: str, error: str
) -> None:
    """`update` without a response_url is how recovery and second looks show an outcome."""
    place = Place(CHANNEL)
    if way.startswith("update"):
        place = await posted(delivery, message([("Terminating…",)]))
    slack.faults.refuse_tables(error=error)
    given: object
    match way:
        case "post":
            given = await delivery.post(CHANNEL, OUTCOME, response_url="")
        case "post by url":
            given = await delivery.post("C0SECRET", OUTCOME, response_url=url(slack))
        case "update":
            given = await delivery.update(place, OUTCOME)
        case "update by url":
            by = url(slack, ts=place.message_ts)
            given = await delivery.update(Place(CHANNEL), OUTCOME, response_url=by)
        case "update anew":
            slack.state.delete(slack.messages("incidents")[0])
            given = await delivery.update(place, OUTCOME)
        case "whisper":
            given = await delivery.whisper(CHANNEL, ANA, OUTCOME, response_url=url(slack))
        case _:
            given = await delivery.whisper(CHANNEL, ANA, OUTCOME, response_url="")
    assert given is True or isinstance(given, Place)
    stands_once(slack, "33507", "33508", "[Preview again]")


@pytest.mark.parametrize("error", TABLE_ERRORS)
async def test_text_arrives_and_says_what_is_missing_if_no_block_is_accepted(
    slack: Workspace, delivery: Delivery, error: str
) -> None:
    place = await posted(delivery, message([("Terminating…",)]))
    slack.faults.refuse_blocks(error=error)
    assert isinstance(await delivery.update(place, OUTCOME), Place)
    stands_once(slack, "not its table and buttons")
    await delivery.whisper("C0WARROOM", ANA, OUTCOME, response_url=url(slack, "C0WARROOM"))
    stands_once(slack, "not its table and buttons", channel="war-room")


@pytest.mark.parametrize("error", ["internal_error", "fatal_error"])
async def test_slack_trouble_loses_no_buttons(
    slack: Workspace, delivery: Delivery, error: str
) -> None:
    """Two of three tries fail, and the message that arrives has its buttons."""
    slack.faults.refuse("chat.postMessage", error, times=2)
    await posted(delivery)
    stands_once(slack, "33507", "[Preview again]")


@pytest.mark.parametrize("error", OTHER_CODES)
async def test_refusal_not_about_the_layout_is_not_retried_in_another(
    slack: Workspace, delivery: Delivery, error: str
) -> None:
    slack.faults.refuse("chat.postMessage", error)
    await delivery.post(CHANNEL, OUTCOME, response_url=url(slack))
    assert len(slack.calls("chat.postMessage")) == 1
    stands_once(slack)
    assert slack.messages("incidents")[0].blocks[1]["type"] == "table"


async def test_unknown_response_url_is_tried_again(slack: Workspace, delivery: Delivery) -> None:
    slack.faults.fail("response_url", status=404)
    assert await delivery.whisper("C0SECRET", ANA, OUTCOME, response_url=url(slack, "C0SECRET"))
    stands_once(slack, channel="secret")
    assert [call.status for call in slack.calls("response_url")] == [404, 200]


async def test_used_up_response_url_is_not_tried_again(
    slack: Workspace, delivery: Delivery
) -> None:
    spent = url(slack)
    for _ in range(5):
        assert await delivery.respond(spent, message([("x",)]))
    before = len(slack.calls("response_url"))
    assert not await delivery.respond(spent, OUTCOME)
    assert len(slack.calls("response_url")) == before + 1


async def test_channel_with_restricted_posting_accepts_nothing(
    slack: Workspace, delivery: Delivery
) -> None:
    by = url(slack, "C0ANNOUNCE")
    given = await delivery.post("C0ANNOUNCE", OUTCOME, response_url=by)
    assert given == Undelivered("restricted_action", surely=True)
    assert given.is_restricted
    # One try for each way: neither another layout nor patience would help.
    assert [call.status for call in slack.calls("response_url")] == [403]
    assert len(slack.calls("chat.postMessage")) == 1


async def test_answer_refused_in_the_channel_comes_as_a_direct_message(
    slack: Workspace, delivery: Delivery
) -> None:
    by = url(slack, "C0ANNOUNCE")
    assert await delivery.whisper("C0ANNOUNCE", ANA, OUTCOME, response_url=by)
    stands_once(slack, "33507", "about #announcements", channel="bot")
    assert shown(slack, "announcements") == []
    assert slack.messages("announcements") == []


async def test_direct_message_is_the_last_resort(slack: Workspace, delivery: Delivery) -> None:
    slack.faults.fail("response_url", times=2)
    slack.faults.fail("chat.postEphemeral", times=2)
    assert await delivery.whisper(CHANNEL, ANA, OUTCOME, response_url=url(slack))
    stands_once(slack)
    assert shown(slack, "bot") == []


async def test_a_person_who_has_no_conversation_with_the_bot_hears_nothing(
    slack: Workspace, delivery: Delivery
) -> None:
    slack.faults.refuse("chat.postMessage", "messages_tab_disabled", times=100)
    assert not await delivery.whisper("C0ANNOUNCE", ANA, OUTCOME, response_url="")
    assert len(slack.calls("chat.postMessage")) == 1


async def test_message_may_be_posted_although_slack_is_silent(
    slack: Workspace, delivery: Delivery
) -> None:
    slack.faults.drop("chat.postMessage", times=100, after=True)
    given = await delivery.post(CHANNEL, OUTCOME, response_url="")
    assert isinstance(given, Undelivered)
    assert not given.surely
    assert not given.is_restricted


TITLE: dict[str, Any] = {"type": "plain_text", "text": "pid 33507", "emoji": False}
VIEW: dict[str, Any] = {
    "type": "modal",
    "title": TITLE,
    "blocks": [
        blocks.paragraph(("The session ", "runs"), ("since noon",)),
        blocks.preformatted("select 1\nfrom t"),
        blocks.fields([("usename", "web")]),
        blocks.foot(("as of noon",)),
        blocks.actions([BUTTON]),
    ],
}


@pytest.mark.parametrize("error", TABLE_ERRORS)
async def test_a_modal_whose_layout_is_refused_comes_as_plain_text(
    slack: Workspace, delivery: Delivery, error: str
) -> None:
    ana = slack.person("ana")
    slack.faults.refuse_blocks("rich_text", "context", error=error)
    opened = await delivery.open_view(slack.state.new_trigger(ANA).id, VIEW)
    words = ("The session runs\nsince noon", "select 1\nfrom t", "usename: web", "as of noon")
    for word in (*words, "[Preview again]"):
        assert word in ana.modal_text()
    changed = {**VIEW, "blocks": [blocks.paragraph(("changed",)), *VIEW["blocks"][-1:]]}
    await delivery.update_view(opened["view"]["id"], changed)
    assert "changed" in ana.modal_text()


async def test_modal_update_is_retried_if_slack_does_not_know_it_yet(
    slack: Workspace, delivery: Delivery
) -> None:
    opened = await delivery.open_view(slack.state.new_trigger(ANA).id, VIEW)
    slack.faults.refuse("views.update", "not_found")
    changed = {**VIEW, "title": {**TITLE, "text": "changed"}}
    await delivery.update_view(opened["view"]["id"], changed, opened["view"]["hash"])
    assert slack.person("ana").modal_text().startswith("changed")


def test_outcome_fixture_is_as_assumed() -> None:
    assert [[block["type"] for block in shape.blocks] for shape in OUTCOME.shapes()] == [
        ["rich_text", "table", "actions"],
        ["rich_text", "rich_text", "actions"],
        [],
    ]
    bare = replace(OUTCOME, blocks=OUTCOME.blocks[:1])
    assert list(bare.shapes()) == [bare, Message(OUTCOME.text, ())]


def parent(slack: Workspace) -> str:
    """The ts of a message of ana's."""
    return slack.person("ana").say("Logins fail", "incidents").ts


async def threads(slack: Workspace) -> list[tuple[str | None, bool]]:
    """The thread of each of the bot's messages, and whether it stands in the channel as well."""
    bot = slack.state.app.user_id
    return [(m.thread_ts, m.broadcast) for m in slack.messages("incidents") if m.user == bot]


@pytest.mark.parametrize("broadcast", [False, True])
async def test_answer_goes_into_its_thread(
    slack: Workspace, delivery: Delivery, broadcast: bool
) -> None:
    ts = parent(slack)
    place = await delivery.post(
        CHANNEL, OUTCOME, response_url="", thread_ts=ts, broadcast=broadcast
    )
    assert isinstance(place, Place)
    assert place.thread_ts == ts
    assert await threads(slack) == [(ts, broadcast)]


@pytest.mark.parametrize("broadcast", [False, True])
async def test_response_url_replies_in_the_thread_but_never_hides_a_preview_there(
    slack: Workspace, delivery: Delivery, broadcast: bool
) -> None:
    """It can't broadcast."""
    ts = parent(slack)
    slack.faults.refuse("chat.postMessage", "channel_not_found")
    place = await delivery.post(
        CHANNEL, OUTCOME, response_url=url(slack), thread_ts=ts, broadcast=broadcast
    )
    assert place == Place(CHANNEL, thread_ts="" if broadcast else ts)
    assert await threads(slack) == [(None if broadcast else ts, False)]


@pytest.mark.parametrize("why", ["deleted", "cannot_reply_to_message"])
async def test_answer_goes_to_the_channel_if_its_thread_takes_none(
    slack: Workspace, delivery: Delivery, why: str
) -> None:
    ts = parent(slack)
    if why == "deleted":
        slack.state.delete(slack.messages("incidents")[0])
    else:
        slack.faults.refuse("chat.postMessage", why, times=1)
    place = await delivery.post(CHANNEL, OUTCOME, response_url="", thread_ts=ts, broadcast=True)
    assert isinstance(place, Place)
    assert (place.thread_ts, await threads(slack)) == ("", [(None, False)])


async def test_outcome_of_a_deleted_message_is_posted_in_its_thread_and_the_channel(
    slack: Workspace, delivery: Delivery
) -> None:
    ts = parent(slack)
    place = await delivery.post(CHANNEL, OUTCOME, response_url="", thread_ts=ts)
    assert isinstance(place, Place)
    slack.state.delete(slack.messages("incidents")[1])
    again = await delivery.update(place, OUTCOME, broadcast=True)
    assert isinstance(again, Place)
    assert (again.thread_ts, await threads(slack)) == (ts, [(ts, True)])


async def test_whisper_in_a_thread_doesnt_spend_the_response_url(
    slack: Workspace, delivery: Delivery
) -> None:
    """A response_url takes one person's answer to the channel only."""
    ts = parent(slack)
    await delivery.post(CHANNEL, OUTCOME, response_url="", thread_ts=ts)
    assert await delivery.whisper(CHANNEL, ANA, OUTCOME, response_url=url(slack), thread_ts=ts)
    assert slack.messages("incidents")[-1].thread_ts == ts
    slack.faults.refuse("chat.postEphemeral", "not_in_channel")
    assert await delivery.whisper(CHANNEL, ANA, OUTCOME, response_url=url(slack), thread_ts=ts)
    assert slack.messages("incidents")[-1].thread_ts is None
