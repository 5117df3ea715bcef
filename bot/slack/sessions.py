"""`/pg-sessions`, and the buttons under its answer."""

from dataclasses import replace

from slack_bolt.async_app import AsyncAck

from bot.domain.people import Right
from bot.errors import UsageError
from bot.grammar.parser import parse_sessions, read_sessions
from bot.grammar.requests import HelpRequest, SessionsRequest
from bot.operations.results import Choice, Overview, Sessions
from bot.slack.authorization import Admitted
from bot.slack.buttons import PageOf, decoded
from bot.slack.payloads import Click, Command
from bot.slack.runner import Runner
from bot.slack.views import help as help_view
from bot.slack.views import overview as overview_view
from bot.slack.views import sessions as sessions_view
from bot.slack.views.choice import choice
from bot.slack.views.message import Message


async def command(runner: Runner, ack: AsyncAck, command: Command, admitted: Admitted) -> bool:
    """Acknowledge `/pg-sessions`; whether that is the answer."""
    request = parse_sessions(command.text)
    match request:
        case HelpRequest():
            await runner.ack_alone(ack, help_view.sessions())
            return True
        case SessionsRequest():
            public = admitted.public and not request.private
            await runner.ack_seen(ack, public=public)
            work = answer(runner, command, request, admitted)
            runner.start(command, work, public=public)
            return False


async def answer(
    runner: Runner, command: Command, request: SessionsRequest, admitted: Admitted
) -> None:
    """Answer `/pg-sessions`, in the channel or to the requester alone."""
    public = admitted.public and not request.private
    message = await looked(runner, command, request, alone=not public)
    if public:
        await runner.post(command, message)
    else:
        await runner.whisper(command, admitted.told_alone(message))


async def looked(  # noqa: PLR0913  keyword-only, each with its own meaning
    runner: Runner,
    request_from: Command | Click,
    request: SessionsRequest,
    *,
    alone: bool,
    offset: int = 0,
    redrawn: bool = False,
) -> Message:
    """A look, drawn; `alone` where the channel does not see it.

    Who may only look is offered nothing to end. What is `redrawn` in the channel keeps its
    menu, whoever pressed Refresh: others may need it.
    """
    answer = await runner.operations.look(
        request_from.actor,
        request_from.channel_id,
        request,
        offset=offset,
        alone=alone,
        page_size=sessions_view.page_size(request),
        reference=request_from.reference,
    )
    match answer:
        case Sessions():
            for_all = redrawn and not alone
            if not (for_all or await runner.authorization.may(Right.KILL, request_from.actor)):
                answer = replace(answer, endable=frozenset())
            return sessions_view.sessions(answer)
        case Overview():
            return overview_view.overview(answer)
        case Choice():
            return choice(answer)


async def page(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Refresh, Previous, Next, and the choice of a cluster: the message is drawn anew."""
    wanted = decoded(PageOf.decode, click.value)
    request = read_sessions(wanted.text)
    if not isinstance(request, SessionsRequest):
        raise UsageError(wanted.text, "no look")
    alone = click.ephemeral or not admitted.public
    message = await looked(runner, click, request, alone=alone, offset=wanted.offset, redrawn=True)
    if admitted.public or click.ephemeral:
        await runner.redraw(click, message)
    else:
        # The channel has come to be shared since the message was posted.
        await runner.whisper(click, admitted.told_alone(message))
