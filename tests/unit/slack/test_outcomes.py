"""What the metrics say about a confirmed kill."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.domain.kills import Outcome
from bot.service.metrics import Metrics
from bot.slack.outcomes import _measure
from bot.slack.payloads import click
from bot.slack.runner import Runner
from tests.unit.builders import conclusion


def gone(*outcomes: Outcome, until: float | None = 12.5) -> str:
    """The sum of `pg_sessions_gone_seconds`, for a click at 10."""
    numbers = Metrics(dict)
    ended = replace(conclusion(*outcomes), watched_until=until)
    runner: Any = SimpleNamespace(meter=numbers)
    _measure(cast("Runner", runner), replace(click({}), since=10.0), ended)
    lines = numbers.exposed().decode().splitlines()
    return next(line for line in lines if line.startswith("pg_sessions_gone_seconds_sum"))


@pytest.mark.parametrize(
    ("outcomes", "seconds"),
    [
        ([Outcome.TERMINATED], 2.5),
        ([Outcome.TERMINATED, Outcome.CHANGED, Outcome.ALREADY_GONE], 2.5),
        ([Outcome.CHANGED], 0.0),
        ([Outcome.TERMINATED, Outcome.STILL_RUNNING], 0.0),
        ([Outcome.TERMINATED, Outcome.UNKNOWN], 0.0),
        ([Outcome.INTERRUPTED], 0.0),
    ],
)
def test_time_to_gone_is_measured_once_all_targets_are_gone(outcomes, seconds):
    assert gone(*outcomes) == f"pg_sessions_gone_seconds_sum {seconds}"
    assert gone(*outcomes, until=None) == "pg_sessions_gone_seconds_sum 0.0"
