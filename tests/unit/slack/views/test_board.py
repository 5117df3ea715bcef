"""What a board shows, and what its message says once it has ended."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.boards import LONGEST, Board, End
from bot.domain.samples import Sample
from bot.domain.waits import Waits
from bot.errors import ClusterTimeout, TargetError
from bot.grammar.requests import SessionsRequest, Target
from bot.grammar.watching import WatchRequest
from bot.slack.buttons import ActionId, RowRef, unseal
from bot.slack.views import board as view
from bot.slack.views.board import Drawing, by_minute, line
from bot.slack.views.errors import Obstacle
from tests.unit.builders import ALICE, CAROL, NOW, ago, backend, identity, look, sessions, waiter
from tests.unit.reading import lines, parsed, pressable, problems, table, walk

WATCHED = Board(
    id=7,
    channel_id="C0OPS",
    message_ts="1.1",
    cluster="main",
    wording="watch main/",
    asked_by=ALICE,
    since=ago(minutes=20),
    until=ago(minutes=20) + LONGEST,
    troubled_at=ago(minutes=20),
)


def sample(seconds: float, used: int = 40, waiting: int = 0, **other: object) -> Sample:
    usual = {"cluster": "main", "taken_at": ago(seconds=seconds), "usable": 97}
    return Sample(used=used, waiting=waiting, **usual | other)  # type: ignore[arg-type]


SAMPLES = (
    sample(850, 20),
    sample(130, 97, 3),
    sample(70, 50, 1),
    sample(5, 62, 2, oldest_xact_age=timedelta(minutes=32)),
)


def drawn(*rows, board=WATCHED, **values):
    request = SessionsRequest(Target("main"))
    shown = sessions(*rows, request=request, database=None)
    usual = {"answer": shown, "trouble": None, "samples": SAMPLES, "every": 10.0, "now": NOW}
    message = view.board(Drawing(board=board, **usual | values))
    assert problems(message) == []
    return message


def test_board_says_how_often_it_is_drawn_and_how_the_cluster_has_been_doing():
    message = drawn(backend(), waiter())
    head, course, limit, foot = lines(message)
    assert head == "Watching main · redrawn every 10 s · since 11:40 UTC, by <@U0ALICE>"
    assert course == (
        "connections 62 of 97 ▂···········▇▃▃ · waiting 2 ▁···········▇▃▅"
        " · oldest xact 32 min ▁···········▁▁▇"
    )
    assert limit == "⚠ some_user 1 of 1: at its limit, new logins fail"
    assert foot == "2 of 2 shown, what hurts most first · as of 12:00:01 UTC"
    assert [row[0] for row in table(message)] == ["pid", "33507", "33911"]
    # Lines of blocks mean nothing to a screen reader.
    assert "▇" not in message.text
    assert "connections 62 of 97 · waiting 2 · oldest xact 32 min" in message.text


def test_buttons_of_a_board_carry_identities_and_no_more():
    message = drawn(backend(), waiter())
    elements = [each for each in walk(message.blocks) if each.get("action_id")]
    assert [each["action_id"] for each in elements] == [
        ActionId.BOARD_STOP,
        ActionId.ANSWER_SHOW,
        ActionId.ANSWER_SHOW.numbered(1),
        ActionId.SESSIONS_KILL_ROW,
    ]
    assert elements[0]["value"] == "main"
    assert unseal(elements[1]["value"]) == "why main/"
    options = [RowRef.decode(each["value"]) for each in elements[3]["options"]]
    assert options == [RowRef("main", identity(33507)), RowRef("main", identity(33911))]


def test_cluster_that_does_not_answer_has_no_course_and_nothing_to_end():
    trouble = ClusterTimeout("main", "did not answer within 5 s")
    silent = sample(0, problem="no answer")
    message = drawn(answer=None, trouble=trouble, samples=(*SAMPLES, silent))
    assert lines(message)[1:] == ["⚠ main: did not answer within 5 s", "as of 12:00:01 UTC"]
    assert list(pressable(message)) == ["Stop watching", "Why"]


def test_board_of_a_name_that_is_gone_says_so():
    trouble = TargetError("<!here>", "no such database")
    message = drawn(answer=None, trouble=trouble)
    assert "⚠ <!here>: no such database" in lines(message)
    assert "<!here>" not in parsed(message)


@pytest.mark.parametrize(
    ("wording", "watched"),
    [
        ("watch main/", "main"),
        ("watch main/some_db user=web", "main/some_db user=web"),
        ("gaze main/", "gaze main/"),
        ("watch stat=idle", "stat=idle"),
    ],
)
def test_board_is_named_by_what_it_watches(wording: str, watched: str):
    board = replace(WATCHED, wording=wording)
    assert lines(drawn(backend(), board=board))[0].startswith(f"Watching {watched} · redrawn")
    for message in (
        view.placeholder(board, moved=True),
        view.closed(replace(board, end=End.QUIET, ended_at=NOW)),
        view.told(replace(board, end=End.DELETED, ended_at=NOW)),
        view.not_posted(board, "channel_not_found"),
    ):
        assert problems(message) == []
        assert watched in lines(message)[0]


@pytest.mark.parametrize("end", End)
def test_message_of_a_board_that_ended_says_why_and_how_to_go_on(end: End):
    ended = replace(WATCHED, end=end, ended_at=NOW, ended_by=CAROL)
    message = view.closed(ended)
    assert problems(message) == []
    assert not [each for each in message.blocks if each["type"] == "actions"]
    head, again, period = lines(message)
    assert head.endswith(".")
    assert ("/pg-sessions watch main/" in again) is (end is not End.MOVED)
    # In one span, as it is to be typed.
    assert ("'/pg-sessions watch main/'" in str(message.blocks)) is (end is not End.MOVED)
    assert period == "watched from 11:40 UTC to 12:00 UTC, 20 min · asked by <@U0ALICE>"
    if end in {End.STOPPED, End.MOVED}:
        assert "@U0CAROL" in head
    if end is End.RIGHT:
        assert "<@U0ALICE> may not look there any more" in head


def test_line_of_blocks_has_its_top_only_at_the_greatest_value():
    assert line([0, 1, 25, 50, 75, 99, 100, None]) == "▁▂▂▃▅▅▇·"
    assert line([1, 2], top=97) == "▂▂"
    assert line([0, 0]) == "▁▁"
    assert line([]) == ""
    assert line([None]) == "·"


def test_each_minute_has_its_greatest_value_and_a_gap_if_nothing_is_known():
    samples = (
        sample(1000, 1),  # too long ago
        sample(125, 7),
        sample(65, 3, problem="no answer"),
        sample(10, 5),
        sample(5, 9),
        sample(0, 4),
    )
    assert by_minute(samples, lambda each: each.used) == [7, None, 9]
    assert by_minute((), lambda each: each.used) == []


def test_quiet_board_lists_nobody():
    message = drawn(answer=sessions(look=look(waits=Waits({}))), every=60.0)
    assert "redrawn every 1 min" in lines(message)[0]
    assert lines(message)[-1].startswith("no session · as of")


def test_cluster_is_chosen_by_a_button_for_each():
    requests = [WatchRequest(SessionsRequest(Target(name, "some_db"))) for name in ("main", "prod")]
    message = view.which(requests)
    assert problems(message) == []
    assert {label: unseal(each["value"]) for label, each in pressable(message).items()} == {
        "main/some_db": "watch main/some_db",
        "prod/some_db": "watch prod/some_db",
    }
    many = view.which([WatchRequest(SessionsRequest(Target(f"c{at}"))) for at in range(30)])
    assert problems(many) == []
    assert lines(many)[-1].startswith("5 without a button")


@pytest.mark.parametrize(
    ("why", "words"),
    [
        (Obstacle.DIRECT, "this is a direct message"),
        (Obstacle.SHARED, "another workspace shares this channel"),
        (Obstacle.NOT_SEEN, "Slack doesn't say who shares this channel; invite the bot to it"),
    ],
)
def test_refusal_of_a_board_says_why_the_channel_may_not_see_one(why: Obstacle, words: str):
    _, told = lines(view.for_channels(why))
    assert told == f"Only you see this: {words}. Nothing was done; the attempt is on record."
