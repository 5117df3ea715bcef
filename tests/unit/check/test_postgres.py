"""What the check says about a server, from the server's answers."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest

from bot.check.facts import Answer, ClusterFacts, Holds, LedgerFacts, OwnRole, Slots, Untold
from bot.check.findings import Finding, Level
from bot.check.postgres import identifier, needed, of_all, of_cluster
from bot.domain.record import LedgerHome
from bot.domain.sessions import ServerId
from bot.postgres import probe, queries

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
HAS_ALL = {"sees": Holds.YES, "signals": Holds.YES, "reserves": Holds.NO}


def role(**changes: Any) -> OwnRole:
    return OwnRole(**{"oid": 100, "name": "bot", "is_superuser": False, **HAS_ALL, **changes})


def slots(**changes: Any) -> Slots:
    usual = {
        "maximum": 100,
        "superuser_reserved": 3,
        "reserved": 0,
        "role_limit": -1,
        "used": 10,
        "database_limit": -1,
        "database_used": 5,
        "own": 1,
        "others": {},
    }
    return Slots(**{**usual, **changes})


def answer(*, system_identifier: int = 1, started: datetime = STARTED, **changes: Any) -> Answer:
    usual = {
        "version_num": 180_006,
        "database": "postgres",
        "role": role(),
        "pooled": False,
        "missing": (),
        "roles": {"bot": True, "web": True},
        "is_encrypted": True,
        "id": ServerId(system_identifier, started),
        "is_standby": False,
        "slots": slots(),
    }
    return Answer(**{**usual, **changes})


def cluster(name: str, answered: Answer | None, *, is_local: bool = False) -> ClusterFacts:
    return ClusterFacts(
        name=name,
        host="db-1.internal",
        is_local=is_local,
        holds=4,
        answer=answered or Untold("did not answer within 5 s"),
    )


def findings(answered: Answer | None, *, may_kill: bool = True, opened: int = 4, **where: Any):
    return of_cluster(cluster("main", answered, **where), needed=opened, may_kill=may_kill).findings


def worst(answered: Answer | None, **circumstances: Any) -> list[Finding]:
    return [each for each in findings(answered, **circumstances) if each.level is not Level.OK]


def test_all_is_well():
    section = of_cluster(cluster("main", answer()), needed=4, may_kill=True)
    assert section.title == "cluster main"
    assert [finding.text for finding in section.findings] == [
        "db-1.internal: PostgreSQL 18.6, primary",
        "its role bot sees all sessions",
        "its role bot can end sessions, except superusers'",
        "the server has 87 connections left of 97; the bot opens 4",
    ]
    assert not worst(answer())


def test_ignored_url_parameters_are_reported():
    facts = replace(cluster("main", answer()), left_out=("connect_timeout", "pgbouncer"))
    second = of_cluster(facts, needed=4, may_kill=True).findings[1]
    assert second == Finding(
        Level.OK, "its URL has parameters without effect: connect_timeout, pgbouncer"
    )


def test_a_server_that_does_not_answer():
    (only,) = findings(None)
    assert only == Finding(Level.FAILURE, "db-1.internal: did not answer within 5 s")


@pytest.mark.parametrize(
    ("version_num", "told", "level"),
    [
        (130_014, "PostgreSQL 13.14; the bot needs 14 or newer", Level.FAILURE),
        (90_624, "PostgreSQL 9; the bot needs 14 or newer", Level.FAILURE),
        (140_000, "PostgreSQL 14.0, primary", Level.OK),
        (190_001, "PostgreSQL 19.1, primary", Level.OK),
    ],
)
def test_versions(version_num, told, level):
    first = findings(answer(version_num=version_num))[0]
    assert (first.text, first.level) == (f"db-1.internal: {told}", level)


def test_a_standby_is_recognized():
    assert findings(answer(is_standby=True))[0].text.endswith("18.6, standby")


# --- the way there


def test_a_connection_across_a_network_is_encrypted():
    plain = answer(is_encrypted=False)
    assert [each.level for each in worst(plain)] == [Level.WARNING]
    assert "not encrypted" in worst(plain)[0].text
    assert not worst(plain, is_local=True)
    assert not worst(answer(is_encrypted=None))


def test_a_pooler_is_advised_against():
    (only,) = worst(answer(pooled=True, is_encrypted=False))
    assert only.level is Level.WARNING
    assert "the URL leads to a pooler" in only.text


# --- rights


@pytest.mark.parametrize(
    ("holds", "version_num", "remedy"),
    [
        (Holds.NO, 180_000, 'grant {} to "bot";'),
        (Holds.NOT_INHERITED, 160_000, 'grant {} to "bot" with inherit true;'),
        (Holds.NOT_INHERITED, 159_999, 'alter role "bot" inherit;'),
    ],
)
@pytest.mark.parametrize(
    ("right", "granted", "words"),
    [
        ("sees", "pg_read_all_stats", "can't see other roles' sessions"),
        ("signals", "pg_signal_backend", "can't end other roles' sessions"),
    ],
)
def test_a_missing_right_comes_with_its_grant(right, granted, words, holds, version_num, remedy):
    (only,) = worst(answer(role=role(**{right: holds}), version_num=version_num))
    assert only.level is Level.FAILURE
    assert words in only.text
    assert ("doesn't inherit" in only.text) is (holds is Holds.NOT_INHERITED)
    assert only.remedy == (remedy.format(granted),)


def test_bot_that_only_looks_needs_no_right_to_signal():
    (only,) = worst(answer(role=role(signals=Holds.NO)), may_kill=False)
    assert only.level is Level.WARNING


def test_a_standby_takes_its_grants_from_its_primary():
    standby = answer(is_standby=True, role=role(signals=Holds.NO, reserves=Holds.YES))
    signals, reserved = worst(standby)
    assert signals.text.endswith("; it is a standby, so on its primary run:")
    assert "primary" not in reserved.text


def test_superuser_has_more_rights_than_needed():
    (only,) = worst(answer(role=role(is_superuser=True), slots=slots(reserved=5)))
    assert only.level is Level.WARNING
    assert "is a superuser, which is more than the bot needs" in only.text


def test_unreadable_tables_come_with_their_grants():
    missing = ("function pg_control_system()", "table pg_locks")
    (only,) = worst(answer(missing=missing, id=None, is_standby=None, slots=None))
    assert only.level is Level.FAILURE
    assert "in the database postgres run:" in only.text
    assert only.remedy == (
        'grant execute on function pg_control_system() to "bot";',
        'grant select on table pg_locks to "bot";',
    )


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("bot", '"bot"'),
        ("user", '"user"'),
        ("My Bot", '"My Bot"'),
        ('a"; drop role b; --', '"a""; drop role b; --"'),
        ("a\u202eb\\", 'U&"a\\+00202eb\\\\"'),
        ('line\n"', 'U&"line\\+00000a"""'),
    ],
)
def test_a_name_is_quoted_as_an_identifier(name, quoted):
    assert identifier(name) == quoted


def test_check_covers_every_function_and_table_in_the_statements():
    known = {each.partition("(")[0] for each in probe.FUNCTIONS}
    known |= {*probe.TABLES, *probe.PREDEFINED}
    for file in files(queries).iterdir():
        if file.name in ("rights.sql", "__init__.py", "__pycache__"):
            continue
        code = re.sub("--.*", "", file.read_text())
        assert set(re.findall(r"\bpg_\w+", code)) <= known, file.name


# --- slots


@pytest.mark.parametrize(
    ("holds", "reserved", "level", "words", "remedy"),
    [
        (Holds.YES, 0, Level.WARNING, "has no effect while reserved_connections is 0", "alter sys"),
        (Holds.YES, 5, Level.OK, "5 slots are reserved, and its role can use them", None),
        (Holds.NO, 1, Level.WARNING, "1 slot is reserved, but its role can't use", "grant pg_use_"),
        (Holds.NOT_INHERITED, 5, Level.WARNING, "but its role can't use", "with inherit true"),
        (Holds.NO, 0, None, "", None),
        (Holds.NO_SUCH_ROLE, None, None, "", None),
    ],
)
def test_reserved_slots(holds, reserved, level, words, remedy):
    found = findings(answer(role=role(reserves=holds), slots=slots(reserved=reserved)))
    said = [each for each in found if "reserved" in each.text]
    assert [each.level for each in said] == ([level] if level else [])
    for each in said:
        assert words in each.text
        assert (remedy in "".join(each.remedy)) if remedy else not each.remedy


def test_reserved_slots_count_for_roles_that_may_use_them():
    full = slots(maximum=100, superuser_reserved=3, reserved=10, used=88)
    reserved_for_it = answer(role=role(reserves=Holds.YES), slots=full)
    assert "the server has 9 connections left of 97" in findings(reserved_for_it)[-1].text
    (not_for_it, too_few) = worst(answer(slots=full))
    assert "but its role can't use" in not_for_it.text
    assert "the server has 0 connections left of 87, but the bot opens 4" in too_few.text
    superuser = answer(role=role(is_superuser=True), slots=full)
    assert "the server has 12 connections left of 100" in findings(superuser)[-1].text


def test_connections_of_a_running_bot_count_as_its_own():
    full = slots(maximum=20, used=17, own=5)
    assert not worst(answer(slots=full))
    (only,) = worst(answer(slots=replace(full, own=1)))
    assert only.level is Level.WARNING


def test_a_role_whose_limit_is_below_what_the_bot_opens():
    limited = answer(slots=slots(role_limit=4))
    assert not worst(limited)
    (only,) = worst(limited, opened=6)
    assert only.level is Level.FAILURE
    assert "has a limit of 4 connections, but the bot opens 6" in only.text
    assert only.remedy == ('alter role "bot" connection limit 12;',)
    assert not worst(answer(role=role(is_superuser=True), slots=slots(role_limit=1)))[1:]


def test_role_or_database_limit_used_up_by_others():
    (only, others) = worst(answer(slots=slots(role_limit=8, own=1, others={"psql": 6})))
    assert "its role has 1 connection left of 8, but the bot opens 4" in only.text
    assert "psql (6)" in others.text
    (only,) = worst(answer(slots=slots(database_limit=10, database_used=9)))
    assert "the database postgres has 1 connection left of 10" in only.text


def test_other_software_on_the_bots_role():
    (only,) = worst(answer(slots=slots(others={"": 1, "web\x1b[2J": 3})))
    assert only.level is Level.WARNING
    assert "other software connects as bot" in only.text
    assert "without a name (1) and web\\u001b[2J (3)" in only.text


# --- all clusters


def all_of(*clusters: ClusterFacts) -> list[Finding]:
    return list(of_all(clusters).findings)


def test_clients_that_are_logging_in_leave_less_room():
    (full,) = worst(answer(slots=slots(used=10, logging_in=87)))
    assert "the server has 0 connections left of 97, but the bot opens 4" in full.text
    last = findings(answer(slots=slots(logging_in=1)))[-1]
    assert last == Finding(Level.OK, "1 client is logging in, and already holds a connection slot")


def test_two_names_for_one_server():
    assert not all_of(cluster("main", answer()), cluster("prod", answer(system_identifier=2)))
    (only,) = all_of(cluster("main", answer()), cluster("prod", answer()), cluster("x", None))
    assert only.level is Level.WARNING
    assert "main and prod are the same server under 2 names" in only.text


def test_standby_does_not_count_as_a_second_name():
    standby = answer(started=datetime(2026, 1, 2, tzinfo=UTC), is_standby=True)
    (only,) = all_of(cluster("main", answer()), cluster("replica", standby))
    assert only.level is Level.OK
    assert "main (primary) and replica (standby) are copies of each other" in only.text


def ledger(home: LedgerHome | None) -> LedgerFacts:
    return LedgerFacts(kind="PostgreSQL", place="x", holds=2, known_version=1, home=home)


def test_what_the_bot_opens_is_counted_by_server_and_role():
    main, same = cluster("main", answer()), cluster("same", answer())
    other_role = cluster("other", answer(role=role(oid=200)))
    elsewhere, down = cluster("prod", answer(system_identifier=2)), cluster("down", None)
    every = (main, same, other_role, elsewhere, down)
    nowhere = {"main": 8, "same": 8, "other": 4, "prod": 4, "down": 4}
    assert needed(every, ledger(None)) == nowhere
    assert needed(every, ledger(LedgerHome(9, 100))) == nowhere
    assert needed(every, ledger(LedgerHome(1, 100))) == {**nowhere, "main": 10, "same": 10}
    assert needed(every, ledger(LedgerHome(1, 200))) == {**nowhere, "other": 6}


def test_ledger_connections_count_on_the_primary():
    standby = cluster("a", answer(is_standby=True, started=datetime(2025, 1, 1, tzinfo=UTC)))
    clusters = (standby, cluster("main", answer()))
    assert needed(clusters, ledger(LedgerHome(1, 100))) == {"a": 4, "main": 6}
