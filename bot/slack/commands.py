"""`/pg-sessions` and `/pg-kill`: authorize, parse, and only then acknowledge.

The acknowledgement of a valid public request shows the typed command to the channel;
everything else is answered to the one who typed it, by the acknowledgement itself.
"""

from dataclasses import replace
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.domain.people import Right, require_narrow
from bot.errors import UsageError
from bot.grammar.parser import parse_kill, parse_sessions
from bot.grammar.requests import (
    KILL,
    SESSIONS,
    HelpRequest,
    HistoryRequest,
    KillRequest,
    SessionsRequest,
)
from bot.slack import answers, payloads
from bot.slack.desk import Desk
from bot.slack.gate import Denied
from bot.slack.payloads import Command
from bot.slack.views import help as help_view


def register(app: AsyncApp, desk: Desk) -> None:
    """Give the app the two commands."""

    @app.command(SESSIONS)
    async def pg_sessions(ack: AsyncAck, body: dict[str, Any]) -> None:
        command = payloads.command(body)
        await desk.acknowledged(command, ack, _sessions(desk, ack, command))

    @app.command(KILL)
    async def pg_kill(ack: AsyncAck, body: dict[str, Any]) -> None:
        command = payloads.command(body)
        await desk.acknowledged(command, ack, _kill(desk, ack, command))


async def _sessions(desk: Desk, ack: AsyncAck, command: Command) -> bool:
    """Acknowledge `/pg-sessions`; whether that is the answer."""
    admitted = await desk.gate.admit(Right.LOOK, command)
    if isinstance(admitted, Denied):
        return await _denied(desk, ack, command, admitted)
    request = parse_sessions(command.text)
    match request:
        case HelpRequest():
            await desk.ack_alone(ack, help_view.sessions())
            return True
        case SessionsRequest():
            public = admitted.public and not request.private
            await _seen(ack, public=public)
            work = answers.sessions(desk, command, request, admitted)
            desk.start(command, work, public=public)
            return False


async def _kill(desk: Desk, ack: AsyncAck, command: Command) -> bool:
    """Acknowledge `/pg-kill`; whether that is the answer."""
    admitted = await desk.gate.admit(Right.KILL, command)
    if isinstance(admitted, Denied):
        return await _denied(desk, ack, command, admitted)
    request = parse_kill(command.text)
    match request:
        case HelpRequest():
            await desk.ack_alone(ack, help_view.kill())
            return True
        case HistoryRequest():
            await ack()
            desk.start(command, answers.history(desk, command, request))
            return False
        case KillRequest():
            require_narrow(request)
            await _seen(ack, public=True)
            desk.start(command, answers.proposal(desk, command, request), public=True)
            return False


async def _denied(desk: Desk, ack: AsyncAck, command: Command, denied: Denied) -> bool:
    await desk.ack_alone(ack, denied.message)
    desk.record(command, denied, _asked(command))
    return True


def _asked(command: Command) -> str:
    """The command in the grammar's own words, without its reason: what may be on record.

    Of what is no request nobody knows what it holds.
    """
    parse = parse_kill if command.command == KILL else parse_sessions
    try:
        request = parse(command.text)
    except UsageError:
        return f"{command.command} (not understood)"
    if isinstance(request, KillRequest):
        request = replace(request, reason=None)
    return f"{command.command} {request}".rstrip()


async def _seen(ack: AsyncAck, *, public: bool) -> None:
    """Acknowledge; visibly, with the typed command, where the channel may know."""
    if public:
        await ack({"response_type": "in_channel"})
    else:
        await ack()
