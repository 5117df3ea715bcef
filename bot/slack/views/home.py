"""The Home tab, and the modal that its buttons open. Pure.

A Home tab is one person's, and holds 100 blocks. Nothing in it ends a session: each button opens a
modal, where the person chooses the channel that gets the answer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count as counted
from typing import Any

from bot.domain.alerts import Alert
from bot.domain.boards import Board
from bot.domain.channels import Closed
from bot.domain.kills import Action, Proposal
from bot.domain.people import Grant, Home, Person, Right
from bot.grammar.requests import KILL, SESSIONS, Target
from bot.operations.results import ClusterCard
from bot.slack.buttons import ActionId, Ask
from bot.slack.views import alert, blocks, board, cluster, lines, overview, targets
from bot.slack.views import help as help_view
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, strong
from bot.slack.views.people import EVERYONE, group_named
from bot.slack.views.session_table import since_on
from bot.slack.views.shortcut import FIELD
from bot.slack.views.text import age, clock, count, used

View = dict[str, Any]

BLOCKS = 100
CLUSTERS = 28
"""How many clusters are shown, two blocks each, so that all the rest has room too."""

PREVIEWS = 8
"""How many alerts, boards and previews are shown, each in a line."""

TEXT = 2000
"""Maximum characters of a command in the modal."""

CHANNEL = "channel"
"""The modal's second input, by `block_id` and by `action_id`; the first is `FIELD`."""

_DOING = {
    Right.LOOK: "look",
    Right.CANCEL: "look, and cancel queries",
    Right.KILL: "look, cancel queries and end sessions",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """One cluster, the most that the person may do there, and the lists that say so."""

    card: ClusterCard
    right: Right
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What one person's Home tab shows.

    Attributes:
        left_out: how many clusters they may not look at.
        previews: those that wait for a click, with their permalinks, empty if one isn't known.
            None: the record can't be read.
        closed: why a channel takes no alerts, by its ID.
        alerts, boards: those that are open, and those that are drawn, likewise.
        group_names: the handles of user groups, by id.
        notice: what just went wrong.
    """

    standings: Sequence[Standing]
    left_out: int
    previews: Sequence[tuple[Proposal, str]] | None
    now: datetime
    closed: Mapping[str, Closed] = field(default_factory=dict)
    alerts: Sequence[tuple[Alert, str]] = ()
    boards: Sequence[tuple[Board, str]] = ()
    group_names: Mapping[str, str] = field(default_factory=dict)
    notice: Line = ()

    @property
    def action(self) -> Action | None:
        """The most that they may do to a session anywhere."""
        rights = {each.right for each in self.standings}
        if Right.KILL in rights:
            return Action.TERMINATE
        return Action.CANCEL if Right.CANCEL in rights else None


AskButton = Callable[[str, Ask], Iterator[Block]]


def home(contents: Contents) -> View:
    """Everything: what the bot is, the clusters, the open previews, the commands."""
    numbers = counted()

    def ask(label: str, asked: Ask) -> Iterator[Block]:
        action_id, value = ActionId.HOME_ASK.numbered(next(numbers)), asked.encode()
        if blocks.fits_button(value):
            spoken = f"{label}: {asked.command} {asked.text}"
            yield blocks.button(label, action_id, value, spoken=spoken.strip())

    drawn = [block for section in SECTIONS for block in section(contents, ask)]
    return _tab(drawn)


def refused(person: Person, notice: Line = ()) -> View:
    """For somebody who may look at no cluster: no cluster is named, and no other person."""
    return _tab(
        [*_notice(notice), blocks.header("pg-sessions"), blocks.paragraph(*_why_not(person))]
    )


def _why_not(person: Person) -> Iterator[Line]:
    yield ("Shows who is connected to PostgreSQL, to those who may look at it.",)
    match person.home:
        case Home.ELSEWHERE:
            yield ("You may not: only people of the bot's own workspace may.",)
        case None:
            yield ("You may not, as long as Slack doesn't tell the bot who you are.",)
        case _:
            guests = " A guest must be on a list by name." if person.is_guest else ""
            yield (f"You are on none of its lists.{guests}",)
            yield ("Whoever runs the bot can put you on one: ", lines.code(str(Right.LOOK)), ".")


def _tab(drawn: Sequence[Block]) -> View:
    return {"type": "home", "callback_id": "home", "blocks": list(drawn[:BLOCKS])}


# --- sections ------------------------------------------------------------------------


def _about(contents: Contents, ask: AskButton) -> Iterator[Block]:
    yield from _notice(contents.notice)
    yield blocks.header("pg-sessions")
    yield blocks.paragraph(
        (
            "Shows who is connected to PostgreSQL, and ends the right session for all to see: ",
            *strong("what you confirmed is what dies, and nothing else."),
        ),
        ("A button here asks where the answer should go. Nothing ends from this page.",),
    )
    made = [
        *ask("Look at sessions", Ask(SESSIONS)),
        *ask("Find what is wrong", Ask(SESSIONS, "why")),
    ]
    if contents.action is not None:
        made += ask(f"{_verb(contents.action)}…", Ask(KILL))
    made.append(blocks.button("Refresh", ActionId.HOME_REFRESH, "home"))
    yield from _row(made)


def _notice(notice: Line) -> Iterator[Block]:
    if notice:
        yield blocks.paragraph(("⚠ ", *notice))


def _clusters(contents: Contents, ask: AskButton) -> Iterator[Block]:
    yield blocks.header("Clusters")
    ordered = sorted(contents.standings, key=lambda each: overview.pain(each.card))
    for standing in ordered[:CLUSTERS]:
        yield blocks.paragraph(*_standing(standing, contents))
        yield from _row(_to_ask_there(standing, ask))
    below = [
        *(
            [f"{more} more not shown: name one in a command"]
            if (more := len(ordered) - CLUSTERS) > 0
            else []
        ),
        *(
            [f"{count(contents.left_out, 'more cluster')} that you may not look at"]
            if contents.left_out
            else []
        ),
    ]
    if below:
        yield blocks.foot((" · ".join(below),))


def _standing(standing: Standing, contents: Contents) -> Iterator[Line]:
    card, look = standing.card, standing.card.look
    if look is None:
        yield (
            *strong(Quoted(card.cluster)),
            " · ⚠ ",
            Quoted(overview.trouble(card, contents.now), 300),
        )
    else:
        server, counts = look.server, look.counts
        yield (*strong(Quoted(card.cluster)), " · ", *cluster.introduction(server))
        oldest = counts.oldest_xact
        lasting = f" · oldest transaction {age(since_on(oldest, look))}" if oldest else ""
        numbers = f"{count(counts.total, 'session')} · connections {used(server.ordinary)}"
        yield (f"{numbers} · {counts.waiting} waiting for a lock{lasting}",)
        yield from (("⚠ ", *line) for line in cluster.pressing(server))
        yield from (("⚠ ", *line) for line in cluster.unseen(server))
        if look.names.stale:
            yield ("⚠ ", cluster.stale(look.names))
    yield (f"You may {_DOING[standing.right]}: ", *_why(standing.grants, contents.group_names))


def _why(grants: Sequence[Grant], group_names: Mapping[str, str]) -> Line:
    """Which list holds them, and as whom."""
    parts = [
        (lines.code(grant.setting), " has ", *lines.listed(tuple(_as_whom(grant, group_names))))
        for grant in grants
    ]
    return lines.parted(parts, "; ")


def _as_whom(grant: Grant, group_names: Mapping[str, str]) -> Iterator[lines.Part]:
    if grant.by_name:
        yield "you by name"
    for group in grant.groups:
        yield group_named(group, group_names)
    if grant.everyone:
        yield EVERYONE


def _to_ask_there(standing: Standing, ask: AskButton) -> Iterator[Block]:
    there = str(Target(standing.card.cluster))
    yield from ask("Sessions", Ask(SESSIONS, there))
    yield from ask("What is wrong", Ask(SESSIONS, f"why {there}"))
    if standing.right is not Right.LOOK:
        action = Action.TERMINATE if standing.right is Right.KILL else Action.CANCEL
        yield from ask(f"{_verb(action)}…", Ask(KILL, there))


def _alerts(contents: Contents, _: AskButton) -> Iterator[Block]:
    no_alert = lines.strong("⚠ No alert can be posted in ")
    closed = [
        (*no_alert, lines.channel(channel_id), f": {alert.CLOSED[why]}.")
        for channel_id, why in contents.closed.items()
    ]
    told = [alert.listed(each, url) for each, url in contents.alerts]
    return _list("Alerts", [*closed, *told])


def _boards(contents: Contents, _: AskButton) -> Iterator[Block]:
    return _list("Boards", [board.listed(each, url) for each, url in contents.boards])


def _list(heading: str, listed: Sequence[Line]) -> Iterator[Block]:
    if not listed:
        return
    yield blocks.header(heading)
    yield blocks.paragraph(*listed[:PREVIEWS])
    if (more := len(listed) - PREVIEWS) > 0:
        yield blocks.foot((f"{more} more",))


def _previews(contents: Contents, _: AskButton) -> Iterator[Block]:
    yield blocks.header("Open previews")
    if contents.previews is None:
        yield blocks.paragraph(("The record of kills can't be read: try again in a moment.",))
    elif not contents.previews:
        yield blocks.paragraph(("None waits for a click.",))
    else:
        shown = [_preview(each, url) for each, url in contents.previews[:PREVIEWS]]
        yield blocks.paragraph(*shown)
        if (more := len(contents.previews) - PREVIEWS) > 0:
            yield blocks.foot((f"at least {more} more",))


def _preview(open_one: Proposal, url: str) -> Line:
    head = targets.head_of(open_one)
    return (
        *strong(*head),
        " · asked by ",
        lines.person(open_one.asked_by.user_id),
        f" · until {clock(open_one.expires_at)} · ",
        *lines.linked(open_one.channel_id, url),
    )


def _examples(contents: Contents, ask: AskButton) -> Iterator[Block]:
    yield blocks.header("Commands by example")
    for typed, does in help_view.commands(contents.action):
        command, _, text = typed.partition(" ")
        for button in ask("Ask", Ask(command, text)):
            yield blocks.example(typed, does, button)


def _foot(contents: Contents, _: AskButton) -> Iterator[Block]:
    yield blocks.foot((f"as of {clock(contents.now)} · only you see this page",))


Section = Callable[[Contents, AskButton], Iterator[Block]]

SECTIONS: tuple[Section, ...] = (_about, _alerts, _clusters, _boards, _previews, _examples, _foot)
"""From top to bottom."""


def _verb(action: Action) -> str:
    return "End a session" if action is Action.TERMINATE else "Cancel a query"


def _row(buttons: Iterable[Block]) -> Iterator[Block]:
    if (made := blocks.actions(buttons)) is not None:
        yield made


# --- the modal -----------------------------------------------------------------------


def asking(asked: Ask) -> View:
    """Ask for the rest of a command, and for the channel."""
    select: Block = {
        "type": "conversations_select",
        "action_id": CHANNEL,
        "placeholder": blocks.plain_text("Choose a channel"),
        # A way to post there, even if the bot isn't a member.
        "response_url_enabled": True,
        "filter": {"include": ["public", "private"]},
    }
    typed: Block = {
        "type": "plain_text_input",
        "action_id": FIELD,
        "max_length": TEXT,
        "placeholder": blocks.plain_text(_PLACEHOLDERS[asked.command]),
    }
    if asked.text:
        typed["initial_value"] = asked.text
    return {
        "type": "modal",
        "callback_id": ActionId.HOME_ASKED,
        "private_metadata": asked.command,
        "title": blocks.plain_text(_TITLES[asked.command]),
        "submit": blocks.plain_text("Preview" if asked.command == KILL else "Ask"),
        "close": blocks.plain_text("Close"),
        "blocks": [
            {
                "type": "input",
                "block_id": FIELD,
                "optional": asked.command == SESSIONS,
                "label": blocks.plain_text(asked.command),
                "hint": blocks.plain_text(_HINTS[asked.command]),
                "element": typed,
            },
            {
                "type": "input",
                "block_id": CHANNEL,
                "label": blocks.plain_text("Where the answer goes"),
                "hint": blocks.plain_text(
                    "A channel that you are in. Everyone there can read the answer."
                ),
                "element": select,
            },
        ],
    }


_TITLES = {SESSIONS: "Look at sessions", KILL: "Preview a kill"}
_PLACEHOLDERS = {SESSIONS: "some_db state=idle_tx", KILL: "user=some_user -- why it must end"}
_HINTS = {
    SESSIONS: "What you would type after the command. Empty: every cluster. help: all there is.",
    KILL: "What you would type after the command. The preview shows what would end, and what that"
    " costs. Nothing ends until someone confirms it there.",
}


def on_its_way(command: str, channel_id: str) -> View:
    """The modal once the command was accepted."""
    what = "The preview" if command == KILL else "The answer"
    return {
        "type": "modal",
        "title": blocks.plain_text(_TITLES[command]),
        "close": blocks.plain_text("Close"),
        "blocks": [blocks.paragraph((f"{what} is on its way to ", lines.channel(channel_id), "."))],
    }
