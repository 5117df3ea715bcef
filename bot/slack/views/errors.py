"""What goes wrong, in a line or two, nearly always to the requester alone.

Pure. Each says what is going on, what it means, and what can be done.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal

from bot.errors import ClusterDown, ClusterError, ClusterTimeout, TargetError, UsageError
from bot.policy import Allowlist, Person, Right
from bot.slack.views import lines
from bot.slack.views.lines import Line, Quoted, code, strong, worded
from bot.slack.views.message import Message, message
from bot.slack.views.people import holders
from bot.slack.views.text import age

_ON_RECORD = "Nothing was done; the attempt is on record."
_DOING = {Right.LOOK: "look at sessions", Right.KILL: "end sessions"}


Place = Literal["direct message", "shared channel", "unknown channel", "not in ALLOWED_CHANNELS"]
"""What is wrong with a place. Of an unknown channel Slack doesn't say who shares it."""


def usage(error: UsageError, command: str = "") -> Message:
    """Which word can't be understood, and what was expected; `command` is `/pg-kill`."""
    return message([(*_fault(error.word, error.problem, error.nearest), *_help(command))])


def target_error(error: TargetError) -> Message:
    """Which name nothing answers to, and the nearest that something does."""
    return message([_fault(error.name, error.problem, error.nearest)])


def _fault(word: str, problem: str, nearest: Sequence[str]) -> Line:
    said: Line = (Quoted(word, 200, code=True), ": ") if word else ()
    said += (*worded(problem), ".")
    if not nearest:
        return said
    candidates = tuple(Quoted(name, 100, code=True) for name in nearest)
    return (*said, " Did you mean ", *lines.listed(candidates, last="or", most=5), "?")


def _help(command: str) -> Line:
    return ("   ", code(f"{command} help")) if command else ()


def refusal(
    right: Right,
    lists: Mapping[Right, Allowlist],
    *,
    group_names: Mapping[str, str] | None = None,
    asking: Person | None = None,
) -> Message:
    """Why someone may not, and who may. Only ever ephemeral: it mentions people."""
    you = f"You may not {_DOING[right]} here."
    if asking is not None and asking.is_own is None:
        return message([(f"{you} Slack did not say which workspace you are of. {_ON_RECORD}",)])
    if asking is not None and not asking.is_own:
        return message([(f"{you} It is for people of the bot's own workspace. {_ON_RECORD}",)])
    who = holders(right, lists, group_names or {})
    named: Line = ("Who may: ", *lines.listed(who)) if who else ("Nobody may",)
    return message([(f"{you} ", *named, f" ({right}). {_ON_RECORD}")])


def cluster_trouble(
    error: ClusterError,
    *,
    last_seen_ago: timedelta | None = None,
    others: Sequence[str] = (),
) -> Message:
    """Say that a server is in trouble, and how to go on; `others` are those that answer."""
    line: Line = (*strong(Quoted(error.cluster)), ": ", *worded(error.problem), ".")
    if last_seen_ago is not None:
        line += (f" Last seen {age(last_seen_ago)} ago.",)
    if isinstance(error, ClusterDown | ClusterTimeout):
        line += (" The bot goes on trying: ask again in a moment.",)
    if not others:
        return message([line])
    looks = tuple(Quoted(f"/pg-sessions {name}/", 100, code=True) for name in others)
    return message([(*line, " Other clusters are fine: ", *lines.listed(looks, most=5))])


def ledger_trouble() -> Message:
    """Say that the record can't be read or written."""
    return message(
        [
            strong("The record of kills can't be reached."),
            ("Without it nothing is signalled: nothing was done.",),
            (code("/pg-sessions"), " works without it."),
        ]
    )


def unknown(reference: str) -> Message:
    """Something that nobody expected; the log has the same reference."""
    return message(
        [
            strong("Something went wrong that the bot did not expect."),
            ("What was done, if anything: ", code("/pg-kill history"), "."),
            ("Its log says more under ", Quoted(reference, code=True), "."),
        ]
    )


def no_window(code: str) -> Message:
    """Slack did not take a modal, for the reason that its code names."""
    # A menu that shows an entry already does not send it again.
    again = "Refresh, and try once more."
    return message([("Slack did not show the window (", Quoted(code, code=True), f"). {again}")])


def for_you_alone(answer: Message, why: Place) -> Message:
    """Add to an answer why it went to the requester alone."""
    words = "for you alone: another workspace shares this channel"
    if why == "unknown channel":
        words = "for you alone: Slack does not say who shares this channel; invite the bot to it"
    return answer.noting((words,))


def wrong_place(why: Place, *, channels: Sequence[str] = ()) -> Message:
    """Where the command would be answered instead; `channels` are the ids in ALLOWED_CHANNELS."""
    return message([(*_elsewhere(why, channels), f" {_ON_RECORD}")])


def _elsewhere(why: Place, channels: Sequence[str]) -> Line:
    match why:
        case "direct message":
            return ("A kill happens where others see it: ask in a channel.",)
        case "shared channel":
            return (
                "Another workspace shares this channel: no session is ended here",
                " unless ALLOWED_CHANNELS names it.",
            )
        case "unknown channel":
            return (
                "Slack does not tell the bot whether another workspace shares this channel.",
                " Invite the bot to it and ask again.",
            )
        case "not in ALLOWED_CHANNELS":
            named = "The bot does not answer in this channel (ALLOWED_CHANNELS)."
            if not channels:
                return (named,)
            links = tuple(lines.channel(each) for each in channels)
            return (f"{named} It does in ", *lines.listed(links, last="or", most=10), ".")
