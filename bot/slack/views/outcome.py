"""What became of a kill: the message that its preview becomes. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from bot.domain.holdings import FIND_INVALID, builds_an_index
from bot.domain.kills import (
    SUCCEEDED,
    Action,
    Basis,
    Conclusion,
    Outcome,
    Reason,
    Result,
)
from bot.domain.outcomes import prevention
from bot.grammar.requests import SESSIONS, SessionsRequest
from bot.grammar.requests import Target as Named
from bot.slack.buttons import ActionId, OutcomePage
from bot.slack.views import blocks, lines, tables, targets
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, parted, strong
from bot.slack.views.message import Message, message
from bot.slack.views.tables import Column
from bot.slack.views.targets import (
    LISTED,
    REASON,
    SPOKEN,
    WORDING,
    change_of,
    command_of,
    signed_of,
    spared_lines,
)
from bot.slack.views.text import capital, clock, count, of_them, took

OUTCOME_PAGE = 50
"""Targets on one page of an outcome's table."""

_DATABASES = 3
"""How many databases are named."""

_RESULTS = (
    Column("pid", (10,)),
    Column("usename", (63, 40, 30, 20)),
    Column("outcome", (20,)),
    Column("detail", (160, 110, 80, 60)),
)


def outcome(conclusion: Conclusion, page: int = 0) -> Message:
    """What became of each target; replaces the preview.

    `page` counts from 0; a page beyond the last one shows the last.
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
        blocks.foot((f"page {page + 1} of {pages}, those that need attention first",))
        if pages > 1
        else None,
        *_left_behind(conclusion),
        *_prevention(conclusion),
        blocks.actions(_afterwards(conclusion, page, pages)),
        blocks.foot(_outcome_foot(conclusion)),
        also=[_result_line(conclusion, each) for each in _told(results)],
    )


def _left_behind(conclusion: Conclusion) -> Iterable[Block]:
    """How to find what index builds left: the preview, which named it, is gone by now."""
    ended = [
        (result, seen)
        for result in conclusion.results
        if result.outcome in SUCCEEDED
        and builds_an_index(seen := conclusion.target(result.id).seen)
    ]
    if not ended:
        return
    one = len(ended) == 1
    # In another transaction it may have been the same build, or something else after it.
    may_have = "may have " * any(result.reason is Reason.OTHER_WORK for result, _ in ended)
    databases = dict.fromkeys(Quoted(seen.datname) for _, seen in ended if seen.datname)
    where = lines.listed((*databases,), most=_DATABASES)
    yield blocks.paragraph(
        (
            f"This {may_have}ended {'an index build' if one else f'{len(ended)} index builds'}. ",
            f"If {'it' if one else 'they'} left ",
            "an invalid index" if one else "invalid indexes",
            *((" in ", *where) if where else ()),
            f", drop {'that' if one else 'these'} with ",
            Quoted("drop index concurrently", code=True),
            f". To find {'it' if one else 'them'}:",
        )
    )
    yield blocks.preformatted(FIND_INVALID)


def _prevention(conclusion: Conclusion) -> Iterable[Block]:
    if statements := prevention(conclusion):
        yield blocks.paragraph(("To keep it from coming back, for new sessions:",))
        yield blocks.preformatted("\n".join(statements))


def _told(results: Sequence[Result]) -> Iterable[Result]:
    """If there are several, those that need attention first, for people who can't see the table."""
    if len(results) > 1:
        yield from [each for each in results if each.outcome not in SUCCEEDED][:SPOKEN]


def _done(conclusion: Conclusion) -> Line:
    proposal, counts = conclusion.proposal, conclusion.counts
    succeeded = sum(counts[each] for each in SUCCEEDED)
    cancelled, terminated = counts[Outcome.CANCELLED], counts[Outcome.TERMINATED]
    two_steps = proposal.action is Action.CANCEL_THEN_TERMINATE
    first_was_enough = two_steps and cancelled == len(conclusion.results)
    if two_steps and not first_was_enough:
        done = f"Cancelled {cancelled}, then terminated {terminated}"
    else:
        verb = "Terminated" if proposal.action is Action.TERMINATE else "Cancelled"
        done = f"{verb} {succeeded}"
    head: Line = (f"{done} of {len(conclusion.results)} on ", Quoted(proposal.cluster))
    if succeeded and conclusion.took:
        head += (f" in {took(conclusion.took)}",)
    if first_was_enough:
        head += ("; none was left to terminate",)
    return head


def _rest(conclusion: Conclusion) -> Iterator[str]:
    counts, results = conclusion.counts, conclusion.results
    gone = Counter(each.outcome for each in results if each.reason is Reason.GONE_SINCE)
    for each in Outcome:
        if counts[each] and each not in SUCCEEDED:
            yield f" · {counts[each]} {each}"
            if gone[each] and len(results) > 1:
                yield f", {of_them(gone[each], counts[each], 'gone')}"


def _result_line(conclusion: Conclusion, result: Result) -> Line:
    line = (*targets.who(conclusion.target(result.id).seen), f" · {result.outcome}")
    return (*line, ": ", Quoted(result.detail, 300)) if result.detail else line


def _aftermath(conclusion: Conclusion) -> Iterable[Line]:
    changes = [change_of(before, after) for before, after in conclusion.limits]
    if conclusion.waiting is not None and any(conclusion.waiting):
        before, after = conclusion.waiting
        said = f"still {after}" if before == after else f"{before} → {after}"
        changes.append((f"waiting {said}",))
    if changes:
        yield parted(changes[:LISTED], " · ")
    if conclusion.other_work and len(conclusion.results) > 1:
        begun = "had begun other work since the preview."
        yield (capital(of_them(conclusion.other_work, len(conclusion.results), begun)),)
    if conclusion.arrivals:
        matching = count(conclusion.arrivals, "matching session")
        yield (f"{matching} started after the preview: left alone",)
    yield from spared_lines(conclusion.proposal.spared)
    if not conclusion.recorded:
        yield ("⚠ The outcome is not in the ledger yet; the confirmation is. The bot tries again.",)
    for note in conclusion.notes[:LISTED]:
        yield (Quoted(note, 300),)
    yield from _way_on(conclusion)


def _way_on(conclusion: Conclusion) -> Iterable[Line]:
    """What to type if something is left to do that no button does."""
    proposal = conclusion.proposal
    open_ends = tuple(r.id.pid for r in conclusion.results if r.may_live)
    if open_ends:
        look = SessionsRequest(target=Named(proposal.cluster), pids=open_ends[:LISTED])
        what = "What it does now: " if len(open_ends) == 1 else "What they do now: "
        more = len(open_ends) - LISTED
        line: Line = (what, Quoted(f"{SESSIONS} {look}", WORDING, code=True))
        yield (*line, f" and {more} more") if more > 0 else line
    again = {Outcome.NO_LONGER_MATCHES}
    if proposal.basis is Basis.FILTER:  # the pids belonged to the old server
        again.add(Outcome.SERVER_CHANGED)
    if conclusion.counts.keys() & again:
        yield ("To ask again: ", *command_of(proposal.wording))


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
    yield blocks.button("Timeline", ActionId.KILL_TIMELINE, key)


def _outcome_foot(conclusion: Conclusion) -> Line:
    proposal = conclusion.proposal
    line = signed_of(proposal, "confirmed by ", proposal.confirmed_by)
    at = proposal.claimed_at or conclusion.concluded_at
    if at is not None:
        line += (f" at {clock(at)}",)
    line += (f" · kill {proposal.id}",)
    if proposal.reason:
        line += (" · reason: ", Quoted(proposal.reason, REASON))
    return line
