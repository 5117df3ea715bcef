"""What the page asks of a scenario: the story behind the channel, as a visitor may see it."""

from collections.abc import AsyncIterator
from typing import Literal, Protocol, TypeAlias, TypedDict


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


StepState: TypeAlias = Literal["done", "passed", "now", "later"]
"""`passed` is a step that the story has gone past, `now` the one to do: one at most."""


class Step(TypedDict):
    """One step of the guide, its text in mrkdwn.

    `commands` are to be typed, where typing is what it takes; `people` are the names of those who
    can do it, where not everybody can, the one to suggest first.
    """

    id: str
    title: str
    text: str
    commands: list[str]
    people: list[str]
    state: StepState


class Ending(TypedDict):
    """What there is to try after the last step."""

    title: str
    text: str
    commands: list[str]


class Database(TypedDict):
    """How PostgreSQL stands."""

    state: Literal["up", "full", "hung", "restarting"]


class FaultButton(TypedDict):
    """Something that a visitor may break.

    `effect` says what it does while it is `active`, and until when. One that `can_end` ends when
    its button is pressed again.
    """

    id: str
    label: str
    effect: str
    where: Literal["slack", "tables", "postgres"]
    can_end: bool
    active: bool


class ScenarioView(TypedDict):
    """All that the panel beside the channel shows. Instants are ISO 8601, in UTC."""

    login: Login
    activity: Activity
    guide: list[Step]
    ending: Ending
    database: Database
    faults: list[FaultButton]


class Scenario(Protocol):
    """The story."""

    def view(self) -> ScenarioView:
        """How things stand now."""
        ...

    async def fault(self, fault_id: str, /) -> None:
        """Press the button of a fault: it begins, or ends if it is in force."""
        ...

    async def reset(self) -> None:
        """Bring the story back to its beginning."""
        ...

    def subscribe(self) -> AsyncIterator[ScenarioView]:
        """Yield a view whenever things have changed, for ever."""
        ...
