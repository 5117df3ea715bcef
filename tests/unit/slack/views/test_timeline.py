"""The answer to `Timeline`: text to paste, whole if it fits."""

from dataclasses import replace
from datetime import timedelta

from bot.domain.record import Noted
from bot.domain.timeline import Step, Timeline, of_note
from bot.slack.views import timeline as timeline_view
from bot.slack.views.timeline import MOST
from tests.unit.builders import ALICE, NOW, ago
from tests.unit.reading import lines, parsed, pressable, problems

EMPTY = Timeline(since=ago(hours=2), until=NOW, cluster="main")
HOSTILE = "<!channel> @here `x` *b* https://example.com"


def looks(number: int, what: str = "look") -> Timeline:
    noted = [
        Noted(id=at, at=ago(seconds=number - at), actor=ALICE, channel_id="C1", what=f"{what} {at}")
        for at in range(number)
    ]
    return replace(
        EMPTY, events=tuple(each for n in noted for each in of_note(n, Step.LOOK, "main"))
    )


def test_timeline_is_preformatted_and_offers_nothing_to_press():
    message = timeline_view.timeline(looks(2, HOSTILE))
    assert problems(message) == []
    assert pressable(message) == {}
    assert parsed(message) == message.text
    assert message.text == "The last two hours on main: 2 events. Only you see this."
    assert (
        lines(message)[1] == "## Timeline of `main`, 2026-01-31 10:00:01 to 2026-01-31 12:00:01 UTC"
    )
    assert lines(message)[-1].endswith("`<!channel> @here ˋxˋ *b* https://example.com 1`")
    (*_, text) = message.blocks
    (element,) = text["elements"]
    assert element["type"] == "rich_text_preformatted"


def test_quiet_hours_are_said_to_be():
    message = timeline_view.timeline(EMPTY)
    assert problems(message) == []
    assert lines(message)[0] == "The last two hours on main: 0 events. Only you see this."


def test_of_a_long_timeline_the_oldest_lines_are_left_out():
    message = timeline_view.timeline(looks(400))
    assert problems(message) == []
    told = [line for line in lines(message) if line.startswith("- ")]
    assert told[-1].endswith("`look 399`")
    assert f"The oldest {400 - len(told)} lines didn't fit." in lines(message)[1]
    assert "python -m bot timeline --since 2h" in lines(message)[1]
    assert MOST - 200 < sum(len(line) + 1 for line in told) < MOST


def test_timeline_of_one_long_line_fits():
    message = timeline_view.timeline(looks(1, "x" * 5000))
    assert problems(message) == []
    assert lines(message)[-1].endswith("…`")


def test_events_are_those_of_the_span():
    assert EMPTY.of(iter(looks(3).events)) == looks(3).events
    early = replace(EMPTY, until=NOW - timedelta(seconds=2))
    assert len(early.of(iter(looks(3).events))) == 2
