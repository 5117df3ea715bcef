"""What the page needs from a scenario: the story behind the channel, as a visitor may see it."""

from collections.abc import AsyncIterator
from typing import Literal, Protocol, TypeAlias, TypedDict


class Login(TypedDict):
    """The login that keeps trying. `text` is what PostgreSQL said to the last attempt."""

    ok: bool
    text: str
    at: str
    attempts: int


class Activity(TypedDict):
    """Rows of `pg_stat_activity`, as psql prints them for a superuser; None is NULL."""

    columns: list[str]
    rows: list[list[str | None]]


StepState: TypeAlias = Literal["done", "passed", "now", "later"]
"""The story has gone past a `passed` step. At most one step is `now`, the one to do."""


class Step(TypedDict):
    """One step of the guide, its text in mrkdwn.

    `commands` are what to type, if anything. `people` are the names of those who can do it, if not
    everyone can; the suggested one comes first.
    """

    id: str
    title: str
    text: str
    commands: list[str]
    people: list[str]
    state: StepState


class Ending(TypedDict):
    """What to try after the last step."""

    title: str
    text: str
    commands: list[str]


class Database(TypedDict):
    """The state of PostgreSQL."""

    state: Literal["up", "full", "hung", "restarting"]


class FaultButton(TypedDict):
    """Something that a visitor may break.

    `effect` says what it does while it is `active`, and until when. If it `can_end`, pressing its
    button again ends it.
    """

    id: str
    label: str
    effect: str
    where: Literal["slack", "tables", "postgres", "incidents"]
    can_end: bool
    active: bool


class ScenarioView(TypedDict):
    """Everything that the panel beside the channel shows. Instants are ISO 8601, in UTC."""

    login: Login
    activity: Activity
    guide: list[Step]
    ending: Ending
    database: Database
    faults: list[FaultButton]


class Scenario(Protocol):
    """The story."""

    def view(self) -> ScenarioView:
        """The current state."""
        ...

    async def fault(self, fault_id: str, /) -> None:
        """Press a fault's button: it begins, or ends if it is in force."""
        ...

    async def reset(self) -> None:
        """Reset the story to its beginning."""
        ...

    def subscribe(self) -> AsyncIterator[ScenarioView]:
        """Yield a view whenever something has changed, forever."""
        ...
