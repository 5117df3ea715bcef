"""Error messages of a line or two, nearly always only for the person who asked.

Pure. Each says what is going on, what it means, and what to do.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum

from bot.domain.people import Home, Person, Right, Rights
from bot.errors import (
    ClusterDown,
    ClusterError,
    ClusterTimeout,
    NoSample,
    TargetError,
    UsageError,
)
from bot.slack.views import lines
from bot.slack.views.lines import Line, Quoted, code, strong, worded
from bot.slack.views.message import Message, message
from bot.slack.views.people import named
from bot.slack.views.text import age, capital

_ON_RECORD = "Nothing was done; the attempt is on record."
_DOING = {
    Right.LOOK: "look at sessions",
    Right.CANCEL: "cancel queries",
    Right.KILL: "end sessions",
}


class Obstacle(StrEnum):
    """Why a place gets no answer or kill. The ledger stores these values."""

    DIRECT = "direct message"  # with one person, or in a group
    SHARED = "shared channel"  # another workspace reads it
    NOT_SEEN = "unknown channel"  # Slack shows it only to its members
    NO_SCOPE = "no scope to ask about the channel"
    NOT_TOLD = "Slack did not say who shares the channel"
    NOT_ALLOWED = "not in ALLOWED_CHANNELS"


def usage(error: UsageError, command: str = "") -> Message:
    """Which word can't be understood, and what was expected; `command` is e.g. `/pg-kill`."""
    return message([(*_fault(error.word, error.problem, error.nearest), *_help(command))])


def usage_in_words(error: UsageError) -> str:
    """The same for a modal, which shows it under its field."""
    return lines.words(_fault(error.word, error.problem, error.nearest))


def target_error(error: TargetError) -> Message:
    """Which name doesn't exist, and the nearest that does."""
    return message([_fault(error.name, error.problem, error.nearest)])


def _fault(word: str, problem: str, nearest: Sequence[str]) -> Line:
    said: Line = (Quoted(word, 200, code=True), ": ") if word else ()
    said += (*worded(problem if word else capital(problem)), ".")
    if not nearest:
        return said
    candidates = tuple(Quoted(name, 100, code=True) for name in nearest)
    return (*said, " Did you mean ", *lines.listed(candidates, last="or", most=5), "?")


def _help(command: str) -> Line:
    return ("   ", code(f"{command} help")) if command else ()


def refusal(
    right: Right,
    rights: Rights,
    cluster: str | None = None,
    *,
    group_names: Mapping[str, str] | None = None,
    asking: Person | None = None,
) -> Message:
    """Why someone may not on a cluster, or on any, and who may.

    Only ever ephemeral: it mentions people.
    """
    asked = rights.asked(right, cluster)
    what = " or ".join(_DOING[each] for each in asked)
    is_plain = cluster is None or len(rights.clusters) == 1
    where: Line = ("here",) if is_plain else ("on ", Quoted(cluster or ""))
    you: Line = (f"You may not {what} ", *where, ". ")
    places = rights.clusters if cluster is None else (cluster,)
    everyone = any(one.everyone for place in places for one in rights.granting(right, place))
    if asking is not None and (unsaid := _unsaid(asking, everyone=everyone)):
        return message([(*you, unsaid), (*_ASK_AGAIN, f" {_ON_RECORD}")])
    if asking is not None and asking.home is Home.ELSEWHERE:
        return message([(*you, f"Only people of the bot's own workspace may. {_ON_RECORD}")])
    line = you
    for each in asked:
        lists = rights.granting(each, cluster)
        if len(asked) > 1:  # who holds the other is told with it
            lists = lists[:1]
        who = named(lists, group_names or {})
        may = "may" if len(asked) == 1 else f"may {_DOING[each]}"
        line += (f"Who {may}: ", *lines.listed(who)) if who else (f"Nobody {may}",)
        line += (f" ({_setting(rights, each, cluster)}). ",)
    return message([(*line, _ON_RECORD)])


def _setting(rights: Rights, right: Right, cluster: str | None) -> str:
    """Which list would have to hold them; a cluster that they don't know of is not named."""
    if cluster is None and rights.varies(right):
        return f"{right}, or {right}_<NAME> for one cluster"
    return rights.setting(right, cluster)


_ASK_AGAIN: Line = (
    "Try again in a moment. If that doesn't help, whoever runs the bot can find out why: ",
    code("python -m bot check"),
    ".",
)


def _unsaid(asking: Person, *, everyone: bool) -> str:
    """What Slack should have said about a person who might then be admitted; empty if nothing."""
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
    """Say that a server is in trouble, and how to go on; `others` are clusters that answer."""
    line: Line = (*strong(Quoted(error.cluster)), ": ", *worded(error.problem), ".")
    if isinstance(error, NoSample):
        return message([line])
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
    """Say that another version of the bot must handle this record."""
    return message(
        [
            strong("Another version of the bot recorded this, and this one can't read it."),
            ("Nothing was done.",),
            ("If the bot is being updated, try again in a moment.",),
            ("If it isn't, tell whoever runs it that an older version is still running.",),
        ]
    )


OTHER_PAGE: Line = (
    "Nothing was done: another version of the bot had drawn this page. It is new now; press again.",
)
"""For a Home tab that another version had drawn."""


def other_window() -> Message:
    """Say that another version of the bot has opened this modal."""
    return message(
        [
            strong("Another version of the bot opened this window, and this one can't read it."),
            ("Nothing was done. Close it, and open it again.",),
        ]
    )


def unknown(reference: str) -> Message:
    """An unexpected error; the log has the same reference."""
    return message(
        [
            strong("Something went wrong that the bot did not expect."),
            ("To see what was done, if anything: ", code("/pg-kill history"), "."),
            ("The bot's log has more under ", Quoted(reference, code=True), "."),
        ]
    )


def no_window(code: str, again: str = "Refresh and try again.") -> Message:
    """Slack did not accept a modal, for the reason in its code; `again` is how to try again."""
    # A menu doesn't send an entry again that it already shows.
    return message([("Slack did not show the window (", Quoted(code, code=True), f"). {again}")])


def not_posted(answer: Message, code: str, *, is_restricted: bool) -> Message:
    """An answer that the channel did not accept, for one person, with the reason and a way on."""
    return answer.noting(("only you see this. ", *_not_taken(code, is_restricted=is_restricted)))


def not_in_thread() -> Message:
    """The answer is in the channel, because its thread took no reply."""
    head = strong("The answer is in the channel, not in the thread.")
    return message([head, ("The thread's first message is gone, or takes no replies.",)])


def no_preview(code: str, *, is_restricted: bool, surely: bool) -> Message:
    """The channel did not accept the preview, so there is nothing to confirm."""
    head = strong("The preview could not be posted to the channel: nothing can be confirmed there.")
    way_on = (
        "Nothing was done. Ask again in another channel."
        if surely
        else "Nothing was done. If the preview appears after all, it works; otherwise ask again"
        " in a moment."
    )
    return message([head, _not_taken(code, is_restricted=is_restricted), (way_on,)])


def _not_taken(code: str, *, is_restricted: bool) -> Line:
    # The code stands last: at a message's foot, Slack sets it apart from the text.
    told = "Slack did not post it in the channel"
    if is_restricted:
        told = (
            "The channel restricts who may post, and the bot may not. Whoever manages the channel"
            " can allow it"
        )
    return (f"{told}: ", Quoted(code, code=True))


def from_elsewhere(answer: Message, channel_id: str) -> Message:
    """An answer sent as a direct message: the channel accepted nothing, or there is none."""
    if not channel_id:
        return answer
    return answer.noting(("about ", lines.channel(channel_id), ": it could not be posted there"))


ALONE = {
    Obstacle.DIRECT: "this is a direct message",
    Obstacle.SHARED: "another workspace shares this channel",
    Obstacle.NOT_SEEN: "Slack doesn't say who shares this channel; invite the bot to it",
    Obstacle.NO_SCOPE: "the bot's token lacks the scope to see who shares this channel",
    Obstacle.NOT_TOLD: "Slack did not say just now who shares this channel",
}
"""Why only the person who asked sees an answer."""


def for_you_alone(answer: Message, why: Obstacle) -> Message:
    """Add to an answer why only the person who asked sees it; not needed in a direct message."""
    if why is Obstacle.DIRECT or why not in ALONE:
        return answer
    return answer.noting((f"only you see this: {ALONE[why]}",))


def wrong_place(why: Obstacle, *, channels: Sequence[str] = ()) -> Message:
    """Where the command works instead; `channels` are the ids in ALLOWED_CHANNELS."""
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
