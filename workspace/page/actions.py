"""What people do on the page: each action is a POST with JSON, on behalf of one person.

The workspace's rules apply: a person who isn't in a channel has nothing to write or press there,
and one who doesn't see a message can't press its buttons. A person's choice is looked up in what
the app offered, so the app never receives anything that it didn't offer.
"""

from typing import Any

from aiohttp import web

from workspace.block_elements import options_of
from workspace.blocks import Element, Json, elements
from workspace.page.cast import person
from workspace.page.contract import Scenario
from workspace.payloads import escaped, initial_value, missing_inputs
from workspace.screen import Screen
from workspace.slack import Workspace
from workspace.state import Channel, Message, User, View
from workspace.threads import parent_of

# Slack's words under an input that must not stay empty.
REQUIRED = "Please complete this required field."


class Actions:
    """The handlers, one for each kind of action."""

    def __init__(self, workspace: Workspace, scenario: Scenario | None) -> None:
        self._workspace = workspace
        self._state = workspace.state
        self._interactions = workspace.interactions
        self._scenario = scenario

    def routes(self) -> list[web.RouteDef]:
        """All routes. Each answers 204 once it is done, or says what is wrong."""
        return [
            web.post("/act/say", self.say),
            web.post("/act/click", self.click),
            web.post("/act/home", self.home),
            web.post("/act/home/click", self.click_in_home),
            web.post("/act/shortcut", self.shortcut),
            web.post("/act/modal/click", self.click_in_modal),
            web.post("/act/modal/submit", self.submit),
            web.post("/act/modal/close", self.close),
            web.post("/act/fault", self.fault),
            web.post("/act/reset", self.reset),
        ]

    async def say(self, request: web.Request) -> web.Response:
        """Write a message or a reply, or run it as a command if it begins with a slash."""
        asked = await _Asked.of(request)
        user, channel = self._user(asked), self._channel(asked)
        self._need_member(user, channel)
        if not channel.may_post(user.id):
            raise web.HTTPForbidden(text=f"{user.name} may not post in #{channel.name}.")
        text = asked.text("text").strip()
        thread_ts = self._thread(asked, channel)
        if text.startswith("/"):
            await self._interactions.command(user, channel, text, thread_ts)
        elif text:
            self._state.post(
                Message(
                    channel=channel.id,
                    ts=self._state.new_ts(),
                    user=user.id,
                    text=escaped(text),
                    thread_ts=thread_ts,
                )
            )
        return _done()

    async def click(self, request: web.Request) -> web.Response:
        """Press a button or choose in a message's menu; done once Slack has its answer."""
        asked = await _Asked.of(request)
        user, channel = self._user(asked), self._channel(asked)
        self._need_member(user, channel)
        message = self._message(asked, user, channel)
        blocks = list(message.blocks)
        self._keep(message.ts, user, blocks, asked)
        element = _element(asked, blocks)
        chosen = self._chosen(user, element, asked.any("given"))
        await self._interactions.click_in_message(user, message, element, chosen)
        return _done()

    async def home(self, request: web.Request) -> web.Response:
        """Open the app's Home tab: the app is told."""
        asked = await _Asked.of(request)
        await self._interactions.open_home(self._user(asked))
        return _done()

    async def click_in_home(self, request: web.Request) -> web.Response:
        """Press a button or choose in a menu of the Home tab."""
        asked = await _Asked.of(request)
        user = self._user(asked)
        view = self._state.home(user.id)
        if view is None:
            raise web.HTTPNotFound(text="The app has published no Home tab.")
        await self._click(asked, user, view)
        return _done()

    async def shortcut(self, request: web.Request) -> web.Response:
        """Use a message shortcut; done once Slack has its answer."""
        asked = await _Asked.of(request)
        user, channel = self._user(asked), self._channel(asked)
        self._need_member(user, channel)
        message, callback_id = self._message(asked, user, channel), asked.text("callback_id")
        offered = {shortcut.callback_id for shortcut in self._state.app.shortcuts}
        if callback_id not in offered or message.is_ephemeral:
            raise web.HTTPNotFound(text="No such shortcut.")
        await self._interactions.shortcut(user, message, callback_id)
        return _done()

    async def click_in_modal(self, request: web.Request) -> web.Response:
        """The same in a modal, with the contents of its inputs."""
        asked = await _Asked.of(request)
        user = self._user(asked)
        await self._click(asked, user, self._view(asked, user))
        return _done()

    async def _click(self, asked: "_Asked", user: User, view: View) -> None:
        self._keep(view.id, user, view.body["blocks"], asked)
        element = _element(asked, view.body["blocks"])
        chosen = self._chosen(user, element, asked.any("given"))
        await self._interactions.click_in_view(user, view, element, chosen)

    async def submit(self, request: web.Request) -> web.Response:
        """Submit a modal. Slack itself checks for missing values, without asking the app."""
        asked = await _Asked.of(request)
        user = self._user(asked)
        view = self._view(asked, user)
        self._keep(view.id, user, view.body["blocks"], asked)
        if missing := [each.block_id for each in missing_inputs(view, self._state)]:
            self._state.show_errors(view, dict.fromkeys(missing, REQUIRED))
        else:
            await self._interactions.submit(user, view)
        return _done()

    async def close(self, request: web.Request) -> web.Response:
        """Close the modal on top."""
        asked = await _Asked.of(request)
        user = self._user(asked)
        await self._interactions.close_modal(user, self._view(asked, user))
        return _done()

    async def fault(self, request: web.Request) -> web.Response:
        """Press a fault's button."""
        asked = await _Asked.of(request)
        scenario, fault_id = self._story(), asked.text("id")
        if fault_id not in {fault["id"] for fault in scenario.view()["faults"]}:
            raise web.HTTPNotFound(text=f"No fault is called {fault_id!r}.")
        await scenario.fault(fault_id)
        return _done()

    async def reset(self, request: web.Request) -> web.Response:
        """Reset the story to its beginning."""
        del request
        await self._story().reset()
        return _done()

    # What an action names

    def _story(self) -> Scenario:
        if self._scenario is None:
            raise web.HTTPNotFound(text="This workspace has no scenario.")
        return self._scenario

    def _user(self, asked: "_Asked") -> User:
        return person(self._state, asked.text("person"))

    def _channel(self, asked: "_Asked") -> Channel:
        channel = self._state.channels.get(asked.text("channel"))
        if channel is None:
            raise web.HTTPNotFound(text="No such channel.")
        return channel

    def _need_member(self, user: User, channel: Channel) -> None:
        if user.id not in channel.members:
            raise web.HTTPForbidden(text=f"{user.name} is not in #{channel.name}.")

    def _message(self, asked: "_Asked", user: User, channel: Channel) -> Message:
        ts = asked.text("ts")
        for message in Screen(self._state, user).messages(channel.id):
            if message.ts == ts:
                return message
        raise web.HTTPNotFound(text="This message is gone.")

    def _thread(self, asked: "_Asked", channel: Channel) -> str | None:
        """The open thread, if one is."""
        if asked.any("thread") is None:
            return None
        ts = parent_of(self._state, channel.id, asked.text("thread"))
        if ts is None:
            raise web.HTTPNotFound(text="This message is gone.")
        return ts

    def _view(self, asked: "_Asked", user: User) -> View:
        view = self._state.view(asked.text("view"))
        if view is None or view.user != user.id:
            raise web.HTTPNotFound(text="This modal is gone.")
        return view

    # Inputs

    def _keep(self, where: str, user: User, blocks: list[Json], asked: "_Asked") -> None:
        """Store the contents of the inputs that have changed."""
        values = asked.mapping("values")
        known = self._state.inputs(where, user.id)
        for element in elements(blocks):
            given = values.get(element.block_id, {})
            key = (element.block_id, element.action_id)
            if element.action_id in given:
                chosen = self._chosen(user, element, given[element.action_id])
                value = {"type": element.type, **chosen}
                if value != known.get(key, initial_value(element)):
                    self._state.set_input(where, user.id, key, value)

    def _chosen(self, user: User, element: Element, given: object) -> Json:
        """What was chosen, as Slack passes it on: a conversation only if the person sees it."""
        if element.type != "conversations_select":
            return _chosen(element, given)
        channel = self._state.channels.get(str(given)) if given else None
        if given and (channel is None or not self._state.may_see(user.id, channel)):
            raise web.HTTPNotFound(text="No such channel.")
        return {"selected_conversation": channel.id if channel else None}


class _Asked:
    """A request's JSON. If a value has the wrong type, the page is at fault: 400."""

    def __init__(self, body: Json) -> None:
        self._body = body

    @classmethod
    async def of(cls, request: web.Request) -> "_Asked":
        try:
            body = await request.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise web.HTTPBadRequest(text="Send a JSON object.")
        return cls(body)

    def text(self, name: str) -> str:
        value = self._body.get(name)
        if not isinstance(value, str):
            raise web.HTTPBadRequest(text=f"{name} must be text.")
        return value

    def mapping(self, name: str) -> dict[str, dict[str, Any]]:
        value = self._body.get(name, {})
        if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
            raise web.HTTPBadRequest(text=f"{name} must be objects by name.")
        return value

    def any(self, name: str) -> object:
        return self._body.get(name)


def _done() -> web.Response:
    return web.Response(status=204)


def _element(asked: _Asked, blocks: list[Json]) -> Element:
    key = (asked.text("block_id"), asked.text("action_id"))
    for element in elements(blocks):
        if (element.block_id, element.action_id) == key:
            return element
    raise web.HTTPNotFound(text="This button is gone.")


def _chosen(element: Element, given: object) -> Json:
    """The choice as Slack passes it on. A menu sends its options' values."""
    match element.type:
        case "button":
            return {}
        case "static_select" | "overflow" | "radio_buttons":
            return {"selected_option": _option(element, given) if given else None}
        case "checkboxes":
            values = given if isinstance(given, list) else []
            return {"selected_options": [_option(element, value) for value in values]}
        case "datepicker":
            return {"selected_date": str(given) if given else None}
        case "timepicker":
            return {"selected_time": str(given) if given else None}
        case "plain_text_input" | "number_input" | "email_text_input" | "url_text_input":
            return {"value": str(given) if given else None}
        case other:
            raise web.HTTPUnprocessableEntity(text=f"This page has no {other}.")


def _option(element: Element, value: object) -> Json:
    for option in options_of(element.element):
        if option["value"] == value:
            return option
    raise web.HTTPNotFound(text="This option is gone.")
