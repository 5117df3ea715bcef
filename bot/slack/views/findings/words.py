"""Words that several findings share. Pure."""

from collections.abc import Iterable
from datetime import datetime

from bot.domain.findings.model import Run
from bot.domain.findings.survey import Survey
from bot.domain.sessions import CLIENT_BACKEND, Backend
from bot.slack.views import targets
from bot.slack.views.lines import Line, Quoted
from bot.slack.views.text import age, count

_QUERY = 120


def on(survey: Survey) -> Line:
    """` on main`."""
    return (" on ", Quoted(survey.server.cluster))


def who(backend: Backend, survey: Survey) -> Line:
    """`pid 33507 · some_user · psql from 127.0.0.1`; `pid 812 · autovacuum worker`."""
    pooled = backend.pid in survey.look.through_pooler
    client = (*targets.client(backend), *((f" {targets.THROUGH_POOLER}",) if pooled else ()))
    kind = backend.backend_type
    # Without a state, the kind of process stands in its place.
    if backend.usename is None and backend.state is not None and kind not in {None, CLIENT_BACKEND}:
        return (f"pid {backend.pid} · ", Quoted(f"{kind}"), *client)
    return (*targets.who(backend), *client)


def lasting(backend: Backend, survey: Survey) -> str:
    """`idle in transaction for 32 min`."""
    state = backend.state or backend.backend_type or "in a state that can't be seen"
    length = backend.state_age(survey.now)
    return state if length is None else f"{state} for {age(length)}"


def doing(backend: Backend, survey: Survey) -> Line:
    """Who it is, and what it does for how long."""
    return (*who(backend, survey), " · ", Quoted(lasting(backend, survey), 100))


def query(backend: Backend) -> Iterable[Line]:
    """Its statement, running or last, if it can be seen."""
    if backend.query:
        label = "last statement  " if backend.is_idle else "statement  "
        yield (label, Quoted(backend.query, _QUERY, code=True))


def since(then: datetime | None, survey: Survey) -> str:
    """` (4 min so far)`."""
    return "" if then is None else f" ({age(survey.now - then)} so far)"


def run_in(act: Run) -> Line:
    """` in some_db as some_user or a superuser`."""
    where: Line = (" in ", Quoted(act.datname)) if act.datname is not None else ()
    by: Line = (" as ", Quoted(act.owner), " or a superuser") if act.owner is not None else ()
    return (*where, *by)


def wait(number: int) -> str:
    """`2 sessions wait`."""
    return count(number, "session waits", "sessions wait")


def go_on(number: int) -> str:
    """`2 sessions go on`."""
    return count(number, "session goes on", "sessions go on")


def gain(freed: int, behind: int) -> str:
    """What becomes of those who wait behind a session once it is out of the way."""
    if freed == behind:
        return go_on(freed)
    if not freed:
        return f"{wait(behind)} on, for somebody else, too"
    return f"{freed} of {behind} go on; the others wait for somebody else, too"


def transactions(xids: int) -> str:
    """`41,000 transactions`, `3.2 million transactions`."""
    if xids >= 1_000_000:
        return f"{xids / 1_000_000:.1f} million transactions"
    return f"{xids:,} transaction{'s' * (xids != 1)}"
