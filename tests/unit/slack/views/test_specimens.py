"""The samples that `check` shows to Slack: of every kind, and as Slack takes them."""

import json

import pytest

from bot.slack.buttons import ActionId
from bot.slack.views.enlarged import NAME
from bot.slack.views.message import Message
from bot.slack.views.specimens import specimens
from tests.unit.reading import problems, walk
from workspace.blocks import problems_of_home, problems_of_view

EVERY = specimens()


@pytest.mark.parametrize("what", EVERY)
def test_specimen_is_taken_in_every_shape(what: str) -> None:
    specimen = EVERY[what]
    if isinstance(specimen, Message):
        assert problems(specimen) == []
    else:
        check = problems_of_home if specimen["type"] == "home" else problems_of_view
        assert check(json.loads(json.dumps(specimen))) == []


def test_specimens_have_a_button_of_every_kind() -> None:
    drawn = [each.blocks if isinstance(each, Message) else each for each in EVERY.values()]
    ids = {str(each["action_id"]) for each in walk(drawn) if "action_id" in each}
    ids |= {str(each["callback_id"]) for each in walk(drawn) if "callback_id" in each}
    missing = {*ActionId} - {*map(ActionId.of, ids)}
    assert missing == {ActionId.SESSIONS_HERE}  # the other shortcut's window is the same


def test_specimens_are_large() -> None:
    tables = walk([s.blocks for s in EVERY.values() if isinstance(s, Message)])
    cells = [
        sum(len(cell.get("text", "")) for row in each["rows"] for cell in row)
        for each in tables
        if each.get("type") in {"table", "data_table"}
    ]
    assert max(cells) > 9000
    assert any(
        NAME[:20] in json.dumps(s, ensure_ascii=False)
        for s in EVERY.values()
        if not isinstance(s, Message)
    )
