"""The messages of a kill, from the preview to the outcome.

Pure. One message goes through them all: `preview`, then `working` and `outcome`, or
`dismissed`, or `expired`. What is told to one person alone stands at the end.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from bot.answers import NeedsSecondPerson, NothingToKill, NotClaimed, Preview, TooMany
from bot.backends import Backend, Limit, Server
from bot.kills import (
    MAX_TARGETS,
    NEEDS_SOMEONE,
    SUCCEEDED,
    Action,
    Actor,
    Basis,
    Conclusion,
    Outcome,
    Proposal,
    Result,
    Spared,
    Target,
)
from bot.slack.views import blocks, cluster, lines, tables
from bot.slack.views.actions import ActionId, OutcomePage
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, person, strong
from bot.slack.views.message import Message, message
from bot.slack.views.tables import Column
from bot.slack.views.text import (
    age,
    clock,
    clock_short,
    count,
    dotted,
    plain,
    some,
    took,
    used,
)

OUTCOME_PAGE = 50
"""Targets on a page of an outcome's table."""

_QUERY = 300
_REASON = 500
_WORDING = 500
_LISTED = 10

_RESULTS = (
    Column("pid", (10,)),
    Column("usename", (63, 40, 30, 20)),
    Column("outcome", (20,)),
    Column("detail", (160, 110, 80, 60)),
)


def preview(
    answer: Preview, *, may_confirm: Sequence[str] = (), offer_cancel: bool = False
) -> Message:
    """What would end, what that costs and gives, and the button that does it.

    `may_confirm` names people as text (`@carol`, `@oncall`); a user's id becomes a mention,
    which notifies them.
    """
    proposal = answer.proposal
    essence = [
        strong(*_head(proposal), "?"),
        (*_wording(proposal.wording), " · ", *cluster.introduction(answer.server)),
    ]
    details: list[Block | None]
    if len(proposal.targets) == 1:
        target = proposal.targets[0]
        essence.append(targets.who(target.seen))
        details = [blocks.fields(targets.fields(target, proposal)), targets.statement(target.seen)]
    else:
        details = list(targets.all_of(proposal))
    return message(
        essence,
        *details,
        blocks.paragraph(*_consequences(answer)),
        blocks.actions(_choices(answer, offer_cancel=offer_cancel)),
        blocks.foot(_preview_foot(answer, may_confirm)),
    )


def _head(proposal: Proposal) -> Line:
    return (f"{_verb(proposal)} {_objects(proposal)} on ", Quoted(proposal.cluster))


def _verb(proposal: Proposal) -> str:
    return "Terminate" if proposal.action is Action.TERMINATE else "Cancel"


def _objects(proposal: Proposal) -> str:
    number = len(proposal.targets)
    if proposal.action is Action.TERMINATE:
        return count(number, "session")
    return count(number, "query", "queries")


def _wording(wording: str) -> Line:
    return (Quoted(wording, _WORDING, code=True),)


def _consequences(answer: Preview) -> Iterable[Line]:
    proposal = answer.proposal
    yield (*strong("Cost: "), targets.cost(proposal))
    if gain := tuple(_gain(answer)):
        yield (*strong("Gain: "), *_parted(gain, "; "), ".")
    if proposal.reason:
        yield (*strong("Reason: "), Quoted(proposal.reason, _REASON))
    yield from _spared(proposal.spared)
    yield from _gone(answer.gone)


def _parted(parts: Sequence[Line], between: str) -> Line:
    return tuple(
        piece for at, part in enumerate(parts) for piece in ((between, *part) if at else part)
    )


def _gain(answer: Preview) -> Iterable[Line]:
    proposal = answer.proposal
    if proposal.freed:
        verb = "waiting session goes on", "waiting sessions go on"
        yield (count(proposal.freed, *verb),)
    if proposal.action is Action.TERMINATE:
        for kind, before, ending in _limits(answer.server, proposal.targets):
            after = Limit(before.name, max(before.used - ending, 0), before.limit)
            yield (kind, *_change(before, after)) if kind else _change(before, after)


def _limits(server: Server, targets: Sequence[Target]) -> Iterable[tuple[str, Limit, int]]:
    """The limits that these targets count against, with how many of them do."""
    for limit in server.roles:
        yield from _counted("", limit, sum(t.seen.usename == limit.name for t in targets))
    for limit in server.databases:
        yield from _counted("database ", limit, sum(t.seen.datname == limit.name for t in targets))
    yield from _counted("", server.ordinary, len(targets))


def _counted(kind: str, limit: Limit, number: int) -> Iterable[tuple[str, Limit, int]]:
    if number:
        yield kind, limit, number


def _change(before: Limit, after: Limit) -> Line:
    """`some_user 1 of 1 → 0 of 1`."""
    return (Quoted(before.name), f" {used(before)} → {used(after)}")


def _spared(spared: Sequence[Spared]) -> Iterable[Line]:
    for each in spared[:_LISTED]:
        yield ("Left alone: ", *targets.who(each.seen), ", ", Quoted(each.why, 200))
    if len(spared) > _LISTED:
        yield (f"Left alone: {len(spared) - _LISTED} more that are protected",)


def _gone(pids: Sequence[int]) -> Iterable[Line]:
    if pids:
        yield (f"No backend has pid {some([str(pid) for pid in pids], _LISTED, 'or')}.",)


def _choices(answer: Preview, *, offer_cancel: bool) -> Iterable[Block]:
    proposal = answer.proposal
    value = str(proposal.id)
    yield blocks.button(
        _label(answer),
        ActionId.KILL_TERMINATE,
        value,
        style="danger",
        confirm=blocks.confirm(
            f"{_verb(proposal)} {_objects(proposal)} on {plain(proposal.cluster, 50)}?",
            f"{targets.named(proposal.targets)} {targets.short_cost(proposal)} This can't be undone.",
            yes=_verb(proposal),
            no="Keep it" if len(proposal.targets) == 1 else "Keep them",
            style="danger",
        ),
    )
    if offer_cancel and any(target.seen.state == "active" for target in proposal.targets):
        yield blocks.button("Cancel query", ActionId.KILL_CANCEL, value)
    yield blocks.button("Dismiss", ActionId.KILL_DISMISS, value)


def _label(answer: Preview) -> str:
    proposal = answer.proposal
    label = f"{_verb(proposal)} {_objects(proposal)}"
    if proposal.basis is Basis.IDENTITY:
        one = len(proposal.targets) == 1
        label = f"{_verb(proposal)}, whatever {'it runs' if one else 'they run'}"
    return f"{label} (second person)" if answer.second_person else label


def _preview_foot(answer: Preview, may_confirm: Sequence[str]) -> Line:
    proposal = answer.proposal
    line: Line = (
        "asked by ",
        person(proposal.asked_by.user_id),
        f" · good until {clock_short(proposal.expires_at)}",
    )
    if answer.second_person:
        line += (" · another person has to confirm",)
    if may_confirm:
        line += (" · ", *_people(may_confirm), " may confirm")
    return line


def _people(names: Sequence[str]) -> Line:
    """Mentions first, then all other names as one text: a context block has few elements."""
    parts = [person(name) for name in names]
    mentions = tuple(part for part in parts if not isinstance(part, Quoted))
    others = [part.text for part in parts if isinstance(part, Quoted)]
    line = lines.listed(mentions, last="or", most=10)
    if not others:
        return line
    return (*line, *([" or "] if mentions else []), Quoted(some(others, 10, "or"), 300))


def working(proposal: Proposal, actor: Actor) -> Message:
    """In the preview's place while the targets are being ended: nothing to press."""
    doing = "Terminating" if proposal.action is Action.TERMINATE else "Cancelling"
    return message(
        [
            strong(f"{doing} {_objects(proposal)} on ", Quoted(proposal.cluster), "…"),
            _request(proposal),
        ],
        blocks.foot(_signed(proposal, "confirmed by ", actor)),
    )


def _request(proposal: Proposal) -> Line:
    """What was asked for, or for one target who that is."""
    if len(proposal.targets) == 1:
        return (*targets.who(proposal.targets[0].seen), " · ", *_wording(proposal.wording))
    return _wording(proposal.wording)


def _signed(proposal: Proposal, did: str, actor: Actor | None) -> Line:
    line: Line = ("asked by ", person(proposal.asked_by.user_id))
    if actor is not None:
        line += (f" · {did}", person(actor.user_id))
    return line


def outcome(conclusion: Conclusion, page: int = 0) -> Message:
    """What became of each target, in the preview's place.

    `page` counts from 0; one beyond the last is the last.
    """
    results = conclusion.in_order
    pages = max(1, -(-len(results) // OUTCOME_PAGE))
    page = min(max(page, 0), pages - 1)
    shown = results[page * OUTCOME_PAGE : (page + 1) * OUTCOME_PAGE]
    essence = [(*strong(*_done(conclusion)), *_rest(conclusion))]
    if len(results) == 1:
        essence.append(_result_line(conclusion, results[0]))
    essence += _aftermath(conclusion)
    return message(
        essence,
        *(_results(conclusion, shown) if len(results) > 1 else ()),
        blocks.foot((f"page {page + 1} of {pages}, those that need someone first",))
        if pages > 1
        else None,
        blocks.actions(_afterwards(conclusion, page, pages)),
        blocks.foot(_outcome_foot(conclusion)),
    )


def _done(conclusion: Conclusion) -> Line:
    proposal, counts = conclusion.proposal, conclusion.counts
    done = "Terminated" if proposal.action is Action.TERMINATE else "Cancelled"
    succeeded = sum(counts[each] for each in SUCCEEDED)
    head: Line = (
        f"{done} {succeeded} of {len(conclusion.results)} on ",
        Quoted(proposal.cluster),
    )
    if succeeded and conclusion.took:
        head += (f" in {took(conclusion.took)}",)
    return head


def _rest(conclusion: Conclusion) -> Line:
    counts = conclusion.counts
    return tuple(
        f" · {counts[each]} {each}"
        for each in NEEDS_SOMEONE
        if counts[each] and each not in SUCCEEDED
    )


def _result_line(conclusion: Conclusion, result: Result) -> Line:
    line = (*targets.who(conclusion.target(result.id).seen), f" · {result.outcome}")
    return (*line, ": ", Quoted(result.detail, 300)) if result.detail else line


def _aftermath(conclusion: Conclusion) -> Iterable[Line]:
    changes = [_shrunk(before, after) for before, after in conclusion.limits]
    if conclusion.waiting is not None:
        before, after = conclusion.waiting
        changes.append((f"waiting {before} → {after}",))
    if changes:
        yield _parted(changes[:_LISTED], " · ")
    if conclusion.arrivals:
        matching = count(conclusion.arrivals, "session that matches", "sessions that match")
        yield (f"{matching} came after the preview: left alone",)
    if not conclusion.recorded:
        yield ("⚠ The outcome is not in the ledger yet; the confirmation is. It is tried again.",)
    for note in conclusion.notes[:_LISTED]:
        yield (Quoted(note, 300),)


def _shrunk(before: Limit, after: Limit) -> Line:
    """`connections 62 → 61 of 97`; a role's in full, as its limit is the point."""
    if before.name == "connections" and before.limit == after.limit:
        return (f"connections {before.used} → {used(after)}",)
    return _change(before, after)


def _results(conclusion: Conclusion, shown: Sequence[Result]) -> Iterable[Block]:
    rows = [_result_row(conclusion, result) for result in shown]
    fitted = tables.fit(_RESULTS, rows)
    yield blocks.table(fitted.cells)
    if rest := shown[fitted.shown :]:
        yield blocks.paragraph(*(("and ", *_result_line(conclusion, each)) for each in rest))


def _result_row(conclusion: Conclusion, result: Result) -> list[str | None]:
    seen = conclusion.target(result.id).seen
    return [str(seen.pid), seen.usename, result.outcome, result.detail]


def _afterwards(conclusion: Conclusion, page: int, pages: int) -> Iterable[Block]:
    proposal_id = conclusion.proposal.id
    around = (("Previous", page - 1), ("Next", page + 1))
    for number, (label, to) in enumerate(around):
        if 0 <= to < pages:
            value = OutcomePage(proposal_id, to).encode()
            yield blocks.button(label, ActionId.KILL_PAGE.numbered(number), value)
    if conclusion.counts[Outcome.CHANGED]:
        yield blocks.button("Preview again", ActionId.KILL_PREVIEW_AGAIN, str(proposal_id))


def _outcome_foot(conclusion: Conclusion) -> Line:
    proposal = conclusion.proposal
    line = _signed(proposal, "confirmed by ", proposal.confirmed_by)
    at = proposal.claimed_at or conclusion.concluded_at
    if at is not None:
        line += (f" at {clock(at)}",)
    line += (f" · kill {proposal.id}",)
    if proposal.reason:
        line += (" · ", Quoted(proposal.reason, _REASON))
    return line


def dismissed(proposal: Proposal, actor: Actor) -> Message:
    """In the preview's place, once somebody has dismissed it."""
    return _closed(proposal, "Dismissed, nothing was done", "dismissed by ", actor)


def expired(proposal: Proposal) -> Message:
    """In the preview's place, once it is no longer good."""
    at = clock_short(proposal.expires_at)
    return _closed(proposal, f"Expired at {at}, nothing was done", "", None)


def _closed(proposal: Proposal, head: str, did: str, actor: Actor | None) -> Message:
    asked = (*_head(proposal), "? ", *_request(proposal))
    return message(
        [strong(head), asked],
        blocks.foot(_signed(proposal, did, actor)),
    )


def not_claimed(answer: NotClaimed) -> Message:
    """To the one who clicked, alone: why the click did nothing."""
    proposal = None if answer.entry is None else answer.entry.proposal
    return message([_why_not(answer.why, proposal)])


def _why_not(why: str, proposal: Proposal | None) -> Line:
    if proposal is None:
        return ("The ledger has no such preview. Nothing was done.",)
    match why:
        case "expired":
            return (
                f"This preview expired at {clock_short(proposal.expires_at)}.",
                " Nothing was done. To ask again: ",
                *_wording(f"/pg-kill {proposal.wording}"),
            )
        case "claimed":
            return (
                f"Kill {proposal.id} is under way",
                *_by(", confirmed by ", proposal.confirmed_by),
                ". This click did nothing more.",
            )
        case "done":
            return (
                f"Kill {proposal.id} is done",
                *_by(", confirmed by ", proposal.confirmed_by),
                ". This click did nothing more.",
            )
        case "dismissed":
            return (
                "This preview was dismissed",
                *_by(" by ", proposal.dismissed_by),
                ". Nothing was done.",
            )
        case "another channel":
            return ("This preview belongs to another channel. Nothing was done.",)
        case _:
            return ("The ledger has no such preview. Nothing was done.",)


def _by(words: str, actor: Actor | None) -> Line:
    return () if actor is None else (words, person(actor.user_id))


def needs_second_person(answer: NeedsSecondPerson) -> Message:
    """To the one who asked and clicked, alone: somebody else has to."""
    name = Quoted(answer.proposal.cluster)
    head = ("On ", name, " a second person has to confirm what you asked for. Nothing was done.")
    until = f"The preview is good until {clock_short(answer.proposal.expires_at)}."
    return message([head, (until,)])


def nothing_to_kill(answer: NothingToKill) -> Message:
    """Nothing would end: who was named and is protected, and which pids nobody has."""
    head = strong("Nothing to terminate on ", Quoted(answer.server.cluster))
    lines_below = [*_spared(answer.spared), *_gone(answer.gone)]
    if not lines_below:
        lines_below = [("No session matches.",)]
    return message([(*head, " · ", *_wording(answer.wording)), *lines_below])


def too_many(answer: TooMany) -> Message:
    """More would end than one preview shows."""
    name = Quoted(answer.server.cluster)
    head = strong(f"{answer.total} sessions match on ", name)
    return message(
        [
            (*head, " · ", *_wording(answer.wording)),
            (f"One preview shows {MAX_TARGETS} at most. Nothing was done.",),
            (
                "A narrower filter helps, such as ",
                lines.code("state=idle_tx"),
                " or ",
                lines.code("idle>10m"),
                ".",
            ),
        ]
    )
