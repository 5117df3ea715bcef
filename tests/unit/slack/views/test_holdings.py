"""A preview's lines about what goes with its sessions besides their transactions."""

from dataclasses import replace

import pytest
from hypothesis import given

from bot.domain.holdings import Build, Holdings, Slot
from bot.domain.kills import Action
from bot.slack.views import preview as preview_view
from tests.rights import rights
from tests.unit.builders import backend, preview, target
from tests.unit.reading import lines
from tests.unit.slack.views.test_any_input import few_texts, holds, views
from tests.unit.slack.views.test_kill import LISTS

BUILD = Build("CREATE INDEX CONCURRENTLY", "public.i")


def shown(*holdings, **values):
    targets = [target(backend(1 + at)) for at in range(len(holdings))]
    held = dict(enumerate(holdings, 1))
    return preview(*targets, holdings=held, **values)


def told(answer):
    message = preview_view.preview(answer, rights=rights(LISTS))
    assert holds(message)
    return lines(message)


def test_each_of_several_is_named_with_what_it_has():
    said = told(shown(Holdings(advisory=1), Holdings(build=BUILD), Holdings()))
    warnings = [line for line in said if line.startswith("⚠")]
    assert warnings == [
        "⚠ pid 2: it runs CREATE INDEX CONCURRENTLY: its end leaves an invalid index.",
        "⚠ pid 1: it holds 1 advisory lock, which others can then take.",
    ]
    at = said.index("Afterwards, if the index is invalid, drop it in some_db:")
    assert said[at + 1] == "drop index concurrently public.i;"


def test_a_build_whose_index_is_unknown_comes_with_how_to_find_it():
    said = told(shown(Holdings(build=Build("REINDEX CONCURRENTLY", "public.i"))))
    at = said.index("Afterwards, find the invalid index in some_db:")
    assert said[at + 1] == "select indexrelid::regclass from pg_index where not indisvalid;"
    assert not any("drop index" in line for line in said)


def test_a_cancel_costs_only_the_build():
    both = Holdings(advisory=1, build=BUILD)
    said = told(shown(both, action=Action.CANCEL))
    assert "⚠ it runs CREATE INDEX CONCURRENTLY: its end leaves an invalid index." in said
    assert not any("advisory" in line for line in said)


@pytest.mark.parametrize("number", [3, 5])
def test_long_lists_are_counted(number):
    slots = tuple(Slot(f"s{at}") for at in range(number))
    prepared = tuple(f"tx{at}" for at in range(number))
    said = told(shown(*(Holdings(slots=slots, prepared=prepared) for _ in range(number))))
    listed = [line for line in said if line.startswith("⚠")]
    more = 4 * number - 10
    assert listed[10:] == [f"⚠ {more} more such costs"]
    rest = "tx0, tx1 and tx2." if number == 3 else "tx0, tx1, tx2 and 2 more."
    assert any(line.endswith(f"of its role stay: {rest}") for line in listed)


def test_what_could_not_be_read_is_said():
    said = told(replace(shown(Holdings()), holdings_unread=True))
    assert any(line.startswith("⚠ What else they may have: index builds") for line in said)


@views
@given(few_texts)
def test_holdings_of_any_names_are_a_message(names):
    held = Holdings(
        advisory=1,
        slots=tuple(Slot(name, bool(at % 2)) for at, name in enumerate(names)),
        build=Build("CREATE INDEX CONCURRENTLY", names[0]),
        prepared=tuple(names),
    )
    assert told(shown(held))
    assert told(shown(held, held, held))
