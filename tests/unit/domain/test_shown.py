"""What a viewer is shown of a session, and that hidden text doesn't affect its place."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import shown
from bot.domain.redaction import redact
from bot.domain.sessions import Backend
from bot.domain.shown import Poolers, as_shown, ranks
from bot.domain.shown import _redacted_anew as shown_anew
from tests.unit.builders import backend


def session(query: str | None, pid: int = 1) -> Backend:
    return Backend(pid=pid, query=query, query_id=7)


@pytest.mark.parametrize(
    "query",
    [
        "select 'a'",
        "SELECT 'a' ;",
        "select('a')",
        "(select 'a') union (select 'b')",
        "((select 'a'))",
        "insert into t values ('a')",
        "update t set x = 'a'",
        "delete from t where x = 'a'",
        "merge into t using s on true when matched then delete -- why",
        "with a as (select 'b') select * from a",
        "values ('a')",
        "table t /* a */",
        "vacuum t",  # nothing is hidden
        "",
        "commit",
    ],
)
def test_the_id_of_a_planned_statement_is_shown(query: str) -> None:
    assert as_shown(session(query), 1000).query_id == 7


@pytest.mark.parametrize(
    "query",
    [
        "alter role web password 'a'",
        "set application_name = 'a'",
        "execute q('a')",
        "call p('a')",
        "copy t from program 'a'",
        "comment on table t is 'a'",
        "do $$begin perform 'a'; end$$",
        "explain select 'a'",
        "fetch 5 from c",
        "vacuum t -- a",
        "select 1; alter role web password 'a'",
        "select 'a'; ; alter role web password 'b'",
        "begin; select 'a'",
        "select 1; select 'a'",
        # Everything is masked from a quote after a backslash on, and another statement may follow
        # it.
        r"select '\'; alter role web password 'a'",
        "select 'unfinished; alter role web password",
        "select 1 as \"a; b\", 'c'",
        "; execute q('a')",
    ],
)
def test_query_id_of_an_unplanned_statement_is_hidden(query: str) -> None:
    row = as_shown(session(query), 1000)
    assert row.query_id is None
    assert "'" not in (row.query or "")


def test_a_session_without_a_query_is_left_as_it_is() -> None:
    assert as_shown(session(None), 1000) == session(None)


def placed(*queries: str | None) -> list[int | None]:
    found = ranks(session(query, pid) for pid, query in enumerate(queries))["query"]
    return [found.get(pid) for pid in range(len(queries))]


def test_the_order_goes_by_what_is_shown() -> None:
    assert placed("select b", "select a", None, "select 'z'", "select 'a'") == [2, 1, None, 0, 0]


def test_hidden_query_id_has_no_rank() -> None:
    found = ranks([session("select 'a'", 1), session("execute q('a')", 2)])
    assert found["query_id"] == {1: 0}


LITERALS = st.text(st.characters(exclude_characters="'\\", exclude_categories=["Cs"]))


@given(
    st.sampled_from(["select '{}'", "execute q('{}')", "alter role web password '{}'", "--{}"]),
    LITERALS,
    LITERALS,
    st.lists(LITERALS, max_size=3),
)
def test_no_literal_affects_a_rank(
    statement: str, one: str, another: str, others: list[str]
) -> None:
    """The same sessions keep their places if only one literal changes."""
    around = [session(statement.format(text), pid) for pid, text in enumerate(others, start=10)]
    if statement == "--{}":
        one, another = (text.translate(dict.fromkeys(map(ord, "\r\n"))) for text in (one, another))
    found = [ranks([session(statement.format(text)), *around]) for text in (one, another)]
    assert found[0] == found[1]


@given(st.lists(st.text(max_size=40), max_size=20), st.sampled_from([10, 100]))
def test_what_is_remembered_is_what_would_be_shown_anew(queries: list[str], most: int) -> None:
    for query in queries * 2:
        seen = as_shown(session(query), most)
        assert seen.query == redact(query, most)
        assert (seen.query_id == 7) is shown_anew(query, most)[1]


def test_no_query_is_kept_and_their_number_is_bounded() -> None:
    for number in range(shown._REMEMBERED + 500):
        as_shown(session(f"select 'hunter{number}'"), 100)
        assert len(shown._remembered) <= shown._REMEMBERED
    as_shown(session("select 'hunter' -- " + "x" * shown._REMEMBERED_LENGTH), 100)
    kept = [part for entry in shown._remembered.items() for part in (entry[0][0], entry[1][0])]
    assert not any("hunter" in str(part) for part in kept)


POOLERS = Poolers((ip_network("10.1.0.0/16"), ip_network("10.0.0.5"), ip_network("2001:db8::/32")))


@pytest.mark.parametrize(
    ("address", "application", "serves"),
    [
        ("10.0.0.5", "web", True),
        ("10.1.2.3", "web", True),
        ("2001:db8::1", "web", True),
        ("10.0.0.6", "web", False),
        ("::1", "web", False),
        (None, "web", False),
        (None, "PgBouncer", True),
        ("10.0.0.6", "pgcat", True),
        ("10.0.0.6", "odyssey 1.3", True),
        ("10.0.0.6", "odyssey-web", False),
        ("10.0.0.6", "not pgbouncer", False),
        ("10.0.0.6", None, False),
    ],
)
def test_a_pooler_is_known_by_its_address_or_its_name(address, application, serves):
    client = None if address is None else ip_address(address)
    seen = backend(client_addr=client, application_name=application)
    assert POOLERS.serve(seen) is serves
