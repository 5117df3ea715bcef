"""What the end of a kill's targets costs, in the preview and in Slack's dialog.

Pure. What is said of each follows from its state, its transaction and what it waits for;
what PostgreSQL doesn't tell is said to be unknown, never to be nothing.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from enum import Enum, auto

from bot.domain.kills import Action, Proposal, Target
from bot.domain.sessions import Backend, Cost
from bot.slack.views.targets import NO_ROLE
from bot.slack.views.text import age, count, plain, some


class _End(Enum):
    """What becomes of a session's transaction when the session ends."""

    NOTHING = auto()  # it has none
    ROLLED_BACK = auto()
    FAILED = auto()  # it was rolled back when it failed: "idle in transaction (aborted)"
    # A commit stands before it waits for a synchronous standby: SyncRepWaitForLSN in syncrep.c.
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
    _End.FAILED: "its transaction has failed already: nothing more is lost.",
    _End.COMMITTED: (
        "its transaction is committed already and does not roll back; it waits for a synchronous"
        " standby, which may not have it yet (SyncRep)."
    ),
    _End.UNSEEN: "unknown: its transaction can't be seen, since track_activities is off for it.",
}
_OF_SEVERAL = {
    _End.FAILED: ("has failed already", "have failed already"),
    _End.COMMITTED: (
        "is committed already and waits for a synchronous standby (SyncRep)",
        "are committed already and wait for a synchronous standby (SyncRep)",
    ),
    _End.UNSEEN: 2 * ("can't be seen, since track_activities is off",),
}


def cost(proposal: Proposal) -> str:
    """What their end undoes: open transactions, how old, and whether they have written."""
    if proposal.action is Action.CANCEL:
        return "what runs stops with an error; the session stays."
    ends = Counter(_end_of(target.seen) for target in proposal.targets)
    rolled_back = [t.seen for t in proposal.targets if _end_of(t.seen) is _End.ROLLED_BACK]
    lost = _lost(rolled_back, proposal.seen_at)
    if len(proposal.targets) == 1:
        return f"its open transaction rolls back{lost}." if rolled_back else _ONE[next(iter(ends))]
    told = [count(ends[each], *words) for each, words in _OF_SEVERAL.items() if ends[each]]
    if rolled_back:
        number = count(len(rolled_back), "open transaction rolls", "open transactions roll")
        told.insert(0, f"{number} back{lost}")
    return f"{'; '.join(told) or 'no open transaction'}."


def _lost(rolled_back: Sequence[Backend], now: datetime) -> str:
    """How much is lost: ` after 32 min; it has written`."""
    ages = [length for seen in rolled_back if (length := seen.xact_age(now)) is not None]
    wrote = sum(seen.cost is Cost.WRITTEN for seen in rolled_back)
    if len(rolled_back) == 1:
        after, who = " after ", "it has"
    else:
        after, who = ", the oldest after ", f"{wrote} {'has' if wrote == 1 else 'have'}"
    lasting = f"{after}{age(max(ages))}" if ages else ""
    return f"{lasting}; {who} written" if wrote else lasting


_ONE_IN_SHORT = {
    _End.NOTHING: "It has no open transaction.",
    _End.ROLLED_BACK: "Its transaction rolls back.",
    _End.FAILED: "Its transaction has failed already.",
    _End.COMMITTED: "Its transaction is committed already.",
    _End.UNSEEN: "Its transaction can't be seen.",
}


def warning(proposal: Proposal) -> str:
    """Who ends and what that costs, for a dialog of 300 characters."""
    return f"{_named(proposal.targets)} {_in_short(proposal)} This can't be undone."


def _named(ending: Sequence[Target]) -> str:
    names = dict.fromkeys(plain(target.seen.usename or NO_ROLE, 40) for target in ending)
    if len(ending) == 1:
        return f"pid {ending[0].id.pid}, {next(iter(names))}."
    return f"{count(len(ending), 'session')} of {some(list(names), 3)}."


def _in_short(proposal: Proposal) -> str:
    if proposal.action is Action.CANCEL:
        return "What runs stops with an error."
    ends = Counter(_end_of(target.seen) for target in proposal.targets)
    if len(proposal.targets) == 1:
        return _ONE_IN_SHORT[next(iter(ends))]
    told = []
    if number := ends[_End.ROLLED_BACK]:
        told.append(f"{count(number, 'transaction rolls', 'transactions roll')} back.")
    if number := ends[_End.UNSEEN]:
        told.append(f"{count(number, 'transaction')} can't be seen.")
    return " ".join(told) or "They have no open transaction that rolls back."


def of_a_cancel(running: Sequence[Backend]) -> str:
    """What a cancel costs those that run something, for a dialog."""
    committed = sum(_end_of(seen) is _End.COMMITTED for seen in running)
    one = len(running) == 1
    if committed == len(running):
        whose = "Its transaction is" if one else "Their transactions are"
        waits = "it only stops" if one else "they only stop"
        told = f"{whose} committed already: {waits} waiting for a standby."
    elif one:
        told = "What it ran fails, and its transaction with it."
    else:
        told = "What they ran fails, and their transactions with it."
        if committed:
            told += f" {count(committed, 'transaction is', 'transactions are')} committed already."
    return f"{told} {'The session stays.' if one else 'The sessions stay.'}"
