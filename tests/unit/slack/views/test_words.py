from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.kills import Action, Actor, Outcome, Result, State
from bot.domain.people import Allowlist, Home, Person, Right
from bot.domain.record import Entry, Unreadable
from bot.errors import ClusterRefused, ClusterTimeout, TargetError, UsageError
from bot.grammar.parser import parse_kill, parse_sessions, read_kill
from bot.grammar.requests import HistoryRequest, Target
from bot.operations.results import History
from bot.slack.buttons import OlderThan
from bot.slack.views import errors
from bot.slack.views import help as help_view
from bot.slack.views.errors import Obstacle
from bot.slack.views.history import history
from bot.slack.views.sessions import sessions
from tests.rights import rights
from tests.unit.builders import (
    ALICE,
    CAROL,
    backend,
    conclusion,
    confirmed,
    identity,
    look,
    proposal,
    target,
)
from tests.unit.builders import sessions as sessions_answer
from tests.unit.reading import column, lines, parsed, pressable, problems, table, walk

LISTS = {
    Right.LOOK: Allowlist(frozenset({"U0VERA"})),
    Right.KILL: Allowlist(frozenset({"U0CAROL", "U0ALICE"}), frozenset({"S0ONCALL"})),
}


def past(*entries, more=False, before_id=None, request=None):
    message = history(
        History(
            request=request or HistoryRequest(),
            entries=entries,
            more=more,
            before_id=before_id,
        )
    )
    assert problems(message) == []
    return message


def test_unreadable_kill_has_its_row():
    message = past(Unreadable(42, "'freeze' is not a valid Action"), Entry(confirmed(), False))
    _, unreadable, other = table(message)
    told = "recorded by another version of the bot: this one can't read it"
    assert [cell for cell in unreadable if cell.strip()] == ["42", told]
    assert other[0] == "41"


def test_history_is_a_table_newest_first():
    ended = conclusion(Outcome.TERMINATED, Outcome.CHANGED)
    done = Entry(confirmed(*ended.proposal.targets, state=State.DONE), False, ended.results)
    message = past(done)
    assert table(message) == [
        [
            "kill",
            "outcome",
            "when (UTC)",
            "cluster",
            "targets",
            "asked_by",
            "decided_by",
            "reason",
            "request",
        ],
        [
            "41",
            "1 changed · 1 terminated",
            "2026-01-31 12:00",
            "main",
            "33507 · some_user and 33508 · some_user",
            "<@U0ALICE>",
            "<@U0CAROL>",
            "blocks the deploy",
            "user=some_user",
        ],
    ]
    assert lines(message) == ["The last request: 1 kill · /pg-kill history"]


def test_history_shows_each_kills_latest_state():
    amended = Entry(
        confirmed(state=State.DONE),
        expired=True,
        results=(Result(identity(), Outcome.UNKNOWN),),
        amendments=(Result(identity(), Outcome.TERMINATED),),
    )
    message = past(
        Entry(proposal(id=45), expired=False),
        Entry(proposal(id=44), expired=True),
        Entry(confirmed(id=43), expired=True),
        Entry(proposal(id=42, state=State.DISMISSED, dismissed_by=CAROL), expired=True),
        amended,
    )
    assert column(message, "outcome") == [
        "not confirmed yet",
        "expired",
        "under way",
        "dismissed",
        "1 terminated",
    ]
    assert column(message, "decided_by")[3:] == ["<@U0CAROL>", "<@U0CAROL>"]
    (head,) = lines(message)
    assert head.startswith(
        "The last 5 requests: 2 kills · 1 not confirmed yet · 1 expired · 1 dismissed ·"
    )


def test_history_offers_the_timeline_of_each_cluster_that_it_shows():
    main, prod = Entry(confirmed(), expired=False), Entry(confirmed(cluster="prod"), expired=False)
    one = pressable(past(main, main))
    assert {label: each["value"] for label, each in one.items()} == {"Timeline": "main"}
    both = pressable(past(main, prod, main, more=True))
    assert list(both) == ["Older", "Timeline of main", "Timeline of prod"]
    assert pressable(past()) == {}


def test_history_names_people_as_slack_draws_them():
    hostile = replace(confirmed(), confirmed_by=Actor("<!channel>"))
    message = past(Entry(confirmed(), expired=False), Entry(hostile, expired=False))
    people = [each["user_id"] for each in walk(message.blocks) if each.get("type") == "user"]
    assert people == ["U0ALICE", "U0CAROL", "U0ALICE"]
    assert "<@" not in parsed(message)
    (_, text) = message.without_tables().blocks[:2]
    assert "U0CAROL" in str(text)


def test_history_names_a_few_of_many_targets():
    targets = [target(backend(1000 + at)) for at in range(100)]
    message = past(Entry(proposal(*targets), expired=False))
    assert column(message, "targets") == [
        "1000 · some_user, 1001 · some_user, 1002 · some_user and 97 more"
    ]


def test_older_kills_are_a_click_away_with_the_same_filter():
    request = read_kill("history prod/ user=web*")
    assert isinstance(request, HistoryRequest)
    message = past(Entry(proposal(id=7), expired=True), more=True, before_id=9, request=request)
    assert lines(message) == [
        "The last request before number 9: 1 expired · /pg-kill history prod/ user=web*"
    ]
    older = OlderThan.decode(pressable(message)["Older"]["value"])
    assert older.before_id == 7
    assert read_kill(older.text) == request


def test_an_empty_history_says_so():
    message = past(request=HistoryRequest(target=Target("prod")))
    assert lines(message) == ["No requests for kills · /pg-kill history prod/"]
    assert list(pressable(message)) == ["Timeline"]


@pytest.mark.parametrize(
    ("parse", "typed", "said"),
    [
        (
            parse_sessions,
            "stat=idle",
            "stat=idle: no such filter. Did you mean state=?   /pg-sessions help",
        ),
        (parse_kill, "user<web", "user<web: use = or !=.   /pg-sessions help"),
        (
            parse_kill,
            "",
            "Say what to end: a pid or a filter.   /pg-sessions help",
        ),
    ],
)
def test_usage_error_is_one_line_with_the_word_and_help(parse, typed, said):
    with pytest.raises(UsageError) as caught:
        parse(typed)
    message = errors.usage(caught.value, "/pg-sessions")
    assert lines(message) == [said]
    assert problems(message) == []


def test_a_usage_error_without_a_command_offers_no_help():
    assert lines(errors.usage(UsageError("x", "not a sessions request"))) == [
        "x: not a sessions request."
    ]


def test_unknown_name_comes_with_the_nearest():
    message = errors.target_error(TargetError("<!channel>", "no such database", ("a", "b", "c")))
    assert lines(message) == ["<!channel>: no such database. Did you mean a, b or c?"]
    assert "<!" not in parsed(message)
    assert problems(message) == []


def test_a_refusal_names_those_who_may_and_the_list():
    message = errors.refusal(Right.KILL, rights(LISTS), group_names={"S0ONCALL": "oncall"})
    (line,) = lines(message)
    assert line == (
        "You may not end sessions here. Who may: <@U0ALICE>, <@U0CAROL> and @oncall"
        " (PG_KILL_ALLOWLIST). Nothing was done; the attempt is on record."
    )
    assert problems(message) == []
    assert not [each for each in walk(message.blocks) if each.get("type") == "usergroup"]


def test_who_may_kill_may_look():
    (line,) = lines(errors.refusal(Right.LOOK, rights(LISTS)))
    assert line == (
        "You may not look at sessions here. Who may: <@U0ALICE>, <@U0CAROL>, <@U0VERA> and"
        " S0ONCALL (PG_SESSIONS_ALLOWLIST). Nothing was done; the attempt is on record."
    )


def test_refusal_if_nobody_or_everybody_may():
    nobody = {right: Allowlist() for right in Right}
    assert "Nobody may (PG_KILL_ALLOWLIST)." in lines(errors.refusal(Right.KILL, rights(nobody)))[0]
    everyone = nobody | {Right.LOOK: Allowlist(everyone=True)}
    assert (
        "Who may: everyone in this workspace except guests (PG_SESSIONS_ALLOWLIST)."
        in (lines(errors.refusal(Right.LOOK, rights(everyone)))[0])
    )


def test_a_refusal_of_an_outsider_names_nobody():
    asking = Person("U0OLGA", home=Home.ELSEWHERE, is_guest=False)
    (line,) = lines(errors.refusal(Right.KILL, rights(LISTS), asking=asking))
    assert line == (
        "You may not end sessions here. Only people of the bot's own workspace may."
        " Nothing was done; the attempt is on record."
    )


@pytest.mark.parametrize(
    ("right", "asking", "reason"),
    [
        (
            Right.KILL,
            Person("U0ALICE", home=None, is_guest=None),
            (
                "You may not end sessions here. Slack did not say who you are,"
                " and the bot answers only people whom it can identify."
            ),
        ),
        (
            Right.LOOK,
            Person("U0ALICE", home=Home.WORKSPACE, is_guest=None),
            (
                "You may not look at sessions here. Slack did not say whether you are a guest,"
                " and a guest must be on the list by name."
            ),
        ),
    ],
)
def test_person_whom_slack_does_not_describe_is_not_called_a_stranger(right, asking, reason):
    star = LISTS | {Right.LOOK: Allowlist(everyone=True)}
    message = errors.refusal(right, rights(star), asking=asking)
    assert lines(message) == [
        reason,
        (
            "Try again in a moment. If that doesn't help, whoever runs the bot can find out why:"
            " python -m bot check. Nothing was done; the attempt is on record."
        ),
    ]
    assert problems(message) == []


def test_guests_and_sister_workspaces_are_told_who_may():
    star = {Right.LOOK: Allowlist(everyone=True), Right.KILL: Allowlist()}
    for home, is_guest in ((Home.WORKSPACE, True), (Home.ENTERPRISE, None)):
        asking = Person("U0ALICE", home=home, is_guest=is_guest)
        (line,) = lines(errors.refusal(Right.LOOK, rights(star), asking=asking))
        assert "Who may: everyone in this workspace except guests" in line


def test_a_long_allowlist_is_cut_with_a_count():
    long = LISTS | {Right.KILL: Allowlist(frozenset(f"U{at:010}" for at in range(100)))}
    message = errors.refusal(Right.KILL, rights(long))
    assert "and 70 more (PG_KILL_ALLOWLIST)." in lines(message)[0]
    assert problems(message) == []


def test_cluster_trouble_says_since_when_and_which_clusters_answer():
    error = ClusterTimeout("main", "did not answer within 5 s (connected, no reply)")
    message = errors.cluster_trouble(
        error, last_seen_ago=timedelta(seconds=40), others=("prod", "dev")
    )
    (line,) = lines(message)
    assert line == (
        "main: did not answer within 5 s (connected, no reply). Last seen 40 s ago."
        " The bot keeps trying: ask again in a moment."
        " Other clusters are fine: /pg-sessions prod/ and /pg-sessions dev/"
    )
    assert problems(message) == []
    alone = errors.cluster_trouble(error)
    assert lines(alone) == [
        (
            "main: did not answer within 5 s (connected, no reply)."
            " The bot keeps trying: ask again in a moment."
        )
    ]
    refused = ClusterRefused("main", "it refused a statement (SQLSTATE XX000)")
    assert lines(errors.cluster_trouble(refused)) == [f"{refused}."]


def test_a_ledger_in_trouble_says_that_nothing_was_done():
    message = errors.ledger_trouble()
    assert "Nothing was done: the bot ends no session that it can't put on record." in lines(
        message
    )
    assert problems(message) == []


def test_a_defect_gives_the_reference_that_the_log_has():
    message = errors.unknown("1f2e3d4c")
    assert "1f2e3d4c" in message.text
    assert problems(message) == []


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("direct message", "A kill happens only where others can see it: ask in a channel."),
        (
            "shared channel",
            (
                "Another workspace shares this channel: the bot ends no session here"
                " unless ALLOWED_CHANNELS names it."
            ),
        ),
        (
            "unknown channel",
            (
                "Slack does not tell the bot whether another workspace shares this channel."
                " Invite the bot to it and ask again."
            ),
        ),
        (
            "no scope to ask about the channel",
            (
                "The bot's token may not ask Slack whether another workspace shares this channel."
                " Whoever runs the bot can see which scope is missing: python -m bot check."
            ),
        ),
        (
            "Slack did not say who shares the channel",
            (
                "Slack did not say just now whether another workspace shares this channel."
                " Until it does, the bot ends no session here. Try again in a moment,"
                " or ask in a channel that ALLOWED_CHANNELS names."
            ),
        ),
        (
            "not in ALLOWED_CHANNELS",
            "The bot does not answer in this channel (ALLOWED_CHANNELS).",
        ),
    ],
)
def test_wrong_place_says_where_the_command_works(why, said):
    message = errors.wrong_place(Obstacle(why))
    assert lines(message) == [f"{said} Nothing was done; the attempt is on record."]
    assert problems(message) == []


def test_the_channels_that_are_allowed_are_links():
    message = errors.wrong_place(Obstacle.NOT_ALLOWED, channels=("C0OPS", "<!here>"))
    assert "It answers in <#C0OPS> or <!here>." in lines(message)[0]
    assert "<!" not in parsed(message)
    assert problems(message) == []


def test_an_answer_to_one_person_can_say_why():
    answer = sessions(sessions_answer(look=look(backend())))
    shared = errors.for_you_alone(answer, Obstacle.SHARED)
    assert lines(shared)[-1] == "only you see this: another workspace shares this channel"
    assert lines(shared)[:-1] == lines(answer)
    hidden = errors.for_you_alone(answer, Obstacle.NOT_SEEN)
    assert lines(hidden)[-1].endswith("invite the bot to it")
    assert problems(shared) == problems(hidden) == []
    assert ALICE.user_id in lines(hidden)[-2]
    for why in (Obstacle.NO_SCOPE, Obstacle.NOT_TOLD):
        told = lines(errors.for_you_alone(answer, why))[-1]
        assert told.startswith("only you see this: ")
        assert "invite" not in told
    assert errors.for_you_alone(answer, Obstacle.DIRECT) == answer


@pytest.mark.parametrize(
    ("code", "restricted", "said"),
    [
        (
            "restricted_action",
            True,
            (
                "The channel restricts who may post, and the bot may not. Whoever manages the"
                " channel can allow it: restricted_action"
            ),
        ),
        ("is_archived", False, "Slack did not post it in the channel: is_archived"),
    ],
)
def test_answer_refused_by_a_channel_reaches_one_person_with_the_reason(code, restricted, said):
    answer = sessions(sessions_answer(look=look(backend())))
    alone = errors.not_posted(answer, code, is_restricted=restricted)
    assert spoken(lines(alone)[-1]) == spoken(f"only you see this. {said}")
    assert said.split(":")[0] in alone.text
    assert alone.blocks[-1]["elements"][-1]["text"] == code  # nothing hangs behind it
    assert pressable(alone) == pressable(answer)
    surely = errors.no_preview(code, is_restricted=restricted, surely=True)
    assert said in lines(surely)
    assert "nothing can be confirmed there" in lines(surely)[0]
    assert "Ask again in another channel." in lines(surely)[-1]
    unsure = errors.no_preview(code, is_restricted=restricted, surely=False)
    assert "If the preview appears after all, it works" in lines(unsure)[-1]
    directly = errors.from_elsewhere(surely, "C0OPS")
    assert "about <#C0OPS>: it could not be posted there" in lines(directly)[-1]
    for message in (alone, surely, unsure, directly):
        assert problems(message) == []


def spoken(line: str) -> str:
    """A line of small print without the gaps between its parts."""
    return "".join(line.split())


@pytest.mark.parametrize(
    "message", [help_view.sessions(), help_view.kill(), help_view.kill(Action.CANCEL)]
)
def test_help_is_a_page_of_examples(message):
    assert problems(message) == []
    assert len(lines(message)) <= 20
    assert max(map(len, lines(message))) < 100


def test_every_command_in_the_help_is_understood():
    pages = (help_view.sessions(), help_view.kill(), help_view.kill(Action.CANCEL))
    for message, parse in zip(pages, (parse_sessions, parse_kill, parse_kill), strict=True):
        command = message.text.split("\n")[0]
        typed = [
            each["text"]
            for each in walk(message.blocks)
            if each.get("style", {}).get("code") and each["text"].startswith(command)
        ]
        assert len(typed) >= 5
        for example in typed:
            parse(example.removeprefix(command))


# Rights on one of several clusters

TWO = ("main", "prod")
OWN = {Right.KILL: {"prod": Allowlist(frozenset({"U0DBA"}))}}


def test_refusal_names_the_list_of_the_cluster_that_was_meant():
    known = rights(LISTS, clusters=TWO, of=OWN)
    (line,) = lines(errors.refusal(Right.KILL, known, "prod"))
    assert line == (
        "You may not end sessions on prod. Who may: <@U0DBA> (PG_KILL_ALLOWLIST_PROD)."
        " Nothing was done; the attempt is on record."
    )
    (line,) = lines(errors.refusal(Right.KILL, known, "main"))
    assert "on main. Who may: <@U0ALICE>, <@U0CAROL> and S0ONCALL (PG_KILL_ALLOWLIST)." in line


def test_refusal_without_a_cluster_names_none():
    (line,) = lines(errors.refusal(Right.KILL, rights(LISTS, clusters=TWO, of=OWN)))
    assert "(PG_KILL_ALLOWLIST, or PG_KILL_ALLOWLIST_<NAME> for one cluster)." in line
    assert "prod" not in line


def test_refusal_speaks_of_cancelling_if_a_list_grants_it():
    cancels = {Right.CANCEL: Allowlist(frozenset({"U0CORA"}))}
    (line,) = lines(errors.refusal(Right.CANCEL, rights(LISTS | cancels, clusters=TWO), "main"))
    assert line == (
        "You may not end sessions or cancel queries on main. Who may end sessions: <@U0ALICE>,"
        " <@U0CAROL> and S0ONCALL (PG_KILL_ALLOWLIST). Who may cancel queries: <@U0CORA>"
        " (PG_CANCEL_ALLOWLIST). Nothing was done; the attempt is on record."
    )
    (line,) = lines(errors.refusal(Right.CANCEL, rights(LISTS, clusters=TWO), "main"))
    assert line.startswith("You may not end sessions on main. Who may: ")
