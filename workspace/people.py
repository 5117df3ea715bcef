"""People who use the workspace: a test reads like what a person does.

A person sees only what Slack would show them. Waits are limited by real time and never sleep
blindly; when the time is over, `NotSeen` quotes what the person does see. This module is long
because a person is one class, and people do many things in Slack.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, overload

from workspace.blocks import Element, Json, elements
from workspace.interactions import Interactions
from workspace.payloads import choice, initial_value, missing_inputs
from workspace.screen import Screen
from workspace.state import Channel, Dialog, Message, State, User, View
from workspace.threads import delete

PATIENCE = 120.0
"""Seconds that a test waits for what must come, even on a busy machine. It measures nothing."""


Says: TypeAlias = Callable[[Message | View, Element, str], bool]


class NotSeen(AssertionError):  # noqa: N818 - it fails a test, and says what was not seen
    """What a person waited for did not appear, or what they wanted to press doesn't exist."""


class Person:
    """One person at their Slack. Channels are named by name or by id."""

    def __init__(self, state: State, interactions: Interactions, user_id: str) -> None:
        self._state = state
        self._interactions = interactions
        self._id = user_id
        self._channel: str | None = None
        self._is_at_home = False
        self.dialog: Dialog | None = None

    @property
    def user(self) -> User:
        """The person as Slack knows them."""
        return self._state.users[self._id]

    @property
    def id(self) -> str:
        return self._id

    @property
    def mention(self) -> str:
        """How a message mentions them."""
        return f"<@{self._id}>"

    # Looking

    def messages(self, channel: str | None = None) -> list[Message]:
        """What they see in a channel, oldest first; by default in their last channel."""
        return self._screen.messages(self._open(channel).id)

    def screen(self, channel: str | None = None) -> str:
        """The channel as plain text; empty if they can't see it."""
        return self._screen.channel(self._open(channel).id)

    def text_of(self, message: Message) -> str:
        """One message as plain text."""
        return self._screen.message(message)

    async def sees(
        self,
        *words: str,
        channel: str | None = None,
        after: Message | None = None,
        seconds: float = PATIENCE,
    ) -> Message:
        """Wait until one message shows all these words, and return the newest one that does.

        With `after`, only later messages count.
        """
        place = self._open(channel)

        def found() -> Message | None:
            for message in reversed(self._screen.messages(place.id)):
                if after is not None and message.ts <= after.ts:
                    return None
                drawn = self._screen.message(message)
                if all(word in drawn for word in words):
                    return message
            return None

        await self._state.log.until(lambda: found() is not None, seconds)
        message = found()
        if message is None:
            raise NotSeen(self._report(f"{self.user.name} does not see {words}", place))
        return message

    def does_not_see(self, *words: str, channel: str | None = None) -> bool:
        """Whether no message now shows all these words."""
        return not any(
            all(word in self._screen.message(message) for word in words)
            for message in self.messages(channel)
        )

    # Doing

    @overload
    async def command(
        self,
        text: str,
        channel: str | None = None,
        *,
        thread_ts: str | None = None,
        wait: Literal[True] = True,
        seconds: float = PATIENCE,
    ) -> Message: ...

    @overload
    async def command(
        self,
        text: str,
        channel: str | None = None,
        *,
        thread_ts: str | None = None,
        wait: Literal[False],
        seconds: float = PATIENCE,
    ) -> None: ...

    async def command(
        self,
        text: str,
        channel: str | None = None,
        *,
        thread_ts: str | None = None,
        wait: bool = True,
        seconds: float = PATIENCE,
    ) -> Message | None:
        """Type a command; return the first answer that they see, from the app or from Slack itself.

        The command shown to the channel isn't an answer. Without `wait`, this returns None as soon
        as the command is acknowledged or has failed.
        """
        place = self._write_in(channel)
        before = {message.ts for message in self._screen.messages(place.id)}
        await self._interactions.command(self.user, place, text, thread_ts)
        if not wait:
            return None

        def answer() -> Message | None:
            for message in self._screen.messages(place.id):
                if message.ts not in before and message.kind != "command":
                    return message
            return None

        await self._state.log.until(lambda: answer() is not None, seconds)
        message = answer()
        if message is None:
            raise NotSeen(self._report(f"no answer to {text!r} for {self.user.name}", place))
        return message

    def say(
        self, text: str, channel: str | None = None, *, under: Message | None = None
    ) -> Message:
        """Write an ordinary message, or a reply under one."""
        place = self._write_in(channel or (under.channel if under else None))
        return self._state.post(
            Message(
                channel=place.id,
                ts=self._state.new_ts(),
                user=self._id,
                text=text,
                thread_ts=(under.thread_ts or under.ts) if under else None,
            )
        )

    def delete(self, message: Message) -> None:
        """Delete one of their own messages."""
        delete(self._state, message)

    async def shortcut(self, name: str, message: Message) -> None:
        """Use a message shortcut; returns once Slack has the app's acknowledgement."""
        self._enter(message.channel)
        if message.is_ephemeral:
            raise NotSeen("Slack offers no shortcuts on a message that only one person sees")
        found = (each for each in self._state.app.shortcuts if each.name == name)
        await self._interactions.shortcut(self.user, message, next(found).callback_id)

    async def click(
        self,
        words: str,
        *,
        channel: str | None = None,
        in_message: Message | None = None,
        confirm: bool = True,
    ) -> None:
        """Press the newest button with these words, in the top modal if one is open.

        In the Home tab, if they look at it and no channel is named, the first one with these words.

        If it asks for confirmation, the dialog is kept as `dialog`; with `confirm=False` the
        person declines, and nothing is sent. Returns once Slack has the app's acknowledgement, or
        gave up on it.
        """
        place, element = self._find(words, channel, in_message, _button_says)
        chosen: Json = {}
        if self._agrees(element, confirm):
            await self._act(place, element, chosen)

    async def choose(
        self,
        menu: str,
        option: str,
        *,
        channel: str | None = None,
        in_message: Message | None = None,
        confirm: bool = True,
    ) -> None:
        """Choose the option with these words in the newest menu with those.

        A menu is found by its placeholder, by the option that it shows, or as `overflow`. As in
        Slack, nothing happens if a select already shows that option.
        """
        place, element = self._find(menu, channel, in_message, self._menu_says)
        try:
            picked = choice(element, option)
        except LookupError as error:
            raise NotSeen(str(error)) from None
        chosen = {"selected_option": picked}
        if element.type == "static_select" and self._shows(place, element) == picked:
            return
        if self._agrees(element, confirm):
            await self._act(place, element, chosen)

    # The Home tab

    async def opens_home(self) -> None:
        """Open the app's Home tab, and look at it until a channel is named.

        Returns once Slack has the app's acknowledgement, or gave up on it.
        """
        self._is_at_home = True
        await self._interactions.open_home(self.user)

    @property
    def home(self) -> View | None:
        """Their Home tab, if the app has published one."""
        return self._state.home(self._id)

    def home_text(self) -> str:
        """Their Home tab as plain text; empty if there is none."""
        return self._screen.home(self.home) if self.home else ""

    async def sees_home(self, *words: str, after: View | None = None) -> View:
        """Wait until the Home tab shows all these words; with `after`, in a later version."""

        def there() -> bool:
            is_later = after is None or (self.home is not None and self.home.hash != after.hash)
            return is_later and all(word in self.home_text() for word in words)

        await self._state.log.until(there, PATIENCE)
        if not there() or self.home is None:
            raise NotSeen(f"no Home tab with {words}; there is:\n{self.home_text() or 'none'}")
        return self.home

    # Modals

    @property
    def modal(self) -> View | None:
        """The top modal, if one is open."""
        stack = self._state.views_of(self._id)
        return stack[-1] if stack else None

    def modal_text(self) -> str:
        """The top modal as plain text; empty if none is open."""
        return self._screen.view(self.modal) if self.modal else ""

    async def sees_modal(self, *words: str, seconds: float = PATIENCE) -> View:
        """Wait until the top modal shows all these words."""

        def there() -> bool:
            drawn = self.modal_text()
            return bool(drawn) and all(word in drawn for word in words)

        await self._state.log.until(there, seconds)
        if not there() or self.modal is None:
            raise NotSeen(f"no modal with {words}; there is:\n{self.modal_text() or 'none'}")
        return self.modal

    def fill(self, values: Mapping[str, Any]) -> None:
        """Type into inputs of the top modal: by label, block_id or action_id.

        For a menu the value is words of the option, for checkboxes a list of them.
        """
        view = self._modal_or_fail()
        for name, value in values.items():
            element = _input_named(view, name)
            self._state.set_input(
                view.id, self._id, (element.block_id, element.action_id), _typed(element, value)
            )

    async def submit(self, values: Mapping[str, Any] | None = None) -> None:
        """Fill in and submit the top modal. Raises `NotSeen` for what Slack itself checks."""
        self.fill(values or {})
        view = self._modal_or_fail()
        for element in missing_inputs(view, self._state):
            raise NotSeen(f"Slack asks for {element.block['label']['text']!r}")
        await self._interactions.submit(self.user, view)

    async def close_modal(self, *, everything: bool = False) -> None:
        """Close the top modal, or all of them."""
        await self._interactions.close_modal(
            self.user, self._modal_or_fail(), everything=everything
        )

    # Inside

    @property
    def _screen(self) -> Screen:
        return Screen(self._state, self.user)

    def _open(self, channel: str | None) -> Channel:
        """The channel to use; from then on it is the one that they look at."""
        name = channel or self._channel
        if name is None:
            raise LookupError("no channel was named yet")
        if name in {"bot", "im"}:
            found = self._state.direct_message(self._id)
        else:
            found = next(
                each
                for each in self._state.channels.values()
                if name.removeprefix("#") in {each.id, each.name}
            )
        self._channel = found.id
        self._is_at_home = self._is_at_home and channel is None
        return found

    def _enter(self, channel: str | None) -> Channel:
        """The channel, for a member: others have nothing to press there."""
        place = self._open(channel)
        if self._id not in place.members:
            raise NotSeen(f"{self.user.name} is not in #{place.name}")
        return place

    def _write_in(self, channel: str | None) -> Channel:
        """The same, for someone who may post there: others have only buttons, no composer."""
        place = self._enter(channel)
        if not place.may_post(self._id):
            raise NotSeen(f"{self.user.name} may not post in #{place.name}")
        return place

    def _modal_or_fail(self) -> View:
        if self.modal is None:
            raise NotSeen(f"no modal is open before {self.user.name}")
        return self.modal

    def _find(
        self,
        words: str,
        channel: str | None,
        in_message: Message | None,
        says: Says,
    ) -> tuple[Message | View, Element]:
        if self.modal is not None and in_message is None:
            for element in elements(self.modal.body["blocks"]):
                if says(self.modal, element, words):
                    return self.modal, element
            raise NotSeen(f"no {words!r} in the modal:\n{self.modal_text()}")
        if self._is_at_home and channel is None and in_message is None:
            for element in elements(self.home.body["blocks"] if self.home else []):
                if self.home is not None and says(self.home, element, words):
                    return self.home, element
            raise NotSeen(f"no {words!r} in the Home tab:\n{self.home_text()}")
        place = self._enter(in_message.channel if in_message else channel)
        for message in reversed(self._screen.messages(place.id)):
            if in_message is not None and message.ts != in_message.ts:
                continue
            for element in elements(list(message.blocks)):
                if says(message, element, words):
                    return message, element
        raise NotSeen(self._report(f"{self.user.name} sees nothing to press with {words!r}", place))

    def _menu_says(self, place: Message | View, element: Element, words: str) -> bool:
        if element.type not in {"static_select", "overflow", "radio_buttons"}:
            return False
        shown = self._shows(place, element)
        texts = [
            str(element.element.get("placeholder", {}).get("text", "")),
            str(shown["text"]["text"]) if shown else "",
            element.type,
        ]
        return any(words.casefold() in text.casefold() for text in texts)

    def _shows(self, place: Message | View, element: Element) -> Json | None:
        """The option that a select shows to this person."""
        where = place.ts if isinstance(place, Message) else place.id
        touched = self._state.inputs(where, self._id)
        value = touched.get((element.block_id, element.action_id), initial_value(element) or {})
        shown = value.get("selected_option")
        return shown if isinstance(shown, dict) else None

    def _agrees(self, element: Element, confirm: bool) -> bool:
        """Show the element's confirm dialog, if it has one, and answer it."""
        asked = element.element.get("confirm")
        if asked is None:
            return True
        self.dialog = Dialog(
            user=self._id,
            title=asked["title"]["text"],
            text=self._screen.mrkdwn(asked["text"]["text"])
            if asked["text"]["type"] == "mrkdwn"
            else asked["text"]["text"],
            confirm=asked.get("confirm", {}).get("text", "Yes"),
            deny=asked.get("deny", {}).get("text", "Cancel"),
            style=asked.get("style"),
            accepted=confirm,
        )
        self._state.log.append("dialog_shown", self.dialog)
        return confirm

    async def _act(self, place: Message | View, element: Element, chosen: Json) -> None:
        if isinstance(place, Message):
            await self._interactions.click_in_message(self.user, place, element, chosen)
        else:
            await self._interactions.click_in_view(self.user, place, element, chosen)

    def _report(self, what: str, place: Channel) -> str:
        drawn = self._screen.channel(place.id) or "nothing"
        return f"{what}; in #{place.name} they see:\n{drawn}"


def _button_says(place: Message | View, element: Element, words: str) -> bool:
    del place
    return element.type == "button" and words in element.element["text"]["text"]


def _input_named(view: View, name: str) -> Element:
    for element in elements(view.body["blocks"]):
        label = element.block.get("label", {}).get("text", "")
        if name in {element.block_id, element.action_id, label}:
            return element
    raise NotSeen(f"no input {name!r} in the modal")


def _typed(element: Element, value: Any) -> Json:  # noqa: ANN401 - what a test types
    match element.type:
        case "static_select" | "radio_buttons" | "external_select":
            return {"type": element.type, "selected_option": choice(element, str(value))}
        case "checkboxes" | "multi_static_select":
            return {
                "type": element.type,
                "selected_options": [choice(element, str(each)) for each in value],
            }
        case "users_select":
            return {"type": element.type, "selected_user": value}
        case "conversations_select":
            return {"type": element.type, "selected_conversation": value}
        case "channels_select":
            return {"type": element.type, "selected_channel": value}
        case "datepicker":
            return {"type": element.type, "selected_date": value}
        case "timepicker":
            return {"type": element.type, "selected_time": value}
        case _:
            return {"type": element.type, "value": value}
