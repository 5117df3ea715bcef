"""The tree of blockers as a message: roots first, and a way out for each."""

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.blocking import Locks, LockWait, Prepared, tree
from bot.domain.kills import Action
from bot.domain.protection import Barrier, Ender
from bot.domain.sessions import Backend, SpareReason
from bot.domain.waits import Waits
from bot.operations.results import Tree
from bot.slack.buttons import ActionId, RowRef
from bot.slack.views.message import Message
from bot.slack.views.tree import tree as tree_view
from tests.unit.builders import ALICE, NOW, SERVER_ID, ago, backend, look, server, waiter
from tests.unit.reading import column, lines, parsed, pressable, problems, table
from workspace.block_elements import options_of

CHAIN = Waits({33911: (33507,), 33912: (33911,)})


def view(shown: Tree, action: Action | None = Action.TERMINATE) -> Message:
    return tree_view(shown, action)


def answer(*rows: Backend, waits: Waits = CHAIN, **values: Any) -> Tree:
    story: dict[str, Any] = {
        "look": look(*rows, waits=waits),
        "branches": tree(waits),
        "rows": {row.pid: row for row in rows},
        "locks": Locks(
            {33911: LockWait("transactionid", "ShareLock", ago(minutes=4), transactionid="768")}
        ),
        "barriers": {},
        "freed": {},
        "asked_by": ALICE,
    }
    return Tree(**{**story, **values})


def test_roots_come_first_with_their_number_of_waiters():
    message = view(answer(backend(), waiter(), waiter(33912, usename="batch")))
    assert lines(message)[1] == "2 sessions wait behind 1 root"
    assert column(message, "pid") == ["33507", "└ 33911", "\u00a0\u00a0└ 33912"]
    assert column(message, "holds up") == ["2", "1", " "]
    assert column(message, "waits") == [" ", "4 min · transactionid 768, ShareLock", " "]
    assert "pid 33507 · some_user holds up 2" in message.text.replace("\u2060", "")
    assert problems(message) == []


def test_single_waiter_is_singular():
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
    waits = Waits({1: (2,), 2: (1,), 3: (1,)})
    message = view(answer(waiter(1), waiter(2), waiter(3), waits=waits, locks=Locks()))
    assert lines(message)[1] == "3 sessions wait behind 1 cycle"
    assert any("A deadlock: PostgreSQL itself ends" in line for line in lines(message))
    assert column(message, "waits")[0] == "deadlock · for 2"


def test_root_that_shares_its_waiters_says_how_many_it_frees():
    message = view(answer(backend(), waiter(), freed={33507: 0}))
    assert column(message, "holds up") == ["2 (0 only by it)", "1", " "]


def test_wait_for_a_safe_snapshot_is_shown():
    deferrable = waiter(33911, wait_event_type="IPC", wait_event="SafeSnapshot")
    message = view(answer(backend(), deferrable, waits=Waits({33911: (33507,)}), locks=Locks()))
    assert column(message, "waits")[1] == "a safe snapshot (SERIALIZABLE READ ONLY DEFERRABLE)"


def test_a_prepared_transaction_gets_the_statement_that_ends_it():
    mine = Prepared("it's \\ here", ago(hours=3), "ow<ner", "some_db")
    others = {-2: Prepared("2", ago(hours=2), None), -9: Prepared("not in the way", NOW, None)}
    locks = Locks({}, {-1: mine, **others})
    waits = Waits({33911: (-1,), 33912: (-2,), 33913: (0,)})
    rows = (waiter(), waiter(33912), waiter(33913))
    message = view(answer(*rows, waits=waits, locks=locks))
    assert column(message, "pid") == [
        each for pid in (33912, 33911, 33913) for each in ("prepared transaction", f"└ {pid}")
    ]
    assert column(message, "state")[::2] == ["prepared 2 h ago", "prepared 3 h ago", "prepared"]
    assert column(message, "usename")[::2] == [" ", "ow<ner", " "]
    assert column(message, "datname")[::2] == [" ", "some_db", " "]
    assert "not in the way" not in "".join(lines(message))
    assert "rollback prepared E'it''s \\\\ here';" in lines(message)
    said = "A transaction prepared 3 h ago by ow<ner is in the way. It has no session. Its owner"
    assert f"{said} or a superuser can end it, connected to some_db:" in lines(message)
    assert "ow<ner" not in parsed(message)
    assert problems(message) == []


BARRIER = Barrier(SpareReason.SUPERUSER, Ender.SUPERUSER)


def test_a_root_that_the_bot_can_not_end_says_who_can_and_with_what():
    message = view(answer(backend(), waiter(), barriers={33507: BARRIER}))
    said = lines(message)
    at = said.index(
        "pid 33507 holds up 2, and the bot won't end it: a superuser's session. Who can: "
        "a superuser. This ends it and no other backend with that pid:"
    )
    start = backend().backend_start
    assert start is not None
    assert said[at + 1 : at + 4] == [
        "select pg_terminate_backend(pid) from pg_stat_get_activity(33507)",
        f"where backend_start = '{start.isoformat()}'",
        f"and pg_postmaster_start_time() = '{SERVER_ID.postmaster_start_time.isoformat()}';",
    ]
    assert "Terminate a blocker…" not in pressable(message)


def test_a_root_that_may_be_ended_is_in_the_menu_with_its_identity():
    message = view(answer(backend(), waiter()))
    menu = pressable(message)["Terminate a blocker…"]
    assert menu["action_id"] == ActionId.SESSIONS_KILL_ROW
    (option,) = options_of(menu)
    identity = backend().id
    assert identity is not None
    assert option["value"] == RowRef("main", identity).encode()
    assert option["text"]["text"] == "33507 · some_user · holds up 2"


def test_tree_without_waiters_says_so():
    message = view(answer(waits=Waits(), locks=Locks()))
    assert lines(message)[1] == "No session waits for a lock."
    assert table(message) == []
    assert list(pressable(message)) == ["Refresh"]


def test_tree_says_what_of_it_the_bot_can_not_see():
    blind = replace(look(waits=Waits()), server=server(unseen=3))
    assert lines(view(answer(waits=Waits(), locks=Locks(), look=blind)))[1:3] == [
        (
            "⚠ the bot can see only part of 3 sessions, so no limit here counts them:"
            " grant it pg_read_all_stats."
        ),
        "No session that the bot can see waits for a lock.",
    ]


@pytest.mark.parametrize("number", [30, 250])
def test_roots_come_first_and_the_rest_is_counted(number: int):
    many = {1000 + at: (1,) for at in range(number)} | {2000 + at: (2,) for at in range(number)}
    waits = Waits({**many, 4000: (3,)})
    rows = [waiter(pid, query="q" * 1000) for pid in [*many][:120]]
    message = view(answer(backend(1), backend(2), *rows, waits=waits, locks=Locks()))
    shown = column(message, "pid")
    assert {"1", "2", "3"} <= set(shown)
    assert sum(pid.startswith("└ 1") for pid in shown) > 20
    assert sum(pid.startswith("└ 2") for pid in shown) > 20
    left_out = 2 * number + 4 - len(shown)
    foot = f"{left_out} sessions of the tree not shown"
    assert (foot in lines(message)) is (left_out > 0)
    assert problems(message) == []


def test_roots_that_the_menu_has_no_room_for_are_counted():
    waits = Waits({1000 + at: (100 + at,) for at in range(105)})
    rows = [backend(100 + at) for at in range(105)]
    message = view(answer(*rows, waits=waits, locks=Locks()))
    assert any(
        line.endswith("5 roots not in the menu: use /pg-kill with the pid")
        for line in lines(message)
    )
    assert len(options_of(pressable(message)["Terminate a blocker…"])) == 100


def test_non_client_backend_shows_its_type_and_state():
    worker = backend(7, backend_type="autovacuum worker", usename=None, state_change=NOW)
    message = view(answer(worker, waiter(), waits=Waits({33911: (7,)})))
    assert column(message, "state")[0] == "autovacuum worker · idle in transaction 0 s"


def test_no_kill_menu_in_the_tree_for_people_who_may_only_look():
    shown = answer(backend(), waiter())
    assert "Terminate a blocker…" in pressable(view(shown))
    assert list(pressable(view(shown, action=None))) == ["Refresh"]
