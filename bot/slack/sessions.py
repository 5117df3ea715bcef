"""`/pg-sessions`: all that it can ask for, and the buttons that ask for it."""

from functools import partial
from typing import assert_never

from slack_bolt.async_app import AsyncAck

from bot.domain.people import Right
from bot.errors import UsageError
from bot.grammar.parser import parse_sessions, read_sessions
from bot.grammar.requests import (
    Askable,
    GroupsRequest,
    HelpRequest,
    HorizonRequest,
    PastRequest,
    SessionsRequest,
    TreeRequest,
    WhyRequest,
)
from bot.grammar.watching import WatchRequest
from bot.operations.results import Choice, Overview, Sessions
from bot.slack import boards
from bot.slack.authorization import Admitted
from bot.slack.buttons import PageOf, decoded, unseal
from bot.slack.payloads import Click, Command
from bot.slack.runner import Runner, is_alone
from bot.slack.views import groups as groups_view
from bot.slack.views import help as help_view
from bot.slack.views import horizon as horizon_view
from bot.slack.views import overview as overview_view
from bot.slack.views import past as past_view
from bot.slack.views import sessions as sessions_view
from bot.slack.views import tree as tree_view
from bot.slack.views import why as why_view
from bot.slack.views.choice import choice
from bot.slack.views.message import Message
from bot.slack.views.session_table import page_size


async def command(runner: Runner, ack: AsyncAck, command: Command, admitted: Admitted) -> bool:
    """Acknowledge `/pg-sessions`; return whether that was the answer."""
    request = parse_sessions(command.text)
    if isinstance(request, HelpRequest):
        await runner.ack_alone(ack, help_view.sessions())
        return True
    if request.target.cluster is not None:
        runner.require(admitted, Right.LOOK, request.target.cluster)
    if isinstance(request, WatchRequest) and await boards.refused(runner, ack, command, admitted):
        return True
    public = admitted.public and not request.private
    await runner.ack_seen(ack, public=public)
    if isinstance(request, WatchRequest):
        work = boards.answer(runner, command, request, admitted)
    else:
        work = _answer(runner, command, request, admitted)
    runner.start(command, work, public=public)
    return False


async def show(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Answer what a button asks for, as a message of its own."""
    await _answer(runner, click, _request(click), admitted)


async def refresh(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Ask again, and redraw the answer in place."""
    redrawn = not is_alone(click, admitted)
    message = await _drawn(runner, click, _request(click), admitted, redrawn=redrawn)
    await runner.redraw(click, message, admitted)


async def page(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Refresh, Previous, Next, or a chosen cluster: redraw the message."""
    wanted = decoded(PageOf.decode, click.value)
    request = read_sessions(wanted.text)
    if not isinstance(request, SessionsRequest):
        raise UsageError(wanted.text, "not a sessions request")
    redrawn = not is_alone(click, admitted)
    message = await _looked(runner, click, request, admitted, offset=wanted.offset, redrawn=redrawn)
    await runner.redraw(click, message, admitted)


def _request(click: Click) -> Askable | PastRequest:
    request = read_sessions(unseal(click.value))
    if isinstance(request, WatchRequest | HelpRequest):
        raise UsageError(click.value, "not something to answer")
    return request


async def _answer(
    runner: Runner,
    asked: Command | Click,
    request: Askable | PastRequest,
    admitted: Admitted,
) -> None:
    """Answer in the channel, or only to the person who asked."""
    message = await _drawn(runner, asked, request, admitted)
    await runner.answer(asked, message, admitted, private=request.private)


async def _drawn(
    runner: Runner,
    asked: Command | Click,
    request: Askable | PastRequest,
    admitted: Admitted,
    *,
    redrawn: bool = False,
) -> Message:
    """The answer to a request, drawn for what the person may do.

    A person who may only look gets nothing to end sessions with, and one who may only cancel gets
    no Terminate. A message `redrawn` in the channel keeps its menu, whoever pressed Refresh: others
    may need it.
    """
    if isinstance(request, SessionsRequest):
        return await _looked(runner, asked, request, admitted, redrawn=redrawn)
    operations = runner.within(admitted)
    offered = partial(runner.offered, admitted, redrawn=redrawn)
    actor, channel, reference = asked.actor, asked.channel_id, asked.reference
    match request:
        case GroupsRequest():
            grouped = await operations.groups(actor, channel, request, reference=reference)
            return groups_view.groups(grouped)
        case WhyRequest():
            diagnosed = await operations.why(actor, channel, request, reference=reference)
            return why_view.why(diagnosed, offered)
        case HorizonRequest():
            horizon = await operations.horizon(actor, channel, request, reference=reference)
            return horizon_view.horizon(horizon, offered)
        case TreeRequest(target):
            tree = await operations.tree(actor, channel, target.cluster, reference=reference)
            return tree_view.tree(tree, offered(tree.look.server.cluster))
        case PastRequest():
            past = await operations.past(actor, channel, request, reference=reference)
            return past_view.past(past)
        case _:
            assert_never(request)


async def _looked(  # noqa: PLR0913  keyword-only, each with its own meaning
    runner: Runner,
    asked: Command | Click,
    request: SessionsRequest,
    admitted: Admitted,
    *,
    offset: int = 0,
    redrawn: bool = False,
) -> Message:
    """A page of a look, drawn as `_drawn` says."""
    answer = await runner.within(admitted).look(
        asked.actor,
        asked.channel_id,
        request,
        offset=offset,
        alone=is_alone(asked, admitted, private=request.private),
        afresh=isinstance(asked, Click),
        page_size=page_size(request),
        reference=asked.reference,
    )
    match answer:
        case Sessions():
            action = runner.offered(admitted, answer.cluster, redrawn=redrawn)
            return sessions_view.sessions(answer, action)
        case Overview():
            return overview_view.overview(answer)
        case Choice():
            return choice(answer)
