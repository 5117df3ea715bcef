"""Messages as Slack shows them, only to those who may see them, live in every tab."""

from dataclasses import replace

from playwright.async_api import expect

from tests.browser.conftest import PHONE, Look, Say
from workspace import Workspace
from workspace.page import Page as Site
from workspace.state import Message


async def test_message_appears_changes_and_disappears_in_every_tab(
    look: Look, say: Say, slack: Workspace
) -> None:
    tabs = [await look("ana"), await look("vera")]
    message = say(text="Terminating…")
    for tab in tabs:
        await expect(tab.locator(".message")).to_contain_text("Terminating…")
        await expect(tab.locator(".edited")).to_have_count(0)
    slack.state.change(replace(message, text="Terminated", edited_ts=slack.state.new_ts()))
    for tab in tabs:
        await expect(tab.locator(".message")).to_contain_text("Terminated")
        await expect(tab.locator(".edited")).to_have_text("(edited)")
    slack.state.delete(slack.state.message(message.channel, message.ts) or message)
    for tab in tabs:
        await expect(tab.locator(".message")).to_have_count(0)


async def test_ephemeral_message_is_marked_and_seen_by_one_person(look: Look, say: Say) -> None:
    ana, vera = await look("ana"), await look("vera")
    say(text="You may not end sessions here.", receiver="U0VERA")
    say(text="for all")
    await expect(vera.locator(".message").first).to_contain_text("Only visible to you")
    await expect(vera.locator(".message").last).not_to_contain_text("Only visible to you")
    await expect(ana.locator(".message")).to_have_count(1)
    await expect(ana.locator(".message")).to_contain_text("for all")


async def test_the_typed_command_is_shown_where_the_app_shows_it(
    look: Look, slack: Workspace
) -> None:
    slack.state.post(
        Message(
            channel="C0INCIDENTS",
            ts=slack.state.new_ts(),
            user="U0ANA",
            text="/pg-kill xact&gt;5m -- *now*",
            kind="command",
        )
    )
    tab = await look("ben")
    await expect(tab.locator(".message .author")).to_have_text("Ana Alvarez")
    await expect(tab.locator(".message .typed")).to_have_text("/pg-kill xact>5m -- *now*")


async def test_slacks_own_errors_are_worded_as_slack_words_them(look: Look, say: Say) -> None:
    button = {"type": "button", "text": {"type": "plain_text", "text": "Refresh"}}
    say({"type": "actions", "elements": [button]})
    tab = await look("ana")
    await tab.get_by_role("button", name="Refresh").click()
    await expect(tab.locator(".message").last).to_contain_text("dispatch_failed")
    await tab.get_by_role("textbox").fill("/pg-sessions some_db")
    await tab.keyboard.press("Enter")
    last = tab.locator(".message").last
    await expect(last).to_contain_text('/pg-sessions failed with the error "dispatch_failed"')
    await expect(last).to_contain_text("Only visible to you")
    await expect(last.locator(".author")).to_have_text("Slackbot")
    await tab.get_by_role("textbox").fill("/nosuch")
    await tab.keyboard.press("Enter")
    await expect(tab.locator(".message").last).to_contain_text("/nosuch is not a valid command.")


async def test_what_a_person_writes_is_seen_by_the_others_as_they_wrote_it(look: Look) -> None:
    ana, ben = await look("ana"), await look("ben")
    await ana.get_by_role("textbox").fill("is <b>this</b> & <!channel> *mine*?")
    await ana.keyboard.press("Enter")
    for tab in (ana, ben):
        await expect(tab.locator(".words")).to_have_text("is <b>this</b> & <!channel> mine?")
    await expect(ana.get_by_role("textbox")).to_have_value("")


async def test_messages_of_one_author_are_grouped(look: Look, say: Say) -> None:
    tab = await look("ana")
    say(text="one")
    say(text="two")
    await expect(tab.locator(".message .author").first).to_be_visible()
    await expect(tab.locator(".message .author").last).to_be_hidden()


async def test_menu_of_a_grouped_message_covers_none_of_its_words(look: Look, say: Say) -> None:
    say(text="first")
    say(text="sessions wait for a lock and hold up others " * 4)
    tab = await look("ana", size=PHONE)
    grouped = tab.locator(".message.continued")
    menu = await grouped.locator(".message-menu").bounding_box()
    assert menu is not None
    lines = await grouped.locator(".message-content").evaluate(
        """node => {
            const text = document.createTreeWalker(node, NodeFilter.SHOW_TEXT).nextNode();
            const range = document.createRange();
            range.selectNode(text);
            return [...range.getClientRects()].map((each) => [each.top, each.right]);
        }"""
    )
    assert len(lines) > 1
    beside = [right for top, right in lines if top < menu["y"] + menu["height"]]
    assert max(beside) <= menu["x"] < max(right for _, right in lines)


async def test_each_person_sees_the_channels_that_slack_would_show(look: Look) -> None:
    expected = {
        "ana": [
            *("incidents", "random", "war-room", "secret", "shared", "announcements"),
            *("Ben Baker", "Ben Baker, Vera Vogel", "pg-sessions", "pg-sessions Home"),
        ],
        "vera": [
            *("incidents", "random", "war-room", "shared", "announcements"),
            *("Ana Alvarez, Ben Baker", "pg-sessions", "pg-sessions Home"),
        ],
        "gus": ["incidents"],
        "olga": ["shared"],
    }
    for name, channels in expected.items():
        tab = await look(name)
        await expect(tab.locator(".channel-name")).to_have_text(channels)


async def test_a_shared_channel_says_with_whom(look: Look) -> None:
    for name, team in (("ana", "Globex"), ("olga", "Acme")):
        tab = await look(name, "shared")
        await expect(tab.locator(".channel-title")).to_contain_text(f"shared with {team}")


async def test_a_channel_without_the_bot_says_so(look: Look) -> None:
    tab = await look("ana", "random")
    await expect(tab.locator(".channel-title")).to_contain_text(
        "pg-sessions is not in this channel"
    )


async def test_person_who_may_not_post_can_read_and_press(look: Look) -> None:
    tab = await look("ben", "announcements")
    await expect(tab.locator(".not-in")).to_contain_text("Only some may post in #announcements")
    await expect(tab.get_by_role("textbox")).to_have_count(0)
    tab = await look("ana", "announcements")
    await expect(tab.get_by_role("textbox")).to_be_visible()


async def test_unread_messages_of_other_channels_are_counted(look: Look, say: Say) -> None:
    tab = await look("ana", "random")
    say(text="for all")
    say(text="<!subteam^S0ONCALL> look")
    link = tab.get_by_role("link", name="incidents")
    await expect(link).to_contain_text("2")
    await expect(link.locator(".mention-count")).to_have_count(1)
    await link.click()
    await expect(tab.locator(".message").last).to_contain_text("look")
    await expect(link.locator(".count")).to_have_count(0)
    assert "as=ana&in=incidents" in tab.url
    await tab.go_back()
    await expect(tab.locator(".channel-title h1")).to_have_text("random")


async def test_visitor_can_switch_person_here_or_in_another_tab(look: Look) -> None:
    tab = await look("ana")
    await tab.locator(".me").click()
    async with tab.context.expect_page() as opened:
        await tab.get_by_role("link", name="Ben Baker in a new tab").click()
    beside = await opened.value
    await expect(beside.locator(".me .me-name")).to_have_text("Ben Baker")
    await tab.get_by_role("link", name="Vera Vogel, viewer").click()
    await expect(tab.locator(".me .me-name")).to_have_text("Vera Vogel")
    assert "as=vera&in=incidents" in tab.url


async def test_escape_closes_the_list_of_people_and_then_the_drawer(look: Look) -> None:
    tab = await look("ana", size=PHONE)
    await tab.get_by_role("button", name="Channels and people").click()
    await tab.locator(".me").click()
    person = tab.get_by_role("link", name="Vera Vogel, viewer")
    await person.focus()
    await tab.keyboard.press("Escape")
    await expect(person).to_be_hidden()
    await expect(tab.locator(".me")).to_be_focused()
    await tab.keyboard.press("Escape")
    await expect(tab.locator(".me")).to_be_hidden()
    await expect(tab.get_by_role("button", name="Channels and people")).to_be_focused()


async def test_a_choice_in_a_menu_is_the_same_in_both_tabs_of_a_person(
    look: Look, say: Say
) -> None:
    options = [{"text": {"type": "plain_text", "text": t}, "value": t} for t in ("33507", "33911")]
    placeholder = {"type": "plain_text", "text": "Terminate…"}
    select = {"type": "static_select", "placeholder": placeholder, "options": options}
    say({"type": "actions", "elements": [select]})
    one, other, ben = await look("ana"), await look("ana"), await look("ben")
    await one.get_by_role("button", name="Terminate…").click()
    await one.get_by_role("option", name="33911").click()
    for tab in (one, other):
        await expect(tab.get_by_role("button", name="33911")).to_be_visible()
    await expect(ben.get_by_role("button", name="Terminate…")).to_be_visible()


async def test_an_update_elsewhere_keeps_focus_and_an_open_menu(
    look: Look, say: Say, slack: Workspace
) -> None:
    options = [{"text": {"type": "plain_text", "text": t}, "value": t} for t in ("33507", "33911")]
    placeholder = {"type": "plain_text", "text": "Terminate…"}
    select = {"type": "static_select", "placeholder": placeholder, "options": options}
    before = say(text="first\n" * 40)
    say({"type": "actions", "elements": [select]})
    tab = await look("ana")
    await tab.get_by_role("button", name="Terminate…").click()
    slack.state.change(replace(before, text="changed\n" * 40))
    say(text="new")
    await expect(tab.locator(".message").first).to_contain_text("changed")
    await expect(tab.locator(".message").last).to_be_in_viewport()
    await expect(tab.get_by_role("option").first).to_be_focused()


async def test_redrawn_message_keeps_the_focus_on_its_button(
    look: Look, say: Say, slack: Workspace
) -> None:
    text = {"type": "plain_text", "text": "Refresh"}
    button = {"type": "button", "text": text, "action_id": "sessions.refresh"}
    message = say({"type": "actions", "elements": [button]})
    tab = await look("ana")
    await tab.get_by_role("button", name="Refresh").focus()
    slack.state.change(replace(message, edited_ts=slack.state.new_ts()))
    await expect(tab.locator(".edited")).to_be_visible()
    await expect(tab.get_by_role("button", name="Refresh")).to_be_focused()


async def test_reader_further_up_is_told_about_new_messages_but_not_moved(
    look: Look, say: Say
) -> None:
    for number in range(40):
        say(text=f"line {number}\n" * 3)
    tab = await look("ana")
    await expect(tab.locator(".message").last).to_be_in_viewport()
    await tab.locator("#messages").evaluate("list => list.scrollTop = 0")
    await expect(tab.locator(".message").first).to_be_in_viewport()
    say(text="the news")
    await expect(tab.get_by_role("button", name="New messages")).to_be_visible()
    await expect(tab.locator(".message").first).to_be_in_viewport()
    await tab.get_by_role("button", name="New messages").click()
    await expect(tab.locator(".message").last).to_be_in_viewport()
    await expect(tab.get_by_role("button", name="New messages")).to_be_hidden()


async def test_a_screen_reader_hears_the_top_level_text(look: Look, say: Say) -> None:
    tab = await look("ana")
    say({"type": "divider"}, text="*Terminated* 1 of 1, said <@U0BEN>")
    await expect(tab.locator("#announcer")).to_have_text(
        "pg-sessions: Terminated 1 of 1, said @ben"
    )


async def test_tab_reconnects_after_the_page_was_down(
    look: Look, say: Say, slack: Workspace, site: Site, complaints: list[str]
) -> None:
    port = int(site.url.rstrip("/").rpartition(":")[2])
    tab = await look("ana")
    await site.__aexit__(None, None, None)
    await expect(tab.locator("#lost")).to_contain_text("does not answer")
    say(text="meanwhile")
    async with Site(slack, port=port):
        await expect(tab.locator(".message")).to_contain_text("meanwhile")
        await expect(tab.locator("#lost")).to_be_hidden()
        say(text="and on")
        await expect(tab.locator(".message").last).to_contain_text("and on")
        await tab.context.close()
    # The browser itself reports refused connections.
    complaints[:] = [each for each in complaints if "ERR_CONNECTION_REFUSED" not in each]
