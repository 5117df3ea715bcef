"""What ending a kill's targets costs, in the preview and in Slack's dialog.

That is what their transactions undo, and what goes with the sessions besides those.

Pure. The text for each target depends on its state, its transaction and what it waits for. If
PostgreSQL doesn't tell the cost, the text says that it is unknown, never that there is none.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import Enum, auto

from bot.domain.holdings import FIND_INVALID, Holdings, Told, told
from bot.domain.kills import GONE_WITHIN, Action, Basis, Proposal, Target
from bot.domain.sessions import Backend, Cost
from bot.operations.results import Preview
from bot.slack.views import blocks, lines
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, plain
from bot.slack.views.targets import LISTED, NO_ROLE
from bot.slack.views.text import age, count, some

_NAMED = 3
"""How many slots or prepared transactions of a session are named."""


class _End(Enum):
    """What becomes of a session's transaction when the session ends."""

    NOTHING = auto()  # there is none
    ROLLED_BACK = auto()
    FAILED = auto()  # it was rolled back when it failed: "idle in transaction (aborted)"
    # The commit is done before it waits for a synchronous standby: SyncRepWaitForLSN in syncrep.c.
    COMMITTED = auto()
    UNSEEN = auto()


def _end_of(seen: Backend) -> _End:
    if seen.wait_event == "SyncRep":
        return _End.COMMITTED
    match seen.cost:
        case Cost.UNSEEN:
            return _End.UNSEEN
        case Cost.NOTHING:
            return _End.NOTHING if seen.state == "idle" else _End.FAILED
        case Cost.OPEN | Cost.WRITTEN:
            return _End.ROLLED_BACK


_ONE = {
    _End.NOTHING: "no open transaction.",
    _End.FAILED: "its transaction has already failed: nothing more is lost.",
    _End.COMMITTED: (
        "its transaction is already committed and does not roll back; it waits for a synchronous"
        " standby, which may not have it yet (SyncRep)."
    ),
    _End.UNSEEN: (
        "unknown: the bot can't see its transaction, because track_activities is off for it."
    ),
}
_OF_SEVERAL = {
    _End.FAILED: ("has already failed", "have already failed"),
    _End.COMMITTED: (
        "is already committed and waits for a synchronous standby (SyncRep)",
        "are already committed and wait for a synchronous standby (SyncRep)",
    ),
    _End.UNSEEN: 2 * ("can't be seen, because track_activities is off",),
}


def cost(proposal: Proposal) -> str:
    """What ending them undoes: open transactions, how old, and whether they have written."""
    if proposal.action is Action.CANCEL:
        if len(proposal.targets) == 1:
            return "the running query stops with an error; the session stays."
        return "the running queries stop with an error; the sessions stay."
    ends = Counter(_end_of(target.seen) for target in proposal.targets)
    rolled_back = [t.seen for t in proposal.targets if _end_of(t.seen) is _End.ROLLED_BACK]
    lost = _lost(rolled_back, proposal.seen_at)
    if len(proposal.targets) == 1:
        return f"its open transaction{lost}." if rolled_back else _ONE[next(iter(ends))]
    told = [count(ends[each], *words) for each, words in _OF_SEVERAL.items() if ends[each]]
    if rolled_back:
        told.insert(0, f"{count(len(rolled_back), 'open transaction')}{lost}")
    return f"{'; '.join(told) or 'no open transaction'}."


def _lost(rolled_back: Sequence[Backend], now: datetime) -> str:
    """How much is lost: ` (32 min old) rolls back; it has written`."""
    ages = [length for seen in rolled_back if (length := seen.xact_age(now)) is not None]
    wrote = sum(seen.cost is Cost.WRITTEN for seen in rolled_back)
    if len(rolled_back) == 1:
        oldest, roll, who = "", "rolls", "it has"
    else:
        oldest, roll, who = "the oldest ", "roll", f"{wrote} {'has' if wrote == 1 else 'have'}"
    lasting = f" ({oldest}{age(max(ages))} old)" if ages else ""
    return f"{lasting} {roll} back{f'; {who} written' if wrote else ''}"


_ONE_IN_SHORT = {
    _End.NOTHING: "It has no open transaction.",
    _End.ROLLED_BACK: "Its transaction rolls back.",
    _End.FAILED: "Its transaction has already failed.",
    _End.COMMITTED: "Its transaction is already committed.",
    _End.UNSEEN: "Its transaction can't be seen.",
}


def warning(proposal: Proposal) -> str:
    """Who ends and what that costs, for a dialog of 300 characters."""
    what = f"{_named(proposal.targets)} {_in_short(proposal)}"
    if proposal.basis is Basis.IDENTITY:
        one = len(proposal.targets) == 1
        ends = "The session ends whatever it runs" if one else "The sessions end whatever they run"
        what += f" {ends} by then."
    return f"{what} This can't be undone."


def _named(ending: Sequence[Target]) -> str:
    names = dict.fromkeys(plain(target.seen.usename or NO_ROLE, 40) for target in ending)
    if len(ending) == 1:
        return f"pid {ending[0].id.pid}, {next(iter(names))}."
    return f"{count(len(ending), 'session')} of {some(list(names), 3)}."


def _in_short(proposal: Proposal) -> str:
    if proposal.action is Action.CANCEL:
        if len(proposal.targets) == 1:
            return "The running query stops with an error."
        return "The running queries stop with an error."
    ends = Counter(_end_of(target.seen) for target in proposal.targets)
    if len(proposal.targets) == 1:
        return _ONE_IN_SHORT[next(iter(ends))]
    told = []
    if number := ends[_End.ROLLED_BACK]:
        told.append(f"{count(number, 'transaction rolls', 'transactions roll')} back.")
    if number := ends[_End.UNSEEN]:
        told.append(f"{count(number, 'transaction')} can't be seen.")
    return " ".join(told) or "No open transaction rolls back."


def of_a_cancel(running: Sequence[Backend]) -> str:
    """What a cancel costs the targets that run something, for a dialog."""
    stay = "The session stays." if len(running) == 1 else "The sessions stay."
    return f"{_of_queries(running)} {stay}"


def of_two_steps(running: Sequence[Backend]) -> str:
    """What a cancel costs, and the step after it, for a dialog of 300 characters."""
    if len(running) == 1:
        then = "the session ends if it still runs the same query in the same transaction"
    else:
        then = "those sessions end that still run the same query in the same transaction"
    after = int(GONE_WITHIN.total_seconds())
    return f"1. {_of_queries(running)} 2. After {after} s, {then}. This can't be undone."


def _of_queries(running: Sequence[Backend]) -> str:
    committed = sum(_end_of(seen) is _End.COMMITTED for seen in running)
    one = len(running) == 1
    if committed == len(running):
        whose = "Its transaction is" if one else "Their transactions are"
        waits = "it only stops" if one else "they only stop"
        told = f"{whose} already committed: {waits} waiting for a standby."
    elif one:
        told = "Its query fails, and its transaction with it."
    else:
        told = "Their queries fail, and their transactions with them."
        if committed:
            told += f" {count(committed, 'transaction is', 'transactions are')} already committed."
    return told


# --- what goes with a session besides its transaction --------------------------------


_TOLD = {
    Told.LISTEN: "its last statement was LISTEN: its client gets no more notifications",
    Told.TEMPORARY: "its last statement made a temporary table, which goes with it",
}


def of_holdings(answer: Preview) -> Iterable[Line]:
    """A line for each thing; the index builds come first."""
    written = [*_builds(answer)]
    if answer.proposal.action is Action.TERMINATE:
        written += (
            (*_lead(target, answer), *line)
            for target in answer.proposal.targets
            for line in _lost_with(target, answer.holdings.get(target.id.pid, Holdings()))
        )
    yield from written[:LISTED]
    if (more := len(written) - LISTED) > 0:
        yield (f"⚠ {count(more, 'more such cost', 'more such costs')}",)
    if answer.holdings_unread:
        what = "index builds, advisory locks and replication slots could not be read"
        yield (f"⚠ What else they may have: {what}.",)


def statements(answer: Preview) -> Iterable[Block]:
    """What people run after the end of an index build. The bot doesn't run it."""
    for target, holdings in _with_builds(answer):
        assert holdings.build is not None  # noqa: S101
        drop = holdings.build.drop
        where: Line = (" in ", Quoted(target.seen.datname)) if target.seen.datname else ()
        # The build may be done before it is ended: then the index is valid, and in use.
        does = "if the index is invalid, drop it" if drop else "find the invalid index"
        yield blocks.paragraph((f"Afterwards, {does}", *where, ":"))
        yield blocks.preformatted(drop or FIND_INVALID)


def _with_builds(answer: Preview) -> list[tuple[Target, Holdings]]:
    found = [(each, answer.holdings.get(each.id.pid)) for each in answer.proposal.targets]
    return [(target, held) for target, held in found if held and held.build][:_NAMED]


def _builds(answer: Preview) -> Iterator[Line]:
    for target in answer.proposal.targets:
        held = answer.holdings.get(target.id.pid)
        if held is not None and held.build is not None:
            command = held.build.command
            yield (*_lead(target, answer), f"it runs {command}: its end leaves an invalid index.")


def _lost_with(target: Target, held: Holdings) -> Iterator[Line]:
    if held.advisory:
        number = count(held.advisory, "advisory lock")
        yield (f"it holds {number}, which others can then take.",)
    for slot in held.slots[:_NAMED]:
        name = Quoted(slot.name)
        if slot.temporary:
            yield ("its temporary replication slot ", name, " is dropped.")
        else:
            yield ("it reads from the replication slot ", name, ", which stays.")
    if held.prepared:
        named = lines.listed(tuple(Quoted(gid, 30) for gid in held.prepared), most=_NAMED)
        stay = "prepared transaction of its role stays", "prepared transactions of its role stay"
        yield (f"{count(len(held.prepared), *stay)}: ", *named, ".")
    yield from ((f"{_TOLD[each]}.",) for each in told(target.seen))


def _lead(target: Target, answer: Preview) -> Line:
    if len(answer.proposal.targets) == 1:
        return ("⚠ ",)
    return (f"⚠ pid {target.id.pid}: ",)
