"""The answer to `/pg-sessions why`: what is wrong, the evidence, and the cheapest act.

Pure. Nothing is ended from here: a button opens the preview of exactly one backend.
"""

from collections.abc import Callable, Iterable, Sequence

from bot.domain.blocking import tree
from bot.domain.findings.diagnosis import Diagnosis
from bot.domain.findings.model import Act, Cancel, Finding, Idle, Question, Rule, Run
from bot.domain.findings.survey import Part, Survey
from bot.domain.findings.wait_events import meaning
from bot.domain.kills import Action
from bot.errors import ClusterError
from bot.grammar.requests import SessionsRequest, Target
from bot.grammar.terms import Field, Match, Pattern
from bot.operations.results import Why
from bot.slack.buttons import ActionId, RowRef, seal
from bot.slack.views import blocks, cluster
from bot.slack.views.blocks import Block
from bot.slack.views.findings import told as tell
from bot.slack.views.findings import words
from bot.slack.views.lines import Line, Quoted, as_of, strong, worded
from bot.slack.views.message import Message, message
from bot.slack.views.text import age, count, dotted, some
from bot.slack.views.tree import DEADLOCK

_HELPS = frozenset({Part.SESSIONS, Part.GROUPS})
"""Parts without which each finding stands as well."""

MOST = 5
"""How many findings are shown."""

_FOOT = 600
"""Characters of a line at the foot."""

_CLUSTERS = 5
"""How many clusters without findings, or in trouble, have a line."""

Told = tuple[Diagnosis, Finding]


def why(answer: Why, offered: Callable[[str], Action | None]) -> Message:
    """What was found, the worst first; buttons that preview an act for those who may.

    `offered` is what a cluster's sessions may have done to them.
    """
    found = sorted(_found(answer), key=lambda told: (told[1].severity, -told[1].hurt))
    told = found[:MOST]
    alone = len(told) == 1 and len(answer.diagnoses) == 1 and answer.diagnoses[0].question.is_narrow
    parts: list[Block | None] = []
    controls = [*_controls(answer)]
    for at, each in enumerate(told):
        buttons = [*_previews(each, at, offered)]
        parts += _finding(each, headed=not alone, past=answer.past)
        if len(told) > 1:
            parts.append(blocks.actions(buttons))
        else:
            controls = buttons + controls
    essence = [tell.headline(told[0][1], told[0][0].survey)] if alone else _head(answer, found)
    essence += (line for diagnosis in answer.diagnoses for line in _session(diagnosis))
    return message(
        [strong(*essence[0]), *essence[1:]],
        *parts,
        blocks.actions(controls),
        *(blocks.foot(line) for line in _foots(answer)),
        *(blocks.foot((line,)) for line in cluster.left_out(answer.left_out)),
        blocks.foot(_asked(answer)),
        also=list(_spoken(told, alone=alone, past=answer.past)),
    )


def _found(answer: Why) -> Iterable[Told]:
    """Each finding once: a role and a database of the same name may both be concerned."""
    told: dict[str, list[Finding]] = {}
    for diagnosis in answer.diagnoses:
        before = told.setdefault(diagnosis.survey.server.cluster, [])
        new = [finding for finding in diagnosis.findings if finding not in before]
        before += new
        yield from ((diagnosis, finding) for finding in new)


def _spoken(told: Sequence[Told], *, alone: bool, past: bool) -> Iterable[Line]:
    """The headlines, unless the essence has them, and what to do, for the top-level text."""
    for diagnosis, finding in told:
        if not alone:
            yield tell.headline(finding, diagnosis.survey)
        if not past and (cheapest := tell.cheapest(finding, diagnosis.survey)):
            yield ("Cheapest: ", *cheapest)


def _head(answer: Why, found: Sequence[Told]) -> list[Line]:
    """How many problems there are; or that nothing was found, and how the servers are."""
    where: Line = (Quoted(_asked_of(answer), 200),)
    if found:
        head: list[Line] = [(*where, f": {count(len(found), 'problem')}")]
    else:
        unseen = any(diagnosis.survey.server.unseen for diagnosis in answer.diagnoses)
        seen = " in what the bot can see" if unseen else ""
        head = [(*where, f": nothing found{seen}")]
        surveys = {each.survey.server.cluster: each.survey for each in answer.diagnoses}
        for survey in list(surveys.values())[:_CLUSTERS]:
            head += _state(survey, named=len(surveys) > 1)
    if (more := len(found) - MOST) > 0:
        head.append((f"the worst {MOST} are shown; {more} more",))
    return [*head, *map(no_answer, answer.troubles[:_CLUSTERS])]


def _asked_of(answer: Why) -> str:
    """`some_user on main`; or the clusters."""
    clusters = list(dict.fromkeys(d.survey.server.cluster for d in answer.diagnoses))
    on = clusters[0] if len(clusters) == 1 else count(len(clusters), "cluster")
    question = answer.diagnoses[0].question
    what = [each for each in (question.role, question.database) if each is not None]
    if question.pid is not None:
        what = [f"pid {question.pid}"]
    elif len(what) == 1 and len({d.question.role is None for d in answer.diagnoses}) == 2:
        what = [f"the role and the database {what[0]}"]
    return f"{' in '.join(what)} on {on}" if what else on


def _of(diagnosis: Diagnosis) -> str:
    question, name = diagnosis.question, diagnosis.survey.server.cluster
    if question.role is not None:
        return f"the role {question.role} on {name}"
    if question.database is not None:
        return f"the database {question.database} on {name}"
    return name


def _session(diagnosis: Diagnosis) -> Iterable[Line]:
    """What the session that was asked for does, and waits for."""
    survey, pid = diagnosis.survey, diagnosis.question.pid
    if (row := survey.backend(pid)) is None:
        return
    told = any(finding.rule is Rule.WAITING for finding in diagnosis.findings)
    who = tell.tidy(words.who(row, survey))
    evidence = (line for finding in diagnosis.findings for line in tell.evidence(finding, survey))
    if not any(line[: len(who)] == who for line in evidence):
        yield words.doing(row, survey)
    if row.wait_event_type is not None and row.wait_event is not None and not told:
        means = meaning(row.wait_event_type, row.wait_event)
        yield (
            Quoted(f"{row.wait_event_type} {row.wait_event}"),
            *((f": {means}",) if means else ()),
        )
    elif row.wait_event is None and row.state == "active":
        yield ("it waits for nothing: PostgreSQL is working on its query",)


def _state(survey: Survey, *, named: bool) -> Iterable[Line]:
    """The state of a server without findings, and each limit that it comes near."""
    server, oldest = survey.server, survey.look.counts.oldest_xact
    open_for = None if oldest is None else f"oldest transaction {age(survey.now - oldest)}"
    told = dotted((f"{server.waiting} waiting for a lock", open_for))
    name: Line = (Quoted(server.cluster), ": ") if named else ()
    connections = cluster.connections(server)
    yield (*name, told, *((" · ", *connections) if connections else ()))
    yield from (("⚠ ", *name, *line) for line in cluster.pressing(server))
    if server.waiting and any(branch.in_cycle for branch in tree(survey.waits)):
        yield (f"⚠ {DEADLOCK}",)


def no_answer(trouble: ClusterError) -> Line:
    """Which cluster could not be asked, and why."""
    return ("No answer from ", Quoted(trouble.cluster), ": ", *worded(trouble.problem))


# --- one finding ---------------------------------------------------------------------


def _finding(told: Told, *, headed: bool, past: bool) -> Iterable[Block]:
    """What is wrong, why, and what to do about it unless it is `past`."""
    diagnosis, finding = told
    survey = diagnosis.survey
    written = [*tell.evidence(finding, survey)]
    if headed:
        written.insert(0, strong(*tell.headline(finding, survey)))
    if not past and (cheapest := tell.cheapest(finding, survey)):
        written.append((*strong("Cheapest: "), *cheapest))
    if written:
        yield blocks.paragraph(*written)
    for act in () if past else finding.acts:
        if isinstance(act, Run):
            yield blocks.preformatted(act.sql)
    if finding.prevention:
        is_of_roles = all(sql.startswith("alter role") for sql in finding.prevention)
        when = ", for new sessions" if is_of_roles else ""
        yield blocks.paragraph((f"To keep it from coming back{when}:",))
        yield blocks.preformatted("\n".join(finding.prevention))


def _previews(told: Told, at: int, offered: Callable[[str], Action | None]) -> Iterable[Block]:
    """Buttons that each open the preview of one backend; `at` distinguishes their ids."""
    diagnosis, finding = told
    name = diagnosis.survey.server.cluster
    for number, act in enumerate(finding.acts):
        if isinstance(act, Run) or act.backend.id is None or not _may(act, offered(name)):
            continue
        value = RowRef(name, act.backend.id).encode()
        if not blocks.fits_button(value):
            continue
        cancels = isinstance(act, Cancel)
        what, pid = "cancel" if cancels else "end", act.backend.pid
        label = f"Preview the {what} of pid {pid}"
        action = ActionId.WHY_CANCEL if cancels else ActionId.WHY_END
        yield blocks.button(label, action.numbered(at * 10 + number), value)


def _may(act: Act, offered: Action | None) -> bool:
    return offered is Action.TERMINATE or (offered is Action.CANCEL and isinstance(act, Cancel))


# --- the foot ------------------------------------------------------------------------


def _foots(answer: Why) -> Iterable[Line]:
    """Where nothing was found; what was read, and what could not be, of each server."""
    if any(diagnosis.findings for diagnosis in answer.diagnoses):
        fine = [_of(diagnosis) for diagnosis in answer.diagnoses if not diagnosis.findings]
        if fine:
            yield (Quoted(f"nothing found: {some(fine, _CLUSTERS)}", _FOOT),)
    by_cluster = {d.survey.server.cluster: d for d in answer.diagnoses}
    read = frozenset.intersection(*(d.survey.looked_at for d in by_cluster.values()))
    checked = f"checked: {', '.join(part for part in Part if part in read - _HELPS)}"
    hidden = {name: _not_visible(diagnosis) for name, diagnosis in by_cluster.items()}
    if len(hidden) == 1 or not any(hidden.values()):
        only = next(iter(hidden.values()))
        yield (Quoted(f"{checked} · not visible: {only or 'nothing'}", _FOOT),)
        return
    yield (checked,)
    for name, what in list(hidden.items())[:_CLUSTERS]:
        yield (Quoted(f"not visible on {name}: {what or 'nothing'}", _FOOT),)


def _not_visible(diagnosis: Diagnosis) -> str:
    survey, question = diagnosis.survey, diagnosis.question
    hidden: list[str] = []
    if unseen := survey.server.unseen:
        hidden.append(cluster.partly_seen(unseen))
    hidden += (f"{unread.part} ({unread.why})" for unread in survey.unread)
    if Part.TRANSACTIONS in survey.looked_at and (unread := _without_locks(diagnosis)):
        hidden.append(f"the locks of {count(unread, 'session')}")
    if survey.names.stale:
        hidden.append(cluster.stale(survey.names).rstrip("."))
    if (more := survey.look.counts.total - len(survey.look.rows)) > 0:
        hidden.append(f"{count(more, 'session')} that hurt less than these")
    if question.role is not None or question.database is not None:
        hidden.append("pg_hba.conf and passwords")
    return ", ".join(hidden)


def _without_locks(diagnosis: Diagnosis) -> int:
    """How many sessions are told of whose locks were not read though those of others were."""
    evidence = (finding.evidence for finding in diagnosis.findings)
    return sum(isinstance(each, Idle) and each.locks is None for each in evidence)


def _asked(answer: Why) -> Line:
    clusters = {d.survey.server.cluster for d in answer.diagnoses}
    now = answer.diagnoses[0].survey.now if len(clusters) == 1 else answer.now
    return as_of(now, answer.asked_by)


def _controls(answer: Why) -> Iterable[Block]:
    worst = min(answer.diagnoses, key=lambda each: [f.severity for f in each.findings] or [9])
    name = worst.survey.server.cluster
    if worst.survey.waits.blocked_by:
        yield cluster.blocking_tree(name)
    look = seal(str(_sessions(worst.question, name)))
    yield from blocks.fitting("Sessions", ActionId.ANSWER_SHOW, look)
    yield from blocks.fitting("Refresh", ActionId.ANSWER_REFRESH, seal(str(answer.request)))


def _sessions(question: Question, name: str) -> SessionsRequest:
    """The look at the sessions that were asked about."""
    role = question.role
    return SessionsRequest(
        target=Target(name, question.database),
        pids=() if question.pid is None else (question.pid,),
        terms=() if role is None else (Match(Field.USENAME, Pattern((role,))),),
    )
