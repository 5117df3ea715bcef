"""The record for other programs."""

import csv
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.kills import Actor, Outcome, Result
from bot.ports import Entry, Noted
from bot.report import (
    CSV_COLUMNS,
    NOTED_COLUMNS,
    as_csv,
    as_json,
    noted_as_csv,
    noted_as_json,
    since,
)
from tests.unit.builders import backend, proposal, target

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("12h", NOW - timedelta(hours=12)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T10:00:00+02:00", datetime(2026, 1, 1, 8, tzinfo=UTC)),
    ],
)
def test_since_is_a_date_an_instant_or_an_age(text: str, instant: datetime) -> None:
    assert since(text, NOW) == instant


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7y"])
def test_any_other_since_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        since(text, NOW)


def entry(**names: Any) -> Entry:
    one = target(backend(**names))
    return Entry(
        proposal=proposal(one, reason="blocks the deploy", reference="9b676bb2"),
        expired=False,
        results=(Result(one.id, Outcome.UNKNOWN, "no reply"),),
        amendments=(Result(one.id, Outcome.TERMINATED),),
    )


def test_json_is_a_kill_a_line_with_the_latest_outcomes() -> None:
    (line,) = as_json([entry()])
    kill = json.loads(line)
    assert kill["reason"] == "blocks the deploy"
    assert kill["reference"] == "9b676bb2"
    assert [t["outcome"] for t in kill["targets"]] == ["terminated"]
    assert kill["targets"][0]["pid"] == 33507


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx"])
def test_no_cell_of_the_csv_is_a_formula(name: str) -> None:
    header, row = csv.reader(as_csv([entry(application_name=name)]))
    assert tuple(header) == CSV_COLUMNS
    assert dict(zip(header, row, strict=True))["application_name"] == f"'{name}"
    assert dict(zip(header, row, strict=True))["reference"] == "9b676bb2"


@pytest.mark.parametrize(("reference", "told"), [("9b676bb2", "9b676bb2"), ("", None)])
def test_a_refusal_or_look_is_told_with_its_reference(reference: str, told: str | None) -> None:
    one = Noted(
        id=7,
        at=NOW,
        actor=Actor("U1", "T1"),
        channel_id="C1",
        what="/pg-kill user=web",
        why="PG_KILL_ALLOWLIST",
        reference=reference,
    )
    (line,) = noted_as_json([one])
    assert json.loads(line)["reference"] == told
    header, row = csv.reader(noted_as_csv([one]))
    assert tuple(header) == NOTED_COLUMNS
    assert dict(zip(header, row, strict=True))["reference"] == reference
