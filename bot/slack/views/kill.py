"""The messages of a kill, from the preview to the outcome.

Pure. One message changes through all of them: `preview`, then `working` and `outcome`, or
`dismissed`, or `expired`. Messages for one person come last.
"""

from collections.abc import Mapping

from bot.domain.kills import MAX_TARGETS, Action, Proposal, Unclaimable
from bot.domain.people import Rights
from bot.operations.results import NeedsSecondPerson, NotClaimed, NothingToKill, TooMany
from bot.slack.buttons import ActionId
from bot.slack.views import blocks, cluster, lines
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, code, strong
from bot.slack.views.message import Message, message
from bot.slack.views.people import holders
from bot.slack.views.targets import (
    by_of,
    command_of,
    gone_lines,
    head_of,
    objects_of,
    request_of,
    right_of,
    signed_of,
    spared_lines,
)
from bot.slack.views.text import clock_short


def working(proposal: Proposal) -> Message:
    """Replaces the preview while the targets are being ended: no buttons."""
    doing = "Terminating" if proposal.action is Action.TERMINATE else "Cancelling"
    then = "…"
    if proposal.action is Action.CANCEL_THEN_TERMINATE:
        then = ", then terminating what still runs…"
    return message(
        [
            strong(f"{doing} {objects_of(proposal)} on ", Quoted(proposal.cluster), then),
            request_of(proposal),
        ],
        blocks.foot(signed_of(proposal, "confirmed by ", proposal.confirmed_by)),
    )


def dismissed(proposal: Proposal) -> Message:
    """Replaces the preview once somebody has dismissed it."""
    signed = signed_of(proposal, "dismissed by ", proposal.dismissed_by)
    return _closed(proposal, "Dismissed, nothing was done", blocks.foot(signed))


def expired(proposal: Proposal) -> Message:
    """Replaces the preview once it has expired; a click makes a new one."""
    again = blocks.button("Preview again", ActionId.KILL_PREVIEW_AGAIN, proposal.key)
    return _closed(
        proposal,
        f"Expired at {clock_short(proposal.expires_at)}, nothing was done",
        blocks.actions([again]),
        blocks.foot(signed_of(proposal, "", None)),
    )


def _closed(proposal: Proposal, head: str, *below: Block | None) -> Message:
    asked = (*head_of(proposal), "? ", *request_of(proposal))
    return message([strong(head), asked], *below)


def not_claimed(answer: NotClaimed) -> Message:
    """Only to the person who clicked: why the click did nothing."""
    if answer.entry is None:
        return message([_not_here(answer.why)])
    return message([_why_not(answer.why, answer.entry.proposal)])


_REPLACED = " Either the ledger was replaced, or a second bot with its own ledger answers here."

_DROPPED: Line = (
    "Either it was dropped after ",
    code("LEDGER_KEEP"),
    ", or the ledger was restored from a backup.",
)


def _not_here(why: Unclaimable) -> Line:
    if why is Unclaimable.ANOTHER_LEDGER:
        return (
            "This preview is in another ledger, not in this bot's. Nothing was done.",
            _REPLACED,
            " Type the command again.",
        )
    return (
        *("This preview is no longer in the ledger. ", *_DROPPED),
        " Nothing was done. Type the command again.",
    )


def not_told(answer: NotClaimed) -> Message:
    """Only to the person who clicked on an outcome: why there is no more to see of it."""
    match answer.why:
        case Unclaimable.ANOTHER_CHANNEL:
            told: Line = ("This kill belongs to another channel.",)
        case Unclaimable.ANOTHER_LEDGER:
            told = (
                "This kill is on record in another ledger, not in this bot's.",
                _REPLACED,
            )
        case _:
            told = ("This kill is no longer on record. ", *_DROPPED)
    return message([told])


def _why_not(why: Unclaimable, proposal: Proposal) -> Line:
    match why:
        case Unclaimable.EXPIRED:
            return (
                f"This preview expired at {clock_short(proposal.expires_at)}.",
                " Nothing was done. To ask again: ",
                *command_of(proposal.wording),
            )
        case Unclaimable.CLAIMED:
            return (
                f"Kill {proposal.id} is under way",
                *by_of(", confirmed by ", proposal.confirmed_by),
                ". This click did nothing more.",
            )
        case Unclaimable.DONE:
            return (
                f"Kill {proposal.id} is done",
                *by_of(", confirmed by ", proposal.confirmed_by),
                ". This click did nothing more.",
            )
        case Unclaimable.DISMISSED:
            return (
                "This preview was dismissed",
                *by_of(" by ", proposal.dismissed_by),
                ". Nothing was done.",
            )
        case Unclaimable.ANOTHER_CHANNEL:
            return ("This preview belongs to another channel. Nothing was done.",)
        case Unclaimable.ANOTHER_LEDGER | Unclaimable.MISSING:
            return _not_here(why)


def needs_second_person(
    answer: NeedsSecondPerson,
    *,
    rights: Rights,
    group_names: Mapping[str, str] | None = None,
) -> Message:
    """Only to the person who asked and clicked: someone else must confirm, and who may."""
    proposal = answer.proposal
    head: Line = (
        *("On ", Quoted(proposal.cluster), ", a second person has to confirm what you asked for."),
        " Nothing was done; the attempt is on record.",
    )
    but = proposal.asked_by.user_id
    right = right_of(proposal)
    others = holders(right, rights, proposal.cluster, group_names or {}, but=but)
    who: Line = ("Who may: ", *lines.listed(others, last="or", most=10), ".") if others else ()
    until = f"The preview is good until {clock_short(proposal.expires_at)}."
    return message([head, *([who] if who else []), (until,)])


def nothing_to_kill(answer: NothingToKill) -> Message:
    """Nothing would end: who was named and is protected, and which pids don't exist."""
    what = "terminate" if answer.action is Action.TERMINATE else "cancel"
    head = strong(f"Nothing to {what} on ", Quoted(answer.server.cluster))
    lines_below = [*spared_lines(answer.spared), *gone_lines(answer.gone, answer.basis)]
    if not lines_below:
        lines_below = [("No session matches.",)]
    if answer.action is Action.CANCEL:
        lines_below.append(("You may cancel queries here, and end no sessions.",))
    lines_below += (("⚠ ", *line) for line in cluster.unseen(answer.server))
    return message([(*head, " · ", *command_of(answer.wording)), *lines_below])


def too_many(answer: TooMany) -> Message:
    """More would end than one preview shows."""
    name = Quoted(answer.server.cluster)
    head = strong(f"{answer.total} sessions match on ", name)
    return message(
        [
            (*head, " · ", *command_of(answer.wording)),
            (f"A preview shows at most {MAX_TARGETS}. Nothing was done.",),
            (
                "Use a narrower filter, such as ",
                lines.code("state=idle_tx"),
                " or ",
                lines.code("idle>10m"),
                ".",
            ),
        ]
    )
