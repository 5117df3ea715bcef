import pytest

from bot.domain.kills import Outcome
from bot.domain.outcomes import prevention
from bot.domain.sessions import Limit, LimitOf
from bot.slack.views.outcome import outcome
from tests.unit.builders import ago, backend, conclusion, target
from tests.unit.reading import lines, problems

IDLE = "alter role some_user set idle_in_transaction_session_timeout = '5min';"
FULL = Limit("connections", 97, 97, LimitOf.SERVER)
FREE = Limit("connections", 20, 97, LimitOf.SERVER)


def ended(*rows, outcomes=(), limits=(), **values):
    targets = tuple(target(row) for row in rows)
    outcomes = outcomes or (Outcome.TERMINATED,) * len(rows)
    pairs = tuple((limit, limit) for limit in limits)
    return conclusion(*outcomes, targets=targets, limits=pairs, **values)


def running(pid, usename="web"):
    return backend(pid, usename=usename, state="active")


@pytest.mark.parametrize(
    ("rows", "limits", "statements"),
    [
        ([backend()], [], (IDLE,)),
        ([backend(1), backend(2)], [FULL], (IDLE, "alter role some_user connection limit 48;")),
        ([backend(state_change=ago(seconds=1))], [], (IDLE,)),
        ([backend(state="idle")], [], ()),
        ([backend(usename=None)], [], ()),
        (
            [backend(usename='a"b; drop')],
            [],
            ('alter role "a""b; drop" set idle_in_transaction_session_timeout = \'5min\';',),
        ),
        ([running(1), running(2)], [FULL], ("alter role web connection limit 48;",)),
        ([running(1), running(2)], [FREE], ()),
        ([running(1)], [FULL], ()),
        ([running(1), running(2)], [FULL, Limit("web", 2, 20)], ()),
        ([running(1), running(2)], [Limit("web", 20, 20)], ()),
    ],
)
def test_statements_follow_from_what_was_ended(rows, limits, statements):
    assert prevention(ended(*rows, limits=limits)) == statements


def test_only_what_has_ended_is_prevented():
    assert prevention(ended(backend(), outcomes=(Outcome.CHANGED,))) == ()
    assert prevention(ended(backend(), outcomes=(Outcome.CANCELLED,))) == ()


def test_an_outcome_prints_them():
    message = outcome(ended(backend()))
    assert problems(message) == []
    at = lines(message).index("To keep it from coming back, for new sessions:")
    assert lines(message)[at + 1] == IDLE
