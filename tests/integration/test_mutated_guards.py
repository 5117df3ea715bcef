"""Each part of the SQL of the signal, of the blocking query and of a filter counts.

Every statement is run with one change through the cases of `test_guards`, until one of them gives
another result. A change that no case notices must be listed in tests/mutants.toml, with the reason
why it changes nothing.
"""

import re
from collections.abc import Iterable
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
from tests.mutants import Mutant, keys, living


def sql_file(name: str) -> str:
    return Path(queries.__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")


TRANSACTION = re.compile(r"(?<=when \().*(?=\) is not true then 'changed')")
RUNNING = re.compile(r"(?<=when \().*(?=\) is not true then 'finished')")


def part_of(one: Guard, which: re.Pattern[str]) -> str:
    """What the statement requires of the target's transaction, or of what it runs."""
    found = which.search(signal_statement(one)[0])
    assert found
    return found[0]


def of(name: str, texts: Iterable[str]) -> list[Mutant]:
    return [
        Mutant(name, 0, plain(text), mutant)
        for text in dict.fromkeys(texts)
        for mutant in mutants(text)
    ]


def judge(mutant: Mutant, case: str | None) -> None:
    """Fail unless a case noticed it, or tests/mutants.toml says why none does."""
    is_listed = KEYS[mutant] in LISTED
    if case is None and not is_listed:
        pytest.fail(f"no case sees this, and tests/mutants.toml doesn't have it:\n{mutant}")
    if case is not None and is_listed:
        pytest.fail(f"{case} sees this, but tests/mutants.toml has it:\n{mutant}")


SIGNAL = of("signal.sql", [sql_file("signal")])
BLOCKERS = of("blocking.sql", [sql_file("blocking")])
TRANSACTIONS = of("_transaction", (part_of(one, TRANSACTION) for _, one, _ in CASES.values()))
RUNS = of("_running", (part_of(one, RUNNING) for _, one, _ in CASES.values()))
COSTS = of("COST", [COST])
FILTERS = of("where", (case.sql[0] for case in ASKED.values()))
KEYS = keys([*SIGNAL, *BLOCKERS, *TRANSACTIONS, *RUNS, *COSTS, *FILTERS])
LISTED = {key for key in living() if key[0].endswith(".sql")}


@pytest.fixture(scope="module")
async def before(stage: asyncpg.Connection, server_id: ServerId) -> dict[str, Seen]:
    """Every case's result without changes."""
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
            return judge(mutant, name)
    return judge(mutant, None)


GUARDS = TRANSACTIONS + RUNS + COSTS


@pytest.mark.parametrize("mutant", GUARDS, ids=range(len(GUARDS)))
async def test_each_part_of_the_basis_counts(
    stage: asyncpg.Connection, server_id: ServerId, before: dict[str, Seen], mutant: Mutant
) -> None:
    for name, (scene, one, _) in CASES.items():
        statement, parameters = signal_statement(real(one, server_id))
        before_it, after_it = (f"({mutant.before})", f"({mutant.after})")
        if mutant in COSTS:
            before_it, after_it = mutant.before, mutant.after
        changed = statement.replace(before_it, after_it)
        if await play(stage, scene, changed, parameters) != before[name]:
            return judge(mutant, name)
    return judge(mutant, None)


@pytest.mark.parametrize("mutant", BLOCKERS, ids=range(len(BLOCKERS)))
async def test_each_part_of_the_blocking_query_counts(
    stage: asyncpg.Connection, mutant: Mutant
) -> None:
    for name, (scene, expected, notes) in BLOCKING.items():
        seen = await play(stage, scene, blocking_statement(mutant.after), ())
        if seen != Seen(tuple(expected), notes):
            return judge(mutant, name)
    return judge(mutant, None)


@pytest.mark.parametrize("mutant", FILTERS, ids=range(len(FILTERS)))
async def test_each_part_of_a_condition_counts(stage: asyncpg.Connection, mutant: Mutant) -> None:
    for name, case in ASKED.items():
        condition, parameters = case.sql
        if condition != mutant.before:
            continue
        for scene, satisfied in case.scenes:
            seen = await play(stage, scene, match_statement(mutant.after), parameters)
            if isinstance(seen.rows, str) or ((100,) in seen.rows) is not satisfied:
                return judge(mutant, name)
    return judge(mutant, None)


def test_every_listed_mutant_exists() -> None:
    assert LISTED - set(KEYS.values()) == set()
