"""What the page asks of a scenario: the story behind the channel, as a visitor may see it."""

from collections.abc import AsyncIterator
from typing import Literal, NotRequired, Protocol, TypedDict


class Login(TypedDict):
    """The login that keeps trying. `text` is what PostgreSQL said to the last attempt."""

    ok: bool
    text: str
    at: str
    attempts: int


class Activity(TypedDict):
    """Rows of `pg_stat_activity`, as a superuser's psql prints them; None is NULL."""

    columns: list[str]
    rows: list[list[str | None]]


class Step(TypedDict):
    """One step of the guide, its text in mrkdwn.

    `command` is what to type, where typing is what it takes; `person` is the name of who is to do
    it, where that is not the one who is looking.
    """

    id: str
    title: str
    text: str
    command: str | None
    done: bool
    person: NotRequired[str]


class Database(TypedDict):
    """How PostgreSQL stands."""

    state: Literal["up", "full", "hung", "restarting"]


class FaultButton(TypedDict):
    """Something that a visitor may break."""

    id: str
    label: str
    where: Literal["slack", "tables", "postgres"]
    active: bool


class ScenarioView(TypedDict):
    """All that the panel beside the channel shows. Instants are ISO 8601, in UTC."""

    login: Login
    activity: Activity
    guide: list[Step]
    database: Database
    faults: list[FaultButton]


class Scenario(Protocol):
    """The story."""

    def view(self) -> ScenarioView:
        """How things stand now."""
        ...

    async def fault(self, fault_id: str, /) -> None:
        """Press the button of a fault: it begins, or ends where it is in force."""
        ...

    async def reset(self) -> None:
        """Bring the story back to its beginning."""
        ...

    def subscribe(self) -> AsyncIterator[ScenarioView]:
        """Yield a view whenever things have changed, for ever."""
        ...
