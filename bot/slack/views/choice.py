"""The answer if several clusters have what was named, for both commands.

Pure.
"""

from collections.abc import Sequence

from bot.errors import ClusterError
from bot.grammar.requests import KillRequest, SessionsRequest, Target
from bot.operations.results import Choice
from bot.slack.buttons import ActionId, PageOf, seal
from bot.slack.views import blocks
from bot.slack.views.blocks import Block
from bot.slack.views.cluster import introduction
from bot.slack.views.lines import Line, Quoted, strong, worded
from bot.slack.views.message import Message, message
from bot.slack.views.text import count

_DESCRIBED = 10


def choice(answer: Choice) -> Message:
    """Several clusters have what was named: a button for each."""
    requests: Sequence[SessionsRequest | KillRequest] = answer.requests
    is_kill = any(isinstance(request, KillRequest) for request in requests)
    which = "Which one do you mean?" if len(requests) > 1 else "Is this the one you mean?"
    made = (_choose(at, request) for at, request in enumerate(requests[: blocks.BUTTONS]))
    buttons = [button for button in made if button is not None]
    left_out = len(requests) - len(buttons)
    return message(
        [
            strong(Quoted(answer.what), _found(answer.what, requests)),
            *(_described(answer, request) for request in requests[:_DESCRIBED]),
            *map(_no_answer, answer.troubles[:5]),
            (f"{which} Nothing ends until someone confirms." if is_kill else which,),
        ],
        blocks.actions(buttons),
        blocks.foot((f"{left_out} without a button: type the command with the cluster's name",))
        if left_out
        else None,
    )


def _found(what: str, requests: Sequence[SessionsRequest | KillRequest]) -> str:
    if [each.target for each in requests] == [Target(what)]:
        return " is a cluster; no database with that name was found"
    return f": found on {count(len({each.target.cluster for each in requests}), 'cluster')}"


def _described(answer: Choice, request: SessionsRequest | KillRequest) -> Line:
    about = answer.about.get(request.target.cluster or "")
    label: Line = (Quoted(_label(request), 130),)
    return label if about is None else (*label, " · ", *introduction(about))


def _no_answer(trouble: ClusterError) -> Line:
    return ("No answer from ", Quoted(trouble.cluster), ": ", *worded(trouble.problem))


def _label(request: SessionsRequest | KillRequest) -> str:
    return f"{request.target.cluster or ''}/{request.target.database or ''}"


def _choose(at: int, request: SessionsRequest | KillRequest) -> Block | None:
    if isinstance(request, KillRequest):
        action, value = ActionId.KILL_CHOOSE, seal(str(request))
    else:
        action, value = ActionId.SESSIONS_CHOOSE, PageOf(str(request)).encode()
    if not blocks.fits_button(value):
        return None
    label = _label(request)
    return blocks.button(label, action.numbered(at), value, spoken=label)
