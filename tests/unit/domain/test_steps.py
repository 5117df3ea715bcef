import pytest

from bot.domain import steps
from bot.domain.kills import Outcome, Reason, Result
from tests.unit.builders import identity

ID = identity()
RUNS_ON = Result(ID, Outcome.STILL_RUNNING, "signalled; active, waits on nothing")


@pytest.mark.parametrize("outcome", [each for each in Outcome if each != "still running"])
def test_only_what_was_seen_to_run_on_has_a_second_step(outcome: Outcome) -> None:
    result = steps.after_cancel(Result(ID, outcome, "as it was", Reason.UNWATCHED))
    assert result == Result(ID, outcome, "as it was", Reason.UNWATCHED, first_step=outcome)
    assert not steps.goes_on(result)
    assert steps.second_step(result) is None


def test_what_runs_on_is_interrupted_until_the_second_step_is_taken() -> None:
    between = steps.after_cancel(RUNS_ON)
    assert steps.goes_on(between)
    assert between.outcome is Outcome.INTERRUPTED
    assert between.detail == "not ended by the cancel; not terminated: the bot stopped"
    told = steps.not_taken(between, steps.STOPPING)
    assert told.detail == "not ended by the cancel; not terminated: the bot was told to stop"
    assert steps.second_step(told) is Outcome.INTERRUPTED


@pytest.mark.parametrize(
    ("why", "detail"),
    [
        (steps.LEASE_LOST, "the bot no longer held its claim"),
        (steps.NO_LEDGER, "the ledger did not answer"),
    ],
)
def test_step_that_was_not_taken_says_why(why: str, detail: str) -> None:
    told = steps.not_taken(steps.after_cancel(RUNS_ON), why)
    assert told.detail == f"not ended by the cancel; not terminated: {detail}"


@pytest.mark.parametrize(
    ("came_to", "detail"),
    [
        (Result(ID, Outcome.TERMINATED), "not ended by the cancel"),
        (
            Result(ID, Outcome.CHANGED, "active, in a transaction that began 3 s ago"),
            "not ended by the cancel; active, in a transaction that began 3 s ago",
        ),
    ],
)
def test_the_second_step_is_told_with_the_first(came_to: Result, detail: str) -> None:
    result = steps.after_terminate(came_to)
    assert (result.first_step, result.outcome) == (Outcome.STILL_RUNNING, came_to.outcome)
    assert result.detail == detail
    assert steps.second_step(result) is came_to.outcome


def test_a_query_that_ended_before_the_second_step_was_cancelled() -> None:
    result = steps.after_terminate(Result(ID, Outcome.ALREADY_FINISHED))
    assert result == Result(ID, Outcome.CANCELLED, first_step=Outcome.CANCELLED)
    assert steps.second_step(result) is None
