"""Filters over what was seen before: they hold for whom they would hold in a look of now."""

import pytest

from bot.domain.filters import AddressIn, Before, Condition, InLock, InTree, OidIn, PidIn, TextLike
from bot.domain.groups import Group, Groups
from bot.domain.matching import counted_by, counts_of, matching, meets
from bot.domain.sessions import Counts
from bot.domain.waits import Waits
from bot.grammar.terms import AgeOf, Field, Match, Pattern, Word
from tests.unit.builders import ago, backend, waiter

UNKNOWN = 1
WAITS = Waits({33911: (33507,), 33912: (33911,)})
NOTHING = {
    **dict.fromkeys(("datid", "datname", "usesysid", "usename", "application_name", "client_addr")),
    **dict.fromkeys(("backend_start", "xact_start", "query_start", "state_change", "state")),
    **dict.fromkeys(("wait_event_type", "wait_event", "backend_type")),
}
HOLDER, WAITER, IDLE = 33507, 33911, 40000
SESSIONS = (
    backend(HOLDER),
    waiter(WAITER),
    backend(IDLE, state="idle", xact_start=None, query_start=ago(hours=1), wait_event=None),
    backend(UNKNOWN, **NOTHING),
)


@pytest.mark.parametrize(
    ("condition", "pids"),
    [
        (OidIn("usesysid", (16_386, 7)), {WAITER}),
        (OidIn("usesysid", (16_386,), negated=True), {HOLDER, IDLE, UNKNOWN}),
        (OidIn("datid", (16_384,)), {HOLDER, WAITER, IDLE}),
        (TextLike("application_name", ("web", "")), {WAITER}),
        (TextLike("application_name", ("web", ""), negated=True), {HOLDER, IDLE, UNKNOWN}),
        (TextLike("state", ("idle",)), {IDLE}),
        # A wait has a type and an event, and a filter may name either.
        (TextLike("wait_event", ("Lock",)), {WAITER}),
        (TextLike("wait_event", ("transactionid",)), {WAITER}),
        (TextLike("wait_event", ("Client", "")), {HOLDER, IDLE}),
        (TextLike("wait_event", ("Lock",), negated=True), {HOLDER, IDLE, UNKNOWN}),
        (TextLike("backend_type", ("Lock",)), set()),
        (AddressIn("10.0.0.0/8"), {WAITER}),
        (AddressIn("10.0.0.0/8", negated=True), {HOLDER, IDLE, UNKNOWN}),
        (AddressIn("::/0"), set()),
        (Before(AgeOf.AGE, ago(hours=1)), {HOLDER, WAITER, IDLE}),
        (Before(AgeOf.AGE, ago(hours=2)), set()),
        (Before(AgeOf.AGE, ago(hours=2), older=False), set()),
        (Before(AgeOf.XACT, ago(minutes=5)), {HOLDER}),
        (Before(AgeOf.XACT, ago(minutes=5), older=False), {WAITER}),
        (Before(AgeOf.QUERY, ago(minutes=1)), {WAITER}),
        (Before(AgeOf.IDLE, ago(minutes=1)), {HOLDER, IDLE}),
        (InLock(Word.BLOCKED), {WAITER}),
        (InLock(Word.BLOCKING), {HOLDER, WAITER}),
        (InTree(), {HOLDER, WAITER}),
        (PidIn((UNKNOWN, HOLDER)), {UNKNOWN, HOLDER}),
    ],
)
def test_condition_holds_for_those_that_a_look_would_show(condition: Condition, pids: set) -> None:
    assert {row.pid for row in SESSIONS if meets(row, [condition], WAITS)} == pids


def test_session_meets_all_conditions_or_is_left_out() -> None:
    both: list[Condition] = [TextLike("state", ("idle", "")), OidIn("usesysid", (16_385,))]
    assert [row.pid for row in SESSIONS if meets(row, both, WAITS)] == [HOLDER, IDLE]
    assert [row.pid for row in SESSIONS if meets(row, [*both, PidIn((HOLDER,))], WAITS)] == [HOLDER]


def test_function_call_of_the_fast_path_counts_as_a_running_query() -> None:
    row = backend(state="fastpath function call", query_start=ago(minutes=2))
    assert meets(row, [Before(AgeOf.QUERY, ago(minutes=1))], WAITS)
    assert not meets(row, [Before(AgeOf.IDLE, ago(minutes=1))], WAITS)


def group(sessions: int, oldest: int | None = None, **values: str | None) -> Group:
    """By every `Field`, and by the type of the wait."""
    found = [values.get(field.value) for field in Field]
    begun = None if oldest is None else ago(minutes=oldest)
    return Group((*found, values.get("wait_event_type")), sessions, begun)


WEB = group(
    5, 4, usename="web", datname="shop", client_addr="10.0.0.7", state="active",
    wait_event="transactionid", wait_event_type="Lock",
)  # fmt: skip
SAFE = group(2, 9, usename="web", datname="shop", state="active", wait_event="SafeSnapshot")
BATCH = group(3, usename="batch", datname="other", client_addr="::1", state="idle")
BARE = group(1)
CROWD = Groups((WEB, SAFE, BATCH, BARE), 4, 11)


@pytest.mark.parametrize(
    ("field", "parts", "negated", "found"),
    [
        (Field.USENAME, ("web",), False, (WEB, SAFE)),
        (Field.USENAME, ("web",), True, (BATCH, BARE)),
        (Field.USENAME, ("", ""), False, (WEB, SAFE, BATCH)),
        (Field.USENAME, ("", ""), True, (BARE,)),
        (Field.CLIENT_ADDR, ("10.0.0.0/8",), False, (WEB,)),
        (Field.CLIENT_ADDR, ("10.0.0.0/8",), True, (SAFE, BATCH, BARE)),
        (Field.CLIENT_ADDR, ("", ""), False, (WEB, BATCH)),
        (Field.WAIT_EVENT, ("Lock",), False, (WEB,)),
        (Field.WAIT_EVENT, ("transactionid",), False, (WEB,)),
        (Field.WAIT_EVENT, ("Lock",), True, (SAFE, BATCH, BARE)),
        (Field.STATE, ("Lock",), False, ()),
    ],
)
def test_groups_that_meet_a_filter(field, parts, negated, found) -> None:
    assert matching(CROWD, [Match(field, Pattern(parts), negated)], None) == found


def test_groups_meet_all_filters_and_the_database() -> None:
    active = Match(Field.STATE, Pattern(("active",)))
    waits = Match(Field.WAIT_EVENT, Pattern(("Lock",)))
    assert matching(CROWD, iter([active, waits]), None) == (WEB,)
    assert matching(CROWD, [], "shop") == (WEB, SAFE)
    assert matching(CROWD, [waits], "other") == ()


def test_groups_are_counted_as_a_look_counts() -> None:
    assert counts_of(CROWD.largest) == Counts(
        total=11, by_state={"active": 7, "idle": 3, "": 1}, waiting=7, oldest_xact=ago(minutes=9)
    )
    assert counts_of([BATCH]) == Counts(3, {"idle": 3}, 0, None)


def test_groups_are_counted_by_fewer_columns_the_largest_first() -> None:
    by_user = counted_by(CROWD.largest, [Field.USENAME], 2)
    assert by_user == Groups(
        (Group(("web",), 7, ago(minutes=9)), Group(("batch",), 3, None)), 3, 11
    )
    by_two = counted_by(CROWD.largest, [Field.STATE, Field.DATNAME], 1)
    assert by_two == Groups((Group(("active", "shop"), 7, ago(minutes=9)),), 3, 11)
