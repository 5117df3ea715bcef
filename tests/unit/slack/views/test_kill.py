from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain import steps
from bot.domain.kills import Action, Basis, Outcome, Reason, Result, Spared, State, Unclaimable
from bot.domain.people import Allowlist, Right
from bot.domain.record import Entry
from bot.domain.sessions import Limit, SpareReason
from bot.operations.results import NeedsSecondPerson, NotClaimed, NothingToKill, TooMany
from bot.slack.buttons import ActionId, OutcomePage
from bot.slack.views import kill
from bot.slack.views import outcome as outcome_view
from bot.slack.views import preview as preview_view
from tests.rights import rights
from tests.unit.builders import (
    CAROL,
    KEY,
    NAMES,
    NOW,
    ago,
    backend,
    conclusion,
    confirmed,
    preview,
    proposal,
    server,
    target,
    waiter,
)
from tests.unit.reading import column, lines, pressable, problems, table

LISTS = {
    Right.LOOK: Allowlist(everyone=True),
    Right.KILL: Allowlist(frozenset({"U0ALICE", "U0CAROL"}), frozenset({"S0ONCALL"})),
}


def drawn(answer, **options):
    message = preview_view.preview(answer, rights=rights(LISTS), **options)
    assert problems(message) == []
    return message


def spoken(message):
    return message.text.replace("\u2060", "").split("\n")


IDLE = {"state": "idle", "xact_start": None, "backend_xid": None}
ABORTED = {**IDLE, "state": "idle in transaction (aborted)"}
WAITS_FOR_STANDBY = {"state": "active", "wait_event_type": "IPC", "wait_event": "SyncRep"}
UNTOLD = {**IDLE, "state": "disabled", "query_start": None, "state_change": None}
READS = {"backend_xid": None}

STILL_MATCHES = (
    "On confirmation: it ends only if it still matches and its end costs no more than shown."
)


@pytest.mark.parametrize(
    ("basis", "one", "several"),
    [
        (Basis.FILTER, STILL_MATCHES, STILL_MATCHES.replace("it ends", "each ends")),
        (
            Basis.PID,
            "On confirmation: it ends only if it has not begun another transaction.",
            "On confirmation: each ends only if it has not begun another transaction.",
        ),
        (
            Basis.IDENTITY,
            "On confirmation: it ends whatever it runs by then, and whatever that costs.",
            "On confirmation: each ends whatever it runs by then, and whatever that costs.",
        ),
    ],
)
def test_preview_says_what_the_click_will_check(basis, one, several):
    assert one in lines(drawn(preview(basis=basis)))
    assert several in lines(drawn(preview(target(), target(waiter()), basis=basis)))


def test_a_preview_of_one_shows_all_about_it_its_cost_and_its_gain():
    message = drawn(preview())
    assert lines(message) == [
        "Terminate 1 session on main?",
        "/pg-kill user=some_user · PostgreSQL 18.6, primary, db-1.internal",
        "pid 33507 · some_user · some_db · psql from 127.0.0.1 port 43512",
        "idle in transaction for 32 min; blocks 2; connected for 2 h",
        "last statement  update accounts set balance = balance - ? where id = ?",
        "Cost: its open transaction (32 min old) rolls back; it has written.",
        ("Gain: 2 waiting sessions go on; some_user 1 of 1 → 0 of 1; connections 62 → 61 of 97."),
        STILL_MATCHES,
        "Reason: blocks the deploy",
        ("asked by <@U0ALICE> · good until 12:10 UTC · anyone on PG_KILL_ALLOWLIST may confirm"),
    ]
    assert table(message) == []


def test_the_text_of_a_preview_says_who_would_end_and_what_that_costs():
    assert spoken(drawn(preview())) == [
        "Terminate 1 session on main?",
        "/pg-kill user=some_user · PostgreSQL 18.6, primary, db-1.internal",
        "pid 33507 · some_user · idle in transaction for 32 min · blocks 2 · has written",
        "Cost: its open transaction (32 min old) rolls back; it has written.",
        ("Gain: 2 waiting sessions go on; some_user 1 of 1 → 0 of 1; connections 62 → 61 of 97."),
        STILL_MATCHES,
        "Reason: blocks the deploy",
    ]
    several = drawn(preview(*(target(backend(1000 + at)) for at in range(9))))
    assert spoken(several)[2:6] == [
        "pid 1000 · some_user · idle in transaction for 32 min · has written",
        "pid 1001 · some_user · idle in transaction for 32 min · has written",
        "pid 1002 · some_user · idle in transaction for 32 min · has written",
        "and 6 more",
    ]


def test_a_preview_of_several_is_a_table_with_what_each_does():
    new = target(waiter(), is_new=True)
    message = drawn(preview(target(waiting_behind=2), new))
    header, holder, waits = table(message)
    # What distinguishes targets comes before what they share.
    assert header == [
        *("pid", "usename", "application_name", "state", "state_age", "note", "query", "xact_age"),
        *("client_addr", "datname"),
    ]
    assert holder[:6] == [
        "33507",
        "some_user",
        "psql",
        "idle in transaction",
        "32 min",
        "blocks 2 · has written",
    ]
    assert waits[5] == "new since the last look"
    assert ("Cost: 2 open transactions (the oldest 32 min old) roll back; 1 has written.") in lines(
        message
    )
    assert any("connections 62 → 60 of 97." in line for line in lines(message))


@pytest.mark.parametrize(
    ("pids", "number", "said"),
    [
        ({1}, 1, "⚠ It is through a pooler: what is shown of its client is the pooler's."),
        ({1}, 2, "⚠ 1 of 2 are through a pooler: what is shown of its client is the pooler's."),
        ({1, 2}, 2, "⚠ 2 of 2 are through a pooler: what is shown of their clients is"),
    ],
)
def test_a_preview_says_what_a_pooler_hides(pids, number, said):
    targets = [target(backend(1 + at)) for at in range(number)]
    told = lines(
        preview_view.preview(
            preview(*targets, through_pooler=frozenset(pids)), rights=rights(LISTS)
        )
    )
    assert any(line.startswith(said) for line in told)


def test_button_asks_for_confirmation_with_cluster_and_count():
    buttons = pressable(drawn(preview()))
    assert list(buttons) == ["Terminate 1 session", "Dismiss"]
    terminate = buttons["Terminate 1 session"]
    assert terminate["action_id"] == ActionId.KILL_TERMINATE
    assert terminate["style"] == "danger"
    assert terminate["value"] == KEY
    words = {name: part["text"] for name, part in terminate["confirm"].items() if name != "style"}
    assert words == {
        "title": "Terminate 1 session on main?",
        "text": "pid 33507, some_user. Its transaction rolls back. This can't be undone.",
        "confirm": "Terminate",
        "deny": "Keep it",
    }
    assert buttons["Dismiss"]["value"] == KEY
    assert "confirm" not in buttons["Dismiss"]


def test_the_dialog_of_several_names_their_roles():
    answer = preview(target(), target(waiter()), target(backend(3, **IDLE)))
    dialog = pressable(drawn(answer))["Terminate 3 sessions"]["confirm"]
    assert dialog["title"]["text"] == "Terminate 3 sessions on main?"
    assert dialog["text"]["text"] == (
        "3 sessions of some_user and web. 2 transactions roll back. This can't be undone."
    )
    assert dialog["deny"]["text"] == "Keep them"


def test_session_without_a_transaction_costs_nothing():
    idle = target(backend(state="idle", xact_start=None, backend_xid=None))
    message = drawn(preview(idle, freed=0))
    assert "Cost: no open transaction." in lines(message)
    dialog = pressable(message)["Terminate 1 session"]["confirm"]["text"]["text"]
    assert dialog.startswith("pid 33507, some_user. It has no open transaction.")
    assert "Gain: some_user 1 of 1 → 0 of 1; connections 62 → 61 of 97." in lines(message)


def test_a_limit_counts_only_the_targets_of_its_role_or_database():
    limits = server(
        roles=(Limit("some_user", 5, 5), Limit("some_db", 3, 4), Limit("idle", 1, 2)),
        databases=(Limit("some_db", 9, 10),),
    )
    message = drawn(preview(target(), target(waiter()), server=limits, freed=0))
    assert (
        "Gain: some_user 5 of 5 → 4 of 5; database some_db 9 of 10 → 7 of 10;"
        " connections 62 → 60 of 97."
    ) in lines(message)


def test_button_says_that_only_identity_counts():
    one = pressable(drawn(preview(basis=Basis.IDENTITY)))
    assert next(iter(one)) == "Terminate, whatever it runs"
    two = pressable(drawn(preview(target(), target(waiter()), basis=Basis.IDENTITY)))
    assert next(iter(two)) == "Terminate 2, whatever runs"
    one, two = (next(iter(buttons.values()))["confirm"]["text"]["text"] for buttons in (one, two))
    then = "by then. This can't be undone."
    assert one.endswith(f"rolls back. The session ends whatever it runs {then}")
    assert two.endswith(f"roll back. The sessions end whatever they run {then}")


def test_second_person_is_named_and_notified_only_if_needed():
    message = drawn(preview(second_person=True), group_names={"S0ONCALL": "oncall"})
    assert next(iter(pressable(message))) == "Terminate 1 (2nd person)"
    assert lines(message)[-1] == (
        "asked by <@U0ALICE> · good until 12:10 UTC"
        " · another person has to confirm: <@U0CAROL> or @oncall"
    )
    assert "<@U0CAROL>" not in lines(drawn(preview()))[-1]


@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("basis", Basis)
@pytest.mark.parametrize("number", [1, 2, 100])
def test_button_is_told_apart_on_a_phone_and_is_full_for_screen_readers(number, basis, second):
    several = [target(waiter(33507 + at)) for at in range(number)]
    buttons = pressable(drawn(preview(*several, basis=basis, second_person=second)))
    shown = {label[:30] for label in buttons}
    assert len({label[:20] for label in shown}) == len(buttons)
    assert not second or [label for label in shown if "(2nd person)" not in label] == ["Dismiss"]
    for what, button in zip(("session", "quer"), buttons.values(), strict=False):
        heard = button.get("accessibility_label") or button["text"]["text"]
        assert f"{number} {what}" in heard
        assert ("a second person must confirm" in heard) is second
        assert ("whatever" in heard) is (basis is Basis.IDENTITY)


def test_empty_columns_of_a_preview_are_left_out():
    bare = {"application_name": None, "client_addr": None, "query": None, "datname": None}
    header, *_ = table(drawn(preview(*(target(backend(at, **bare)) for at in (1, 2)))))
    assert header == ["pid", "usename", "state", "state_age", "note", "xact_age"]


def test_cancel_is_offered_only_where_a_target_is_active():
    assert list(pressable(drawn(preview(target(waiter()))))) == [
        "Terminate 1 session",
        "Cancel query",
        "Cancel, then terminate what still runs",
        "Dismiss",
    ]
    assert "Cancel query" not in pressable(drawn(preview()))


def test_headline_of_a_preview_names_the_cancel_only_if_it_is_offered():
    one, idle = target(waiter()), preview().proposal.targets[0]
    assert lines(drawn(preview(one)))[0] == "Terminate 1 session on main, or cancel its query?"
    several = "Terminate 2 sessions on main, or cancel 1 query?"
    assert lines(drawn(preview(one, idle)))[0] == several
    assert lines(drawn(preview()))[0] == "Terminate 1 session on main?"


def test_who_asked_for_a_cancel_finds_it_first():
    message = drawn(preview(target(waiter())), cancel_first=True)
    assert lines(message)[0] == "Cancel 1 query on main, or terminate the session?"
    buttons = pressable(message)
    assert list(buttons) == [
        "Cancel query",
        "Cancel, then terminate what still runs",
        "Terminate 1 session",
        "Dismiss",
    ]
    assert [button.get("style") for button in buttons.values()] == ["primary", None, "danger", None]
    # Its query has ended meanwhile: there is nothing to cancel.
    ended = drawn(preview(), cancel_first=True)
    assert ended == drawn(preview())
    # Who may only cancel gets no other button.
    only = drawn(preview(target(waiter()), action=Action.CANCEL), cancel_first=True)
    assert lines(only)[0] == "Cancel 1 query on main?"
    assert list(pressable(only)) == ["Cancel query", "Dismiss"]


def test_a_preview_to_cancel_says_so_throughout():
    message = drawn(preview(target(waiter()), action=Action.CANCEL))
    assert lines(message)[0] == "Cancel 1 query on main?"
    assert "Cost: the running query stops with an error; the session stays." in lines(message)
    assert list(pressable(message)) == ["Cancel query", "Dismiss"]
    assert "connections" not in "".join(line for line in lines(message) if "Gain" in line)


def test_spared_sessions_are_named_with_the_reason():
    spared = (Spared(backend(812, usename="postgres"), SpareReason.SUPERUSER),)
    message = drawn(preview(spared=spared, basis=Basis.PID, gone=(4711, 4712)))
    left = "Left alone: pid 812 · postgres, a superuser's session: only a superuser can end it"
    assert left in lines(message)
    assert "Already gone, or never there: pid 4711 and 4712." in lines(message)
    by_filter = drawn(preview(basis=Basis.FILTER, gone=(4711,)))
    assert "Already gone, or no longer matching: pid 4711." in lines(by_filter)
    many = drawn(preview(spared=spared * 30))
    assert "Left alone: 20 more" in lines(many)
    ended = conclusion()
    after = outcome_view.outcome(replace(ended, proposal=replace(ended.proposal, spared=spared)))
    assert left in lines(after)


@pytest.mark.parametrize(
    ("why", "words"),
    [
        (SpareReason.UNSEEN, "the bot can't see it: grant pg_read_all_stats"),
        (SpareReason.NOT_A_CLIENT, "walsender, not a client backend"),
        (SpareReason.ROLE_UNSEEN, "its role can't be seen"),
        (
            SpareReason.ROLE_NAME_UNSEEN,
            "its role's name can't be seen, and PROTECTED_ROLES may name it",
        ),
        (SpareReason.OWN_ROLE, "the bot's own role"),
        (SpareReason.PROTECTED_ROLES, "protected by PROTECTED_ROLES"),
        (SpareReason.PROTECTED_APPLICATIONS, "protected by PROTECTED_APPLICATIONS"),
        (SpareReason.SUPERUSER, "a superuser's session: only a superuser can end it"),
        (
            SpareReason.NO_RIGHT,
            "the bot may not end this role's sessions: grant it pg_signal_backend",
        ),
        ("words of another version", "words of another version"),
    ],
)
def test_every_spare_reason_has_words(why, words):
    one = Spared(backend(812, usename="postgres", backend_type="walsender"), why)
    assert f"Left alone: pid 812 · postgres, {words}" in lines(drawn(preview(spared=(one,))))


def test_stale_names_are_mentioned_with_limits():
    stale = replace(NAMES, stale=True, known_at=NOW)
    assert "⚠ Role and database names are from 12:00:01 UTC: a catalog is locked." in lines(
        drawn(preview(names=stale))
    )


@pytest.mark.parametrize(
    ("does", "cost", "dialog"),
    [
        (IDLE, "no open transaction.", "It has no open transaction."),
        (
            READS,
            "its open transaction (32 min old) rolls back.",
            "Its transaction rolls back.",
        ),
        (
            {},
            "its open transaction (32 min old) rolls back; it has written.",
            "Its transaction rolls back.",
        ),
        # It is shown although its beginning isn't.
        (
            {"state": "disabled", "xact_start": None},
            "its open transaction rolls back; it has written.",
            "Its transaction rolls back.",
        ),
        (
            ABORTED,
            "its transaction has already failed: nothing more is lost.",
            "Its transaction has already failed.",
        ),
        (
            WAITS_FOR_STANDBY,
            (
                "its transaction is already committed and does not roll back; it waits for a"
                " synchronous standby, which may not have it yet (SyncRep)."
            ),
            "Its transaction is already committed.",
        ),
        (
            UNTOLD,
            "unknown: the bot can't see its transaction, because track_activities is off for it.",
            "Its transaction can't be seen.",
        ),
    ],
)
def test_cost_of_one_target(does, cost, dialog):
    message = drawn(preview(target(backend(**does))))
    assert f"Cost: {cost}" in lines(message)
    confirm = pressable(message)["Terminate 1 session"]["confirm"]["text"]["text"]
    assert confirm == f"pid 33507, some_user. {dialog} This can't be undone."
    assert problems(message) == []


@pytest.mark.parametrize(
    ("does", "cost", "dialog"),
    [
        ((IDLE, IDLE), "no open transaction.", "No open transaction rolls back."),
        (
            (IDLE, READS),
            "1 open transaction (32 min old) rolls back.",
            "1 transaction rolls back.",
        ),
        (
            ({}, READS, {}),
            "3 open transactions (the oldest 32 min old) roll back; 2 have written.",
            "3 transactions roll back.",
        ),
        (
            ({}, READS, WAITS_FOR_STANDBY, ABORTED, UNTOLD, UNTOLD, IDLE),
            (
                "2 open transactions (the oldest 32 min old) roll back; 1 has written;"
                " 1 has already failed; 1 is already committed and waits for a synchronous standby"
                " (SyncRep); 2 can't be seen, because track_activities is off."
            ),
            "2 transactions roll back. 2 transactions can't be seen.",
        ),
    ],
)
def test_cost_of_several_counts_each_kind(does, cost, dialog):
    several = [target(backend(33507 + at, **each)) for at, each in enumerate(does)]
    message = drawn(preview(*several))
    assert f"Cost: {cost}" in lines(message)
    button = pressable(message)[f"Terminate {len(does)} sessions"]
    confirm = button["confirm"]["text"]["text"]
    assert confirm == f"{len(does)} sessions of some_user. {dialog} This can't be undone."


@pytest.mark.parametrize(
    ("does", "says"),
    [
        (({},), "Its query fails, and its transaction with it. The session stays."),
        (
            ({}, {}),
            "Their queries fail, and their transactions with them. The sessions stay.",
        ),
        (
            (WAITS_FOR_STANDBY,),
            (
                "Its transaction is already committed: it only stops waiting for a standby."
                " The session stays."
            ),
        ),
        (
            (WAITS_FOR_STANDBY, WAITS_FOR_STANDBY),
            (
                "Their transactions are already committed: they only stop waiting for a standby."
                " The sessions stay."
            ),
        ),
        (
            ({}, WAITS_FOR_STANDBY),
            (
                "Their queries fail, and their transactions with them."
                " 1 transaction is already committed. The sessions stay."
            ),
        ),
    ],
)
def test_dialog_of_a_cancel_says_what_becomes_of_the_transactions(does, says):
    running = [target(waiter(33507 + at, **each)) for at, each in enumerate(does)]
    label = "Cancel query" if len(does) == 1 else f"Cancel {len(does)} queries"
    assert pressable(drawn(preview(*running)))[label]["confirm"]["text"]["text"] == says


def test_a_hundred_targets_are_all_shown():
    targets = tuple(
        target(backend(2_000_000_000 + at, usename="u" * 63), waiting_behind=3, is_new=True)
        for at in range(100)
    )
    message = drawn(preview(*targets))
    assert column(message, "pid") == [str(t.id.pid) for t in targets[:99]]
    rest = f"and pid {targets[99].id.pid} · {'u' * 63}"
    assert [line for line in lines(message) if line.startswith(rest)]
    assert list(pressable(message)) == ["Terminate 100 sessions", "Dismiss"]


def test_a_session_on_a_unix_socket_says_so():
    message = drawn(preview(target(backend(client_addr=None, client_port=-1))))
    who = "pid 33507 · some_user · some_db · psql"
    assert f"{who} from a Unix socket" in lines(message)
    unseen = drawn(preview(target(backend(client_addr=None, client_port=None, query=None))))
    assert who in lines(unseen)
    assert not [line for line in lines(unseen) if line.startswith("last")]
    nameless = drawn(preview(target(backend(application_name=""))))
    assert "pid 33507 · some_user · some_db · from 127.0.0.1 port 43512" in lines(nameless)


def test_outcome_of_one_is_a_line_that_offers_only_the_timeline():
    message = outcome_view.outcome(conclusion())
    assert problems(message) == []
    assert lines(message) == [
        "Terminated 1 of 1 on main in 12 ms",
        "pid 33507 · some_user · terminated",
        "some_user 1 of 1 → 0 of 1 · connections 62 → 61 of 97 · waiting 2 → 0",
        "To keep it from coming back, for new sessions:",
        "alter role some_user set idle_in_transaction_session_timeout = '5min';",
        (
            "asked by <@U0ALICE> · confirmed by <@U0CAROL> at 12:01:40 UTC · kill 41 ·"
            " reason: blocks the deploy"
        ),
    ]
    assert spoken(message) == lines(message)[:3]


def test_outcome_says_what_stayed_as_it_was():
    same = tuple((before, before) for before, _ in conclusion().limits)
    message = outcome_view.outcome(conclusion(limits=same, waiting=(3, 3)))
    assert "some_user still 1 of 1 · connections still 62 of 97 · waiting still 3" in lines(message)
    assert {label: each["value"] for label, each in pressable(message).items()} == {"Timeline": KEY}
    assert table(message) == []


def test_outcome_of_several_starts_with_those_that_need_someone():
    ended = conclusion(
        Outcome.TERMINATED, Outcome.CHANGED, Outcome.TERMINATED, Outcome.NOT_PERMITTED
    )
    detail = "only a superuser may end a superuser's session"
    results = (*ended.results[:3], replace(ended.results[3], detail=detail))
    message = outcome_view.outcome(replace(ended, results=results))
    assert problems(message) == []
    assert lines(message)[0] == ("Terminated 2 of 4 on main in 12 ms · 1 changed · 1 not permitted")
    assert table(message) == [
        ["pid", "usename", "outcome", "detail"],
        ["33508", "some_user", "changed", " "],
        ["33510", "some_user", "not permitted", detail],
        ["33507", "some_user", "terminated", " "],
        ["33509", "some_user", "terminated", " "],
    ]


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_its_own_word(outcome):
    message = outcome_view.outcome(conclusion(outcome))
    assert f"pid 33507 · some_user · {outcome}" in lines(message)
    offered = ["Preview again"] if outcome is Outcome.CHANGED else []
    assert list(pressable(message)) == [*offered, "Timeline"]


@pytest.mark.parametrize("outcome", Outcome)
def test_remaining_steps_are_shown_as_commands(outcome):
    below = lines(outcome_view.outcome(conclusion(outcome)))[2:]
    way_on = [line for line in below if "/pg-" in line]
    if outcome in {Outcome.INTERRUPTED, Outcome.UNKNOWN, Outcome.STILL_RUNNING}:
        assert way_on == ["What it does now: /pg-sessions main/ 33507"]
    elif outcome in {Outcome.NO_LONGER_MATCHES, Outcome.SERVER_CHANGED}:
        assert way_on == ["To ask again: /pg-kill user=some_user"]
    else:
        assert way_on == []


def test_no_look_is_suggested_for_sessions_already_gone():
    gone = conclusion(Outcome.INTERRUPTED, Outcome.INTERRUPTED)
    first, second = gone.results
    told = (replace(first, reason=Reason.GONE_SINCE), second)
    said = lines(outcome_view.outcome(replace(gone, results=told)))
    assert said[0] == "Terminated 0 of 2 on main · 2 interrupted, 1 of them gone"
    assert said[-2] == f"What it does now: /pg-sessions main/ {second.id.pid}"
    neither = tuple(replace(each, reason=Reason.GONE_SINCE) for each in gone.results)
    said = lines(outcome_view.outcome(replace(gone, results=neither)))
    assert said[0] == "Terminated 0 of 2 on main · 2 interrupted, both of them gone"


@pytest.mark.parametrize(
    ("number", "who"), [(1, "1 of them"), (2, "2 of them"), (3, "All of them")]
)
def test_outcome_says_how_many_had_begun_other_work(number, who):
    ended = conclusion(*[Outcome.TERMINATED] * 3)
    results = [replace(each, reason=Reason.OTHER_WORK) for each in ended.results[:number]]
    said = lines(outcome_view.outcome(replace(ended, results=(*results, *ended.results[number:]))))
    assert f"{who} had begun other work since the preview." in said


def test_first_of_many_running_targets_are_named():
    many = conclusion(*[Outcome.UNKNOWN] * 12)
    pids = " ".join(str(result.id.pid) for result in many.results[:10])
    assert (
        lines(outcome_view.outcome(many))[2]
        == f"What they do now: /pg-sessions main/ {pids} and 2 more"
    )


def test_pids_of_a_previous_server_are_not_suggested():
    by_filter = conclusion(Outcome.SERVER_CHANGED)
    by_pid = replace(by_filter, proposal=replace(by_filter.proposal, basis=Basis.PID))
    assert not [line for line in lines(outcome_view.outcome(by_pid)) if "/pg-" in line]


def test_incomplete_numbers_are_not_shown():
    blind = preview(server=server(unseen=3))
    drawn_lines = lines(drawn(blind))
    assert (
        "⚠ the bot can see only part of 3 sessions, so no limit here counts them: "
        "grant it pg_read_all_stats."
    ) in drawn_lines
    assert "Gain: 2 waiting sessions go on." in drawn_lines


def test_detail_follows_its_outcome():
    ended = conclusion(Outcome.CHANGED)
    detailed = (replace(ended.results[0], detail="began another transaction 3 s ago"),)
    message = outcome_view.outcome(replace(ended, results=detailed))
    assert lines(message)[1] == "pid 33507 · some_user · changed: began another transaction 3 s ago"
    assert pressable(message)["Preview again"]["value"] == KEY


def test_duration_is_shown_only_if_something_was_done():
    assert lines(outcome_view.outcome(conclusion(Outcome.CHANGED)))[0] == (
        "Terminated 0 of 1 on main · 1 changed"
    )
    interrupted = conclusion(Outcome.INTERRUPTED, took=timedelta(0))
    assert (
        lines(outcome_view.outcome(interrupted))[0] == "Terminated 0 of 1 on main · 1 interrupted"
    )
    slow = conclusion(took=timedelta(seconds=5.25))
    assert lines(outcome_view.outcome(slow))[0] == "Terminated 1 of 1 on main in 5.2 s"


def test_cancelled_queries_are_called_queries():
    ended = conclusion(Outcome.CANCELLED, Outcome.ALREADY_FINISHED)
    ended = replace(ended, proposal=replace(ended.proposal, action=Action.CANCEL))
    assert (
        lines(outcome_view.outcome(ended))[0]
        == "Cancelled 1 of 2 on main in 12 ms · 1 already finished"
    )


@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("number", [1, 2, 100])
def test_one_dialog_names_both_steps_the_cluster_and_the_count(number, second):
    running = [target(waiter(33507 + at)) for at in range(number)]
    shown = preview(*running, target(), second_person=second)
    whole = "Cancel, then terminate what still runs"
    label = "Cancel, then end (2nd person)" if second else whole
    button = pressable(drawn(shown))[label]
    queries = "1 query" if number == 1 else f"{number} queries"
    assert button["confirm"]["title"]["text"] == (
        f"Cancel {queries} on main, then terminate what still runs?"
    )
    text = button["confirm"]["text"]["text"]
    first, _, then = text.partition(" 2. ")
    assert first.startswith("1. Its query fails" if number == 1 else "1. Their queries fail")
    assert then.startswith("After 5 s, ")
    assert then.endswith("the same query in the same transaction. This can't be undone.")
    assert button["confirm"]["confirm"]["text"] == "Cancel, then terminate"
    assert button["confirm"]["style"] == "danger"
    assert "style" not in button
    heard = button["accessibility_label"]
    assert heard.startswith(f"Cancel {number}" if second else f"Cancel {queries}")
    assert heard.endswith("a second person must confirm" if second else "what still runs")


def test_outcome_of_two_steps_tells_what_each_did():
    ended = conclusion(Outcome.CANCELLED, Outcome.TERMINATED, Outcome.CHANGED)
    cancelled, terminated, changed = ended.results
    ended = replace(
        ended,
        proposal=replace(ended.proposal, action=Action.CANCEL_THEN_TERMINATE),
        results=(
            steps.after_cancel(cancelled),
            steps.after_terminate(terminated),
            steps.after_cancel(changed),
        ),
        took=timedelta(seconds=5.25),
    )
    message = outcome_view.outcome(ended)
    assert problems(message) == []
    assert lines(message)[0] == ("Cancelled 1, then terminated 1 of 3 on main in 5.2 s · 1 changed")
    assert column(message, "outcome") == ["changed", "cancelled", "terminated"]
    assert column(message, "detail")[2] == "not ended by the cancel"
    assert list(pressable(message)) == ["Preview again", "Timeline"]
    alone = outcome_view.outcome(replace(ended, results=ended.results[1:2]))
    assert lines(alone)[1].endswith(" · terminated: not ended by the cancel")
    mild = outcome_view.outcome(replace(ended, results=ended.results[:1]))
    assert lines(mild)[0] == "Cancelled 1 of 1 on main in 5.2 s; none was left to terminate"


def test_arrivals_unwritten_record_and_notes_are_shown():
    note = "10 s later: some_user is back with 1 session (pid 34100)."
    message = outcome_view.outcome(conclusion(arrivals=1, recorded=False, notes=(note,)))
    assert lines(message)[3:6] == [
        "1 matching session started after the preview: left alone",
        "⚠ The outcome is not in the ledger yet; the confirmation is. The bot tries again.",
        note,
    ]
    several = outcome_view.outcome(conclusion(arrivals=3))
    assert "3 matching sessions started after the preview: left alone" in lines(several)


def test_an_outcome_without_limits_says_nothing_of_them():
    third = lines(outcome_view.outcome(conclusion(limits=(), waiting=None)))[2]
    assert third == "To keep it from coming back, for new sessions:"


def test_a_long_outcome_has_pages():
    ended = conclusion(*[Outcome.TERMINATED] * 100)
    first = outcome_view.outcome(ended)
    assert problems(first) == []
    assert column(first, "pid") == [str(33507 + at) for at in range(50)]
    assert list(pressable(first)) == ["Next", "Timeline"]
    assert "page 1 of 2, those that need attention first" in lines(first)
    following = OutcomePage.decode(pressable(first)["Next"]["value"])
    assert following == OutcomePage(KEY, 1)
    second = outcome_view.outcome(ended, following.page)
    assert column(second, "pid") == [str(33557 + at) for at in range(50)]
    assert OutcomePage.decode(pressable(second)["Previous"]["value"]) == OutcomePage(KEY, 0)
    assert list(pressable(second)) == ["Previous", "Timeline"]
    assert outcome_view.outcome(ended, 99) == second
    for button in (pressable(first)["Next"], pressable(second)["Previous"]):
        assert ActionId.of(button["action_id"]) is ActionId.KILL_PAGE


def test_kill_under_way_has_no_buttons():
    message = kill.working(confirmed())
    assert problems(message) == []
    assert lines(message) == [
        "Terminating 1 session on main…",
        "pid 33507 · some_user · /pg-kill user=some_user",
        "asked by <@U0ALICE> · confirmed by <@U0CAROL>",
    ]
    assert pressable(message) == {}
    two_steps = kill.working(confirmed(target(waiter()), action=Action.CANCEL_THEN_TERMINATE))
    assert lines(two_steps)[0] == "Cancelling 1 query on main, then terminating what still runs…"
    cancelling = kill.working(confirmed(target(), target(waiter()), action=Action.CANCEL))
    assert lines(cancelling)[:2] == ["Cancelling 1 query on main…", "/pg-kill user=some_user"]


def test_dismissed_preview_says_by_whom_and_has_no_buttons():
    message = kill.dismissed(proposal(state=State.DISMISSED, dismissed_by=CAROL))
    assert problems(message) == []
    assert lines(message) == [
        "Dismissed, nothing was done",
        "Terminate 1 session on main? pid 33507 · some_user · /pg-kill user=some_user",
        "asked by <@U0ALICE> · dismissed by <@U0CAROL>",
    ]
    assert pressable(message) == {}


def test_an_expired_preview_offers_another_look():
    message = kill.expired(proposal())
    assert problems(message) == []
    assert lines(message)[0] == "Expired at 12:10 UTC, nothing was done"
    assert list(pressable(message)) == ["Preview again"]


@pytest.mark.parametrize(
    ("why", "line"),
    [
        (
            Unclaimable.EXPIRED,
            (
                "This preview expired at 12:10 UTC. Nothing was done."
                " To ask again: /pg-kill user=some_user"
            ),
        ),
        (
            Unclaimable.CLAIMED,
            "Kill 41 is under way, confirmed by <@U0CAROL>. This click did nothing more.",
        ),
        (
            Unclaimable.DONE,
            "Kill 41 is done, confirmed by <@U0CAROL>. This click did nothing more.",
        ),
        (Unclaimable.DISMISSED, "This preview was dismissed by <@U0CAROL>. Nothing was done."),
        (Unclaimable.ANOTHER_CHANNEL, "This preview belongs to another channel. Nothing was done."),
    ],
)
def test_click_that_did_nothing_is_explained(why, line):
    entry = Entry(confirmed(dismissed_by=CAROL), expired=why is Unclaimable.EXPIRED)
    message = kill.not_claimed(NotClaimed(why=why, entry=entry))
    assert lines(message) == [line]
    assert problems(message) == []


def test_click_on_unknown_preview_says_which_ledger_lacks_it():
    def told(why: Unclaimable) -> str:
        return " ".join(lines(kill.not_claimed(NotClaimed(why=why, entry=None))))

    assert told(Unclaimable.ANOTHER_LEDGER) == (
        "This preview is in another ledger, not in this bot's. Nothing was done."
        " Either the ledger was replaced, or a second bot with its own ledger answers here."
        " Type the command again."
    )
    assert told(Unclaimable.MISSING) == (
        "This preview is no longer in the ledger. Either it was dropped after LEDGER_KEEP,"
        " or the ledger was restored from a backup. Nothing was done. Type the command again."
    )


def test_click_on_an_outcome_that_is_not_on_record_says_why():
    def told(why: Unclaimable) -> str:
        message = kill.not_told(NotClaimed(why=why, entry=None))
        assert problems(message) == []
        return " ".join(lines(message))

    assert told(Unclaimable.MISSING) == (
        "This kill is no longer on record. Either it was dropped after LEDGER_KEEP,"
        " or the ledger was restored from a backup."
    )
    assert told(Unclaimable.ANOTHER_LEDGER) == (
        "This kill is on record in another ledger, not in this bot's."
        " Either the ledger was replaced, or a second bot with its own ledger answers here."
    )
    assert told(Unclaimable.ANOTHER_CHANNEL) == "This kill belongs to another channel."


def test_asker_is_told_that_someone_else_must_confirm():
    message = kill.needs_second_person(
        NeedsSecondPerson(proposal=proposal()), rights=rights(LISTS), group_names={}
    )
    head, who, until = lines(message)
    assert head == (
        "On main, a second person has to confirm what you asked for."
        " Nothing was done; the attempt is on record."
    )
    assert who.startswith("Who may: ")
    assert [until] == [
        "The preview is good until 12:10 UTC.",
    ]
    assert problems(message) == []


def test_nothing_to_kill_says_who_is_protected_and_who_is_gone():
    spared = (Spared(backend(812, usename="postgres"), SpareReason.PROTECTED_ROLES),)
    named = NothingToKill(
        request=None,
        server=server(),
        wording="812 4711",
        basis=Basis.PID,
        spared=spared,
        gone=(4711,),
    )
    message = kill.nothing_to_kill(named)
    assert lines(message) == [
        "Nothing to terminate on main · /pg-kill 812 4711",
        "Left alone: pid 812 · postgres, protected by PROTECTED_ROLES",
        "Already gone, or never there: pid 4711.",
    ]
    assert problems(message) == []
    none = NothingToKill(request=None, server=server(), wording="user=web", basis=Basis.FILTER)
    assert lines(kill.nothing_to_kill(none))[1] == "No session matches."


def test_too_many_asks_for_a_narrower_filter():
    message = kill.too_many(TooMany(server=server(), wording="db=some_db", total=134))
    assert lines(message) == [
        "134 sessions match on main · /pg-kill db=some_db",
        "A preview shows at most 100. Nothing was done.",
        "Use a narrower filter, such as state=idle_tx or idle>10m.",
    ]
    assert problems(message) == []


def test_ages_in_a_preview_are_as_of_its_snapshot():
    later = proposal(target(backend(xact_start=ago(minutes=-1))), seen_at=NOW)
    message = drawn(replace(preview(), proposal=later))
    assert "idle in transaction for 32 min; in a transaction for 0 s; connected for 2 h" in lines(
        message
    )


def test_results_with_the_same_pid_keep_their_targets():
    older, newer = target(backend(backend_start=ago(hours=3))), target(backend(usename="web"))
    ended = conclusion(
        Outcome.ALREADY_GONE,
        Outcome.TERMINATED,
        targets=(older, newer),
    )
    assert ended.results[0] == Result(older.id, Outcome.ALREADY_GONE)
    assert [row[1:3] for row in table(outcome_view.outcome(ended))[1:]] == [
        ["some_user", "already gone"],
        ["web", "terminated"],
    ]


# People who may only cancel

CANCELS = {Right.CANCEL: Allowlist(frozenset({"U0CORA"}))}


def foot(answer, **general):
    known = rights(LISTS | general.pop("lists", {}), **general)
    return lines(preview_view.preview(answer, rights=known))[-1]


def test_foot_names_the_lists_that_let_people_confirm():
    own = {Right.KILL: {"main": Allowlist(frozenset({"U0DBA"}))}}
    kills, cancels = preview(), preview(target(waiter()), action=Action.CANCEL)
    assert foot(kills, of=own).endswith("anyone on PG_KILL_ALLOWLIST_MAIN may confirm")
    assert foot(kills, lists=CANCELS).endswith(
        "anyone on PG_KILL_ALLOWLIST may confirm, and on PG_CANCEL_ALLOWLIST cancel"
    )
    assert foot(cancels, lists=CANCELS).endswith(
        "anyone on PG_CANCEL_ALLOWLIST or PG_KILL_ALLOWLIST may confirm"
    )


def test_second_person_for_a_cancel_may_be_one_who_may_only_cancel():
    answer = NeedsSecondPerson(proposal=proposal(action=Action.CANCEL))
    message = kill.needs_second_person(answer, rights=rights(LISTS | CANCELS))
    assert "<@U0CORA>" in lines(message)[1]
    ends = NeedsSecondPerson(proposal=proposal())
    message = kill.needs_second_person(ends, rights=rights(LISTS | CANCELS))
    assert "<@U0CORA>" not in lines(message)[1]


def test_nothing_to_cancel_says_that_it_is_only_cancelling():
    spared = (Spared(backend(812, state="idle"), SpareReason.NO_QUERY),)
    answer = NothingToKill(
        request=None,
        server=server(),
        wording="user=web",
        basis=Basis.FILTER,
        action=Action.CANCEL,
        spared=spared,
    )
    told = lines(kill.nothing_to_kill(answer))
    assert told[0].startswith("Nothing to cancel on main")
    assert "no query runs in it" in told[1]
    assert told[-1] == "You may cancel queries here, and end no sessions."


@pytest.mark.parametrize(
    "query",
    [
        "create index concurrently i on t (a)",
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)",
        "reindex table concurrently t",
        "reindex (verbose, concurrently) index i",
    ],
)
@pytest.mark.parametrize("result", [Outcome.TERMINATED, Outcome.CANCELLED])
def test_outcome_says_how_to_find_what_an_index_build_left(query, result):
    build = target(backend(state="active", query=query))
    message = outcome_view.outcome(conclusion(result, targets=(build,)))
    assert problems(message) == []
    (said,) = [each for each in lines(message) if "index build" in each]
    assert said == (
        "This ended an index build. If it left an invalid index in some_db, drop that with"
        " drop index concurrently. To find it:"
    )
    found = lines(message)[lines(message).index(said) + 1]
    assert found == "select indexrelid::regclass from pg_index where not indisvalid;"


def test_outcome_counts_the_index_builds_that_it_ended():
    query = "create index concurrently i on t (a)"
    builds = tuple(
        target(backend(pid, datname=datname, state="active", query=query))
        for pid, datname in ((1, "some_db"), (2, "other_db"), (3, "some_db"))
    )
    message = outcome_view.outcome(conclusion(*3 * [Outcome.TERMINATED], targets=builds))
    assert (
        "This ended 3 index builds. If they left invalid indexes in some_db and other_db, drop"
        " these with drop index concurrently. To find them:"
    ) in lines(message)


def test_outcome_does_not_know_whether_other_work_was_still_the_build():
    build = target(backend(state="active", query="create index concurrently i on t (a)"))
    ended = conclusion(Outcome.TERMINATED, targets=(build,))
    later = replace(ended, results=(replace(ended.results[0], reason=Reason.OTHER_WORK),))
    said = "\n".join(lines(outcome_view.outcome(later)))
    assert "This may have ended an index build. If it left an invalid index" in said


@pytest.mark.parametrize(
    ("values", "result"),
    [
        ({"state": "active"}, Outcome.CHANGED),
        ({"state": "idle"}, Outcome.TERMINATED),
        ({"state": "active", "query": "create index i on t (a)"}, Outcome.TERMINATED),
        ({"state": "active", "query": "select concurrently"}, Outcome.TERMINATED),
    ],
)
def test_outcome_tells_of_no_index_where_no_build_was_ended(values, result):
    build = target(backend(**{"query": "create index concurrently i on t (a)"} | values))
    message = outcome_view.outcome(conclusion(result, targets=(build,)))
    assert "index" not in "".join(line for line in lines(message) if "build" in line)
