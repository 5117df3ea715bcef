"""What a viewer is shown of a session, and that nothing hidden puts it in its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.sessions import Backend
from bot.domain.shown import as_shown, ranks


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
        # All is masked from a quote behind a backslash on, and another statement may follow it.
        r"select '\'; alter role web password 'a'",
        "select 'unfinished; alter role web password",
        "select 1 as \"a; b\", 'c'",
        "; execute q('a')",
    ],
)
def test_the_id_of_another_would_tell_of_its_literals(query: str) -> None:
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


def test_an_id_that_is_not_shown_has_no_place() -> None:
    found = ranks([session("select 'a'", 1), session("execute q('a')", 2)])
    assert found["query_id"] == {1: 0}


LITERALS = st.text(st.characters(exclude_characters="'\\", exclude_categories=["Cs"]))


@given(
    st.sampled_from(["select '{}'", "execute q('{}')", "alter role web password '{}'", "--{}"]),
    LITERALS,
    LITERALS,
    st.lists(LITERALS, max_size=3),
)
def test_no_literal_decides_a_place(
    statement: str, one: str, another: str, others: list[str]
) -> None:
    """The same sessions but for one literal have the same places."""
    around = [session(statement.format(text), pid) for pid, text in enumerate(others, start=10)]
    if statement == "--{}":
        one, another = (text.translate(dict.fromkeys(map(ord, "\r\n"))) for text in (one, another))
    found = [ranks([session(statement.format(text)), *around]) for text in (one, another)]
    assert found[0] == found[1]
