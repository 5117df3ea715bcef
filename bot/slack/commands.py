"""`/pg-sessions` and `/pg-kill`: authorize, parse, and only then acknowledge.

The acknowledgement of a valid public request shows the typed command to the channel;
everything else is answered to the one who typed it, by the acknowledgement itself.
"""

from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.grammar import (
    KILL,
    SESSIONS,
    HelpRequest,
    HistoryRequest,
    KillRequest,
    SessionsRequest,
    parse_kill,
    parse_sessions,
)
from bot.policy import Right, require_narrow
from bot.slack import answers, payloads
from bot.slack.desk import Desk
from bot.slack.gate import Denied
from bot.slack.payloads import Command
from bot.slack.views import help as help_view
from bot.slack.views.message import Message


def register(app: AsyncApp, desk: Desk) -> None:
    """Give the app the two commands."""

    @app.command(SESSIONS)
    async def pg_sessions(ack: AsyncAck, body: dict[str, Any]) -> None:
        command = payloads.command(body)

        async def listen() -> None:
            await _sessions(desk, ack, command)

        if (trouble := await desk.acknowledged(command, listen)) is not None:
            await _alone(ack, trouble)

    @app.command(KILL)
    async def pg_kill(ack: AsyncAck, body: dict[str, Any]) -> None:
        command = payloads.command(body)

        async def listen() -> None:
            await _kill(desk, ack, command)

        if (trouble := await desk.acknowledged(command, listen)) is not None:
            await _alone(ack, trouble)


async def _sessions(desk: Desk, ack: AsyncAck, command: Command) -> None:
    admitted = await desk.gate.admit(Right.LOOK, command)
    if isinstance(admitted, Denied):
        await _alone(ack, admitted.message)
        desk.start(command, desk.record(command, admitted, command.command))
        return
    request = parse_sessions(command.text)
    match request:
        case HelpRequest():
            await _alone(ack, help_view.sessions())
        case SessionsRequest():
            public = admitted.public and not request.private
            await _seen(ack, public=public)
            work = answers.sessions(desk, command, request, admitted)
            desk.start(command, work, public=public)


async def _kill(desk: Desk, ack: AsyncAck, command: Command) -> None:
    admitted = await desk.gate.admit(Right.KILL, command)
    if isinstance(admitted, Denied):
        await _alone(ack, admitted.message)
        desk.start(command, desk.record(command, admitted, command.command))
        return
    request = parse_kill(command.text)
    match request:
        case HelpRequest():
            await _alone(ack, help_view.kill())
        case HistoryRequest():
            await ack()
            desk.start(command, answers.history(desk, command, request))
        case KillRequest():
            require_narrow(request)
            await _seen(ack, public=True)
            desk.start(command, answers.proposal(desk, command, request), public=True)


async def _seen(ack: AsyncAck, *, public: bool) -> None:
    """Acknowledge; visibly, with the typed command, where the channel may know."""
    if public:
        await ack({"response_type": "in_channel"})
    else:
        await ack()


async def _alone(ack: AsyncAck, message: Message) -> None:
    await ack({"response_type": "ephemeral", "text": message.text, "blocks": list(message.blocks)})
