"""What goes wrong, in a line or two, nearly always to the requester alone.

Pure. Each says what is going on, what it means, and what can be done.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum

from bot.domain.people import Allowlist, Home, Person, Right
from bot.errors import ClusterDown, ClusterError, ClusterTimeout, TargetError, UsageError
from bot.slack.views import lines
from bot.slack.views.lines import Line, Quoted, code, strong, worded
from bot.slack.views.message import Message, message
from bot.slack.views.people import holders
from bot.slack.views.text import age

_ON_RECORD = "Nothing was done; the attempt is on record."
_DOING = {Right.LOOK: "look at sessions", Right.KILL: "end sessions"}


class Obstacle(StrEnum):
    """What keeps an answer or a kill out of a place. The values stand in the record."""

    DIRECT = "direct message"  # of two, or of a group
    SHARED = "shared channel"  # another workspace reads it
    NOT_SEEN = "unknown channel"  # Slack shows it only to its members
    NO_SCOPE = "no scope to ask about the channel"
    NOT_TOLD = "Slack did not say who shares the channel"
    NOT_ALLOWED = "not in ALLOWED_CHANNELS"


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
    if asking is not None and (unsaid := _unsaid(asking, everyone=lists[right].everyone)):
        return message([(f"{you} {unsaid}",), (*_ASK_AGAIN, f" {_ON_RECORD}")])
    if asking is not None and asking.home is Home.ELSEWHERE:
        return message([(f"{you} Only people of the bot's own workspace may. {_ON_RECORD}",)])
    who = holders(right, lists, group_names or {})
    named: Line = ("Who may: ", *lines.listed(who)) if who else ("Nobody may",)
    return message([(f"{you} ", *named, f" ({right}). {_ON_RECORD}")])


_ASK_AGAIN: Line = (
    "Try again in a moment. If that doesn't help, whoever runs the bot can find out why: ",
    code("python -m bot check"),
    ".",
)


def _unsaid(asking: Person, *, everyone: bool) -> str:
    """What Slack should have said of somebody who might be let in then; empty: it said all."""
    if asking.home is None:
        return (
            "Slack did not say who you are, and the bot answers only people whom it can identify."
        )
    if everyone and asking.home is Home.WORKSPACE and asking.is_guest is None:
        return "Slack did not say whether you are a guest, and a guest must be on the list by name."
    return ""


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
        line += (" The bot keeps trying: ask again in a moment.",)
    if not others:
        return message([line])
    looks = tuple(Quoted(f"/pg-sessions {name}/", 100, code=True) for name in others)
    return message([(*line, " Other clusters are fine: ", *lines.listed(looks, most=5))])


def ledger_trouble() -> Message:
    """Say that the record can't be read or written."""
    return message(
        [
            strong("The record of kills can't be reached."),
            ("Nothing was done: the bot ends no session that it can't put on record.",),
            (code("/pg-sessions"), " still works."),
        ]
    )


def other_version() -> Message:
    """Say that this version of the bot must leave the record to another."""
    return message(
        [
            strong("Another version of the bot recorded this, and this one can't read it."),
            ("Nothing was done.",),
            ("If the bot is being updated, try again in a moment.",),
            ("If it isn't, tell whoever runs it that an older version is still running.",),
        ]
    )


def unknown(reference: str) -> Message:
    """Something that nobody expected; the log has the same reference."""
    return message(
        [
            strong("Something went wrong that the bot did not expect."),
            ("To see what was done, if anything: ", code("/pg-kill history"), "."),
            ("The bot's log has more under ", Quoted(reference, code=True), "."),
        ]
    )


def no_window(code: str) -> Message:
    """Slack did not take a modal, for the reason that its code names."""
    # A menu that shows an entry already does not send it again.
    again = "Refresh and try again."
    return message([("Slack did not show the window (", Quoted(code, code=True), f"). {again}")])


def not_posted(answer: Message, code: str, *, is_restricted: bool) -> Message:
    """An answer that the channel did not take, for one person, with the reason and a way on."""
    return answer.noting(
        ("only you see this: ", *_not_taken(code, is_restricted=is_restricted)),
    )


def no_preview(code: str, *, is_restricted: bool, surely: bool) -> Message:
    """Nothing can be confirmed, since the channel did not take the preview."""
    head = strong("The preview could not be posted to this channel: nothing can be confirmed here.")
    way_on = (
        "Nothing was done. Ask again in another channel."
        if surely
        else "Nothing was done. If the preview appears after all, it works; otherwise ask again"
        " in a moment."
    )
    return message([head, _not_taken(code, is_restricted=is_restricted), (way_on,)])


def _not_taken(code: str, *, is_restricted: bool) -> Line:
    if is_restricted:
        return (
            "this channel restricts who may post, and the bot may not (",
            Quoted(code, code=True),
            "). Whoever manages the channel can allow it.",
        )
    return ("Slack did not post it in the channel (", Quoted(code, code=True), ").")


def from_elsewhere(answer: Message, channel_id: str) -> Message:
    """An answer that comes as a direct message, since the channel took nothing."""
    return answer.noting(("about ", lines.channel(channel_id), ": it could not be posted there"))


_ALONE = {
    Obstacle.SHARED: "another workspace shares this channel",
    Obstacle.NOT_SEEN: "Slack doesn't say who shares this channel: invite the bot to it",
    Obstacle.NO_SCOPE: "the bot's token lacks the scope to see who shares this channel",
    Obstacle.NOT_TOLD: "Slack did not say just now who shares this channel",
}


def for_you_alone(answer: Message, why: Obstacle) -> Message:
    """Add to an answer why it went only to the person who asked; a direct message needs no why."""
    return answer.noting((f"only you see this: {_ALONE[why]}",)) if why in _ALONE else answer


def wrong_place(why: Obstacle, *, channels: Sequence[str] = ()) -> Message:
    """Where the command would be answered instead; `channels` are the ids in ALLOWED_CHANNELS."""
    return message([(*_elsewhere(why, channels), f" {_ON_RECORD}")])


def _elsewhere(why: Obstacle, channels: Sequence[str]) -> Line:
    match why:
        case Obstacle.DIRECT:
            return ("A kill happens only where others can see it: ask in a channel.",)
        case Obstacle.SHARED:
            return (
                "Another workspace shares this channel: the bot ends no session here",
                " unless ALLOWED_CHANNELS names it.",
            )
        case Obstacle.NOT_SEEN:
            return (
                "Slack does not tell the bot whether another workspace shares this channel.",
                " Invite the bot to it and ask again.",
            )
        case Obstacle.NO_SCOPE:
            return (
                "The bot's token may not ask Slack whether another workspace shares this channel.",
                " Whoever runs the bot can see which scope is missing: ",
                code("python -m bot check"),
                ".",
            )
        case Obstacle.NOT_TOLD:
            return (
                "Slack did not say just now whether another workspace shares this channel.",
                " Until it does, the bot ends no session here. Try again in a moment,",
                " or ask in a channel that ALLOWED_CHANNELS names.",
            )
        case Obstacle.NOT_ALLOWED:
            named = "The bot does not answer in this channel (ALLOWED_CHANNELS)."
            if not channels:
                return (named,)
            links = tuple(lines.channel(each) for each in channels)
            return (f"{named} It answers in ", *lines.listed(links, last="or", most=10), ".")
