"""That each part of the SQL of the signal, with whom others wait for, and of a filter counts.

Every statement is run with one place of it changed, through the cases of `test_guards`, until
one of them comes out otherwise. A change that no case sees must stand in docs/mutants.md, with
the reason why it changes nothing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

import asyncpg
import pytest

from bot.domain.sessions import ServerId
from bot.domain.signals import Guard
from bot.postgres import queries
from bot.postgres.statements import signal_statement
from bot.postgres.where import COST
from tests.integration.rehearsal import Seen, play
from tests.integration.sql_mutants import mutants, plain
from tests.integration.test_guards import (
    ASKED,
    BLOCKING,
    CASES,
    blocking_statement,
    match_statement,
    real,
)

JUSTIFIED = {
    entry.rstrip("\n")
    for entry in re.findall(
        r"^SQL .*\n(?:[-+].*\n)+",
        (Path(__file__).parents[2] / "docs/mutants.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
}
"""The mutants that live, as docs/mutants.md has them, each with its reason there."""


def sql_file(name: str) -> str:
    return Path(queries.__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")


MATCH = re.compile(r"(?<=when \().*(?=\) is not true then '(?:changed|no longer matches)')")
RUNNING = re.compile(r"(?<=when \().*(?=\) is not true then 'finished')")


def match_of(one: Guard, which: re.Pattern[str] = MATCH) -> str:
    """What the target must still be, or run, as it stands in the statement."""
    found = which.search(signal_statement(one)[0])
    assert found
    return found[0]


@dataclass(frozen=True)
class Mutant:
    """Some SQL and what it was; `name` as docs/mutants.md has it."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        lines = unified_diff(plain(self.before).splitlines(), self.after.splitlines(), n=0)
        return "\n".join([f"SQL {self.name}", *(x.rstrip() for x in [*lines][2:] if x[0] in "+-")])

    def is_seen_by(self, case: str | None) -> None:
        """Fail unless either a case saw it, or docs/mutants.md says why none does."""
        is_justified = str(self) in JUSTIFIED
        if case is None and not is_justified:
            pytest.fail(f"no case sees this, and docs/mutants.md does not say why:\n{self}")
        if case is not None and is_justified:
            pytest.fail(f"{case} sees this, whatever docs/mutants.md says:\n{self}")


def of(name: str, texts: Iterable[str]) -> list[Mutant]:
    return [Mutant(name, text, mutant) for text in dict.fromkeys(texts) for mutant in mutants(text)]


SIGNAL = of("signal.sql", [sql_file("signal")])
BLOCKERS = of("blocking.sql", [sql_file("blocking")])
MATCHES = of("_match", (match_of(one) for _, one, _ in CASES.values() if not one.conditions))
RUNS = of("_running", (match_of(one, RUNNING) for _, one, _ in CASES.values()))
COSTS = of("COST", [COST])
FILTERS = of("where", (case.sql[0] for case in ASKED.values()))


@pytest.fixture(scope="module")
async def before(stage: asyncpg.Connection, server_id: ServerId) -> dict[str, Seen]:
    """What every case comes to as things are."""
    return {
        name: await play(stage, scene, *signal_statement(real(one, server_id)))
        for name, (scene, one, _) in CASES.items()
    }


@pytest.mark.parametrize("mutant", SIGNAL, ids=range(len(SIGNAL)))
async def test_each_part_of_the_signalling_statement_counts(
    stage: asyncpg.Connection,
    server_id: ServerId,
    before: dict[str, Seen],
    monkeypatch: pytest.MonkeyPatch,
    mutant: Mutant,
) -> None:
    get = queries.get
    changed = mutant.after
    monkeypatch.setattr(queries, "get", lambda name: changed if name == "signal" else get(name))
    for name, (scene, one, _) in CASES.items():
        if await play(stage, scene, *signal_statement(real(one, server_id))) != before[name]:
            return mutant.is_seen_by(name)
    return mutant.is_seen_by(None)


GUARDS = MATCHES + RUNS + COSTS


@pytest.mark.parametrize("mutant", GUARDS, ids=range(len(GUARDS)))
async def test_each_part_of_what_a_target_must_still_be_counts(
    stage: asyncpg.Connection, server_id: ServerId, before: dict[str, Seen], mutant: Mutant
) -> None:
    for name, (scene, one, _) in CASES.items():
        statement, parameters = signal_statement(real(one, server_id))
        before_it, after_it = (f"({mutant.before})", f"({mutant.after})")
        if mutant in COSTS:
            before_it, after_it = mutant.before, mutant.after
        changed = statement.replace(before_it, after_it)
        if await play(stage, scene, changed, parameters) != before[name]:
            return mutant.is_seen_by(name)
    return mutant.is_seen_by(None)


@pytest.mark.parametrize("mutant", BLOCKERS, ids=range(len(BLOCKERS)))
async def test_each_part_of_whom_others_wait_for_counts(
    stage: asyncpg.Connection, mutant: Mutant
) -> None:
    for name, (scene, expected, notes) in BLOCKING.items():
        seen = await play(stage, scene, blocking_statement(mutant.after), ())
        if seen != Seen(tuple(expected), notes):
            return mutant.is_seen_by(name)
    return mutant.is_seen_by(None)


@pytest.mark.parametrize("mutant", FILTERS, ids=range(len(FILTERS)))
async def test_each_part_of_a_condition_counts(stage: asyncpg.Connection, mutant: Mutant) -> None:
    for name, case in ASKED.items():
        condition, parameters = case.sql
        if condition != mutant.before:
            continue
        for scene, satisfied in case.scenes:
            seen = await play(stage, scene, match_statement(mutant.after), parameters)
            if isinstance(seen.rows, str) or ((100,) in seen.rows) is not satisfied:
                return mutant.is_seen_by(name)
    return mutant.is_seen_by(None)


def test_what_is_justified_is_there_to_be_justified() -> None:
    known = [str(mutant) for mutant in (*SIGNAL, *BLOCKERS, *GUARDS, *FILTERS)]
    assert sorted(set(known)) == sorted(known), "two that docs/mutants.md could not tell apart"
    assert JUSTIFIED - set(known) == set()
