"""Whatever clients, roles, databases and people are called: Slack accepts the message, as text."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from itertools import cycle, islice

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.blocking import Locks, tree
from bot.domain.boards import Board, End
from bot.domain.findings.diagnosis import diagnose
from bot.domain.findings.model import Question
from bot.domain.findings.survey import Survey
from bot.domain.kills import Actor, Basis, Outcome, Result, Spared, State, Unclaimable
from bot.domain.people import Allowlist, Right
from bot.domain.record import Entry
from bot.domain.sessions import CLIENT_BACKEND, Counts, Limit
from bot.domain.waits import Waits
from bot.errors import ClusterDown, TargetError, UsageError
from bot.grammar.columns import COLUMNS
from bot.grammar.requests import HistoryRequest, KillRequest, SessionsRequest, Target, WhyRequest
from bot.grammar.watching import WatchRequest
from bot.operations.results import (
    Choice,
    ClusterCard,
    History,
    NotClaimed,
    NothingToKill,
    Overview,
    Past,
    Sessions,
    TooMany,
    Tree,
    Why,
)
from bot.slack.buttons import ActionId, OlderThan
from bot.slack.views import board as board_view
from bot.slack.views import errors, kill
from bot.slack.views import outcome as outcome_view
from bot.slack.views import preview as preview_view
from bot.slack.views.board import Drawing
from bot.slack.views.choice import choice
from bot.slack.views.history import history
from bot.slack.views.overview import overview
from bot.slack.views.past import past
from bot.slack.views.session_table import page_size
from bot.slack.views.sessions import sessions
from bot.text import visible
from tests.rights import rights
from tests.unit.builders import (
    ALICE,
    NOW,
    ago,
    backend,
    confirmed,
    look,
    preview,
    server,
    target,
)
from tests.unit.builders import conclusion as concluded
from tests.unit.builders import sessions as answer
from tests.unit.reading import column, lines, parsed, pressable, problems, table, walk

MARK = "Zqx"
"""Part of every name in these tests: it shows where a client's text is."""

HOSTILE = (
    "<!channel>",
    "<!here|x>",
    "<@U0ALICE>",
    "<!subteam^S0ONCALL>",
    "<#C0OPS>",
    "<http://evil.com|ok>",
    "http://evil.com",
    "evil.com",
    "@here",
    "*b* _i_ ~s~ `c`",
    "```\npre\n```",
    ":boom:",
    "&lt;!channel&gt;",
    "\u202egpj.exe\u2066",
    "\u200b",
    "\n> quoted\n# head",
    "漢" * 63,
    "😀" * 63,
    "e" + "\u0301" * 100,
    "\ud800",
    "\x00\x1b",
    "a|b",
    "",
)
LISTS = {
    Right.LOOK: Allowlist(),
    Right.KILL: Allowlist(frozenset({"U0ALICE", "<!here>"}), frozenset({"S0ONCALL"})),
}
MENTION = re.compile("<[@#](?:[UWCDG][A-Z0-9]+)>")
UNSEEN = re.compile("[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")

texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=300)).map(lambda text: MARK + text)
few_texts = st.lists(texts, min_size=1, max_size=12)
numbers = st.integers(0, 10**6)
views = settings(max_examples=60, deadline=None)


def typed(name):
    """A name as a request can hold it: not too long, and with only visible characters."""
    return visible(name)[:200]


def rows_of(names, number):
    """This many sessions, with all these names in turn."""
    name = cycle(names)
    return [
        backend(
            2_147_000_000 + at,
            usename=next(name),
            datname=next(name),
            application_name=next(name),
            client_hostname=next(name),
            client_addr=ip_address("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            wait_event=next(name),
            query=next(name) * 4,
            backend_type=CLIENT_BACKEND if at % 7 else next(name),
            state=(next(name), "active", "idle in transaction (aborted)", None)[at % 4],
            xact_start=ago(days=at) if at % 3 else None,
            backend_xid=2**32 - 1 if at % 2 else None,
            query_id=-(2**63),
        )
        for at in range(number)
    ]


def server_of(names):
    name = cycle(names)
    return server(
        cluster=next(name),
        host=next(name),
        version=next(name),
        roles=tuple(Limit(next(name), at, 10) for at in range(30)),
        databases=tuple(Limit(next(name), 10, 10) for _ in range(30)),
    )


def holds(message):
    """Slack accepts it, and reads only our own markup in it."""
    assert problems(message) == []
    everything = json.dumps(message.blocks, ensure_ascii=False)
    assert not UNSEEN.search(everything.replace("\\n", ""))
    for each in walk(message.blocks):
        match each.get("type"):
            case "mrkdwn":
                assert MARK not in each["text"]
                assert each["verbatim"] is True
                assert not re.search("[*~`]", each["text"])
                assert not re.search("[<>]", MENTION.sub("", each["text"]))
            case "plain_text":
                assert each["emoji"] is False
            case "usergroup" | "broadcast" | "link" | "emoji" | "markdown" | "header":
                raise AssertionError(each)
            case "data_table":
                assert not re.search("[<>]|[*~`@#](?!\u2060)", each["caption"])
            case "user":
                assert each["user_id"] in {"U0ALICE", "U0CAROL"}
            case _:
                pass
    bare = MENTION.sub("", message.text)
    assert not UNSEEN.search(bare.replace("\n", ""))
    assert not re.search("[<>]", bare)
    assert not re.search("&(?!amp;|lt;|gt;)", bare)
    for line in bare.split("\n"):
        if MARK in line:
            assert not re.search("[*~`@#](?!\u2060)", line.partition(MARK)[2])
    for markup in ("://", "*b*", ":boom:", "@here", "evil.com"):
        assert markup not in parsed(message)
    return True


columns = st.one_of(
    st.just(()), st.lists(st.sampled_from(COLUMNS), unique=True, min_size=1).map(tuple)
)


@views
@given(few_texts, st.integers(0, 30), columns, numbers, st.booleans())
def test_sessions_of_any_name_and_columns_are_a_message(names, number, asked, offset, cut_off):
    rows = rows_of(names, number)
    request = SessionsRequest(
        target=Target(database=typed(names[0])),
        columns=asked,
        limit=number + 1 if cut_off else None,
    )
    counts = Counts(
        total=number,
        by_state={"idle in transaction (aborted)": 1, "": 3},
        waiting=1,
        oldest_xact=NOW,
    )
    waits = Waits({row.pid: tuple(other.pid for other in rows) for row in rows[:5]})
    seen = look(*rows, server=server_of(names), counts=counts, waits=waits)
    message = sessions(
        answer(
            look=seen, request=request, cluster=typed(names[0]), database=names[-1], offset=offset
        )
    )
    assert holds(message)
    if rows:
        shown = len(table(message)[0]) - 1 if len(asked) > 20 else len(table(message)) - 1
        assert 0 < shown <= page_size(request)
        assert any(f"of {number} shown" in line for line in lines(message))
    if 0 < len(asked) <= 20:
        assert table(message)[:1] == ([list(asked)] if rows else [])


@views
@given(few_texts, st.integers(0, 20), numbers, st.sampled_from([Sessions, Why, Tree]))
def test_past_of_any_names_is_a_message_with_nothing_to_end(names, number, of, kind):
    rows = rows_of(names, number)
    waits = Waits({row.pid: (rows[0].pid,) for row in rows[1:]})
    seen = look(*rows, server=server_of(names), waits=waits)
    request = SessionsRequest(target=Target(database=typed(names[0])))
    survey = Survey(look=seen)
    shown: Sessions | Why | Tree
    if kind is Sessions:
        shown = answer(look=seen, request=request, cluster=typed(names[0]), endable=frozenset())
    elif kind is Why:
        shown = Why(
            request=WhyRequest(),
            diagnoses=(diagnose(survey, Question()),),
            troubles=(),
            asked_by=ALICE,
            now=NOW,
            past=True,
        )
    else:
        shown = Tree(
            look=seen,
            branches=tree(waits),
            rows={row.pid: row for row in rows},
            locks=Locks(),
            barriers={},
            freed={},
            asked_by=ALICE,
            past=True,
        )
    message = past(
        Past(
            request=request,
            shown=shown,
            ago=timedelta(minutes=3),
            taken_at=NOW,
            kept=((names[0], number, of),),
        )
    )
    assert holds(message)
    assert message.text.startswith("3 min ago, 12:00:01 UTC\n")
    assert lines(message)[0] == "3 min ago, 12:00:01 UTC"
    assert set(pressable(message)) <= {"Look now"}
    assert sum("action_id" in each for each in walk(message.blocks)) <= 1


@views
@given(few_texts, st.integers(1, 100), numbers, st.booleans(), st.sampled_from(Basis))
def test_a_preview_of_any_targets_shows_them_all(names, number, some, second, basis):
    targets = [
        target(row, waiting_behind=some, is_new=bool(at % 2))
        for at, row in enumerate(rows_of(names, number))
    ]
    message = preview_view.preview(
        preview(
            *targets,
            cluster=names[0],
            server=server_of(names),
            second_person=second,
            gone=tuple(range(number)),
            wording=names[0] * 10,
            reason=names[-1] * 10,
            spared=tuple(Spared(row, names[0]) for row in rows_of(names, number)),
            basis=basis,
            freed=some,
        ),
        rights=rights(LISTS),
        group_names={"S0ONCALL": names[0]},
    )
    assert holds(message)
    pids = [str(each.id.pid) for each in targets]
    below = "\n".join(line for line in lines(message) if line.startswith("and pid"))
    shown = column(message, "pid") if number > 1 else [lines(message)[2].split()[1]]
    assert pids[: len(shown)] == shown
    assert all(pid in below for pid in pids[len(shown) :])


@views
@given(
    few_texts,
    st.lists(st.sampled_from(Outcome), min_size=1, max_size=100),
    st.integers(-1, 3),
    st.booleans(),
)
def test_any_outcome_is_a_message_about_every_target(names, ends, page, written):
    rows = rows_of(names, len(ends))
    ended = concluded(
        *ends,
        targets=tuple(target(row) for row in rows),
        arrivals=len(ends),
        recorded=written,
        notes=tuple(names),
        limits=tuple((Limit(name, 9, 10), Limit(name, 1, 10)) for name in names * 3),
    )
    details = islice(cycle(names), len(ends))
    ended = replace(
        ended,
        proposal=replace(ended.proposal, cluster=names[0], reason=names[-1] * 10),
        results=tuple(
            Result(result.id, result.outcome, detail)
            for result, detail in zip(ended.results, details, strict=True)
        ),
    )
    assert holds(outcome_view.outcome(ended, page))
    if len(ends) > 1:
        pages = [
            outcome_view.outcome(ended, at)
            for at in range(-(-len(ends) // outcome_view.OUTCOME_PAGE))
        ]
        told = [pid for each in pages for pid in column(each, "pid")]
        assert told == [str(result.id.pid) for result in ended.in_order]


@views
@given(few_texts, st.integers(1, 100))
def test_every_other_message_of_a_kill_holds_any_name(names, number):
    targets = tuple(target(row) for row in rows_of(names, number))
    one = confirmed(
        *targets,
        cluster=names[0],
        wording=names[-1] * 10,
        asked_by=Actor(names[0]),
        dismissed_by=ALICE,
    )
    nothing = NothingToKill(
        request=None,
        server=server_of(names),
        wording=names[0],
        basis=Basis.FILTER,
        spared=tuple(Spared(each.seen, names[-1]) for each in targets),
        gone=tuple(range(number)),
    )
    assert holds(kill.working(one))
    assert holds(kill.dismissed(one))
    assert holds(kill.expired(one))
    assert holds(kill.nothing_to_kill(nothing))
    assert holds(kill.too_many(TooMany(server=server_of(names), wording=names[0], total=number)))
    for why in Unclaimable:
        assert holds(kill.not_claimed(NotClaimed(why=why, entry=Entry(one, expired=True))))


@views
@given(few_texts, st.integers(0, 5), st.booleans())
def test_a_board_of_any_names_is_a_message(names, number, silent):
    rows, cluster = rows_of(names, number), typed(names[0])
    asked = SessionsRequest(Target(cluster, typed(names[-1])))
    board = Board(
        id=7,
        channel_id="C0OPS",
        message_ts="1.1",
        cluster=cluster,
        wording=str(WatchRequest(asked)),
        asked_by=ALICE,
        since=ago(minutes=5),
        until=NOW,
        troubled_at=NOW,
    )
    seen = look(*rows, server=server_of(names))
    drawing = Drawing(
        board=board,
        answer=None if silent else answer(look=seen, request=asked, cluster=cluster),
        trouble=TargetError(typed(names[0]), "no such database") if silent else None,
        samples=(),
        every=10.0,
        now=NOW,
    )
    assert holds(board_view.board(drawing))
    for message in (
        board_view.placeholder(board, moved=True),
        board_view.closed(replace(board, end=End.QUIET, ended_at=NOW)),
        board_view.told(replace(board, end=End.DELETED, ended_at=NOW)),
        board_view.not_posted(board, names[0]),
        board_view.which([WatchRequest(asked)]),
    ):
        assert holds(message)


@views
@given(few_texts, st.integers(0, 120))
def test_clusters_of_any_name_are_a_message(names, number):
    name = cycle(names)
    cards = tuple(
        ClusterCard(
            cluster=typed(next(name)),
            host=next(name),
            look=look(server=server_of(names)) if at % 2 else None,
            trouble=None if at % 2 else ClusterDown(next(name), next(name)),
            last_seen=ago(seconds=at),
        )
        for at in range(number)
    )
    clusters = Overview(request=SessionsRequest(), cards=cards, asked_by=ALICE, now=NOW)
    message = overview(clusters)
    assert holds(message)
    told = len(table(message)[1:])
    left_out = f"{number - told} more not shown: name a cluster to see it"
    assert (left_out in lines(message)) == (told < number)


@views
@given(few_texts, st.integers(1, 40), st.sampled_from([SessionsRequest, KillRequest]))
def test_a_choice_of_any_names_is_a_message(names, number, request):
    name = map(typed, cycle(names))
    requests = tuple(request(target=Target(next(name), next(name))) for _ in range(number))
    troubles = tuple(ClusterDown(each, each) for each in names)
    assert holds(choice(Choice(what=names[0], requests=requests, troubles=troubles)))


@views
@given(few_texts, st.integers(0, 99), st.booleans())
def test_history_of_any_names_links_to_what_it_leaves_out(names, number, more):
    name = cycle(names)
    targets = tuple(target(row) for row in rows_of(names, 3))
    entries = tuple(
        Entry(
            confirmed(
                *targets,
                id=1000 - at,
                cluster=next(name),
                reason=next(name) * 5,
                wording=next(name) * 5,
                asked_by=Actor(next(name)),
                state=list(State)[at % 4],
            ),
            expired=bool(at % 2),
            results=tuple(Result(each.id, Outcome.CHANGED) for each in targets),
        )
        for at in range(number)
    )
    request = HistoryRequest(target=Target(typed(names[0])))
    message = history(History(request=request, entries=entries, more=more, before_id=None))
    assert holds(message)
    told = len(table(message)[1:])
    older = [
        OlderThan.decode(each["value"])
        for each in pressable(message).values()
        if each["action_id"] == ActionId.HISTORY_OLDER
    ]
    if more or told < number:
        assert [each.before_id for each in older] == [1001 - told] * (told > 0)
    else:
        assert older == []


@views
@given(few_texts)
def test_an_error_about_anything_typed_is_a_message(names):
    word, problem = names[0] * 10, names[-1]
    assert holds(errors.usage(UsageError(word, problem, tuple(names)), "/pg-kill"))
    assert holds(errors.target_error(TargetError(word, problem, tuple(names))))
    assert holds(errors.unknown(word))
    assert holds(errors.wrong_place(errors.Obstacle.NOT_ALLOWED, channels=names))
    trouble = errors.cluster_trouble(
        ClusterDown(word, problem), last_seen_ago=timedelta(days=1), others=names
    )
    assert holds(trouble)
    lists = {right: Allowlist(frozenset(names), frozenset(names)) for right in Right}
    assert holds(errors.refusal(Right.LOOK, rights(lists), group_names=dict.fromkeys(names, word)))


@views
@given(few_texts, st.integers(1, 20))
def test_without_tables_no_cell_is_lost(names, number):
    message = sessions(answer(*rows_of(names, number), database=None))
    written = "\n".join(
        element["text"]
        for block in message.without_tables().blocks
        if block["type"] == "rich_text"
        for element in block["elements"][0]["elements"]
        if block["elements"][0]["type"] == "rich_text_preformatted"
    )
    for cell in (cell for row in table(message) for cell in row):
        assert cell.strip() in written
