"""How findings are printed: a level first, 80 columns, and nothing that a terminal obeys."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from bot.check.facts import LedgerFacts, Port
from bot.check.findings import (
    WIDTH,
    Level,
    Section,
    failure,
    lines,
    name,
    ok,
    passed,
    some,
    summary,
    warning,
)
from bot.check.ledger import of_ledger
from bot.check.settings import of_settings, wrong_settings
from bot.domain.record import LedgerHome
from tests.unit.check.test_postgres import answer, cluster

OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""The categories of characters that a terminal obeys instead of showing."""


def test_section_is_a_list_with_levels_in_a_column():
    section = Section(
        "cluster main",
        (
            ok("all is well"),
            warning("something could be better, and to say so takes more than the one line " * 2),
            failure("it can't work:", 'grant pg_read_all_stats to "sessions_bot";'),
        ),
    )
    assert list(lines(section)) == [
        "cluster main",
        "  ok       all is well",
        "  warning  something could be better, and to say so takes more than the one line",
        "           something could be better, and to say so takes more than the one line",
        "  failure  it can't work:",
        '           grant pg_read_all_stats to "sessions_bot";',
    ]


@given(st.text(max_size=200), st.sampled_from([ok, warning, failure]))
def test_hostile_name_stays_within_its_line(called, level):
    printed = list(lines(Section("title", (level(f"U1 is {name(called)}, a guest of this"),))))
    assert not {unicodedata.category(each) for each in "".join(printed)} & OBEYED
    assert all(wcswidth(line) <= WIDTH for line in printed)
    assert printed[1].startswith(f"  {level('').level} ")
    assert all(line.startswith(" " * 11) for line in printed[2:])


def test_a_name_of_any_length_is_cut():
    printed = list(lines(Section("t", (ok(f"U1 is {name('海' * 500)}"),))))
    assert all(wcswidth(line) <= WIDTH for line in printed)
    assert printed[-1].endswith("…")


def test_a_statement_to_run_is_never_broken():
    statement = f'grant pg_read_all_stats to "{"a" * 63}";'
    assert f"{'':11}{statement}" in list(lines(Section("t", (failure("x", statement),))))


def test_terminal_control_characters_are_shown_as_codes():
    printed = "\n".join(lines(Section("t", (ok("is \x1b[2J\u202ered\u200b\a of\r\nAcme"),))))
    assert "\\u001b[2J\\u202ered\\u200b\\u0007 of Acme" in printed


def test_only_a_failure_fails_and_all_are_counted():
    sections = [Section("a", (ok("x"), warning("y"))), Section("b", (warning("z"),))]
    assert passed(sections)
    assert summary(sections) == "0 failures, 2 warnings, 1 ok"
    worse = [*sections, Section("c", (failure("w"),))]
    assert not passed(worse)
    assert summary(worse) == "1 failure, 2 warnings, 1 ok"


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (list("abcdefg"), "a, b, c, d, e and 2 more"),
    ],
)
def test_long_lists_are_cut(items, told):
    assert some(items) == told


# Settings


def test_invalid_settings_are_listed_one_by_one():
    section = wrong_settings(["DATABASE_URL: is required", "PORT: must be a port"])
    assert [finding.text for finding in section.findings] == [
        "DATABASE_URL: is required",
        "PORT: must be a port",
    ]
    assert {finding.level for finding in section.findings} == {Level.FAILURE}


def test_a_port_is_free_or_taken():
    section = of_settings(
        clusters=["main", "prod"],
        mode="HTTP mode",
        ports=[
            Port("PORT", 3000),
            Port("HEALTH_PORT", 9090, "Address already in use"),
            Port("HEALTH_PORT", 9090, "Address already in use", is_the_bots=True),
        ],
    )
    read, free, taken, own = section.findings
    assert read.text == "valid: HTTP mode, clusters main and prod"
    assert (free.level, free.text) == (Level.OK, "PORT: 3000 is free to listen on")
    assert taken.level is Level.FAILURE
    assert taken.text == "HEALTH_PORT: can't listen on 9090 (Address already in use)"
    assert own.level is Level.OK
    assert "HEALTH_PORT: 9090 is a running bot's" in own.text


# The ledger


def ledger(**changes) -> LedgerFacts:
    facts = {"kind": "PostgreSQL", "place": "db-9/ledger", "holds": 2, "known_version": 2}
    return LedgerFacts(**{**facts, "version": 2, **changes})


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({}, Level.OK, "PostgreSQL, db-9/ledger: writable, schema version 2"),
        ({"version": 0}, Level.OK, "not created yet"),
        ({"version": 1}, Level.OK, "the bot migrates it from schema version 1 to 2"),
        ({"version": None, "problem": "it is gone"}, Level.FAILURE, "it is gone. Without a ledger"),
        (
            {"is_local": False, "is_encrypted": False},
            Level.WARNING,
            "add sslmode=verify-full to LEDGER_URL",
        ),
        (
            {"connection_limit": 1},
            Level.FAILURE,
            "has a limit of 1 connection, but the bot opens 2",
        ),
        ({"is_open_to_others": True}, Level.WARNING, "everyone on this machine can read the file"),
        (
            {"left_out": ("pgbouncer",)},
            Level.OK,
            "its URL has parameters without effect: pgbouncer",
        ),
        ({"home": LedgerHome(1, 10)}, Level.WARNING, "on a cluster that the bot watches (main)"),
    ],
)
def test_findings_about_a_ledger(changes, level, words):
    clusters = [cluster("main", answer(system_identifier=1))]
    last = of_ledger(ledger(**changes), clusters).findings[-1]
    assert (last.level, words in last.text) == (level, True), last


@pytest.mark.parametrize(
    "changes",
    [
        {"is_local": True, "is_encrypted": False},
        {"is_local": False, "is_encrypted": True},
        {"is_local": False, "is_encrypted": None},
        {"connection_limit": 2},
        {"connection_limit": -1},
        {"home": LedgerHome(2, 10)},
    ],
)
def test_ledgers_without_findings(changes):
    clusters = [cluster("main", answer(system_identifier=1)), cluster("prod", None)]
    assert len(of_ledger(ledger(**changes), clusters).findings) == 1
