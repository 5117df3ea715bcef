"""The messages of a kill, from the preview to the outcome.

Pure. One message goes through them all: `preview`, then `working` and `outcome`, or
`dismissed`, or `expired`. What is told to one person alone stands at the end.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bot.domain.kills import (
    MAX_TARGETS,
    NEEDS_SOMEONE,
    OTHER_WORK,
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
    Unclaimable,
)
from bot.domain.people import Allowlist, Right
from bot.domain.sessions import Backend, Limit, Server
from bot.grammar.requests import KILL, SESSIONS, SessionsRequest
from bot.grammar.requests import Target as Named
from bot.operations.results import NeedsSecondPerson, NotClaimed, NothingToKill, Preview, TooMany
from bot.slack.buttons import ActionId, OutcomePage
from bot.slack.views import blocks, cluster, costs, lines, tables, targets
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, person, strong
from bot.slack.views.message import Message, message
from bot.slack.views.people import holders
from bot.slack.views.tables import Column
from bot.slack.views.text import (
    clock,
    clock_short,
    count,
    plain,
    some,
    took,
    used,
)

OUTCOME_PAGE = 50
"""Targets on a page of an outcome's table."""

_REASON = 500
_WORDING = 500
_LISTED = 10
_SPOKEN = 3

_RESULTS = (
    Column("pid", (10,)),
    Column("usename", (63, 40, 30, 20)),
    Column("outcome", (20,)),
    Column("detail", (160, 110, 80, 60)),
)


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
        strong(*_head(proposal), "?"),
        (*_command(proposal.wording), " · ", *cluster.introduction(answer.server)),
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


def _head(proposal: Proposal) -> Line:
    return (f"{_verb(proposal)} {_objects(proposal)} on ", Quoted(proposal.cluster))


def _verb(proposal: Proposal) -> str:
    return "Terminate" if proposal.action is Action.TERMINATE else "Cancel"


def _objects(proposal: Proposal) -> str:
    number = len(proposal.targets)
    if proposal.action is Action.TERMINATE:
        return count(number, "session")
    return count(number, "query", "queries")


def _command(wording: str) -> Line:
    """What was asked for, as it can be typed: a pid alone would be a bare number."""
    return (Quoted(f"{KILL} {wording}", _WORDING, code=True),)


def _consequences(answer: Preview) -> Iterable[Line]:
    proposal = answer.proposal
    yield (*strong("Cost: "), costs.cost(proposal))
    if gain := tuple(_gain(answer)):
        yield (*strong("Gain: "), *_parted(gain, "; "), ".")
    yield (*strong("At the click: "), _by_then(proposal))
    yield from (("⚠ ", *line) for line in cluster.unseen(answer.server))
    if answer.names.stale:
        yield (f"⚠ {cluster.stale(answer.names)}",)
    if proposal.reason:
        yield (*strong("Reason: "), Quoted(proposal.reason, _REASON))
    yield from _spared(proposal.spared)
    yield from _gone(answer.gone, proposal.basis)


def _by_then(proposal: Proposal) -> str:
    """What a target must still be when the button is pressed; or that it need not be."""
    each = "it is" if len(proposal.targets) == 1 else "each is"
    match proposal.basis:
        case Basis.FILTER:
            return f"{each} ended only if it still matches and its end costs no more than shown."
        case Basis.PID:
            return f"{each} ended only if it has begun no other transaction."
        case Basis.IDENTITY:
            return f"{each} ended whatever it runs by then, and whatever that costs."


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
        yield from _freed(answer.server, proposal.targets)


def _freed(server: Server, ending: Sequence[Target]) -> Iterable[Line]:
    """The limits that these targets count against, as they would be without them."""
    if server.unseen:
        return
    by_role = Counter(target.seen.usename for target in ending)
    for limit in server.roles:
        if number := by_role[limit.name]:
            yield _change(limit, _without(limit, number))
    by_database = Counter(target.seen.datname for target in ending)
    for limit in server.databases:
        if number := by_database[limit.name]:
            yield ("database ", *_change(limit, _without(limit, number)))
    ordinary = server.ordinary
    yield _change(ordinary, _without(ordinary, len(ending)))


def _without(limit: Limit, number: int) -> Limit:
    return replace(limit, used=max(limit.used - number, 0))


def _change(before: Limit, after: Limit) -> Line:
    """`some_user 1 of 1 → 0 of 1`, and `connections 62 → 61 of 97`."""
    if before.name == after.name == "connections":
        return (f"connections {before.used} → {used(after)}",)
    return (Quoted(before.name), f" {used(before)} → {used(after)}")


def _spared(spared: Sequence[Spared]) -> Iterable[Line]:
    for each in spared[:_LISTED]:
        yield ("Left alone: ", *targets.who(each.seen), ", ", *targets.spared_for(each))
    if len(spared) > _LISTED:
        yield (f"Left alone: {len(spared) - _LISTED} more",)


def _gone(pids: Sequence[int], basis: Basis) -> Iterable[Line]:
    if pids:
        # Another backend may have the pid by now: it is not the one that was meant.
        what = "no longer matching" if basis is Basis.FILTER else "never there"
        yield (f"Already gone, or {what}: pid {some([str(pid) for pid in pids], _LISTED)}.",)


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
        spoken=_spoken(f"{_verb(proposal)} {_objects(proposal)}", answer),
        style="danger",
        confirm=blocks.confirm(
            f"{_verb(proposal)} {_objects(proposal)} on {plain(proposal.cluster, 50)}?",
            costs.warning(proposal),
            yes=_verb(proposal),
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
    label = f"{_verb(proposal)} {_objects(proposal)}"
    if proposal.basis is Basis.IDENTITY:
        one = f"{_verb(proposal)}, whatever it runs"
        label = one if number == 1 else f"{_verb(proposal)} {number}, whatever runs"
    return _by_another(label, f"{_verb(proposal)} {number}", answer)


def _by_another(label: str, short: str, answer: Preview) -> str:
    return f"{short} (2nd person)" if answer.second_person else label


def _spoken(label: str, answer: Preview) -> str:
    """The whole of it, for who hears the button."""
    if answer.proposal.basis is Basis.IDENTITY:
        runs = "it runs" if len(answer.proposal.targets) == 1 else "they run"
        label += f", whatever {runs}"
    return f"{label}; a second person confirms" if answer.second_person else label


def _preview_foot(
    answer: Preview, lists: Mapping[Right, Allowlist], group_names: Mapping[str, str]
) -> Line:
    proposal = answer.proposal
    asker = proposal.asked_by.user_id
    until = f" · good until {clock_short(proposal.expires_at)} · "
    line: Line = ("asked by ", person(asker), until)
    if not answer.second_person:
        return (*line, "who is on PG_KILL_ALLOWLIST may confirm")
    line += ("another person has to confirm",)
    others = holders(Right.KILL, lists, group_names, but=asker)
    mentions = tuple(part for part in others if not isinstance(part, Quoted))
    names = [part.text for part in others if isinstance(part, Quoted)]
    if mentions:
        line += (": ", *lines.listed(mentions, last="or", most=10))
    if names:  # as one text: a context block has few elements
        line += (" or " if mentions else ": ", Quoted(some(names, 5, "or"), 300))
    return line


def working(proposal: Proposal) -> Message:
    """In the preview's place while the targets are being ended: nothing to press."""
    doing = "Terminating" if proposal.action is Action.TERMINATE else "Cancelling"
    return message(
        [
            strong(f"{doing} {_objects(proposal)} on ", Quoted(proposal.cluster), "…"),
            _request(proposal),
        ],
        blocks.foot(_signed(proposal, "confirmed by ", proposal.confirmed_by)),
    )


def _request(proposal: Proposal) -> Line:
    """What was asked for, or for one target who that is."""
    if len(proposal.targets) == 1:
        return (*targets.who(proposal.targets[0].seen), " · ", *_command(proposal.wording))
    return _command(proposal.wording)


def _signed(proposal: Proposal, did: str, actor: Actor | None) -> Line:
    line: Line = ("asked by ", person(proposal.asked_by.user_id))
    if actor is not None:
        line += (f" · {did}", person(actor.user_id))
    if proposal.basis is Basis.IDENTITY:
        line += (" · whatever it ran",)
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
        also=[_result_line(conclusion, each) for each in _told(results)],
    )


def _told(results: Sequence[Result]) -> Iterable[Result]:
    """Of several, those that need someone first, for who doesn't see the table."""
    if len(results) > 1:
        yield from [each for each in results if each.outcome not in SUCCEEDED][:_SPOKEN]


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
    changes = [_change(before, after) for before, after in conclusion.limits]
    if conclusion.waiting is not None and any(conclusion.waiting):
        before, after = conclusion.waiting
        changes.append((f"waiting {before} → {after}",))
    if changes:
        yield _parted(changes[:_LISTED], " · ")
    if conclusion.other_work and len(conclusion.results) > 1:
        yield (f"{conclusion.other_work} of them {OTHER_WORK}.",)
    if conclusion.arrivals:
        matching = count(conclusion.arrivals, "session that matches", "sessions that match")
        yield (f"{matching} came after the preview: left alone",)
    yield from _spared(conclusion.proposal.spared)
    if not conclusion.recorded:
        yield ("⚠ The outcome is not in the ledger yet; the confirmation is. It is tried again.",)
    for note in conclusion.notes[:_LISTED]:
        yield (Quoted(note, 300),)
    yield from _way_on(conclusion)


def _way_on(conclusion: Conclusion) -> Iterable[Line]:
    """What to type where something is left to do and no button does it."""
    proposal = conclusion.proposal
    open_ends = tuple(r.id.pid for r in conclusion.results if r.may_live)
    if open_ends:
        look = SessionsRequest(target=Named(proposal.cluster), pids=open_ends[:_LISTED])
        what = "What it does now: " if len(open_ends) == 1 else "What they do now: "
        more = len(open_ends) - _LISTED
        line: Line = (what, Quoted(f"{SESSIONS} {look}", _WORDING, code=True))
        yield (*line, f" and {more} more") if more > 0 else line
    again = {Outcome.NO_LONGER_MATCHES}
    if proposal.basis is Basis.FILTER:  # pids are of the server that was
        again.add(Outcome.SERVER_CHANGED)
    if conclusion.counts.keys() & again:
        yield ("To ask again: ", *_command(proposal.wording))


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
    key = conclusion.proposal.key
    around = (("Previous", page - 1), ("Next", page + 1))
    for number, (label, to) in enumerate(around):
        if 0 <= to < pages:
            value = OutcomePage(key, to).encode()
            yield blocks.button(label, ActionId.KILL_PAGE.numbered(number), value)
    if conclusion.counts[Outcome.CHANGED]:
        yield blocks.button("Preview again", ActionId.KILL_PREVIEW_AGAIN, key)
    elif conclusion.proposal.action is Action.CANCEL:
        yield blocks.button("Terminate…", ActionId.KILL_PREVIEW_AGAIN, key)


def _outcome_foot(conclusion: Conclusion) -> Line:
    proposal = conclusion.proposal
    line = _signed(proposal, "confirmed by ", proposal.confirmed_by)
    at = proposal.claimed_at or conclusion.concluded_at
    if at is not None:
        line += (f" at {clock(at)}",)
    line += (f" · kill {proposal.id}",)
    if proposal.reason:
        line += (" · reason: ", Quoted(proposal.reason, _REASON))
    return line


def dismissed(proposal: Proposal) -> Message:
    """In the preview's place, once somebody has dismissed it."""
    signed = _signed(proposal, "dismissed by ", proposal.dismissed_by)
    return _closed(proposal, "Dismissed, nothing was done", blocks.foot(signed))


def expired(proposal: Proposal) -> Message:
    """In the preview's place, once it is no longer good; a new one is a click away."""
    again = blocks.button("Preview again", ActionId.KILL_PREVIEW_AGAIN, proposal.key)
    return _closed(
        proposal,
        f"Expired at {clock_short(proposal.expires_at)}, nothing was done",
        blocks.actions([again]),
        blocks.foot(_signed(proposal, "", None)),
    )


def _closed(proposal: Proposal, head: str, *below: Block | None) -> Message:
    asked = (*_head(proposal), "? ", *_request(proposal))
    return message([strong(head), asked], *below)


def not_claimed(answer: NotClaimed) -> Message:
    """To the one who clicked, alone: why the click did nothing."""
    if answer.entry is None:
        return message([_not_here(answer.why)])
    return message([_why_not(answer.why, answer.entry.proposal)])


def _not_here(why: Unclaimable) -> Line:
    if why is Unclaimable.ANOTHER_LEDGER:
        return (
            "This preview is on record in another ledger than this bot's. Nothing was done.",
            " Its ledger was replaced, or a second bot with a ledger of its own answers here.",
            " Type the command again.",
        )
    return (
        "The ledger has no such preview any more: it may have been restored from a backup.",
        " Nothing was done. Type the command again.",
    )


def _why_not(why: Unclaimable, proposal: Proposal) -> Line:
    match why:
        case Unclaimable.EXPIRED:
            return (
                f"This preview expired at {clock_short(proposal.expires_at)}.",
                " Nothing was done. To ask again: ",
                *_command(proposal.wording),
            )
        case Unclaimable.CLAIMED:
            return (
                f"Kill {proposal.id} is under way",
                *_by(", confirmed by ", proposal.confirmed_by),
                ". This click did nothing more.",
            )
        case Unclaimable.DONE:
            return (
                f"Kill {proposal.id} is done",
                *_by(", confirmed by ", proposal.confirmed_by),
                ". This click did nothing more.",
            )
        case Unclaimable.DISMISSED:
            return (
                "This preview was dismissed",
                *_by(" by ", proposal.dismissed_by),
                ". Nothing was done.",
            )
        case Unclaimable.ANOTHER_CHANNEL:
            return ("This preview belongs to another channel. Nothing was done.",)
        case Unclaimable.ANOTHER_LEDGER | Unclaimable.MISSING:
            return _not_here(why)


def _by(words: str, actor: Actor | None) -> Line:
    return () if actor is None else (words, person(actor.user_id))


def needs_second_person(
    answer: NeedsSecondPerson,
    *,
    may_confirm: Mapping[Right, Allowlist],
    group_names: Mapping[str, str] | None = None,
) -> Message:
    """To the one who asked and clicked, alone: somebody else has to, and who may."""
    proposal = answer.proposal
    head: Line = (
        *("On ", Quoted(proposal.cluster), " a second person has to confirm what you asked for."),
        " Nothing was done; the attempt is on record.",
    )
    but = proposal.asked_by.user_id
    others = holders(Right.KILL, may_confirm, group_names or {}, but=but)
    who: Line = ("Who may: ", *lines.listed(others, last="or", most=10), ".") if others else ()
    until = f"The preview is good until {clock_short(proposal.expires_at)}."
    return message([head, *([who] if who else []), (until,)])


def nothing_to_kill(answer: NothingToKill) -> Message:
    """Nothing would end: who was named and is protected, and which pids nobody has."""
    head = strong("Nothing to terminate on ", Quoted(answer.server.cluster))
    lines_below = [*_spared(answer.spared), *_gone(answer.gone, answer.basis)]
    if not lines_below:
        lines_below = [("No session matches.",)]
    lines_below += (("⚠ ", *line) for line in cluster.unseen(answer.server))
    return message([(*head, " · ", *_command(answer.wording)), *lines_below])


def too_many(answer: TooMany) -> Message:
    """More would end than one preview shows."""
    name = Quoted(answer.server.cluster)
    head = strong(f"{answer.total} sessions match on ", name)
    return message(
        [
            (*head, " · ", *_command(answer.wording)),
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
