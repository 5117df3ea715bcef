"""One finding: what is wrong in a line, the evidence, the cheapest act. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bot.domain.findings.model import (
    Blocks,
    Builds,
    Cancel,
    End,
    Evidence,
    Finding,
    Full,
    HoldsBack,
    Idle,
    Queue,
    Refused,
    Run,
    Waits,
)
from bot.domain.findings.survey import Survey
from bot.domain.sessions import Backend, Cost, SpareReason
from bot.slack.views import targets
from bot.slack.views.findings import locks, logins, transactions, words
from bot.slack.views.lines import Line, Quoted

HEADLINES: Mapping[type[Evidence], Callable[[Any, Finding, Survey], Line]] = {
    Full: logins.full_head,
    Refused: logins.refused_head,
    Blocks: locks.blocks_head,
    Queue: locks.queue_head,
    Builds: locks.builds_head,
    Idle: transactions.idle_head,
    HoldsBack: transactions.holds_back_head,
    Waits: transactions.waits_head,
}

EVIDENCE: Mapping[type[Evidence], Callable[[Any, Finding, Survey], Iterable[Line]]] = {
    Full: logins.full,
    Refused: logins.refused,
    Blocks: locks.blocks,
    Queue: locks.queue,
    Builds: locks.builds,
    Idle: transactions.idle,
    HoldsBack: transactions.holds_back,
    Waits: transactions.waits,
}

_GAINS: Mapping[type[Evidence], Callable[[Any, Finding], str]] = {
    Full: logins.full_gain,
    Blocks: locks.blocks_gain,
    Queue: locks.queue_gain,
    Builds: locks.builds_gain,
}

_OTHERWISE: Mapping[type[Evidence], Callable[[Any, Finding], Line]] = {
    Full: logins.full_otherwise,
    Blocks: locks.blocks_otherwise,
    HoldsBack: transactions.holds_back_otherwise,
    Refused: logins.refused_otherwise,
}

_COST = {
    Cost.NOTHING: "It has no open transaction.",
    Cost.OPEN: "Its transaction rolls back.",
    Cost.WRITTEN: "Its transaction rolls back; it has written.",
    Cost.UNSEEN: "What that costs can't be seen: track_activities is off for it.",
}


def headline(finding: Finding, survey: Survey) -> Line:
    """What is wrong, in one self-contained line."""
    return tidy(HEADLINES[type(finding.evidence)](finding.evidence, finding, survey))


def evidence(finding: Finding, survey: Survey) -> Iterable[Line]:
    return map(tidy, EVIDENCE[type(finding.evidence)](finding.evidence, finding, survey))


def tidy(line: Line) -> Line:
    """Leave out empty parts."""
    return tuple(part for part in line if part != "")


def cheapest(finding: Finding, survey: Survey) -> Line:
    """What to do first, what it costs and gains; empty if there is no advice."""
    if not finding.acts:
        return _otherwise(finding, survey)
    gains = _GAINS.get(type(finding.evidence))
    gain = "" if gains is None else gains(finding.evidence, finding)
    match finding.acts[0]:
        case End(backend):
            return (f"end pid {backend.pid}. {_COST[backend.cost]}{gain}",)
        case Cancel(backend):
            told = f"cancel the query of pid {backend.pid}. Its transaction fails"
            return (f"{told}; the session stays.{gain}",)
        case Run() as act:
            return (
                f"{_condition(finding.evidence)}run this",
                *words.run_in(act),
                f".{gain}" if gain else ":",
            )


def _condition(evidence: Evidence) -> str:
    """What must be so before people run the statement."""
    match evidence:
        case HoldsBack(held=held):
            return transactions.drop_if(held)
        case Refused():
            return logins.run_if(evidence)
        case _:
            return ""


def _otherwise(finding: Finding, survey: Survey) -> Line:
    """What to do if the bot itself does nothing, and why it doesn't."""
    advice = _OTHERWISE.get(type(finding.evidence))
    if advice is not None and (line := advice(finding.evidence, finding)):
        return line
    match finding.evidence:
        case (
            Full(holders=(first, *_))
            | Blocks(backend=Backend() as first)
            | HoldsBack(backend=Backend() as first)
            | Idle(backend=first)
            | Builds(locker=Backend() as first)
            | Queue(head=first)
        ):
            return ("the bot won't end ", *targets.who(first), ": ", *_why_not(first, survey))
        case _:
            return ()


def _why_not(backend: Backend, survey: Survey) -> Line:
    why = survey.spared.get(backend.pid)
    if why is None:
        return (Quoted(backend.backend_type or "it can't be seen"), ", not a client backend.")
    can = ": only a superuser can end it" if why is SpareReason.SUPERUSER else ""
    return (*targets.reason(why, backend), f"{can}.")
