"""A look as a `data_table`: what it sorts by, what it is called, and what stands behind it."""

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.sessions import Counts
from bot.grammar.columns import COLUMNS
from bot.grammar.parser import read_sessions
from bot.grammar.requests import SessionsRequest
from bot.slack.views.lines import unmarked
from bot.slack.views.message import SHAPES, Message
from bot.slack.views.sessions import sessions
from bot.slack.views.specimens import specimens
from bot.slack.views.tables import ROWS_ON_A_PAGE
from tests.unit.builders import ago, backend, look
from tests.unit.builders import sessions as answer
from tests.unit.reading import problems, table
from workspace.blocks import Json


def data_table(message: Message) -> Json:
    (only,) = [block for block in message.blocks if block["type"] == "data_table"]
    return only


def request(text: str) -> SessionsRequest:
    read = read_sessions(text)
    assert isinstance(read, SessionsRequest)
    return read


def sorted_texts(message: Message, name: str) -> list[str]:
    """The texts of a column as Slack would sort them: by value only if all cells have one."""
    header, *rows = data_table(message)["rows"]
    at = [cell["text"] for cell in header].index(name)
    cells: list[Any] = [row[at] for row in rows]
    numbers = all(cell["type"] == "raw_number" for cell in cells)
    return [cell["text"] for cell in sorted(cells, key=lambda c: c["value" if numbers else "text"])]


AGED = (
    backend(9, xact_start=ago(minutes=9), query="select 9"),
    backend(12, xact_start=ago(), query="select 12"),
    backend(10, xact_start=None, query="select 10"),
    backend(100, xact_start=ago(hours=2), query="select 100"),
    backend(11, xact_start=ago(seconds=40), query="select 11"),
)


def test_ages_and_pids_sort_as_numbers_and_read_as_texts() -> None:
    shown = sessions(answer(*AGED, request=request("columns=pid,xact_age,query")))
    assert sorted_texts(shown, "pid") == ["9", "10", "11", "12", "100"]
    # No transaction sorts below the youngest.
    assert sorted_texts(shown, "xact_age") == [" ", "0 s", "40 s", "9 min", "2 h"]
    assert sorted_texts(shown, "query")[0] == "select 10"
    assert problems(shown) == []


@pytest.mark.parametrize("name", COLUMNS)
def test_column_of_numbers_has_one_in_each_cell_even_where_there_is_none(name: str) -> None:
    shown = sessions(
        answer(
            backend(query_id=2**62),
            backend(2, leader_pid=1, client_port=None),
            request=request(f"columns={name}"),
        )
    )
    _, *rows = data_table(shown)["rows"]
    assert len({cell["type"] for (cell,) in rows}) == 1
    # A client that counts in floating point keeps these apart.
    assert all(abs(cell.get("value", 0)) < 2**53 for (cell,) in rows)


def test_caption_tells_what_a_screen_reader_would_not_hear_from_the_rows() -> None:
    counts = Counts(total=143, by_state={"active": 143}, waiting=0, oldest_xact=None)
    asked = request("main/some_db user=some_user xact>5m")
    shown = sessions(answer(look=look(backend(), counts=counts), request=asked, offset=20))
    assert data_table(shown)["caption"].replace("\u2060", "") == (
        "some_db on main · user=some_user xact›5m · number 21 of 143 sessions · as of 12:00:01 UTC"
    )
    everything = sessions(answer(backend(), request=request("main/"), database=None))
    assert data_table(everything)["caption"] == "main · 1 of 1 session · as of 12:00:01 UTC"


@pytest.mark.parametrize(
    "hostile", ["<!channel>", "<@U0ALICE>", "@here", "*b*", "`x`", "http://e.com"]
)
def test_caption_holds_no_markup(hostile: str) -> None:
    shown = sessions(answer(backend(), cluster=hostile, database=hostile))
    caption = data_table(shown)["caption"]
    assert unmarked(hostile) in caption
    assert hostile not in caption
    assert not {"<", ">"} & set(caption)


def test_a_page_fits_a_phone_and_a_row_is_named_by_its_pid() -> None:
    shown = data_table(sessions(answer(backend(), request=request("columns=usename,pid"))))
    assert (shown["page_size"], shown["row_header_column_index"]) == (ROWS_ON_A_PAGE, 1)
    without = data_table(sessions(answer(backend(), request=request("columns=usename"))))
    assert without["row_header_column_index"] == 0


def test_a_plain_table_stands_behind_it_and_text_behind_that() -> None:
    message = sessions(answer(*AGED))
    shapes = list(message.shapes())
    kinds = [
        {block["type"] for block in shape.blocks} & {"table", "data_table"} for shape in shapes
    ]
    assert kinds == [{"data_table"}, {"table"}, set(), set()]
    assert len(shapes) == SHAPES
    assert table(shapes[1]) == table(message)
    # Nothing but the table differs.
    others = [[b for b in each.blocks if "table" not in b["type"]] for each in shapes[:2]]
    assert others[0] == others[1]


def test_a_table_on_its_side_has_nothing_to_sort() -> None:
    turned = sessions(answer(backend(), request=replace(SessionsRequest(), columns=COLUMNS)))
    assert {"table"} == {b["type"] for b in turned.blocks} & {"table", "data_table"}


def test_only_looks_can_be_sorted_and_paged() -> None:
    """What a kill is decided by must be in sight, all of it, in the order that the words tell."""
    kinds: dict[str, set[str]] = {"table": set(), "data_table": set()}
    for what, each in specimens().items():
        for block in each.blocks if isinstance(each, Message) else each["blocks"]:
            kinds.get(block["type"], set()).add(what)
    assert kinds["data_table"] == {
        *("sessions", "sessions of the past", "a board", "all clusters", "groups")
    }
    assert {"a preview of many", "an outcome"} <= kinds["table"]
