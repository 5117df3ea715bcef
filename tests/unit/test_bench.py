"""The table of `make bench` says what was measured."""

import pytest

from tests.bench.table import (
    BEGIN,
    DOCUMENT,
    END,
    Line,
    Spread,
    against,
    alone,
    markdown,
    quote,
    quoted,
    read,
    write,
)

ROUNDS = [10.0, 20.0, 30.0, 40.0, 50.0]


def test_spread_has_the_middle_half():
    assert Spread.of(ROUNDS) == Spread(20.0, 30.0, 40.0)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0)


def test_ratio_is_of_the_medians_and_spreads_by_neighbours():
    line = against("a look", " ms", ROUNDS, [5.0, 5.0, 10.0, 10.0, 10.0], 3.0)
    assert line.ratio == Spread(3.0, 3.0, 4.0)
    assert line.is_met


@pytest.mark.parametrize(
    ("line", "goal"),
    [
        (against("w", " ms", [30.0], [10.0], 3.0), "≤ 3.00"),
        (against("w", " ms", [31.0], [10.0], 3.0), "**missed:** ≤ 3.00"),
        (alone("w", " ms", [99.0], 100), "≤ 100 ms"),
        (alone("w", " ms", [101.0], 100), "**missed:** ≤ 100 ms"),
        (alone("w", "", [0.0], 0), "≤ 0"),
        (alone("w", " ms", [5.0]), ""),
    ],
)
def test_goal_is_of_the_ratio_or_of_the_figure(line: Line, goal: str):
    assert markdown([line]).splitlines()[-1].split(" | ")[-1] == f"{goal} |"


def test_table_shows_medians_and_spread():
    line = against("a look", " ms", ROUNDS, [10.0] * 5, 2.0)
    assert markdown([line]).splitlines()[-1] == (
        "| a look | 30.0 ms (20.0–40.0) | 10.0 ms | 3.00 (2.00–4.00) | **missed:** ≤ 2.00 |"
    )


def test_kept_result_is_read_as_it_was(tmp_path):
    lines = [against("a look", " ms", ROUNDS, ROUNDS[::-1], 2.0), alone("idle", " %", [0.1], 0.2)]
    write(lines, {"cores": 2}, tmp_path / "bench.json")
    assert read(tmp_path / "bench.json") == ({"cores": 2}, lines)


def test_document_quotes_the_last_result():
    assert BEGIN + quoted(*read()) + END in DOCUMENT.read_text()


def test_quote_replaces_only_the_last_result(tmp_path):
    document = tmp_path / "scale.md"
    document.write_text(f"before\n{BEGIN}old\n{END}after\n")
    quote({"cores": 2}, [alone("idle", " %", [0.1])], document)
    head, _, rest = document.read_text().partition(BEGIN)
    assert (head, rest.partition(END)[2]) == ("before\n", "after\n")
    assert "old" not in rest
    assert "| idle | 0.1 % |" in rest
    assert "cores: 2" in rest
