"""The diagnosis: every rule applied to a reading, the worst finding first."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from bot.domain.findings import locks, logins, queues, transactions, waiting
from bot.domain.findings.model import (
    AT_ONCE,
    Blocks,
    Finding,
    HoldsBack,
    Question,
    Rule,
    Subject,
    SubjectOf,
)
from bot.domain.findings.survey import Survey

RULES: tuple[Callable[[Survey, Question], Iterable[Finding]], ...] = (
    logins.server_full,
    logins.limit,
    logins.login,
    queues.ddl_queue,
    queues.wraparound_vacuum,
    queues.concurrent_index,
    locks.blocker,
    locks.prepared_transaction,
    transactions.horizon,
    transactions.idle_in_transaction,
    waiting.waiting,
)

_COVERED = {Rule.BLOCKER, Rule.DDL_QUEUE, Rule.IDLE_IN_TRANSACTION, Rule.WAITING}
"""Findings about one session that another finding may include."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings about what was asked, the worst first; nothing appears twice."""

    question: Question
    survey: Survey
    findings: tuple[Finding, ...]


def diagnose(survey: Survey, question: Question) -> Diagnosis:
    """Answer a question from a reading. A requested session is reported however short its wait."""
    if question.pid is not None:
        question = replace(question, patience=AT_ONCE)
    return Diagnosis(question, survey, tuple(once(find(survey, question))))


def find(survey: Survey, question: Question) -> list[Finding]:
    """All that the rules find about what is asked, the worst first, even what another includes."""
    found = [each for rule in RULES for each in rule(survey, question)]
    return sorted((each for each in found if _concerns(survey, question, each)), key=_rank)


def again(survey: Survey, rule: Rule, subject: Subject) -> Finding | None:
    """What a rule finds about one subject now, however short its wait, and covered or not."""
    question = Question(patience=AT_ONCE)
    found = (each for a_rule in RULES for each in a_rule(survey, question))
    return next((each for each in found if (each.rule, each.subject) == (rule, subject)), None)


def _rank(finding: Finding) -> tuple[int, int, float, str]:
    since = finding.since.timestamp() if finding.since is not None else float("inf")
    return finding.severity, -finding.hurt, since, finding.subject.name


def once(findings: Collection[Finding]) -> Iterable[Finding]:
    """Leave out findings that another one includes, unless they are worse and hurt more."""
    prepared = {each.subject for each in findings if each.rule is Rule.PREPARED_TRANSACTION}
    including = defaultdict[int, list[Finding]](list)
    for each in findings:
        for pid in each.covers:
            including[pid].append(each)
    for finding in findings:
        subject = finding.subject
        others = including[int(subject.name)] if subject.of is SubjectOf.SESSION else []
        if finding.rule in _COVERED and any(_is_included(finding, other) for other in others):
            continue
        if finding.rule is Rule.HORIZON and subject in prepared:
            continue
        yield finding


def _is_included(finding: Finding, other: Finding) -> bool:
    if other is finding:
        return False
    return other.severity <= finding.severity or other.hurt >= finding.hurt


def _concerns(survey: Survey, question: Question, finding: Finding) -> bool:
    """Whether a finding is about what was asked."""
    if not question.is_narrow:
        return True
    subject = finding.subject
    if question.pid is not None:
        return question.pid in finding.involved and finding.rule is not Rule.SERVER_FULL
    if finding.rule in {Rule.SERVER_FULL, Rule.LOGIN}:
        return True
    named = {(SubjectOf.ROLE, question.role), (SubjectOf.DATABASE, question.database)}
    if (subject.of, subject.name) in named:
        return True
    return any(
        question.role in (None, usename) and question.database in (None, datname)
        for usename, datname in _involved(survey, finding)
    )


def _involved(survey: Survey, finding: Finding) -> Iterable[tuple[str | None, str | None]]:
    """The role and database of each session concerned, and of what has no session."""
    for row in filter(None, map(survey.backend, finding.involved)):
        yield row.usename, row.datname
    evidence = finding.evidence
    if isinstance(evidence, Blocks) and evidence.prepared is not None:
        yield evidence.prepared.owner, evidence.prepared.datname
    elif isinstance(evidence, HoldsBack):
        yield evidence.held.usename, evidence.held.datname
