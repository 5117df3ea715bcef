"""The record for other programs."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain.kills import Action, Actor, Outcome, Result
from bot.domain.record import Entry, Noted, Unreadable
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


def test_json_has_one_kill_per_line_with_the_latest_outcomes() -> None:
    (line,) = as_json([entry()])
    kill = json.loads(line)
    assert kill["reason"] == "blocks the deploy"
    assert kill["reference"] == "9b676bb2"
    assert [t["outcome"] for t in kill["targets"]] == ["terminated"]
    assert kill["targets"][0]["pid"] == 33507


def test_both_steps_are_told_for_each_target() -> None:
    old = entry()
    (first,) = old.results
    steps = Action.CANCEL_THEN_TERMINATE
    result = Result(first.id, Outcome.TERMINATED, first_step=Outcome.STILL_RUNNING)
    both = replace(
        old, proposal=replace(old.proposal, action=steps), results=(result,), amendments=()
    )
    (line,) = as_json([both])
    kill = json.loads(line)
    assert kill["action"] == "cancel_then_terminate"
    assert [(t["cancel"], t["terminate"]) for t in kill["targets"]] == [
        ("still running", "terminated")
    ]
    header, row = csv.reader(as_csv([both]))
    told = dict(zip(header, row, strict=True))
    assert (told["cancel"], told["terminate"]) == ("still running", "terminated")
    ended = Result(first.id, Outcome.CANCELLED, first_step=Outcome.CANCELLED)
    (line,) = as_json([replace(both, results=(ended,))])
    assert json.loads(line)["targets"][0]["terminate"] is None
    (line,) = as_json([replace(both, results=())])  # under way
    assert json.loads(line)["targets"][0]["cancel"] is None
    (line,) = as_json([old])
    assert "cancel" not in json.loads(line)["targets"][0]


HIDDEN = "a\x1b[2J\x7f\x9b1m\u202eb\u200b\u2028\u3164\U000e0041\ud800"
"""What clears a screen, styles it, reverses a line, or can't be seen or printed."""

READABLE = "Rückmeldung 日本"


def noted(**changes: Any) -> Noted:
    usual = {"id": 7, "at": NOW, "actor": Actor("U1", "T1"), "channel_id": "C1", "what": "/pg-kill"}
    return Noted(**{**usual, **changes})


def test_json_escapes_what_a_terminal_would_obey_and_loses_nothing() -> None:
    kills = list(as_json([entry(usename=HIDDEN, application_name=READABLE)]))
    others = list(noted_as_json([noted(what=HIDDEN, why=READABLE)]))
    for line in (*kills, *others):
        assert line.isprintable()
        assert READABLE in line
    assert json.loads(kills[0])["targets"][0]["usename"] == HIDDEN
    assert json.loads(others[0])["what"] == HIDDEN


def test_csv_shows_the_code_of_what_a_terminal_would_obey() -> None:
    kills = list(as_csv([entry(usename=HIDDEN, application_name=READABLE, query="a\nb\rc")]))
    others = list(noted_as_csv([noted(what=HIDDEN, why=READABLE)]))
    for line in (*kills, *others):
        assert line.isprintable()
        assert "\u3164" not in line
    for _, row in (csv.reader(kills), csv.reader(others)):
        assert READABLE in row
        assert any(cell.startswith(r"a\u001b[2J\u007f\u009b1m\u202eb") for cell in row)


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", " =1"])
def test_csv_cells_are_never_formulas(name: str) -> None:
    header, row = csv.reader(as_csv([entry(application_name=name)]))
    assert tuple(header) == CSV_COLUMNS
    assert dict(zip(header, row, strict=True))["application_name"] == f"'{name}"
    assert dict(zip(header, row, strict=True))["reference"] == "9b676bb2"


@pytest.mark.parametrize(("reference", "told"), [("9b676bb2", "9b676bb2"), ("", None)])
def test_refusals_and_looks_have_their_reference(reference: str, told: str | None) -> None:
    one = noted(reference=reference)
    (line,) = noted_as_json([one])
    assert json.loads(line)["reference"] == told
    header, row = csv.reader(noted_as_csv([one]))
    assert tuple(header) == NOTED_COLUMNS
    assert dict(zip(header, row, strict=True))["reference"] == reference


def test_unreadable_kill_is_reported_and_hides_no_other() -> None:
    unreadable = Unreadable(7, "'freeze' is not a valid Action")
    (line, other) = as_json([unreadable, entry()])
    assert json.loads(line) == {
        "kill": 7,
        "state": "unreadable",
        "detail": "'freeze' is not a valid Action",
        "targets": [],
    }
    assert json.loads(other)["kill"] != 7
    header, row, _ = csv.reader(as_csv([unreadable, entry()]))
    told = {name: cell for name, cell in zip(header, row, strict=True) if cell}
    assert told == {
        "kill": "7",
        "state": "unreadable",
        "detail": "'freeze' is not a valid Action",
    }
