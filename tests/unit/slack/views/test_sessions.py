from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.kills import Action
from bot.domain.sessions import About, Backend, Counts, Limit, Names
from bot.domain.waits import Waits
from bot.errors import ClusterDown, ClusterTimeout, TargetError
from bot.grammar.columns import COLUMNS
from bot.grammar.parser import parse_sessions, read_kill, read_sessions
from bot.grammar.requests import KillRequest, SessionsRequest, SortKey, Target
from bot.operations.results import Choice, ClusterCard, Overview
from bot.slack.buttons import ActionId, PageOf, RowRef, unseal
from bot.slack.views.choice import choice
from bot.slack.views.message import Message
from bot.slack.views.overview import overview
from bot.slack.views.session_table import CELLS, page_size
from bot.slack.views.sessions import sessions
from tests.unit.builders import ALICE, NOW, SERVER_ID, ago, backend, identity, look, server, waiter
from tests.unit.builders import sessions as answer
from tests.unit.reading import column, lines, parsed, pressable, problems, table

STORY = (
    "usename",
    "datname",
    "backend_type",
    "pid",
    "state",
    "client_addr",
    "client_port",
    "client_hostname",
)


def many(total, **values):
    """A page of 20 out of this many sessions."""
    rows = [backend(1000 + at) for at in range(20)]
    counts = Counts(total=total, by_state={"active": total}, waiting=0, oldest_xact=None)
    return answer(look=look(*rows, counts=counts), **values)


def test_summary_comes_first_and_is_also_the_text():
    message = sessions(answer(backend(), waiter()))
    summary = [
        "some_db on main · PostgreSQL 18.6, primary, db-1.internal",
        (
            "2 sessions: 3 active · 9 idle in transaction · 30 idle · 2 waiting for a lock"
            " · oldest transaction 32 min"
        ),
        "⚠ some_user 1 of 1: at its limit, new logins fail",
        "connections ■■■■■■□□□□ 62 of 97 · batch 14 of 20 · set aside: 3 for superusers",
    ]
    assert lines(message)[:4] == summary
    spoken = message.text.replace("\u2060", "").split("\n")
    # A bar means nothing to a screen reader.
    assert spoken[:4] == [*summary[:3], summary[3].replace("■■■■■■□□□□ ", "")]
    assert spoken[4] == ("pid 33507 · some_user · idle in transaction · at its limit · blocks 2")
    assert problems(message) == []


def test_first_columns_say_who_and_why():
    header, holder, waits = table(sessions(answer(backend(), waiter())))
    # Not what another column says: what it waits for.
    assert header == [
        *("pid", "usename", "why", "state", "state_age", "application_name", "client_addr"),
        "query",
    ]
    assert holder[:5] == [
        "33507",
        "some_user",
        "at its limit · blocks 2",
        "idle in transaction",
        "32 min",
    ]
    assert waits[:5] == ["33911", "web", "blocks 1 · waits for 33507", "active", "4 min"]


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        (waiter(wait_event_type="IPC", wait_event="SyncRep"), {"wait_event"}),
        (waiter(xact_start=ago(minutes=9)), {"xact_age"}),
        (backend(datname="other_db"), {"datname"}),
        (backend(backend_type="walsender"), {"backend_type"}),
    ],
)
def test_column_is_shown_if_it_adds_something(row, columns):
    plain, *_ = table(sessions(answer(backend(1), backend(2))))
    told, *_ = table(sessions(answer(backend(1), row)))
    assert set(told) - set(plain) == columns


FAILED = "idle in transaction (aborted)"
IDLE = {"state": "idle", "xact_start": None, "backend_xid": None, "usename": "web"}


def crowd(loud: int, idle: int) -> list[Backend]:
    return [backend(1 + at) for at in range(loud)] + [
        backend(100 + at, **IDLE) for at in range(idle)
    ]


def of_many(*rows: Backend, total: int, **values: Any) -> Message:
    seen = look(*rows, waits=Waits())
    by_state = Counter(str(row.state) for row in rows)
    by_state["idle"] += total - len(rows)  # sessions on no page
    seen = replace(seen, counts=replace(seen.counts, total=total, by_state=by_state))
    return sessions(answer(look=seen, matched=total, **values))


@pytest.mark.parametrize(("loud", "listed"), [(0, 5), (1, 5), (7, 7), (19, 19)])
def test_uninteresting_sessions_are_counted_and_one_click_away(loud, listed):
    message = of_many(*crowd(loud, 20 - loud), total=42)
    assert len(column(message, "pid")) == listed
    assert any(
        f"{listed} of 42 shown, what hurts most first · + {42 - listed} idle" in line
        for line in lines(message)
    )
    more = pressable(message)[f"Show {42 - listed} idle"]
    assert PageOf.decode(more["value"]).offset == listed
    assert problems(message) == []


def test_counted_sessions_are_called_idle_only_if_all_are():
    failed = {**IDLE, "state": FAILED}
    message = of_many(*crowd(7, 12), backend(200, **failed), total=42)
    assert any(
        "7 of 42 shown, what hurts most first · + 35 more" in line for line in lines(message)
    )
    assert "Show 35 more" in pressable(message)
    # As many sessions are idle as are not shown, but some of these are shown.
    message = of_many(*crowd(0, 9), backend(200, **failed), total=10)
    assert "Show 5 more" in pressable(message)


@pytest.mark.parametrize(
    "asked",
    ["some_db state=idle", "some_db idle>1s", "some_db sort=pid", "some_db limit=40", "1 2"],
)
def test_idle_sessions_that_are_asked_for_are_listed(asked):
    message = of_many(*crowd(1, 19), total=42, request=parse_sessions(asked))
    assert len(column(message, "pid")) == 20
    further = of_many(*crowd(0, 20), total=42, offset=20)
    assert len(column(further, "pid")) == 20


@pytest.mark.parametrize(
    ("session", "why"),
    [
        (backend(1, usename="web"), "transaction open 32 min"),
        (backend(1, usename="web", state="active"), "running 32 min"),
        (backend(1, usename="web", state="active", query_start=None), "active"),
        (backend(1, usename="web", state="idle", xact_start=None), "idle"),
        (backend(1, usename="web", state=FAILED, xact_start=None), "transaction failed"),
        (backend(1, usename="web", state=None), " "),
        (waiter(33912), "waits 4 min for 33911"),
        (waiter(5), "waits for 51, 52, 53 and 1 more"),
        (waiter(6), "waits for a prepared transaction"),
    ],
)
def test_a_session_that_holds_up_nobody_says_what_it_does_or_waits_for(session, why):
    waits = Waits(
        {33912: (33911, 33911), 5: (51, 52, 53, 54), 6: (0,)}, since={33912: ago(minutes=4)}
    )
    message = sessions(answer(look=look(session, waits=waits), request=columns("pid", "why")))
    assert column(message, "why") == [why]


def columns(*names):
    return SessionsRequest(target=Target(database="some_db"), columns=names)


def test_database_is_shown_only_if_there_are_several():
    assert "datname" not in table(sessions(answer(backend())))[0]
    several = sessions(answer(backend(), backend(2, datname="other"), database=None))
    assert column(several, "datname") == ["some_db", "other"]
    assert lines(several)[0].startswith("main · PostgreSQL 18.6")


def test_backend_type_is_shown_only_if_some_are_not_clients():
    assert "backend_type" not in table(sessions(answer(backend())))[0]
    walsender = backend(2, backend_type="walsender", state="active")
    message = sessions(answer(backend(), walsender))
    assert column(message, "backend_type") == ["client backend", "walsender"]


def test_requested_columns_keep_their_order_even_if_empty():
    message = sessions(answer(backend(), request=columns(*STORY)))
    assert table(message) == [
        list(STORY),
        [
            "some_user",
            "some_db",
            "client backend",
            "33507",
            "idle in transaction",
            "127.0.0.1",
            "43512",
            " ",
        ],
    ]


def test_sessions_through_a_pooler_are_marked_at_their_address():
    rows = (backend(1), backend(2), backend(3, client_addr=None, client_port=-1))
    message = sessions(answer(look=look(*rows, through_pooler=frozenset({2, 3}))))
    marked = ["127.0.0.1", "127.0.0.1 through a pooler", "through a pooler"]
    assert column(message, "client_addr") == marked


def test_tags_have_a_column_if_any_session_has_one():
    tags = {backend().pid: {"job": "Mailer", "route": "/carts/:id"}}
    rows = (backend(), backend(33508))
    message = sessions(answer(look=look(*rows, tags=tags)))
    assert column(message, "tags") == ["job:Mailer route:/carts/:id", " "]
    assert table(message)[0][-2:] == ["tags", "query"]
    assert "tags" not in table(sessions(answer(look=look(*rows))))[0]


def test_every_column_of_the_grammar_can_be_shown():
    assert set(COLUMNS) <= set(CELLS)
    for name in COLUMNS:
        message = sessions(answer(backend(client_addr=None, client_port=-1), request=columns(name)))
        assert table(message)[0] == [name]


def test_instants_are_iso_to_the_second_and_a_null_is_a_space():
    names = ("backend_start", "xact_start", "blocked_by", "age", "xact_age")
    message = sessions(answer(backend(xact_start=None), request=columns(*names)))
    assert table(message)[1] == ["2026-01-31T10:00:01Z", " ", " ", "2 h", " "]


def test_more_columns_than_a_row_has_cells_turn_the_table_on_its_side():
    request = columns(*COLUMNS)
    rows = [backend(1000 + at) for at in range(25)]
    message = sessions(answer(*rows, request=request))
    cells = table(message)
    assert page_size(request) == 19
    assert [row[0] for row in cells] == list(COLUMNS)
    assert cells[2] == ["pid", *(str(1000 + at) for at in range(19))]
    assert "19 of 25 shown, what hurts most first" in lines(message)
    assert PageOf.decode(pressable(message)["Next"]["value"]).offset == 19
    assert problems(message) == []


def test_twenty_columns_stand_upright():
    message = sessions(answer(backend(), request=columns(*COLUMNS[:20])))
    assert table(message)[0] == list(COLUMNS[:20])
    assert page_size(columns(*COLUMNS[:20])) == 20


def test_the_foot_says_what_is_shown_of_how_many_and_in_which_order():
    assert "20 of 42 shown, what hurts most first" in lines(sessions(many(42)))
    assert "21 to 40 of 42 shown, what hurts most first" in lines(sessions(many(42, offset=20)))
    sort = SessionsRequest(sort=(SortKey("xact_age", descending=True), SortKey("pid")))
    assert "20 of 42 shown, sorted by -xact_age, pid" in lines(sessions(many(42, request=sort)))
    limited = SessionsRequest(limit=20)
    assert "20 of 42 shown, what hurts most first · 22 beyond the limit of 20" in lines(
        sessions(many(42, request=limited, matched=20))
    )
    assert "as of 12:00:01 UTC · asked by <@U0ALICE>" in lines(sessions(many(42)))


def test_the_buttons_carry_the_request_and_lead_to_the_pages_around():
    request = read_sessions('some_db user=web* xact>5m app="my ""app""" columns=pid,query')
    pressed = pressable(sessions(many(70, offset=20, request=request)))
    pages = {label: PageOf.decode(pressed[label]["value"]) for label in list(pressed)[:3]}
    assert {label: page.offset for label, page in pages.items()} == {
        "Refresh": 20,
        "Previous": 0,
        "Next": 40,
    }
    assert {read_sessions(page.text) for page in pages.values()} == {request}


def test_no_buttons_beyond_the_first_and_last_page():
    assert {"Previous", "Next"}.isdisjoint(pressable(sessions(many(20))))
    last = pressable(sessions(many(40, offset=20)))
    assert "Previous" in last
    assert "Next" not in last


def test_the_only_session_of_a_page_is_not_a_range():
    message = of_many(backend(), total=41, offset=40)
    assert "number 41 of 41 shown, what hurts most first" in lines(message)


def test_a_page_that_has_emptied_leads_back():
    counts = Counts(total=7, by_state={"idle": 7}, waiting=0, oldest_xact=None)
    message = sessions(answer(look=look(counts=counts, waits=Waits()), offset=20))
    assert table(message) == []
    assert "no session on this page; 7 sessions in all" in lines(message)
    assert list(pressable(message)) == ["Refresh", "Previous"]
    assert problems(message) == []


def test_nothing_found_is_said_without_a_table():
    counts = Counts(total=0, by_state={}, waiting=0, oldest_xact=None)
    message = sessions(answer(look=look(counts=counts, waits=Waits())))
    assert lines(message)[1] == "0 sessions"
    assert "no session matches" in lines(message)
    assert list(pressable(message)) == ["Refresh"]
    assert problems(message) == []


def test_a_request_too_long_for_a_button_says_so():
    request = SessionsRequest(target=Target(database="漢" * 1000))
    message = sessions(many(42, request=request))
    assert {"Refresh", "Previous", "Next"}.isdisjoint(pressable(message))
    assert any("this request is too long for buttons" in line for line in lines(message))
    assert problems(message) == []


def test_the_menu_carries_the_identity_of_each_session_that_may_be_ended():
    unseen = backend(3, backend_start=None, state=None, backend_type=None)
    walsender = backend(4, backend_type="walsender", state="active")
    rows = (backend(), waiter(), unseen, walsender)
    message = sessions(answer(*rows, endable=frozenset({33507, 33911})))
    menu = pressable(message)["Terminate a session…"]
    assert menu["action_id"] == ActionId.SESSIONS_KILL_ROW
    assert [each["text"]["text"] for each in menu["options"]] == [
        "33507 · some_user · idle in transaction",
        "33911 · web · active",
    ]
    assert [RowRef.decode(each["value"]) for each in menu["options"]] == [
        RowRef("main", identity(33507)),
        RowRef("main", identity(33911)),
    ]


def test_no_menu_if_no_session_may_be_ended():
    message = sessions(answer(backend(), endable=frozenset()))
    assert "Terminate a session…" not in pressable(message)


def test_every_session_with_an_identity_can_be_inspected():
    unseen = backend(3, backend_start=None, state=None, backend_type=None)
    walsender = backend(4, backend_type="walsender", state=None)
    menu = pressable(sessions(answer(backend(), unseen, walsender)))["Show a session…"]
    assert menu["action_id"] == ActionId.SESSIONS_INSPECT
    assert [each["text"]["text"] for each in menu["options"]] == [
        "33507 · some_user · idle in transaction",
        "4 · some_user",
    ]


def test_tree_is_offered_only_if_somebody_waits():
    waits = pressable(sessions(answer(backend())))
    assert waits["Blocking tree"]["value"] == "tree main/"
    nobody = sessions(answer(look=look(backend(), waits=Waits())))
    assert "Blocking tree" not in pressable(nobody)


def test_near_limits_are_shown_with_their_owner():
    seen = server(
        client_backends=97,
        reserved_connections=0,
        roles=(Limit("a", 5, 5), Limit("b", 8, 10), Limit("c", 7, 10), Limit("d", 0, 10)),
        databases=(Limit("some_db", 9, 10), Limit("quiet", 1, 10)),
    )
    assert lines(sessions(answer(look=look(backend(), server=seen))))[2:7] == [
        "⚠ connections ■■■■■■■■■■ 97 of 97: full, new logins fail",
        "⚠ a 5 of 5: at its limit, new logins fail",
        "⚠ b 8 of 10: near its limit",
        "⚠ database some_db 9 of 10: near its limit",
        "c 7 of 10 · set aside: 3 for superusers",
    ]


def test_reserved_slots_are_shown_with_who_may_use_them():
    seen = server(client_backends=4, reserved_connections=5, roles=())
    assert lines(sessions(answer(look=look(backend(), server=seen))))[2] == (
        "connections ■□□□□□□□□□ 4 of 92 · set aside: 5 reserved, 3 for superusers"
    )
    logging_in = server(client_backends=4, logging_in=94, roles=())
    assert lines(sessions(answer(look=look(backend(), server=logging_in))))[2:4] == [
        "⚠ connections ■■■■■■■■■■ 4 of 97 and 94 logging in: full, new logins fail",
        "set aside: 3 for superusers, 1 of them in use",
    ]
    full = server(client_backends=4, logging_in=96, roles=())
    assert lines(sessions(answer(look=look(backend(), server=full))))[3] == (
        "set aside: 3 for superusers, all of them in use"
    )
    nothing_kept = server(client_backends=90, superuser_reserved_connections=0, roles=())
    assert lines(sessions(answer(look=look(backend(), server=nothing_kept))))[2:4] == [
        "⚠ connections ■■■■■■■■■□ 90 of 100: near its limit",
        "1 of 1 shown, what hurts most first",
    ]


def test_many_pressing_limits_are_counted():
    roles = tuple(Limit(f"role{at}", 1, 1) for at in range(9))
    message = sessions(answer(look=look(backend(), server=server(roles=roles))))
    assert lines(message)[6:8] == [
        "⚠ role4 1 of 1: at its limit, new logins fail",
        "⚠ 4 more at or near their limit",
    ]


def test_sessions_that_the_bot_cant_see_are_mentioned():
    names = Names({}, {}, read_at=NOW, server=SERVER_ID, stale=True, known_at=ago(minutes=3))
    blind = look(backend(), names=names, server=server(unseen=2))
    message = sessions(answer(look=blind))
    line = (
        "the bot can see only part of 2 sessions, so no limit here counts them: "
        "grant it pg_read_all_stats."
    )
    assert lines(message)[4:6] == [
        f"⚠ {line}",
        "⚠ Role and database names are from 11:57:01 UTC: a catalog is locked.",
    ]
    assert f"⚠ main: {line}" in lines(overview(clusters(card(look=blind))))
    never = look(backend(), names=replace(names, known_at=None))
    assert lines(sessions(answer(look=never)))[4] == (
        "⚠ Role and database names can't be read: a catalog is locked."
    )
    assert lines(overview(clusters(card(look=never))))[2] == (
        "⚠ main: Role and database names can't be read: a catalog is locked."
    )


def test_omitted_sessions_and_unknown_pids_are_mentioned():
    counts = Counts(total=1, by_state={"idle": 1}, waiting=0, oldest_xact=None, hidden=4)
    seen = answer(
        look=look(backend(33507), counts=counts), request=SessionsRequest(pids=(33507, 1, 2))
    )
    assert (
        "1 of 1 shown, what hurts most first · the bot's own 4 left out · no session has pid 1 or 2"
    ) in lines(sessions(seen))


def test_look_at_the_bots_own_role_says_that_it_is_the_bot():
    counts = Counts(total=0, by_state={}, waiting=0, oldest_xact=None, hidden=4)
    message = sessions(answer(look=look(counts=counts)))
    assert any(
        "no session matches except the bot's own 4 (`all` shows them)" in line
        for line in lines(message)
    )


def test_standby_is_labelled():
    message = sessions(answer(look=look(backend(), server=server(in_recovery=True))))
    assert lines(message)[0].endswith("PostgreSQL 18.6, standby, db-1.internal")


def test_without_tables_the_same_cells_stand_in_lines_under_each_other():
    message = sessions(answer(backend(usename="漢字"), waiter(), request=columns("usename", "pid")))
    fallback = message.without_tables()
    assert fallback.text == message.text
    assert [line for line in lines(fallback) if line not in lines(message)] == [
        "usename  pid",
        "漢字     33507",
        "web      33911",
    ]
    assert pressable(fallback) == pressable(message)


def card(name="main", **values):
    seen = look(backend(), server=server(cluster=name))
    story = {"host": f"{name}.internal", "look": seen, "trouble": None, "last_seen": NOW}
    return ClusterCard(cluster=name, **{**story, **values})


LAST_SEEN = ago(seconds=40)


def hung(name="prod", last_seen=LAST_SEEN):
    trouble = ClusterTimeout(name, "did not answer within 5 s")
    return card(name, look=None, trouble=trouble, last_seen=last_seen)


def clusters(*cards, request=None):
    return Overview(request=request or SessionsRequest(), cards=cards, asked_by=ALICE, now=NOW)


def test_the_table_of_clusters_shows_the_one_in_trouble_as_such():
    message = overview(clusters(card(), hung(), hung("dev", None)))
    assert table(message) == [
        [
            "cluster",
            "state",
            "sessions",
            "connections",
            "waiting",
            "oldest xact",
            "at its limit",
            "host",
        ],
        [
            "prod",
            "did not answer within 5 s; last seen 40 s ago",
            *[" "] * 5,
            "prod.internal",
        ],
        ["dev", "did not answer within 5 s", *[" "] * 5, "dev.internal"],
        [
            "main",
            "primary, 18.6",
            "1",
            "62 of 97",
            "2",
            "32 min",
            "some_user 1 of 1",
            "main.internal",
        ],
    ]
    assert lines(message)[:2] == [
        "3 clusters · 2 in trouble: prod and dev",
        "⚠ main: some_user 1 of 1: at its limit, new logins fail",
    ]
    # Readers who can't see the table get each cluster as text.
    assert message.text.replace("\u2060", "").split("\n")[2:] == [
        "prod: did not answer within 5 s; last seen 40 s ago",
        "dev: did not answer within 5 s",
        "main: primary, 18.6 · 1 session · connections 62 of 97 · 2 waiting for a lock",
    ]
    assert problems(message) == []


def test_clusters_in_trouble_come_first():
    quiet = Counts(total=1, by_state={}, waiting=0, oldest_xact=None)
    fine = card(look=look(counts=quiet, server=server(roles=())))
    full = card("full", look=look(counts=quiet, server=server(roles=(), client_backends=97)))
    none = replace(card("none"), look=None, trouble=TargetError("nobody", "no such role"))
    message = overview(clusters(fine, none, card("waits"), full, hung()))
    assert column(message, "cluster") == ["prod", "waits", "full", "main", "none"]
    assert column(message, "state")[-1] == "no such role: nobody"
    assert lines(message)[0] == "5 clusters · 1 in trouble: prod"
    assert "⚠ full: connections ■■■■■■■■■■ 97 of 97: full, new logins fail" in lines(message)


def test_each_cluster_that_answers_has_a_button_with_the_same_filters():
    request = read_sessions("state=idle_tx")
    pressed = pressable(overview(clusters(card(), hung(), card("dev"), request=request)))
    assert list(pressed) == ["Refresh", "main/", "dev/"]
    assert PageOf.decode(pressed["dev/"]["value"]).text == str(read_sessions("dev/ state=idle_tx"))


def test_session_options_on_the_overview_are_explained():
    seen = lines(overview(clusters(card(), request=read_sessions("columns=pid sort=age limit=3"))))
    assert "columns=, sort= and limit= are for the sessions of one cluster: use its button" in seen
    none = look(counts=Counts(total=0, by_state={}, waiting=0, oldest_xact=None))
    seen = lines(overview(clusters(card(look=none), hung(), request=read_sessions("999999"))))
    assert "no session has pid 999999" in seen


def test_any_number_of_clusters_is_one_message():
    message = overview(clusters(*(card(f"c{at}") for at in range(120))))
    assert "21 more not shown: name a cluster to see it" in lines(message)
    assert len(pressable(message)) == 25
    assert problems(message) == []


def test_a_choice_has_a_button_for_each_cluster():
    request = SessionsRequest(target=Target("main", "some_db"), private=True)
    other = replace(request, target=Target("prod", "some_db"))
    trouble = ClusterDown("dev", "its address can't be reached")
    about = {"main": About("db-1.internal", "18.6", in_recovery=False)}
    found = Choice(what="some_db", requests=(request, other), troubles=(trouble,), about=about)
    message = choice(found)
    assert lines(message) == [
        "some_db: found on 2 clusters",
        "main/some_db · PostgreSQL 18.6, primary, db-1.internal",
        "prod/some_db",
        "No answer from dev: its address can't be reached",
        "Which one do you mean?",
    ]
    alone = choice(Choice(what="some_db", requests=(request,), troubles=(trouble,)))
    assert lines(alone)[-1] == "Is this the one you mean?"
    pressed = pressable(message)
    assert list(pressed) == ["main/some_db", "prod/some_db"]
    assert read_sessions(PageOf.decode(pressed["prod/some_db"]["value"]).text) == other
    assert problems(message) == []


def test_a_choice_of_a_kill_carries_the_whole_kill():
    request = KillRequest(target=Target("main"), pids=(33507,), reason="blocks & <the> deploy")
    elsewhere = replace(request, target=Target("prod"))
    pressed = pressable(choice(Choice(what="33507", requests=(request, elsewhere))))
    assert read_kill(unseal(pressed["main/"]["value"])) == request
    assert read_kill(unseal(pressed["prod/"]["value"])) == elsewhere
    assert not {"&", "<", ">"} & set(pressed["main/"]["value"])


def test_a_choice_of_more_than_fit_says_so():
    requests = tuple(KillRequest(target=Target(f"c{at}"), pids=(33507,)) for at in range(30))
    message = choice(Choice(what="33507", requests=requests))
    assert len(pressable(message)) == 25
    assert "5 without a button: type the command with the cluster's name" in lines(message)
    assert problems(message) == []


def test_hostile_session_name_mentions_and_links_nobody():
    hostile = backend(usename="<!channel>", application_name="http://evil.com", query="*b* :boom:")
    message = sessions(answer(hostile))
    assert column(message, "usename") == ["<!channel>"]
    assert column(message, "application_name") == ["http://evil.com"]
    assert "<!" not in parsed(message)
    assert "http://" not in parsed(message)


def test_oldest_transaction_is_aged_by_the_servers_clock():
    counts = Counts(total=1, by_state={}, waiting=0, oldest_xact=NOW + timedelta(seconds=1))
    message = sessions(answer(look=look(backend(), counts=counts)))
    assert lines(message)[1] == "1 session: oldest transaction 0 s"


def test_menus_offer_a_person_who_may_only_cancel_nothing_else():
    shown = answer(backend(1, state="active"), backend(2, state="idle"))
    drawn = {
        action: str(sessions(shown, action).blocks)
        for action in (Action.TERMINATE, Action.CANCEL, None)
    }
    assert "Terminate a session…" in drawn[Action.TERMINATE]
    assert "Cancel a query…" in drawn[Action.CANCEL]
    assert "Terminate" not in drawn[Action.CANCEL]
    assert "kill_row" not in drawn[None]
