"""What goes wrong, in a line or two, nearly always to the requester alone.

Pure. Each says what is going on, what it means, and what can be done.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum

from bot.errors import ClusterError, TargetError, UsageError
from bot.policy import Allowlist, Person, Right
from bot.slack.views import lines
from bot.slack.views.lines import Line, Part, Quoted, code, person, strong, worded
from bot.slack.views.message import Message, message
from bot.slack.views.text import age

_ON_RECORD = "Nothing was done; the attempt is on record."
_DOING = {Right.LOOK: "look at sessions", Right.KILL: "end sessions"}


class WrongPlace(StrEnum):
    """Why a command can't be answered where it was typed."""

    DIRECT_MESSAGE = "direct message"
    SHARED = "shared with another workspace"
    UNKNOWN = "Slack does not say whether it is shared"
    NOT_ALLOWED = "not in ALLOWED_CHANNELS"


def usage(error: UsageError, command: str) -> Message:
    """Which word can't be understood, and what was expected; `command` is `/pg-kill`."""
    return message([(*_fault(error.word, error.problem, error.nearest), "   ", *_help(command))])


def target_error(error: TargetError, command: str) -> Message:
    """Which name nothing answers to, and the nearest that something does."""
    return message([(*_fault(error.name, error.problem, error.nearest), "   ", *_help(command))])


def _fault(word: str, problem: str, nearest: Sequence[str]) -> Line:
    said: Line = (Quoted(word, 200, code=True), ": ") if word else ()
    said += (*worded(problem), ".")
    if not nearest:
        return said
    candidates = tuple(Quoted(name, 100, code=True) for name in nearest)
    return (*said, " Did you mean ", *lines.listed(candidates, last="or", most=5), "?")


def _help(command: str) -> Line:
    return (code(f"{command} help"),)


def allowed(
    right: Right, lists: Mapping[Right, Allowlist], group_names: Mapping[str, str]
) -> tuple[str, ...]:
    """Who holds a right: users by their ids, groups by name (`@oncall`) where it is known.

    A user's id is to be shown as a mention only where nobody is notified or all are meant.
    """
    granting = [lists[right]] if right is Right.KILL else [lists[Right.LOOK], lists[Right.KILL]]
    users = sorted({user for each in granting for user in each.users})
    groups = sorted({group for each in granting for group in each.groups})
    named = (f"@{group_names[group]}" if group in group_names else group for group in groups)
    everyone = any(each.everyone for each in granting)
    return (*users, *named, *(["everyone of this workspace but guests"] if everyone else []))


def refusal(
    right: Right,
    asking: Person,
    lists: Mapping[Right, Allowlist],
    group_names: Mapping[str, str] | None = None,
) -> Message:
    """Why someone may not, and who may. Only ever ephemeral: it mentions people."""
    you = f"You may not {_DOING[right]} here."
    if asking.is_own is None:
        return message([(f"{you} Slack did not say which workspace you are of. {_ON_RECORD}",)])
    if not asking.is_own:
        return message([(f"{you} It is for people of the bot's own workspace. {_ON_RECORD}",)])
    who = tuple(person(name) for name in allowed(right, lists, group_names or {}))
    named: Line = ("Nobody may",) if not who else ("Who may: ", *lines.listed(who))
    return message([(f"{you} ", *named, f" ({right}). {_ON_RECORD}")])


def cluster_trouble(
    error: ClusterError,
    *,
    last_seen_ago: timedelta | None = None,
    others: Sequence[str] = (),
) -> Message:
    """Say that a server is in trouble; `others` are the clusters that answer."""
    line: Line = (*strong(Quoted(error.cluster)), ": ", *worded(error.problem), ".")
    if last_seen_ago is not None:
        line += (f" Last seen {age(last_seen_ago)} ago.",)
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


def for_you_alone(answer: Message, why: WrongPlace) -> Message:
    """Add to an answer why it went to the requester alone."""
    if why is WrongPlace.SHARED:
        return answer.noting(("for you alone: another workspace shares this channel",))
    hint = "invite the bot to answer in the channel"
    return answer.noting((f"for you alone: Slack does not say who shares this channel; {hint}",))


def wrong_place(why: WrongPlace, *, channels: Sequence[str] = ()) -> Message:
    """Where the command would be answered instead; `channels` are the ids in ALLOWED_CHANNELS."""
    return message([_elsewhere(why, channels)])


def _elsewhere(why: WrongPlace, channels: Sequence[str]) -> Line:
    match why:
        case WrongPlace.DIRECT_MESSAGE:
            return ("A kill happens where others see it: ask in a channel. Nothing was done.",)
        case WrongPlace.SHARED:
            return (
                "This channel is shared with another workspace.",
                " No session is ended here unless ALLOWED_CHANNELS names it. Nothing was done.",
            )
        case WrongPlace.UNKNOWN:
            return (
                "Slack does not tell the bot whether another workspace shares this channel.",
                " Invite the bot to it and ask again. Nothing was done.",
            )
        case WrongPlace.NOT_ALLOWED:
            links: tuple[Part, ...] = tuple(lines.channel(each) for each in channels)
            where: Line = (" Where it is: ", *lines.listed(links, most=10), ".") if links else ()
            return (
                "This channel is not one of ALLOWED_CHANNELS.",
                *where,
                " Nothing was done.",
            )
