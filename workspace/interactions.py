"""How people's commands, clicks and modals reach the app, and what Slack shows them."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from workspace.blocks import Element, Json, elements
from workspace.delivery import Delivery, DispatchFailed, Envelope
from workspace.faults import Faults
from workspace.payloads import (
    command_payload,
    escaped,
    home_opened_payload,
    initial_value,
    message_click_payload,
    message_shortcut_payload,
    view_click_payload,
    view_closed_payload,
    view_submission_payload,
)
from workspace.responses import TROUBLE, Responses
from workspace.rules import ACKNOWLEDGE_SECONDS, Refused
from workspace.state import Channel, Message, ResponseUrl, State, User, View

Failure: TypeAlias = Literal["operation_timeout", "dispatch_failed"]


@dataclass(frozen=True, slots=True)
class Settled:
    """How an interaction ended for Slack: acknowledged, perhaps with a payload, or failed."""

    envelope: Envelope
    failure: Failure | None = None
    payload: object = None


Settle: TypeAlias = Callable[[Settled], None]


class Interactions:
    """Sends what people do, and applies the acknowledgements."""

    def __init__(self, state: State, faults: Faults, responses: Responses) -> None:
        self._state = state
        self._faults = faults
        self._responses = responses
        self._delivery: Delivery | None = None
        self._base = ""
        self._pending: set[asyncio.Task[object]] = set()

    def use(self, delivery: Delivery, base: str) -> None:
        """Set the way to the app, and the base address of response_urls."""
        self._delivery = delivery
        self._base = base

    async def close(self) -> None:
        """Give up on everything that is still on its way."""
        for task in self._pending:
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)

    # Commands

    async def command(
        self, user: User, channel: Channel, typed: str, thread_ts: str | None = None
    ) -> None:
        """Run what a person typed after a slash, and show them the result.

        If Slack doesn't know the command, Slack itself says so. It accepts no commands in a
        thread, and none from a person of another workspace.
        """
        state = self._state
        name, _, text = typed.strip().partition(" ")
        if thread_ts is not None:
            words = f"{name} is not supported in threads. Sorry!"
            self._notice(user, channel.id, words, thread_ts)
            return
        if name not in state.app.commands or user.team_id != state.team.id:
            self._notice(user, channel.id, f"{name} is not a valid command.")
            return
        url = state.new_response_url(channel.id, user.id, None)
        payload = command_payload(
            state=state,
            user=user,
            channel=channel,
            command=name,
            text=text,
            response_url=self._url(url, "commands"),
            trigger=state.new_trigger(user.id),
        )
        envelope = Envelope(type="slash_commands", payload=payload, accepts_response_payload=True)

        def settle(settled: Settled) -> None:
            failure: str | None = settled.failure
            if failure is None:
                try:
                    self._responses.to_command(
                        user, channel.id, escaped(typed.strip()), settled.payload
                    )
                except Refused:
                    failure = "invalid_command_response"
            if failure is not None:
                self._notice(user, channel.id, f'{name} failed with the error "{failure}"')

        await self._send(envelope, settle)

    # Clicks and shortcuts

    async def click_in_message(
        self, user: User, message: Message, element: Element, chosen: Json
    ) -> None:
        """Press a button or choose in a menu of a message."""
        state = self._state
        self._remember(message.ts, user.id, element, chosen)
        url = state.new_response_url(message.channel, user.id, message.ts)
        payload = message_click_payload(
            state=state,
            user=user,
            message=message,
            element=element,
            chosen=chosen,
            response_url=self._url(url, "actions"),
            trigger=state.new_trigger(user.id),
        )
        await self._send_about(message, user, payload)

    async def shortcut(self, user: User, message: Message, callback_id: str) -> None:
        """Use a message shortcut of the app's. Slack offers none on an ephemeral message."""
        state = self._state
        url = state.new_response_url(message.channel, user.id, None)
        payload = message_shortcut_payload(
            state=state,
            user=user,
            message=message,
            shortcut=next(s for s in state.app.shortcuts if s.callback_id == callback_id),
            response_url=self._url(url, "app"),
            trigger=state.new_trigger(user.id),
        )
        await self._send_about(message, user, payload)

    async def click_in_view(self, user: User, view: View, element: Element, chosen: Json) -> None:
        """Press a button or choose in a menu of a modal or a Home tab."""
        state = self._state
        self._remember(view.id, user.id, element, chosen)
        payload = view_click_payload(
            state=state,
            user=user,
            view=view,
            element=element,
            chosen=chosen,
            trigger=state.new_trigger(user.id, view.id),
        )

        def settle(settled: Settled) -> None:
            if settled.failure is not None:
                self._trouble(view)

        await self._send(Envelope(type="interactive", payload=payload), settle)

    # The Home tab

    async def open_home(self, user: User) -> None:
        """Tell the app, if it has subscribed to the event. What it answers is of no matter."""
        state = self._state
        if "app_home_opened" not in state.app.events:
            return
        payload = home_opened_payload(
            state=state, user=user, channel=state.direct_message(user.id), ts=state.new_ts()
        )
        await self._send(Envelope(type="events_api", payload=payload), lambda _: None)

    # Modals

    async def submit(self, user: User, view: View) -> None:
        """Submit a modal with the inputs that the state holds."""
        payload = view_submission_payload(
            state=self._state,
            user=user,
            view=view,
            trigger=self._state.new_trigger(user.id, view.id),
            response_urls=list(self._response_urls(user, view)),
        )

        def settle(settled: Settled) -> None:
            current = self._state.view(view.id)
            if current is None:
                return
            if settled.failure is not None:
                self._trouble(current)
                return
            try:
                self._responses.to_submission(current, settled.payload)
            except Refused:
                self._trouble(current)

        await self._send(
            Envelope(type="interactive", payload=payload, accepts_response_payload=True), settle
        )

    async def close_modal(self, user: User, view: View, *, everything: bool = False) -> None:
        """Close a modal, or the whole stack; notify the app of those that asked for it."""
        stack = self._state.views_of(user.id) if everything else [view]
        for each in reversed(stack):
            payload = view_closed_payload(
                state=self._state, user=user, view=each, cleared=everything
            )
            self._state.close_view(each)
            if each.body.get("notify_on_close"):
                await self._send(Envelope(type="interactive", payload=payload), lambda _: None)

    # The way to the app and back

    async def _send_about(self, message: Message, user: User, payload: Json) -> None:
        """Send what a person did with a message; if it fails, they are told beside it."""

        def settle(settled: Settled) -> None:
            if settled.failure is not None:
                trouble = f"{TROUBLE} ({settled.failure})"
                self._notice(user, message.channel, trouble, message.thread_ts)

        await self._send(Envelope(type="interactive", payload=payload), settle)

    async def _send(self, envelope: Envelope, settle: Settle) -> None:
        self._state.log.append("interaction_sent", envelope)
        if self._faults.take_twice():
            twin = replace(envelope, id=Envelope(type=envelope.type, payload={}).id)
            self._state.log.append("interaction_sent", twin)
            self._keep(asyncio.ensure_future(self._settled(twin, settle)))
        await self._settled(envelope, settle)

    async def _settled(self, envelope: Envelope, settle: Settle) -> object:
        settled = await self._acknowledged(envelope)
        settle(settled)
        self._state.log.append("interaction_settled", settled)
        return settled

    async def _acknowledged(self, envelope: Envelope) -> Settled:
        """Wait for the acknowledgement, up to 3 s on the workspace's clock."""
        assert self._delivery is not None
        deadline = self._state.clock.now() + ACKNOWLEDGE_SECONDS
        answer = self._keep(asyncio.ensure_future(self._delivered(self._delivery, envelope)))
        alarm = self._keep(asyncio.ensure_future(self._state.clock.sleep_until(deadline)))
        await asyncio.wait({answer, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.add_done_callback(lambda task: self._late(envelope, task))
            return Settled(envelope, "operation_timeout")
        alarm.cancel()
        if isinstance(answer.exception(), DispatchFailed):
            return Settled(envelope, "dispatch_failed")
        return Settled(envelope, payload=answer.result())

    async def _delivered(self, delivery: Delivery, envelope: Envelope) -> object:
        held_back = self._faults.take_ack_delay()
        payload = await delivery.deliver(envelope)
        await self._state.clock.sleep(held_back)
        return payload

    def _late(self, envelope: Envelope, task: asyncio.Future[object]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._state.log.append("late_acknowledgement", envelope)

    def _keep(self, task: asyncio.Task[object]) -> asyncio.Task[object]:
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        return task

    def _url(self, url: ResponseUrl, kind: Literal["commands", "actions", "app"]) -> str:
        return f"{self._base}/{kind}/{self._state.team.id}/{url.secret}"

    def _response_urls(self, user: User, view: View) -> Iterator[Json]:
        """A url for each conversation that was chosen in an input which asks for one."""
        touched = self._state.inputs(view.id, user.id)
        for element in elements(view.body["blocks"]):
            if element.block["type"] != "input" or not element.element.get("response_url_enabled"):
                continue
            key = (element.block_id, element.action_id)
            value = touched.get(key, initial_value(element) or {})
            chosen = value.get("selected_conversation") or value.get("selected_channel")
            if chosen:
                url = self._state.new_response_url(chosen, user.id, None)
                yield {
                    "block_id": element.block_id,
                    "action_id": element.action_id,
                    "channel_id": chosen,
                    "response_url": self._url(url, "app"),
                }

    def _remember(self, where: str, user_id: str, element: Element, chosen: Json) -> None:
        """Remember what a menu now shows. Buttons and overflow menus have nothing to remember."""
        if initial_value(element) is not None:
            self._state.set_input(
                where,
                user_id,
                (element.block_id, element.action_id),
                {"type": element.type, **chosen},
            )

    def _trouble(self, view: View) -> None:
        current = self._state.view(view.id)
        if current is not None:
            self._state.show_errors(current, {"": TROUBLE})

    def _notice(self, user: User, channel_id: str, text: str, thread_ts: str | None = None) -> None:
        self._state.post(
            Message(
                channel=channel_id,
                ts=self._state.new_ts(),
                user="USLACKBOT",
                text=text,
                thread_ts=thread_ts,
                receiver=user.id,
                kind="notice",
            )
        )
