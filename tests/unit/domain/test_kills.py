"""The parts of a kill, and what may be said about one that is done."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.kills import (
    GONE_WITHIN,
    LEASE,
    LIVING,
    MAX_TARGETS,
    SECOND_LOOK_AFTER,
    SECOND_LOOK_LEASE,
    SECOND_LOOK_UNTIL,
    SIGNAL_WINDOW,
    SUCCEEDED,
    Action,
    Actor,
    Basis,
    Conclusion,
    Draft,
    Outcome,
    Place,
    Proposal,
    Reason,
    Result,
    State,
    Target,
)
from tests.unit.builders import ALICE, KEY, NOW, SERVER_ID, backend, conclusion, identity, target


def test_limits_are_as_promised() -> None:
    assert MAX_TARGETS == 100
    assert timedelta(seconds=5) == SIGNAL_WINDOW
    assert timedelta(seconds=5) == GONE_WITHIN
    assert timedelta(seconds=15) == LEASE
    assert timedelta(seconds=10) == SECOND_LOOK_AFTER
    assert timedelta(seconds=90) == SECOND_LOOK_LEASE
    assert timedelta(hours=1) == SECOND_LOOK_UNTIL


def test_values_match_those_in_existing_ledgers() -> None:
    assert [*Action] == ["terminate", "cancel", "cancel_then_terminate"]
    assert [*Basis] == ["filter", "pid", "identity"]
    assert [*State] == ["proposed", "claimed", "done", "dismissed"]
    assert set(Outcome) == {
        *("terminated", "cancelled", "already gone", "already finished", "changed"),
        *("no longer matches", "not permitted", "protected", "still running", "server changed"),
        *("interrupted", "unknown"),
    }
    assert [*Reason] == ["other work", "unwatched", "not known", "gone since"]


def test_outcomes_that_need_someone_come_first_and_successes_last() -> None:
    order = [*Outcome]
    assert order[:3] == [Outcome.UNKNOWN, Outcome.STILL_RUNNING, Outcome.INTERRUPTED]
    assert set(order[:3]) == LIVING
    assert set(order[-2:]) == SUCCEEDED == {Outcome.TERMINATED, Outcome.CANCELLED}


DRAFT: dict[str, Any] = {
    "cluster": "main",
    "host": "db-1.internal",
    "server": SERVER_ID,
    "action": Action.TERMINATE,
    "basis": Basis.PID,
    "wording": "33507",
    "conditions": (),
    "targets": (),
    "asked_by": ALICE,
    "channel_id": "C0OPS",
    "seen_at": NOW,
}


def test_preview_defaults() -> None:
    unsaid: dict[str, Any] = {"spared": (), "reason": None, "before": (), "waiting": 0, "freed": 0}
    assert Draft(**DRAFT) == Draft(**DRAFT, **unsaid)
    assert Target(identity(), backend()) == Target(
        identity(), backend(), waiting_behind=0, is_new=False
    )
    assert Actor("U1") == Actor("U1", "")
    assert Place("C1") == Place("C1", "")


def test_preview_has_no_owner_until_it_is_claimed() -> None:
    kept: dict[str, Any] = {"id": 41, "key": KEY, "created_at": NOW, "expires_at": NOW}
    new = Proposal(**DRAFT, **kept)
    assert new == Proposal(
        **DRAFT,
        **kept,
        state=State.PROPOSED,
        message_ts="",
        confirmed_by=None,
        claimed_at=None,
        dismissed_by=None,
        dismissed_at=None,
        reference="",
    )
    assert new.place == Place("C0OPS", "")
    assert replace(new, message_ts="17.1").place == Place("C0OPS", "17.1")
    in_a_thread = replace(new, message_ts="17.1", thread_ts="16.5")
    assert in_a_thread.place == Place("C0OPS", "17.1", "16.5")


def test_outcome_defaults() -> None:
    proposal = conclusion().proposal
    bare = Conclusion(proposal=proposal, results=(), took=timedelta(0))
    assert bare == Conclusion(
        proposal=proposal,
        results=(),
        took=timedelta(0),
        limits=(),
        waiting=None,
        arrivals=0,
        recorded=True,
        began_at=None,
        concluded_at=None,
        notes=(),
        watched_until=None,
    )
    assert Result(identity(), Outcome.TERMINATED) == Result(
        identity(), Outcome.TERMINATED, detail="", reason=None, first_step=None
    )


def test_outcomes_are_counted() -> None:
    done = conclusion(Outcome.TERMINATED, Outcome.CHANGED, Outcome.TERMINATED)
    assert done.counts == {Outcome.TERMINATED: 2, Outcome.CHANGED: 1}


def test_other_work_is_counted_by_reason() -> None:
    first, second, third = conclusion(*[Outcome.TERMINATED] * 3).results
    reasons = (
        replace(first, reason=Reason.OTHER_WORK),
        replace(second, reason=Reason.UNWATCHED),
        third,
    )
    assert conclusion().other_work == 0
    assert replace(conclusion(), results=reasons).other_work == 1


def test_results_that_need_someone_come_first_then_by_pid() -> None:
    pids = (34_000, 9, 500, 33_507)
    outcomes = (Outcome.TERMINATED, Outcome.TERMINATED, Outcome.UNKNOWN, Outcome.CANCELLED)
    done = conclusion(*outcomes, targets=tuple(target(backend(pid)) for pid in pids))
    assert [(r.outcome, r.id.pid) for r in done.in_order] == [
        (Outcome.UNKNOWN, 500),
        (Outcome.CANCELLED, 33_507),
        (Outcome.TERMINATED, 9),
        (Outcome.TERMINATED, 34_000),
    ]


def test_result_refers_to_a_backend_not_a_pid() -> None:
    before, after = target(backend()), target(backend(backend_start=NOW))
    done = conclusion(targets=(before, after))
    assert done.target(before.id) is before
    assert done.target(after.id) is after
    with pytest.raises(StopIteration):
        done.target(identity(1))


def test_amendments_replace_results_and_add_none() -> None:
    first, second = conclusion(Outcome.UNKNOWN, Outcome.TERMINATED).results
    later = replace(first, outcome=Outcome.ALREADY_GONE)
    stranger = Result(identity(1), Outcome.TERMINATED)
    done = conclusion(Outcome.UNKNOWN, Outcome.TERMINATED)
    assert done.amended([stranger, later]) == (later, second)
    assert done.amended([]) == done.results


@pytest.mark.parametrize("outcome", Outcome)
def test_second_look_covers_only_open_results(outcome: Outcome) -> None:
    left_open = {Outcome.UNKNOWN, Outcome.STILL_RUNNING}
    assert Result(identity(1), outcome, "signalled").is_open is (outcome in left_open)
    told_to_stop = outcome in left_open | {Outcome.INTERRUPTED}
    for reason in Reason:
        is_open = told_to_stop if reason in {Reason.UNWATCHED, Reason.NOT_KNOWN} else None
        expected = outcome in left_open if is_open is None else is_open
        assert Result(identity(1), outcome, "signalled", reason).is_open is expected


@pytest.mark.parametrize("outcome", Outcome)
def test_targets_not_seen_to_end_may_still_run(outcome: Outcome) -> None:
    assert Result(identity(1), outcome, "signalled").may_live is (outcome in LIVING)
    for reason in Reason:
        may_live = outcome in LIVING and reason is not Reason.GONE_SINCE
        assert Result(identity(1), outcome, "signalled", reason).may_live is may_live
