"""The preview of a kill: who would end, what that costs and gains, and the buttons. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bot.domain.kills import Action, Basis, Proposal, Target
from bot.domain.people import Allowlist, Right
from bot.domain.sessions import Backend, Limit, Server
from bot.operations.results import Preview
from bot.slack.buttons import ActionId
from bot.slack.views import blocks, cluster, costs, lines, targets
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, parted, person, strong
from bot.slack.views.message import Message, message
from bot.slack.views.people import holders
from bot.slack.views.proposal import REASON, change_of, command_of, head_of, objects_of, verb_of
from bot.slack.views.targets import gone_lines, spared_lines
from bot.slack.views.text import clock_short, count, plain, some


def preview(
    answer: Preview,
    *,
    may_confirm: Mapping[Right, Allowlist],
    group_names: Mapping[str, str] | None = None,
) -> Message:
    """What would end, what that costs and gives, and the button that does it.

    Those who may confirm are mentioned, and so notified, only where the one who asks can't.
    """
    proposal = answer.proposal
    essence = [
        strong(*head_of(proposal), "?"),
        (*command_of(proposal.wording), " · ", *cluster.introduction(answer.server)),
    ]
    consequences = list(_consequences(answer))
    return message(
        essence,
        *targets.details(proposal),
        blocks.paragraph(*consequences),
        blocks.actions(_choices(answer)),
        blocks.foot(_preview_foot(answer, may_confirm, group_names or {})),
        also=[*targets.spoken(proposal), *consequences],
    )


def _consequences(answer: Preview) -> Iterable[Line]:
    proposal = answer.proposal
    yield (*strong("Cost: "), costs.cost(proposal))
    if gain := tuple(_gain(answer)):
        yield (*strong("Gain: "), *parted(gain, "; "), ".")
    yield (*strong("On confirmation: "), _by_then(proposal))
    yield from (("⚠ ", *line) for line in cluster.unseen(answer.server))
    if answer.names.stale:
        yield (f"⚠ {cluster.stale(answer.names)}",)
    if proposal.reason:
        yield (*strong("Reason: "), Quoted(proposal.reason, REASON))
    yield from spared_lines(proposal.spared)
    yield from gone_lines(answer.gone, proposal.basis)


def _by_then(proposal: Proposal) -> str:
    """What a target must still be when the button is pressed; or that it need not be."""
    each = "it ends" if len(proposal.targets) == 1 else "each ends"
    match proposal.basis:
        case Basis.FILTER:
            return f"{each} only if it still matches and its end costs no more than shown."
        case Basis.PID:
            return f"{each} only if it has not begun another transaction."
        case Basis.IDENTITY:
            return f"{each} whatever it runs by then, and whatever that costs."


def _gain(answer: Preview) -> Iterable[Line]:
    proposal = answer.proposal
    if proposal.freed:
        verb = "waiting session goes on", "waiting sessions go on"
        yield (count(proposal.freed, *verb),)
    if proposal.action is Action.TERMINATE:
        yield from _freed(answer.server, proposal.targets)


def _freed(server: Server, ending: Sequence[Target]) -> Iterable[Line]:
    """The limits that these targets count against, as they would be without them."""
    if server.unseen:
        return
    by_role = Counter(target.seen.usename for target in ending)
    for limit in server.roles:
        if number := by_role[limit.name]:
            yield change_of(limit, _without(limit, number))
    by_database = Counter(target.seen.datname for target in ending)
    for limit in server.databases:
        if number := by_database[limit.name]:
            yield ("database ", *change_of(limit, _without(limit, number)))
    ordinary = server.ordinary
    yield change_of(ordinary, _without(ordinary, len(ending)))


def _without(limit: Limit, number: int) -> Limit:
    return replace(limit, used=max(limit.used - number, 0))


def _cancel(answer: Preview, running: Sequence[Backend]) -> Block:
    """Offered where a query runs: to a session that waits for its client it does nothing."""
    proposal, one = answer.proposal, len(running) == 1
    queries = count(len(running), "query", "queries")
    return blocks.button(
        _by_another(
            "Cancel query" if one else f"Cancel {queries}", f"Cancel {len(running)}", answer
        ),
        ActionId.KILL_CANCEL,
        proposal.key,
        spoken=_spoken(f"Cancel {queries}", answer),
        confirm=blocks.confirm(
            f"Cancel {queries} on {plain(proposal.cluster, 50)}?",
            costs.of_a_cancel(running),
            yes="Cancel query" if one else "Cancel queries",
            no="Keep it" if one else "Keep them",
            style="primary",
        ),
    )


def _choices(answer: Preview) -> Iterable[Block]:
    proposal = answer.proposal
    value = proposal.key
    yield blocks.button(
        _label(answer),
        ActionId.KILL_TERMINATE,
        value,
        spoken=_spoken(f"{verb_of(proposal)} {objects_of(proposal)}", answer),
        style="danger",
        confirm=blocks.confirm(
            f"{verb_of(proposal)} {objects_of(proposal)} on {plain(proposal.cluster, 50)}?",
            costs.warning(proposal),
            yes=verb_of(proposal),
            no="Keep it" if len(proposal.targets) == 1 else "Keep them",
            style="danger",
        ),
    )
    running = [t.seen for t in proposal.targets if t.seen.state == "active"]
    if running and proposal.action is Action.TERMINATE:
        yield _cancel(answer, running)
    yield blocks.button("Dismiss", ActionId.KILL_DISMISS, value)


def _label(answer: Preview) -> str:
    """What tells the button from others, in the 30 characters that a phone shows of it."""
    proposal, number = answer.proposal, len(answer.proposal.targets)
    label = f"{verb_of(proposal)} {objects_of(proposal)}"
    if proposal.basis is Basis.IDENTITY:
        one = f"{verb_of(proposal)}, whatever it runs"
        label = one if number == 1 else f"{verb_of(proposal)} {number}, whatever runs"
    return _by_another(label, f"{verb_of(proposal)} {number}", answer)


def _by_another(label: str, short: str, answer: Preview) -> str:
    return f"{short} (2nd person)" if answer.second_person else label


def _spoken(label: str, answer: Preview) -> str:
    """The whole of it, for who hears the button."""
    if answer.proposal.basis is Basis.IDENTITY:
        runs = "it runs" if len(answer.proposal.targets) == 1 else "they run"
        label += f", whatever {runs}"
    return f"{label}; a second person must confirm" if answer.second_person else label


def _preview_foot(
    answer: Preview, lists: Mapping[Right, Allowlist], group_names: Mapping[str, str]
) -> Line:
    proposal = answer.proposal
    asker = proposal.asked_by.user_id
    until = f" · good until {clock_short(proposal.expires_at)} · "
    line: Line = ("asked by ", person(asker), until)
    if not answer.second_person:
        return (*line, "anyone on PG_KILL_ALLOWLIST may confirm")
    line += ("another person has to confirm",)
    others = holders(Right.KILL, lists, group_names, but=asker)
    mentions = tuple(part for part in others if not isinstance(part, Quoted))
    names = [part.text for part in others if isinstance(part, Quoted)]
    if mentions:
        line += (": ", *lines.listed(mentions, last="or", most=10))
    if names:  # as one text: a context block has few elements
        line += (" or " if mentions else ": ", Quoted(some(names, 5, "or"), 300))
    return line
