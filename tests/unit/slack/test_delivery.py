from typing import Any

import pytest

from bot.slack.delivery import thread_of

WHOLE = {"type": "message", "ts": "2.0", "text": "main: nothing found"}


@pytest.mark.parametrize(
    ("message", "thread"),
    [
        ({**WHOLE, "thread_ts": "1.0"}, "1.0"),
        (WHOLE, ""),
        ({"ts": "2.0", "text": "main: nothing found"}, "1.0"),
        (None, "1.0"),
    ],
)
def test_answer_is_outside_its_thread_only_if_slack_shows_it_there(
    message: Any, thread: str
) -> None:
    answer: Any = {"ok": True, "ts": "2.0", "message": message}
    assert thread_of(answer, "1.0") == thread
