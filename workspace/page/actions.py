"""What people do on the page: each action is a POST with JSON, on behalf of one person.

The rules are the workspace's own: who isn't in a channel has nothing to write or press there, and
who doesn't see a message can't press its buttons. A person's choice is looked up in what the app
offered, so that the app hears of nothing that it never offered.
"""

from collections.abc import Iterator
from typing import Any

from aiohttp import web

from workspace.blocks import Element, Json, elements, options_of
from workspace.page.cast import person
from workspace.page.contract import Scenario
from workspace.payloads import escaped, initial_value
from workspace.screen import Screen
from workspace.slack import Workspace
from workspace.state import Channel, Message, User, View

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
        """All of them. Each answers 204 once it is done, or says what is wrong."""
        return [
            web.post("/act/say", self.say),
            web.post("/act/click", self.click),
            web.post("/act/modal/click", self.click_in_modal),
            web.post("/act/modal/submit", self.submit),
            web.post("/act/modal/close", self.close),
            web.post("/act/fault", self.fault),
            web.post("/act/reset", self.reset),
        ]

    async def say(self, request: web.Request) -> web.Response:
        """Write a message, or run what begins with a slash."""
        asked = await _Asked.of(request)
        user, channel = self._user(asked), self._channel(asked)
        self._need_member(user, channel)
        if not channel.may_post(user.id):
            raise web.HTTPForbidden(text=f"{user.name} may not post in #{channel.name}.")
        text = asked.text("text").strip()
        if text.startswith("/"):
            await self._interactions.command(user, channel, text)
        elif text:
            self._state.post(
                Message(
                    channel=channel.id, ts=self._state.new_ts(), user=user.id, text=escaped(text)
                )
            )
        return _done()

    async def click(self, request: web.Request) -> web.Response:
        """Press a button or choose in a menu of a message; done once Slack has its answer."""
        asked = await _Asked.of(request)
        user, channel = self._user(asked), self._channel(asked)
        self._need_member(user, channel)
        message = self._message(asked, user, channel)
        blocks = list(message.blocks)
        self._keep(message.ts, user, blocks, asked)
        element = _element(asked, blocks)
        chosen = _chosen(element, asked.any("given"))
        await self._interactions.click_in_message(user, message, element, chosen)
        return _done()

    async def click_in_modal(self, request: web.Request) -> web.Response:
        """The same in a modal, with what stands in its inputs."""
        asked = await _Asked.of(request)
        user = self._user(asked)
        view = self._view(asked, user)
        self._keep(view.id, user, view.body["blocks"], asked)
        element = _element(asked, view.body["blocks"])
        chosen = _chosen(element, asked.any("given"))
        await self._interactions.click_in_view(user, view, element, chosen)
        return _done()

    async def submit(self, request: web.Request) -> web.Response:
        """Submit a modal. What Slack itself finds missing is said without asking the app."""
        asked = await _Asked.of(request)
        user = self._user(asked)
        view = self._view(asked, user)
        self._keep(view.id, user, view.body["blocks"], asked)
        if missing := list(self._missing(view)):
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
        """Press the button of a fault."""
        asked = await _Asked.of(request)
        scenario, fault_id = self._story(), asked.text("id")
        if fault_id not in {fault["id"] for fault in scenario.view()["faults"]}:
            raise web.HTTPNotFound(text=f"No fault is called {fault_id!r}.")
        await scenario.fault(fault_id)
        return _done()

    async def reset(self, request: web.Request) -> web.Response:
        """Bring the story back to its beginning."""
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

    def _view(self, asked: "_Asked", user: User) -> View:
        view = self._state.view(asked.text("view"))
        if view is None or view.user != user.id:
            raise web.HTTPNotFound(text="This modal is gone.")
        return view

    # Inputs

    def _keep(self, where: str, user: User, blocks: list[Json], asked: "_Asked") -> None:
        """Keep what stands in the inputs, where it is not what is known already."""
        values = asked.mapping("values")
        known = self._state.inputs(where, user.id)
        for element in elements(blocks):
            given = values.get(element.block_id, {})
            key = (element.block_id, element.action_id)
            if element.action_id in given:
                value = {"type": element.type, **_chosen(element, given[element.action_id])}
                if value != known.get(key, initial_value(element)):
                    self._state.set_input(where, user.id, key, value)

    def _missing(self, view: View) -> Iterator[str]:
        known = self._state.inputs(view.id, view.user)
        for element in elements(view.body["blocks"]):
            if element.block["type"] == "input" and not element.block.get("optional"):
                key = (element.block_id, element.action_id)
                value = known.get(key, initial_value(element) or {})
                if not any(inner for name, inner in value.items() if name != "type"):
                    yield element.block_id


class _Asked:
    """The JSON of a request. What is not of the kind that is needed is the page's fault: 400."""

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
    """What was given, as Slack passes it on. A menu gives its options' values."""
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
