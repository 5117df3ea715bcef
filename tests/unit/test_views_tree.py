"""The tree of blockers as a message: roots first, and a way out for each."""

from typing import Any

import pytest

from bot.answers import Tree
from bot.backends import Backend, Waits
from bot.blocking import Locks, LockWait, Prepared, tree
from bot.policy import Barrier
from bot.slack.views.actions import ActionId, RowRef
from bot.slack.views.tree import tree as view
from tests.unit.builders import ALICE, NOW, ago, backend, look, waiter
from tests.unit.reading import column, lines, parsed, pressable, problems, table
from workspace.blocks import options_of

CHAIN = Waits({33911: (33507,), 33912: (33911,)})


def answer(*rows: Backend, waits: Waits = CHAIN, **values: Any) -> Tree:
    story: dict[str, Any] = {
        "look": look(*rows, waits=waits),
        "branches": tree(waits),
        "rows": {row.pid: row for row in rows},
        "locks": Locks({33911: LockWait("transactionid", "ShareLock", ago(minutes=4))}),
        "barriers": {},
        "more": 0,
        "asked_by": ALICE,
    }
    return Tree(**{**story, **values})


def test_the_roots_stand_first_with_how_many_wait_behind_each():
    message = view(answer(backend(), waiter(), waiter(33912, usename="batch")))
    assert lines(message)[1] == "2 sessions wait behind 1 root"
    assert column(message, "pid") == ["33507", "└ 33911", "└─ 33912"]
    assert column(message, "holds up") == ["2", "1", " "]
    assert column(message, "waits") == [" ", "4 min · transactionid ShareLock", " "]
    assert "pid 33507 · some_user holds up 2" in message.text.replace("\u2060", "")
    assert problems(message) == []


def test_one_who_waits_is_told_in_the_singular():
    message = view(answer(backend(), waiter(), waits=Waits({33911: (33507,)})))
    assert lines(message)[1] == "1 session waits behind 1 root"


def test_a_waiter_with_several_blockers_names_the_others():
    waits = Waits({3: (1, 2, 0)})
    rows = (backend(1), backend(2), waiter(3))
    message = view(answer(*rows, waits=waits, locks=Locks()))
    at = column(message, "pid").index("└ 3")
    shown = column(message, "waits")[at]
    assert shown.startswith("also for ")
    assert sum(name in shown for name in ("1", "2", "prepared transaction")) == 2


def test_a_deadlock_says_who_will_break_it():
    waits = Waits({1: (2,), 2: (1,)})
    message = view(answer(waiter(1), waiter(2), waits=waits, locks=Locks()))
    assert any("A deadlock: PostgreSQL ends one of them" in line for line in lines(message))
    assert "deadlock" in column(message, "waits")[0]


def test_a_prepared_transaction_gets_the_statement_that_ends_it():
    waits = Waits({33911: (0,)})
    locks = Locks({}, {33911: (Prepared("it's \\ here", ago(hours=3), "ow<ner"),)})
    message = view(answer(waiter(), waits=waits, locks=locks))
    assert column(message, "pid") == ["prepared transaction", "└ 33911"]
    assert "ROLLBACK PREPARED E'it''s \\\\ here';" in lines(message)
    assert any("A transaction prepared 3 h ago by ow<ner" in line for line in lines(message))
    assert "ow<ner" not in parsed(message)
    assert problems(message) == []


BARRIER = Barrier("a superuser's session", "a superuser")


def test_a_root_that_the_bot_can_not_end_says_who_can_and_with_what():
    message = view(answer(backend(), waiter(), barriers={33507: BARRIER}))
    said = lines(message)
    at = said.index(
        "pid 33507 holds up 2, and the bot does not end it: a superuser's session. Who can: "
        "a superuser. This spares any other backend under that pid:"
    )
    assert said[at + 1] == "select pg_terminate_backend(pid) from pg_stat_activity"
    start = backend().backend_start
    assert start is not None
    assert said[at + 2] == f"where pid = 33507 and backend_start = '{start.isoformat()}';"
    assert "Terminate a root…" not in pressable(message)


def test_a_root_that_may_be_ended_is_in_the_menu_with_its_identity():
    message = view(answer(backend(), waiter()))
    menu = pressable(message)["Terminate a root…"]
    assert menu["action_id"] == ActionId.SESSIONS_KILL_ROW
    (option,) = options_of(menu)
    identity = backend().id
    assert identity is not None
    assert option["value"] == RowRef("main", identity).encode()
    assert option["text"]["text"] == "33507 · some_user · holds up 2"


def test_where_nobody_waits_that_is_said():
    message = view(answer(waits=Waits(), locks=Locks()))
    assert lines(message)[1] == "Nobody waits for a lock."
    assert table(message) == []
    assert list(pressable(message)) == ["Refresh"]


@pytest.mark.parametrize("number", [3, 150])
def test_what_does_not_fit_is_counted(number: int):
    waits = Waits({1000 + at: (33507,) for at in range(number)})
    rows = [waiter(1000 + at, query="q" * 1000) for at in range(min(number, 120))]
    message = view(answer(backend(), *rows, waits=waits, locks=Locks(), more=7))
    left_out = number + 1 - len(column(message, "pid")) + 7
    assert f"{left_out} sessions of the tree not shown" in lines(message)
    assert problems(message) == []


def test_a_type_that_is_no_client_is_told_with_its_state():
    worker = backend(7, backend_type="autovacuum worker", usename=None, state_change=NOW)
    message = view(answer(worker, waiter(), waits=Waits({33911: (7,)})))
    assert column(message, "state")[0] == "autovacuum worker · idle in transaction 0 s"
