"""One session in full, as a modal."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.blocking import HeldLock, tree
from bot.domain.kills import Action
from bot.domain.protection import Barrier, Ender
from bot.domain.sessions import Backend, Database, Names, SpareReason
from bot.domain.waits import Waits
from bot.errors import ClusterDown
from bot.operations.results import Gone, Inspection
from bot.slack.buttons import ActionId, RowRef
from bot.slack.views.errors import cluster_trouble
from bot.slack.views.message import Message, plainly
from bot.slack.views.session import Opened, gone, last_word, placeholder, session, trouble
from tests.unit.builders import NOW, SERVER_ID, ago, backend, identity, server, waiter
from tests.unit.reading import lines, pressable
from workspace.blocks import problems_of_view

OPENED = Opened(RowRef("main", identity(33507)), "C1")
NAMES = Names({}, {16384: Database(16384, "some_db", -1)}, NOW, SERVER_ID)


def inspection(seen: Backend | None = None, **values: Any) -> Inspection:
    story: dict[str, Any] = {
        "cluster": "main",
        "server": server(),
        "names": NAMES,
        "backend": seen or backend(),
        "full": False,
        "locks": (),
        "all_locks": len(values.get("locks", ())),
        "branches": (),
        "around": {},
        "since": None,
        "barrier": None,
    }
    return Inspection(**{**story, **values})


def shown(*, action: Action | None = Action.TERMINATE, **values: Any) -> Message:
    view = session(OPENED, inspection(**values), action)
    assert problems_of_view(view) == []
    assert problems_of_view({**view, "blocks": plainly(view["blocks"])}) == []
    return Message("modal", tuple(view["blocks"]))


def test_a_session_through_a_pooler_says_what_that_hides():
    words = "through a pooler: what is shown of its client is the pooler's"
    assert words in lines(shown(through_pooler=True))
    assert words not in lines(shown())


def test_every_column_that_has_a_value_is_there_with_the_ages_of_its_instants():
    said = lines(shown())
    assert "usename some_user" in said
    assert any(line.startswith("xact_start 32 min ago · 20") for line in said)
    assert not any(line.startswith("query_id") for line in said)
    assert "update accounts set balance = balance - ? where id = ?" in said


def test_full_query_says_that_only_one_person_sees_it():
    full = shown(seen=backend(query="select 'a'\nfrom b"), full=True)
    assert "query in full: only you see it, and this look is on record" in lines(full)
    assert "select 'a'" in lines(full)
    assert "query without its literals" in lines(shown())


def test_tree_around_a_session_marks_the_session():
    waits = Waits({33911: (33507,), 33912: (33911,)})
    around = {33507: backend(), 33911: waiter(), 33912: waiter(33912, usename="batch")}
    said = lines(shown(seen=waiter(), branches=tree(waits), around=around, since=ago(minutes=3)))
    assert "waits for a lock for 3 min" in said
    assert "1 session waits behind it" in said
    at = said.index("who waits for whom around it")
    assert said[at + 1 : at + 4] == [
        "33507 · some_user · idle in transaction 32 min",
        "└ 33911 · web · active 4 min · ◂ this one",
        "\u00a0\u00a0└ 33912 · batch · active 4 min",
    ]


def test_a_long_queue_is_cut_and_counted():
    waits = Waits(dict.fromkeys(range(1, 60), (33507,)))
    said = lines(shown(branches=tree(waits)))
    assert "59 sessions wait behind it" in said
    assert "… and 35 more: see the blocking tree" in said


def test_locks_are_named_where_the_bot_may_read_their_names():
    locks = (
        HeldLock("relation", "AccessExclusiveLock", False, 16384, 5, ago(minutes=2), "public.a"),
        HeldLock("tuple", "ExclusiveLock", True, 16384, 5, None, "public.a"),
        HeldLock("relation", "RowExclusiveLock", True, 99, 7, None),
        HeldLock("transactionid", "ExclusiveLock", True, None, None, None),
    )
    said = lines(shown(locks=locks))
    at = said.index("4 locks; first those it waits for, then the strongest")
    assert said[at + 1 : at + 5] == [
        "waits for AccessExclusiveLock on public.a in some_db, for 2 min",
        "holds ExclusiveLock on tuple of public.a in some_db",
        "holds RowExclusiveLock on relation 7",
        "holds ExclusiveLock on transactionid",
    ]
    # How to get a name that can't be read from here.
    assert any("::regclass" in line for line in said)
    assert not any("::regclass" in line for line in lines(shown(locks=locks[:2])))


def test_locks_and_queries_that_are_cut_say_so():
    locks = (HeldLock("relation", "AccessShareLock", True, 99, 7, None),)
    said = lines(shown(locks=locks, all_locks=258))
    assert "1 of 258 locks; first those it waits for, then the strongest" in said
    long = backend(query="q" * 5000)
    assert "cut here at 3000 of 5000 characters" in lines(shown(seen=long, full=True))
    assert "cut here at 3000 characters" in lines(shown(seen=long))


def test_button_starts_a_kill_of_exactly_that_session():
    press = pressable(shown())
    assert press["Terminate…"]["action_id"] == ActionId.SESSION_KILL
    assert press["Terminate…"]["value"] == OPENED.row.encode()


def test_no_kill_button_for_people_who_may_only_look():
    assert list(pressable(shown(action=None))) == ["Refresh"]


def test_session_that_the_bot_cant_end_says_who_can():
    message = shown(barrier=Barrier(SpareReason.SUPERUSER, Ender.SUPERUSER))
    assert "The bot won't end it: a superuser's session. Who can: a superuser." in lines(message)
    assert list(pressable(message)) == ["Refresh"]


def test_any_name_and_query_fits_without_markup():
    hostile = "<!channel> *b* \u202e" + "字" * 60
    many = tuple(
        HeldLock("relation", "AccessShareLock", True, 16384, at, None, hostile * 3)
        for at in range(50)
    )
    waits = Waits(dict.fromkeys(range(1, 60), (33507,)))
    around = {pid: waiter(pid, usename=hostile) for pid in range(1, 60)}
    seen = backend(usename=hostile, application_name=hostile, query=hostile * 200)
    message = shown(seen=seen, locks=many, branches=tree(waits), around=around, full=True)
    assert any(" of 50 locks; first those it waits for" in line for line in lines(message))
    assert "\u202e" not in "\n".join(lines(message))


@pytest.mark.parametrize(
    "view",
    [
        placeholder(OPENED),
        trouble(OPENED, cluster_trouble(ClusterDown("main", "did not answer")).blocks),
        last_word(OPENED, "Its preview is in the channel."),
        gone(OPENED, Gone(cluster="main", id=identity(33507))),
    ],
)
def test_replacement_view_carries_the_same_metadata(view):
    assert problems_of_view(view) == []
    assert Opened.decode(view["private_metadata"]) == OPENED


def test_a_value_from_outside_is_refused():
    nameless = json.loads(OPENED.encode())
    assert Opened.decode(json.dumps({**nameless, "name": "incidents"})).channel_name == "incidents"
    del nameless["name"]  # as an older bot opened it
    assert Opened.decode(json.dumps(nameless)) == OPENED
    wrong = json.dumps({**nameless, "name": 7})
    for text in ("", "{}", "[]", '{"row": "main", "channel": "C1"}', "null", "7", wrong):
        with pytest.raises(ValueError):
            Opened.decode(text)
    assert replace(OPENED, channel_id="C2").encode() != OPENED.encode()
