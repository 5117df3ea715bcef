"""The preview of a kill: who would end, what that costs and gains, and the buttons. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bot.domain.kills import Action, Basis, Proposal, Target
from bot.domain.people import Right, Rights
from bot.domain.sessions import Backend, Limit, Server
from bot.operations.results import Preview
from bot.slack.buttons import ActionId
from bot.slack.views import blocks, cluster, costs, lines, targets
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, parted, person, plain, strong
from bot.slack.views.message import Message, message
from bot.slack.views.people import holders
from bot.slack.views.targets import (
    REASON,
    change_of,
    command_of,
    gone_lines,
    head_of,
    objects_of,
    right_of,
    running_in,
    spared_lines,
    verb_of,
)
from bot.slack.views.text import clock_short, count, some


def preview(
    answer: Preview,
    *,
    rights: Rights,
    group_names: Mapping[str, str] | None = None,
    cancel_first: bool = False,
) -> Message:
    """What would end, what that costs and frees, and the button that does it.

    With `cancel_first`, because the person asked to cancel a query, the cancel comes first. Those
    who may confirm are mentioned, and so notified, only if the person who asks can't confirm.
    """
    proposal = answer.proposal
    cancel_first = cancel_first and bool(running_in(proposal))
    head = _cancel_or(proposal) if cancel_first else (*head_of(proposal), *_or_cancel(proposal))
    essence = [
        strong(*head, "?"),
        (*command_of(proposal.wording), " · ", *cluster.introduction(answer.server)),
    ]
    consequences = list(_consequences(answer))
    return message(
        essence,
        *targets.details(proposal),
        blocks.paragraph(*consequences),
        *costs.statements(answer),
        blocks.actions(_choices(answer, cancel_first=cancel_first)),
        blocks.foot(_preview_foot(answer, rights, group_names or {})),
        also=[*targets.spoken(proposal), *consequences],
    )


def _or_cancel(proposal: Proposal) -> Line:
    """The other choice, if there is one: who asked for a cancel must find it here."""
    running = running_in(proposal)
    if not running or proposal.action is not Action.TERMINATE:
        return ()
    if len(proposal.targets) == 1:
        return (", or cancel its query",)
    return (f", or cancel {count(len(running), 'query', 'queries')}",)


def _cancel_or(proposal: Proposal) -> Line:
    """The same with the cancel first."""
    if proposal.action is not Action.TERMINATE:
        return head_of(proposal)
    queries = count(len(running_in(proposal)), "query", "queries")
    return (f"Cancel {queries} on ", Quoted(proposal.cluster), ", or terminate the session")


def _consequences(answer: Preview) -> Iterable[Line]:
    proposal = answer.proposal
    yield (*strong("Cost: "), costs.cost(proposal))
    yield from costs.of_holdings(answer)
    if gain := tuple(_gain(answer)):
        yield (*strong("Gain: "), *parted(gain, "; "), ".")
    yield (*strong("On confirmation: "), _by_then(proposal))
    yield from (("⚠ ", *line) for line in cluster.unseen(answer.server))
    yield from _pooled(answer)
    if answer.names.stale:
        yield (f"⚠ {cluster.stale(answer.names)}",)
    if proposal.reason:
        yield (*strong("Reason: "), Quoted(proposal.reason, REASON))
    yield from spared_lines(proposal.spared)
    yield from gone_lines(answer.gone, proposal.basis)


def _pooled(answer: Preview) -> Iterable[Line]:
    """What a pooler in between means for those who decide."""
    number, of = len(answer.through_pooler), len(answer.proposal.targets)
    if not number:
        return
    who = "It is" if of == 1 else f"{number} of {of} are"
    whose, them = ("its client", "it") if number == 1 else ("their clients", "them")
    told = f"⚠ {who} {targets.THROUGH_POOLER}: what is shown of {whose} is the pooler's."
    yield (f"{told} Several clients may share {them}, and the pooler connects again.",)


def _by_then(proposal: Proposal) -> str:
    """What must still be true of a target when the button is pressed, if anything."""
    each = "it ends" if len(proposal.targets) == 1 else "each ends"
    if proposal.action is Action.CANCEL:
        return f"{each} only if it is still the query that is shown."
    match proposal.basis:
        case Basis.FILTER:
            return f"{each} only if it still matches and its end costs no more than shown."
        case Basis.PID:
            return f"{each} only if it has not begun another transaction."
        case Basis.IDENTITY:
            return f"{each} whatever it runs by then, and whatever that costs."


def _gain(answer: Preview) -> Iterable[Line]:
    proposal = answer.proposal
    if proposal.freed and proposal.action is Action.TERMINATE:
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


def _cancel(answer: Preview, running: Sequence[Backend], *, first: bool) -> Block:
    """Offered if a query runs: a cancel does nothing to a session that waits for its client."""
    proposal, one = answer.proposal, len(running) == 1
    queries = count(len(running), "query", "queries")
    return blocks.button(
        _by_another(
            "Cancel query" if one else f"Cancel {queries}", f"Cancel {len(running)}", answer
        ),
        ActionId.KILL_CANCEL,
        proposal.key,
        spoken=_spoken(f"Cancel {queries}", answer),
        style="primary" if first else None,
        confirm=blocks.confirm(
            f"Cancel {queries} on {plain(proposal.cluster, 50)}?",
            costs.of_a_cancel(running),
            yes="Cancel query" if one else "Cancel queries",
            no="Keep it" if one else "Keep them",
            style="primary",
        ),
    )


def _two_steps(answer: Preview, running: Sequence[Backend]) -> Block:
    """Offered with the same: for a query that may not heed the cancel."""
    proposal, one = answer.proposal, len(running) == 1
    queries = count(len(running), "query", "queries")
    heard = len(running) if answer.second_person else queries  # in 75 characters
    return blocks.button(
        _by_another("Cancel, then terminate what still runs", "Cancel, then end", answer),
        ActionId.KILL_CANCEL_THEN_TERMINATE,
        proposal.key,
        spoken=_by_another_person(f"Cancel {heard}, then terminate what still runs", answer),
        confirm=blocks.confirm(
            f"Cancel {queries} on {plain(proposal.cluster, 40)}, then terminate what still runs?",
            costs.of_two_steps(running),
            yes="Cancel, then terminate",
            no="Keep it" if one else "Keep them",
            style="danger",
        ),
    )


def _terminate(answer: Preview) -> Block:
    proposal = answer.proposal
    return blocks.button(
        _label(answer),
        ActionId.KILL_TERMINATE,
        proposal.key,
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


def _choices(answer: Preview, *, cancel_first: bool) -> Iterable[Block]:
    proposal = answer.proposal
    terminates = proposal.action is Action.TERMINATE
    if terminates and not cancel_first:
        yield _terminate(answer)
    if running := running_in(proposal):
        yield _cancel(answer, running, first=cancel_first)
        if terminates:
            yield _two_steps(answer, running)
    if terminates and cancel_first:
        yield _terminate(answer)
    yield blocks.button("Dismiss", ActionId.KILL_DISMISS, proposal.key)


def _label(answer: Preview) -> str:
    """The button's label: what distinguishes it, in the 30 characters that a phone shows."""
    proposal, number = answer.proposal, len(answer.proposal.targets)
    label = f"{verb_of(proposal)} {objects_of(proposal)}"
    if proposal.basis is Basis.IDENTITY:
        one = f"{verb_of(proposal)}, whatever it runs"
        label = one if number == 1 else f"{verb_of(proposal)} {number}, whatever runs"
    return _by_another(label, f"{verb_of(proposal)} {number}", answer)


def _by_another(label: str, short: str, answer: Preview) -> str:
    return f"{short} (2nd person)" if answer.second_person else label


def _spoken(label: str, answer: Preview) -> str:
    """The full label, for screen readers."""
    if answer.proposal.basis is Basis.IDENTITY:
        runs = "it runs" if len(answer.proposal.targets) == 1 else "they run"
        label += f", whatever {runs}"
    return _by_another_person(label, answer)


def _by_another_person(label: str, answer: Preview) -> str:
    return f"{label}; a second person must confirm" if answer.second_person else label


def _preview_foot(answer: Preview, rights: Rights, group_names: Mapping[str, str]) -> Line:
    proposal = answer.proposal
    asker = proposal.asked_by.user_id
    until = f" · good until {clock_short(proposal.expires_at)} · "
    line: Line = ("asked by ", person(asker), until)
    if not answer.second_person:
        return (*line, _may_confirm(proposal, rights))
    line += ("another person has to confirm",)
    others = holders(right_of(proposal), rights, proposal.cluster, group_names, but=asker)
    mentions = tuple(part for part in others if not isinstance(part, Quoted))
    names = [part.text for part in others if isinstance(part, Quoted)]
    if mentions:
        line += (": ", *lines.listed(mentions, last="or", most=10))
    if names:  # as one text, because a context block holds few elements
        line += (" or " if mentions else ": ", Quoted(some(names, 5, "or"), 300))
    return line


def _may_confirm(proposal: Proposal, rights: Rights) -> str:
    """By which lists: the second only if it lets more people cancel."""
    kill = rights.setting(Right.KILL, proposal.cluster)
    cancel = rights.setting(Right.CANCEL, proposal.cluster)
    if Right.CANCEL not in rights.asked(Right.CANCEL, proposal.cluster):
        return f"anyone on {kill} may confirm"
    if proposal.action is Action.CANCEL:
        return f"anyone on {cancel} or {kill} may confirm"
    return f"anyone on {kill} may confirm, and on {cancel} cancel"
