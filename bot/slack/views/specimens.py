"""One sample of each kind of message and window, for `python -m bot check`. Pure.

Everything is as large as it gets: the longest names, in letters that Slack counts twice, and the
most rows. A new kind of message belongs in `specimens`.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.domain.alerts import Alert, AlertState, Saying
from bot.domain.blocking import HeldLock, Locks, tree
from bot.domain.findings.diagnosis import Diagnosis
from bot.domain.findings.model import (
    Blocks,
    Cancel,
    End,
    Finding,
    Question,
    Rule,
    Severity,
    Subject,
    SubjectOf,
)
from bot.domain.findings.survey import Survey
from bot.domain.groups import MOST_GROUPS, Group, Groups
from bot.domain.kills import (
    Action,
    Conclusion,
    Outcome,
    Result,
    State,
)
from bot.domain.kills import Target as Doomed
from bot.domain.people import Allowlist, Allowlists, Grant, Right, Rights
from bot.domain.record import Entry
from bot.domain.sessions import (
    Limit,
)
from bot.domain.tracks import Topic
from bot.domain.waits import Waits
from bot.errors import ClusterDown, UsageError
from bot.grammar.columns import COLUMNS
from bot.grammar.requests import (
    KILL,
    SESSIONS,
    GroupsRequest,
    HistoryRequest,
    HorizonRequest,
    KillRequest,
    SessionsRequest,
    Target,
    WhyRequest,
)
from bot.grammar.terms import Field
from bot.grammar.watching import WatchRequest
from bot.operations.results import (
    Choice,
    ClusterCard,
    Counted,
    Grouped,
    History,
    Horizon,
    Inspection,
    Overview,
    Past,
    Preview,
    Sessions,
    Tree,
    Why,
)
from bot.slack.buttons import ActionId, Ask, RowRef
from bot.slack.views import alert as alert_view
from bot.slack.views import board as board_view
from bot.slack.views import enlarged, errors, groups, history, home, horizon, kill, shortcut
from bot.slack.views import help as help_view
from bot.slack.views import outcome as outcome_view
from bot.slack.views import past as past_view
from bot.slack.views import preview as preview_view
from bot.slack.views import reason as reason_view
from bot.slack.views import session as session_view
from bot.slack.views import sessions as sessions_view
from bot.slack.views import tree as tree_view
from bot.slack.views import why as why_view
from bot.slack.views.choice import choice
from bot.slack.views.enlarged import KEY, NAME, NOW, ROWS, WHO
from bot.slack.views.message import Message
from bot.slack.views.overview import overview
from bot.slack.views.session import Opened

Specimen = Message | dict[str, Any]


def specimens() -> Mapping[str, Specimen]:
    """By what it is, as a report names it."""
    return {**_looks(), **_diagnoses(), **_kills(), **_windows()}


def _looks() -> dict[str, Specimen]:
    every = Sessions(**enlarged.sessions(columns=COLUMNS))
    cards = tuple(
        ClusterCard(
            cluster=f"{NAME[:40]}{at}",
            host=NAME,
            look=enlarged.look() if at % 2 else None,
            trouble=None if at % 2 else ClusterDown(NAME, NAME),
            last_seen=NOW - timedelta(days=1),
        )
        for at in range(30)
    )
    named = tuple(SessionsRequest(target=Target(f"{NAME[:20]}{at}")) for at in range(30))
    group = Group((NAME, "idle in transaction"), 1, NOW - timedelta(hours=1))
    counted = Counted(
        target=Target("main"),
        look=enlarged.look(),
        groups=Groups((group,) * MOST_GROUPS, 300, 3000),
    )
    return {
        "sessions": sessions_view.sessions(Sessions(**enlarged.sessions()), Action.TERMINATE),
        "sessions of the past": past_view.past(
            Past(
                request=every.request,
                shown=Sessions(**enlarged.sessions()),
                ago=timedelta(minutes=3),
                taken_at=NOW,
                kept=(("main", 20, ROWS),),
            )
        ),
        "sessions, all columns": sessions_view.sessions(every, Action.TERMINATE),
        "all clusters": overview(
            Overview(request=SessionsRequest(), cards=cards, asked_by=WHO, now=NOW, left_out=1)
        ),
        "a choice of clusters": choice(
            Choice(
                what=NAME,
                requests=named,
                about={each.target.cluster or "": enlarged.about() for each in named},
            )
        ),
        "groups": groups.groups(
            Grouped(
                request=GroupsRequest((Field.APPLICATION_NAME, Field.STATE)),
                counted=(counted,),
                troubles=(),
                asked_by=WHO,
                now=NOW,
            )
        ),
        "a choice of boards": board_view.which([WatchRequest(each) for each in named]),
        "a board": board_view.board(
            board_view.Drawing(
                board=enlarged.board(),
                answer=Sessions(**enlarged.sessions()),
                trouble=None,
                samples=(),
                every=10.0,
                now=NOW,
            )
        ),
    }


def _diagnoses() -> dict[str, Specimen]:
    root, waiter = enlarged.backend(1), enlarged.backend(2)
    survey = Survey(look=enlarged.look(), holders=(enlarged.held(),) * 20)
    finding = Finding(
        rule=Rule.BLOCKER,
        severity=min(Severity),
        subject=Subject(SubjectOf.SESSION, "1", root.id),
        evidence=Blocks(
            pid=1,
            behind=5,
            freed=2,
            backend=root,
            on=enlarged.wait(),
            since=NOW - timedelta(minutes=4),
        ),
        hurt=5,
        since=NOW - timedelta(minutes=4),
        acts=(Cancel(waiter), End(root)),
    )
    asked: dict[str, Any] = {"troubles": (), "asked_by": WHO, "now": NOW}
    diagnosis = Diagnosis(Question(), survey, (finding,) * 5)
    alert = Alert(
        id=1,
        key=KEY,
        topic=Topic("main", finding.rule, finding.subject),
        channel_id="C0000000000",
        message_ts="1.2",
        state=AlertState.OPEN,
        since=NOW,
        opened_at=NOW,
        told_at=NOW,
        told_hurt=5,
        worst=5,
        seen_at=NOW,
    )
    over = replace(alert, state=AlertState.OVER, over_at=NOW, ended_by=(1, WHO))
    waits = Waits({2: (1,)})
    return {
        "an alert": alert_view.alert(
            Saying(alert=alert, now=NOW, hurt=5, finding=finding, survey=survey)
        ),
        "an alert that is over": alert_view.alert(Saying(alert=over, now=NOW, hurt=0)),
        "a diagnosis": why_view.why(
            Why(request=WhyRequest(), diagnoses=(diagnosis,), **asked), enlarged.anything
        ),
        "the horizon": horizon.horizon(
            Horizon(request=HorizonRequest(), surveys=(survey,), **asked), enlarged.anything
        ),
        "the blocking tree": tree_view.tree(
            Tree(
                look=enlarged.look(waits=waits),
                branches=tree(waits),
                rows={1: root, 2: waiter},
                locks=Locks({2: enlarged.wait()}),
                barriers={},
                freed={1: 1},
                asked_by=WHO,
            ),
            Action.TERMINATE,
        ),
    }


def _kills() -> dict[str, Specimen]:
    targets = tuple(enlarged.doomed(pid) for pid in range(1, ROWS + 1))
    done = enlarged.proposal(*targets, state=State.DONE, confirmed_by=WHO, claimed_at=NOW)
    results = tuple(Result(each.id, Outcome.CHANGED, NAME) for each in targets)
    rights = Rights(("main",), {Right.KILL: Allowlists(Allowlist(users=frozenset({WHO.user_id})))})

    def preview(*several: Doomed) -> Message:
        shown = Preview(
            proposal=enlarged.proposal(*several),
            server=enlarged.server(),
            second_person=True,
            names=enlarged.names(),
        )
        return preview_view.preview(shown, rights=rights, group_names={})

    entry = Entry(proposal=done, expired=False, results=results, took=timedelta(seconds=1))
    return {
        "a choice of what to preview": choice(
            Choice(what=NAME, requests=(KillRequest(Target("main"), pids=(1,)),))
        ),
        "a preview of one": preview(targets[0]),
        "a preview of many": preview(*targets),
        "an outcome": outcome_view.outcome(
            Conclusion(
                proposal=done,
                results=results,
                took=timedelta(seconds=1),
                limits=((Limit(NAME, 1, 1), Limit(NAME, 0, 1)),),
                waiting=(2, 0),
                concluded_at=NOW,
            )
        ),
        "an expired preview": kill.expired(enlarged.proposal(*targets)),
        "the history": history.history(
            History(request=HistoryRequest(), entries=(entry,) * 20, more=True, before_id=None)
        ),
        "a refusal": errors.refusal(Right.KILL, rights, "main", group_names={}),
        "a correction": errors.usage(UsageError(NAME, "no such word", (NAME,)), SESSIONS),
        "the help": help_view.kill(),
    }


def _windows() -> dict[str, Specimen]:
    row = RowRef("main", enlarged.backend_id(1))
    opened = Opened(row, "C0000000000", "incidents")
    locks = tuple(
        HeldLock("relation", "AccessExclusiveLock", True, 1, 1, None, NAME) for _ in range(50)
    )
    session = Inspection(
        cluster="main",
        server=enlarged.server(),
        names=enlarged.names(),
        backend=enlarged.backend(1),
        full=True,
        locks=locks,
        all_locks=50,
        branches=(),
        around={},
        since=NOW,
        barrier=None,
    )
    standing = home.Standing(
        ClusterCard(
            cluster=NAME[:40], host=NAME, look=enlarged.look(), trouble=None, last_seen=NOW
        ),
        Right.KILL,
        (Grant("PG_KILL_ALLOWLIST", by_name=True, groups=(NAME,), everyone=False),),
    )
    contents = home.Contents(
        standings=[standing] * 40,
        left_out=1,
        previews=[
            (enlarged.proposal(enlarged.doomed(1)), "https://example.slack.com/archives/C1/p1")
        ]
        * 20,
        now=NOW,
    )
    return {
        "the window of a session": session_view.session(opened, session, Action.TERMINATE),
        "the window that asks for a reason": reason_view.ask(
            reason_view.Asked(row, "C0000000000", "incidents", "https://example.com/")
        ),
        "the window of a shortcut": shortcut.form(
            ActionId.KILL_HERE, KILL, shortcut.Here(channel_id="C0000000000", thread_ts="1.2")
        ),
        "the Home tab": home.home(contents),
        "the Home tab's window": home.asking(Ask(KILL, "main/")),
    }
