"""The Web API as slack_sdk's client sees it: what works, and each refusal with Slack's own code."""

from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.models.blocks import RawTextObject, SectionBlock, TableBlock
from slack_sdk.web.async_client import AsyncWebClient

from workspace import NotSeen, Workspace
from workspace.faults import TABLE_ERRORS
from workspace.screen import notifies


async def refusal(call: Any) -> dict[str, Any]:
    with pytest.raises(SlackApiError) as caught:
        await call
    return dict(caught.value.response.data)


async def error_of(call: Any) -> str:
    return str((await refusal(call))["error"])


def section(text: str = "x", **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


TABLE = {"type": "table", "rows": [[{"type": "raw_text", "text": "pid"}]]}


async def test_auth_test_says_who_the_bot_is_and_which_scopes_it_has(slack, client):
    answer = await client.auth_test()
    assert answer["team_id"] == slack.state.team.id
    assert answer["user_id"] == slack.state.app.user_id
    assert set(answer.headers["x-oauth-scopes"].split(",")) == slack.state.scopes


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_base_url_may_end_in_a_slash_or_not(slack, slash):
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url.rstrip("/") + slash)
    assert (await client.api_test())["ok"] is True


async def test_token_must_be_present_known_and_of_the_right_kind(slack):
    def client(token: str | None) -> AsyncWebClient:
        return AsyncWebClient(token=token, base_url=slack.api_url)

    assert await error_of(client(None).auth_test()) == "not_authed"
    assert await error_of(client("xoxb-wrong").auth_test()) == "invalid_auth"
    app_client = client(slack.app_token)
    assert await error_of(app_client.users_info(user="U0ANA")) == "not_allowed_token_type"
    bot_client = client(slack.bot_token)
    refused = bot_client.apps_connections_open(app_token=slack.bot_token)
    assert await error_of(refused) == "not_allowed_token_type"
    answer = await bot_client.apps_connections_open(app_token=slack.app_token)
    assert answer["url"].startswith("ws://127.0.0.1:")


async def test_api_test_takes_no_token_and_echoes(slack):
    client = AsyncWebClient(base_url=slack.api_url)
    assert (await client.api_test(foo="bar"))["args"] == {"foo": "bar"}
    assert await error_of(client.api_test(error="my_error")) == "my_error"
    answer = await client.apps_connections_open(app_token=slack.app_token)
    assert answer.headers["x-oauth-scopes"] == "connections:write"


async def test_a_missing_scope_is_named(slack, client):
    slack.state.set_scopes("chat:write", "channels:read")
    answer = await refusal(client.users_info(user="U0ANA"))
    assert answer["error"] == "missing_scope"
    assert answer["needed"] == "users:read"
    assert answer["provided"] == "channels:read,chat:write"
    private = slack.channel("war-room").id
    assert await error_of(client.conversations_info(channel=private)) == "missing_scope"
    assert (await client.conversations_info(channel=slack.channel("random").id))["ok"]


async def test_forms_and_json_are_accepted(slack):
    headers = {"Authorization": f"Bearer {slack.bot_token}"}
    body: dict[str, Any] = {"channel": "C0INCIDENTS", "text": "x"}
    async with aiohttp.ClientSession() as session:
        url = slack.api_url + "chat.postMessage"
        async with session.post(
            url, data={**body, "token": slack.bot_token, "blocks": '[{"type":"divider"}]'}
        ) as form:
            assert (await form.json())["message"]["blocks"][0]["type"] == "divider"
        async with session.post(
            url, json={**body, "blocks": [{"type": "divider"}]}, headers=headers
        ) as as_json:
            assert (await as_json.json())["ok"] is True
        async with session.post(
            url, data=b"{", headers={**headers, "Content-Type": "application/json"}
        ) as broken:
            assert (await broken.json())["error"] == "invalid_json"
        async with session.post(slack.api_url + "chat.shout", headers=headers) as unknown:
            assert (await unknown.json())["error"] == "unknown_method"


async def test_posted_message_is_seen_and_returned(slack, client):
    answer = await client.chat_postMessage(
        channel="C0INCIDENTS", text="hello", blocks=[SectionBlock(text="hi")]
    )
    assert answer["message"]["bot_id"] == slack.state.app.bot_id
    assert answer["message"]["blocks"][0]["block_id"]
    assert "hi" in slack.person("ana").screen("incidents")


async def test_sdk_table_is_accepted(slack, client):
    rows = [[RawTextObject(text="pid")], [RawTextObject(text="33507")]]
    await client.chat_postMessage(channel="C0INCIDENTS", text="x", blocks=[TableBlock(rows=rows)])
    assert "pid\n  33507" in slack.person("ana").screen("incidents")


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ("C0INCIDENTS", None),
        ("#incidents", None),
        ("incidents", None),
        ("C0WARROOM", None),
        ("C0RANDOM", None),
        ("U0ANA", None),
        ("C0SECRET", "channel_not_found"),
        ("D0ANABEN", "channel_not_found"),
        ("G0ANABENVERA", "channel_not_found"),
        ("C0NOWHERE", "channel_not_found"),
        ("C0ANNOUNCE", "restricted_action"),
        ("U0OLGA", "channel_not_found"),
    ],
)
async def test_the_bot_posts_where_slack_lets_it(client, channel, error):
    call = client.chat_postMessage(channel=channel, text="x")
    if error is None:
        assert (await call)["ok"] is True
    else:
        assert await error_of(call) == error


async def test_without_chat_write_public_the_bot_has_to_be_in_the_channel(slack, client):
    slack.state.set_scopes("chat:write")
    assert await error_of(client.chat_postMessage(channel="C0RANDOM", text="x")) == "not_in_channel"
    slack.state.join("C0RANDOM", slack.state.app.user_id)
    assert (await client.chat_postMessage(channel="C0RANDOM", text="x"))["ok"] is True


async def test_message_must_have_content(client):
    for nothing in ({}, {"text": ""}, {"text": "", "blocks": []}):
        call = client.api_call("chat.postMessage", json={"channel": "C0INCIDENTS", **nothing})
        assert await error_of(call) == "no_text"
    answer = await refusal(client.chat_postMessage(channel="", text="x"))
    assert answer["error"] == "invalid_arguments"
    assert answer["response_metadata"]["messages"] == ["[ERROR] missing required field: channel"]


async def test_wrong_blocks_are_refused_with_a_pointer(client):
    answer = await refusal(
        client.chat_postMessage(channel="C0INCIDENTS", text="x", blocks=[section("x" * 3001)])
    )
    assert answer["error"] == "invalid_blocks"
    wrong = "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    assert answer["errors"] == [wrong]
    assert answer["response_metadata"]["messages"] == [f"[ERROR] {wrong}"]
    for not_blocks in ("{", '{"type":"divider"}', "[1]"):
        call = client.api_call(
            "chat.postMessage",
            data={"channel": "C0INCIDENTS", "text": "x", "blocks": not_blocks},
        )
        assert await error_of(call) == "invalid_blocks_format"
    markdown = [{"type": "markdown", "text": "x" * 7000}] * 2
    call = client.chat_postMessage(channel="C0INCIDENTS", text="x", blocks=markdown)
    assert await error_of(call) == "msg_blocks_too_long"


async def test_null_fields_count_as_absent(client):
    block = section(accessory=None, fields=None, block_id=None)
    answer = await client.chat_postMessage(channel="C0INCIDENTS", text="x", blocks=[block])
    assert set(answer["message"]["blocks"][0]) == {"type", "text", "block_id"}


async def test_attachments_are_checked_with_their_blocks(slack, client):
    where = {"channel": "C0INCIDENTS", "text": "x"}
    good = {"fallback": "x", "blocks": [section("inside")]}
    await client.chat_postMessage(**where, attachments=[good] * 100)
    assert "inside" in slack.person("ana").screen("incidents")
    for attachments, error in (
        ([good] * 101, "too_many_attachments"),
        ([{"fallback": "x", "blocks": [{"type": "x"}]}], "invalid_blocks"),
        ("{", "invalid_attachments"),
        ('["x"]', "invalid_attachments"),
    ):
        call = client.api_call("chat.postMessage", json={**where, "attachments": attachments})
        assert await error_of(call) == error


async def test_archived_channel_accepts_nothing(slack, client):
    slack.state.put_channel(replace(slack.channel("incidents"), is_archived=True))
    call = client.chat_postMessage(channel="C0INCIDENTS", text="x")
    assert await error_of(call) == "is_archived"
    call = client.chat_postEphemeral(channel="C0INCIDENTS", user="U0ANA", text="x")
    assert await error_of(call) == "is_archived"
    listed = await client.conversations_list(exclude_archived=True)
    assert "incidents" not in {each["name"] for each in listed["channels"]}


async def test_text_is_cut_at_40000_when_posted_and_refused_over_4000_when_updated(client):
    posted = await client.chat_postMessage(channel="C0INCIDENTS", text="x" * 40_001)
    assert len(posted["message"]["text"]) == 40_000
    where = {"channel": posted["channel"], "ts": posted["ts"]}
    assert (await client.chat_update(**where, text="x" * 4000))["ok"] is True
    assert await error_of(client.chat_update(**where, text="x" * 4001)) == "msg_too_long"


async def test_an_update_replaces_what_it_names(slack, client):
    posted = await client.chat_postMessage(
        channel="C0INCIDENTS", text="before", blocks=[section("a block")]
    )
    where = {"channel": posted["channel"], "ts": posted["ts"]}
    updated = await client.api_call("chat.update", json={**where, "blocks": [section("another")]})
    assert updated["text"] == "before"
    assert "edited" not in updated["message"]
    updated = await client.chat_update(**where, text="after")
    assert "blocks" not in updated["message"]
    assert "edited" in updated["message"]
    assert "after\n  (edited)" in slack.person("ana").screen("incidents")
    assert await error_of(client.api_call("chat.update", json=where)) == "no_text"


async def test_only_the_bots_own_public_messages_can_be_updated_or_deleted(slack, client):
    ana = slack.person("ana")
    said = ana.say("mine", channel="incidents")
    where = {"channel": said.channel, "ts": said.ts}
    assert await error_of(client.chat_update(**where, text="x")) == "cant_update_message"
    assert await error_of(client.chat_delete(**where)) == "cant_delete_message"

    shown = await client.chat_postEphemeral(channel="C0INCIDENTS", user=ana.id, text="x")
    where = {"channel": "C0INCIDENTS", "ts": shown["message_ts"]}
    assert await error_of(client.chat_update(**where, text="y")) == "message_not_found"
    assert await error_of(client.chat_delete(**where)) == "message_not_found"
    assert (
        await error_of(client.chat_update(channel="C0SECRET", ts="1.0", text="x"))
        == "channel_not_found"
    )
    posted = await client.chat_postMessage(channel="C0INCIDENTS", text="gone soon")
    await client.chat_delete(channel="C0INCIDENTS", ts=posted["ts"])
    assert ana.does_not_see("gone soon")


async def test_an_ephemeral_message_is_seen_by_one(slack, client):
    ana, ben = slack.people("ana", "ben")
    await client.chat_postEphemeral(channel="C0INCIDENTS", user=ana.id, text="psst")
    assert "Only visible to you\n  psst" in ana.screen("incidents")
    assert ben.does_not_see("psst", channel="incidents")
    call = client.chat_postEphemeral(channel="C0INCIDENTS", user="U0OLGA", text="x")
    assert await error_of(call) == "user_not_in_channel"
    call = client.chat_postEphemeral(channel="C0RANDOM", user=ana.id, text="x")
    assert await error_of(call) == "not_in_channel"
    call = client.chat_postEphemeral(channel="C0SECRET", user=ana.id, text="x")
    assert await error_of(call) == "channel_not_found"
    call = client.chat_postEphemeral(channel="C0INCIDENTS", user=ana.id, text="x" * 40_001)
    assert await error_of(call) == "msg_too_long"


async def test_channels_are_described(slack, client):
    shared = (await client.conversations_info(channel="C0SHARED"))["channel"]
    assert shared["is_ext_shared"] is True
    random = (await client.conversations_info(channel="C0RANDOM"))["channel"]
    assert (random["is_ext_shared"], random["is_member"]) == (False, False)
    private = (await client.conversations_info(channel="C0WARROOM"))["channel"]
    assert (private["is_private"], private["is_channel"]) == (True, False)
    for unseen in ("C0SECRET", "D0ANABEN", "C0NOWHERE"):
        assert await error_of(client.conversations_info(channel=unseen)) == "channel_not_found"
    own = slack.state.direct_message("U0ANA").id
    assert await error_of(client.conversations_info(channel=own)) == "missing_scope"
    announcements = (await client.conversations_info(channel="C0ANNOUNCE"))["channel"]
    assert (announcements["is_read_only"], random["is_read_only"]) == (True, False)


async def test_group_direct_message_needs_its_own_scope(slack, client):
    slack.state.join("G0ANABENVERA", slack.state.app.user_id)
    where = {"channel": "G0ANABENVERA"}
    assert (await refusal(client.conversations_info(**where)))["needed"] == "mpim:read"
    slack.state.set_scopes("mpim:read")
    channel = (await client.conversations_info(**where))["channel"]
    assert (channel["is_mpim"], channel["is_channel"], channel["is_private"]) == (True, False, True)


async def test_bot_cant_post_if_posting_is_restricted(slack, client):
    ana = slack.person("ana")
    where = {"channel": "C0ANNOUNCE", "text": "x"}
    assert await error_of(client.chat_postEphemeral(user=ana.id, **where)) == "restricted_action"
    with pytest.raises(NotSeen):
        slack.person("ben").say("x", "announcements")
    ana.say("x", "announcements")


async def test_a_sister_workspace_is_of_the_same_enterprise(slack, client):
    assert "enterprise_id" not in (await client.auth_test()).data
    slack.form_enterprise()
    assert (await client.auth_test())["enterprise_id"] == "E0ACME"
    uma = (await client.users_info(user="U0UMA"))["user"]
    assert (uma["enterprise_user"]["enterprise_id"], uma["team_id"]) == ("E0ACME", "T0ACMELABS")
    assert "enterprise_user" not in (await client.users_info(user="U0OLGA"))["user"]
    org = (await client.conversations_info(channel="C0ORG"))["channel"]
    assert (org["is_org_shared"], org["is_shared"], org["is_ext_shared"]) == (True, True, False)
    assert (await client.chat_postMessage(channel="U0UMA", text="x"))["ok"]


async def test_lists_come_in_pages(client):
    names: list[str] = []
    cursor = ""
    while True:
        page = await client.conversations_list(limit=1, cursor=cursor)
        names += [each["name"] for each in page["channels"]]
        cursor = page["response_metadata"]["next_cursor"]
        if not cursor:
            break
    assert names == ["incidents", "random", "shared", "announcements"]
    both = await client.conversations_list(types="public_channel,private_channel")
    assert "war-room" in {each["name"] for each in both["channels"]}
    assert "secret" not in {each["name"] for each in both["channels"]}
    members = await client.conversations_members(channel="C0SHARED")
    assert "U0OLGA" in members["members"]
    counted = await client.conversations_info(channel="C0SHARED", include_num_members=True)
    assert counted["channel"]["num_members"] == len(members["members"])
    assert await error_of(client.conversations_list(cursor="x")) == "invalid_cursor"
    assert await error_of(client.conversations_list(limit=1001)) == "invalid_limit"
    assert await error_of(client.conversations_list(types="mpims")) == "invalid_types"


async def test_people_are_described(client):
    gus = (await client.users_info(user="U0GUS"))["user"]
    assert (gus["is_restricted"], gus["is_ultra_restricted"]) == (True, False)
    assert (await client.users_info(user="U0OLGA"))["user"]["team_id"] == "T0GLOBEX"
    assert await error_of(client.users_info(user="U0NOBODY")) == "user_not_found"
    everyone = (await client.users_list())["members"]
    assert {"ana", "ben", "vera", "sam", "gus", "olga"} <= {each["name"] for each in everyone}


async def test_disabled_group_counts_as_missing(client):
    assert (await client.usergroups_users_list(usergroup="S0ONCALL"))["users"] == ["U0ANA", "U0BEN"]
    for group in ("S0OLD", "S0NONE"):
        assert await error_of(client.usergroups_users_list(usergroup=group)) == "no_such_subteam"
    listed = (await client.usergroups_list(include_users=True))["usergroups"]
    assert [each["handle"] for each in listed] == ["oncall"]
    every = (await client.usergroups_list(include_disabled=True))["usergroups"]
    assert [each["date_delete"] > 0 for each in every] == [False, True]


async def test_group_shows_its_last_editor_and_who_may_edit(slack, client):
    async def oncall() -> dict[str, Any]:
        listed = (await client.usergroups_list())["usergroups"]
        return next(each for each in listed if each["handle"] == "oncall")

    assert "is_editing_restricted" not in await oncall()
    assert (await oncall())["updated_by"] == "USLACKBOT"
    slack.state.put_group(
        replace(
            slack.group("oncall"),
            updated_by="U0SAM",
            is_editing_restricted=False,
            is_membership_locked=True,
            auto_type="admins",
        )
    )
    told = await oncall()
    assert (told["updated_by"], told["auto_type"]) == ("U0SAM", "admins")
    assert (told["is_editing_restricted"], told["is_membership_locked"]) == (False, True)


async def test_admin_differs_from_a_member(slack, client):
    slack.state.put_user(replace(slack.user("vera"), is_admin=True))
    assert (await client.users_info(user="U0VERA"))["user"]["is_admin"] is True
    assert (await client.users_info(user="U0SAM"))["user"]["is_admin"] is False


async def test_bot_info_names_its_app(slack, client):
    app = slack.state.app
    bot = (await client.bots_info(bot=app.bot_id))["bot"]
    assert (bot["app_id"], bot["user_id"]) == (app.id, app.user_id)
    assert await error_of(client.bots_info(bot="B0NOBODY")) == "bot_not_found"
    assert "bot" not in (await client.bots_info()).data
    slack.state.set_scopes("chat:write")
    assert await error_of(client.bots_info(bot=app.bot_id)) == "missing_scope"


def modal(**more: Any) -> dict[str, Any]:
    title = {"type": "plain_text", "text": "Session"}
    return {"type": "modal", "title": title, "blocks": [section()], **more}


async def test_a_trigger_opens_one_modal_within_three_seconds(slack, client):
    trigger = slack.state.new_trigger("U0ANA")
    opened = await client.views_open(trigger_id=trigger.id, view=modal())
    assert opened["view"]["root_view_id"] == opened["view"]["id"]
    assert slack.person("ana").modal.id == opened["view"]["id"]
    again = client.views_open(trigger_id=trigger.id, view=modal())
    assert await error_of(again) == "exchanged_trigger_id"
    assert (
        await error_of(client.views_open(trigger_id="1.2.x", view=modal())) == "invalid_trigger_id"
    )
    late = slack.state.new_trigger("U0ANA")
    slack.clock.advance(3.1)
    call = client.views_open(trigger_id=late.id, view=modal())
    assert await error_of(call) == "expired_trigger_id"


async def test_a_wrong_modal_is_refused_and_its_trigger_is_still_good(slack, client):
    trigger = slack.state.new_trigger("U0ANA")
    wrong = modal(title={"type": "plain_text", "text": "x" * 25})
    answer = await refusal(client.views_open(trigger_id=trigger.id, view=wrong))
    assert answer["error"] == "invalid_arguments"
    assert "/view/title" in answer["response_metadata"]["messages"][0]
    large = modal(blocks=[section("x" * 3000)] * 90)
    call = client.views_open(trigger_id=trigger.id, view=large)
    assert await error_of(call) == "view_too_large"
    assert (await client.views_open(trigger_id=trigger.id, view=modal()))["ok"] is True


async def test_modal_update_must_know_the_latest_version(slack, client):
    trigger = slack.state.new_trigger("U0ANA")
    view = (await client.views_open(trigger_id=trigger.id, view=modal(external_id="one")))["view"]
    updated = await client.views_update(view_id=view["id"], hash=view["hash"], view=modal())
    assert updated["view"]["hash"] != view["hash"]
    stale = client.views_update(view_id=view["id"], hash=view["hash"], view=modal())
    assert await error_of(stale) == "hash_conflict"
    assert (await client.views_update(view_id=view["id"], view=modal(external_id="two")))["ok"]
    assert (await client.views_update(external_id="two", view=modal(external_id="two")))["ok"]
    assert await error_of(client.views_update(view_id="V0", view=modal())) == "not_found"
    await slack.person("ana").close_modal()
    assert await error_of(client.views_update(view_id=view["id"], view=modal())) == "not_found"


async def test_an_external_id_names_one_modal(slack, client):
    trigger = slack.state.new_trigger("U0ANA")
    await client.views_open(trigger_id=trigger.id, view=modal(external_id="one"))
    other = slack.state.new_trigger("U0BEN")
    call = client.views_open(trigger_id=other.id, view=modal(external_id="one"))
    assert await error_of(call) == "duplicate_external_id"


async def test_three_modals_stack_and_no_more(slack, client):
    first = slack.state.new_trigger("U0ANA")
    root = (await client.views_open(trigger_id=first.id, view=modal()))["view"]
    for _ in range(2):
        trigger = slack.state.new_trigger("U0ANA", root["id"])
        pushed = (await client.views_push(trigger_id=trigger.id, view=modal()))["view"]
        assert pushed["root_view_id"] == root["id"]
    trigger = slack.state.new_trigger("U0ANA", root["id"])
    call = client.views_push(trigger_id=trigger.id, view=modal())
    assert await error_of(call) == "push_limit_reached"
    outside = slack.state.new_trigger("U0BEN")
    assert await error_of(client.views_push(trigger_id=outside.id, view=modal())) == "not_found"


async def test_calls_are_on_record_without_their_tokens(slack: Workspace, client):
    await client.chat_postMessage(channel="C0INCIDENTS", text="x")
    await error_of(client.chat_postMessage(channel="C0SECRET", text="x"))
    await client.apps_connections_open(app_token=slack.app_token)
    first, second = slack.calls("chat.postMessage")
    assert (first.args["channel"], first.status, first.error) == ("C0INCIDENTS", 200, None)
    assert second.error == "channel_not_found"
    assert not any(secret in repr(slack.calls()) for secret in (slack.bot_token, slack.app_token))
    assert "ticket" not in repr(slack.calls())


async def test_tables_can_be_refused_as_slack_might(slack, client):
    slack.faults.refuse_tables("ephemeral")
    where = {"channel": "C0INCIDENTS", "text": "x", "blocks": [section(), TABLE]}
    assert (await client.chat_postMessage(**where))["ok"] is True
    answer = await refusal(client.chat_postEphemeral(user="U0ANA", **where))
    assert answer["error"] == "invalid_blocks"
    assert answer["errors"] == ["unsupported type: table [json-pointer:/blocks/1]"]
    slack.faults.refuse_tables("everywhere")
    assert await error_of(client.chat_postMessage(**where)) == "invalid_blocks"


@pytest.mark.parametrize("error", TABLE_ERRORS)
async def test_tables_and_other_blocks_are_refused_by_any_code(slack, client, error):
    slack.faults.refuse_tables(error=error)
    where = {"channel": "C0INCIDENTS", "text": "x"}
    assert await error_of(client.chat_postMessage(**where, blocks=[TABLE])) == error
    posted = await client.chat_postMessage(**where, blocks=[section()])
    slack.faults.refuse_blocks(error=error)
    update = {**where, "ts": posted["ts"]}
    assert await error_of(client.chat_update(**update, blocks=[section()])) == error
    assert (await client.chat_update(**update))["ok"] is True


async def test_a_modal_is_refused_for_its_blocks(slack, client):
    slack.faults.refuse_blocks("section", error="internal_error")
    title = {"type": "plain_text", "text": "x"}
    view = {"type": "modal", "title": title, "blocks": [section()]}
    trigger = slack.state.new_trigger("U0ANA").id
    assert await error_of(client.views_open(trigger_id=trigger, view=view)) == "internal_error"
    view = {"type": "modal", "title": title, "blocks": [{"type": "divider"}]}
    assert (await client.views_open(trigger_id=trigger, view=view))["ok"] is True


@pytest.mark.parametrize(
    ("content", "pinged"),
    [
        (
            {"text": "<!channel> <@U0ANA> <!subteam^S0ONCALL|@oncall>"},
            {"channel", "U0ANA", "S0ONCALL"},
        ),
        ({"text": "&lt;!channel&gt; @here"}, set()),
        ({"text": "@here", "link_names": True}, {"here"}),
        ({"text": "@here", "parse": "full"}, {"here"}),
        ({"text": "x", "blocks": [section("<!here>")]}, {"here"}),
        (
            {
                "text": "x",
                "blocks": [
                    {"type": "header", "text": {"type": "plain_text", "text": "<!here>"}},
                    {"type": "table", "rows": [[{"type": "raw_text", "text": "<@U0ANA>"}]]},
                ],
            },
            set(),
        ),
        (
            {
                "text": "x",
                "blocks": [
                    {
                        "type": "rich_text",
                        "elements": [
                            {
                                "type": "rich_text_section",
                                "elements": [
                                    {"type": "text", "text": "<!here>"},
                                    {"type": "user", "user_id": "U0ANA"},
                                ],
                            }
                        ],
                    }
                ],
            },
            {"U0ANA"},
        ),
    ],
)
async def test_people_notified_by_a_message(slack, client, content, pinged):
    await client.chat_postMessage(channel="C0INCIDENTS", **content)
    assert notifies(slack.messages("incidents")[-1]) == pinged


async def test_blocks_are_validated_without_a_token(slack: Workspace) -> None:
    nobody = AsyncWebClient(base_url=slack.api_url)
    good = [{"type": "divider"}]
    bad = [{"type": "divider"}, {"type": "header", "text": {"type": "plain_text", "text": ""}}]
    modal = {"type": "modal", "title": {"type": "plain_text", "text": "x"}, "blocks": bad}
    assert (await nobody.blocks_validate(blocks=good))["ok"]
    assert (await nobody.blocks_validate(message={"blocks": good}))["ok"]
    assert (await nobody.blocks_validate(view={**modal, "blocks": good}))["ok"]
    assert (await nobody.blocks_validate(view={"type": "home", "blocks": good}))["ok"]

    asked: Any
    for asked, error, pointer in (
        ({"blocks": bad}, "invalid_blocks", "/1/text/text"),
        ({"message": {"blocks": bad}}, "invalid_message", "/blocks/1/text/text"),
        ({"view": modal}, "invalid_view", "/blocks/1/text/text"),
    ):
        with pytest.raises(SlackApiError) as refused:
            await nobody.blocks_validate(**asked)
        assert refused.value.response["error"] == error
        (problem,) = refused.value.response["errors"]
        assert problem["pointer"] == pointer
        assert problem["message"] == "must be more than 0 characters"
    for asked in ({}, {"blocks": good, "message": {"blocks": good}}):
        with pytest.raises(SlackApiError, match="invalid_arguments"):
            await nobody.blocks_validate(**asked)
