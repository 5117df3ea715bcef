"""The short guide through the story. Its steps are ticked off by what has really happened."""

import json
import re
from dataclasses import dataclass
from typing import Any

from workspace.delivery import Envelope
from workspace.log import Change
from workspace.scenario.clients import Client
from workspace.scenario.login import Login
from workspace.slack import Workspace
from workspace.state import Message


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `command` is what to type, if anything, `person` who does it, if not anyone."""

    id: str
    title: str
    text: str
    command: str | None = None
    person: str | None = None


STEPS = (
    Step(
        "login",
        "A login fails",
        "`some_user` may have one connection, and somebody holds it. The panel tries to log in"
        " every 2 s and shows what PostgreSQL answers.",
    ),
    Step(
        "look",
        "See who is connected",
        "In #incidents, as Ana. Two servers have a `some_db`: choose the one on main. `some_user`"
        " stands at 1 of 1, and others wait behind it.",
        "/pg-sessions some_db",
    ),
    Step(
        "preview",
        "Ask for the kill",
        "The preview shows who would die, what that costs and what it frees. Nothing has happened"
        " yet.",
        "/pg-kill main/some_db user=some_user -- blocks the deploy",
    ),
    Step(
        "refused",
        "Press the button as Vera",
        "Switch to Vera, who may look and no more, and press Terminate. She is refused, she alone"
        " sees it, and it is on record.",
        person="vera",
    ),
    Step(
        "confirmed",
        "Press it as Ben",
        "Switch to Ben, who is on call, press Terminate and say yes to Slack's question. The same"
        " message becomes the outcome.",
        person="ben",
    ),
    Step(
        "green",
        "The login works",
        "The slot is free, and the next attempt gets in. Those who waited have gone on.",
    ),
)


class Guide:
    """Which steps are done.

    It reads the workspace's log, knows a preview by its danger button and the holder by its pid,
    and asks the connections themselves who is alive.
    """

    def __init__(self, workspace: Workspace, holder: Client, login: Login) -> None:
        self._workspace = workspace
        self._holder = holder
        self._login = login
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.done: set[str] = set()
        self._asked_to_look = False
        self._previews: set[tuple[str, str]] = set()
        self._pressed_by: set[str] = set()

    def look_around(self, *, somebody_watches: bool) -> None:
        """Take note of how the login and its holder stand; a failure counts where it is seen."""
        if somebody_watches and not self._login.ok and self._holder.is_there:
            self.done.add("login")
        if self._pressed_by & self._operators and not self._holder.is_there:
            self.done.add("confirmed")
        if self._login.ok and "login" in self.done and not self._holder.is_there:
            self.done.add("green")

    def notice(self, change: Change) -> None:
        """Take note of a change in the workspace."""
        match change.subject:
            case Envelope(type="slash_commands", payload=payload):
                self._asked_to_look |= payload["command"] == "/pg-sessions"
            case Envelope(payload=payload) if _presses_danger(payload):
                self._pressed_by.add(payload["user"]["id"])
            case Message() as message if change.kind in {"message_posted", "message_changed"}:
                self._read(message)

    def _read(self, message: Message) -> None:
        if message.user != self._workspace.state.app.user_id:
            return
        receiver = message.receiver
        if receiver in self._pressed_by - self._operators and self._holder.is_there:
            self.done.add("refused")
        if not self._names_the_holder(message):
            return
        place = (message.channel, message.ts)
        if _has_danger(list(message.blocks)):
            self._previews.add(place)
            self.done.add("preview")
        elif self._asked_to_look and place not in self._previews:
            self.done.add("look")

    @property
    def _operators(self) -> set[str]:
        return {self._workspace.user("ben").id, *self._workspace.group("oncall").users}

    def _names_the_holder(self, message: Message) -> bool:
        text = f"{message.text} {json.dumps(message.blocks)}"
        return re.search(rf"(?<!\d){self._holder.pid}(?!\d)", text) is not None


def _presses_danger(payload: Any) -> bool:  # noqa: ANN401 - whatever Slack sends
    return any(action.get("style") == "danger" for action in payload.get("actions", ()))


def _has_danger(value: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether a button of danger is somewhere in these blocks."""
    if isinstance(value, list):
        return any(map(_has_danger, value))
    if isinstance(value, dict):
        is_it = value.get("type") == "button" and value.get("style") == "danger"
        return is_it or any(map(_has_danger, value.values()))
    return False
