"""The guide through the story. Its steps are ticked off by what has really happened.

Whatever a visitor presses, it leads on: a step that the story has gone past is passed over, and one
whose preview was dismissed or has expired is to be done once more.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from workspace.delivery import Envelope
from workspace.log import Change
from workspace.page.contract import Ending, StepState
from workspace.page.contract import Step as StepView
from workspace.scenario.clients import Client
from workspace.scenario.login import Login
from workspace.slack import Workspace
from workspace.state import Message

Place: TypeAlias = tuple[str, str]  # a channel, and a message's ts


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `commands` is what to type, if anything, `people` who can do it, if not anyone."""

    id: str
    title: str
    text: str
    commands: tuple[str, ...] = ()
    people: tuple[str, ...] = ()


LOOKERS = ("ana", "ben", "vera")
OPERATORS = ("ana", "ben")

STORY = (
    Step(
        "login",
        "A login fails",
        "`some_user` may have one connection, and somebody holds it. The panel tries to log in"
        " every 2 s and shows what PostgreSQL answers.",
    ),
    Step(
        "look",
        "See who is connected",
        "The summary says that `some_user` stands at 1 of 1, and the first row who holds that one"
        " connection. Others wait behind it.",
        ("/pg-sessions main/some_db",),
        LOOKERS,
    ),
    Step(
        "preview",
        "Ask for the kill",
        "The preview shows who would die, what that costs and what it frees. Nothing has happened"
        " yet.",
        ("/pg-kill main/some_db user=some_user -- blocks the deploy",),
        OPERATORS,
    ),
    Step(
        "refused",
        "Press Terminate as Vera",
        "She may look, and no more. She is refused, only she sees it, and it is on record. Or go"
        " straight on, and confirm.",
        people=("vera",),
    ),
    Step(
        "confirmed",
        "Confirm it",
        "Press Terminate and say yes to Slack's question: as somebody else, or as the one who"
        " asked. The same message becomes the outcome.",
        people=OPERATORS,
    ),
    Step(
        "green",
        "The login works",
        "The slot is free, and the next attempt gets in. Those who waited have gone on.",
    ),
)

# In any order, before the story or after it.
SPECIAL = (
    Step(
        "changed",
        "A session that changed is left alone",
        "`invoice-export` is idle, and the preview says that its end costs nothing. As soon as the"
        " preview stands, the client begins to write. Confirm: the outcome is `changed`, nobody"
        " has died, and *Preview again* shows what it would cost now.",
        ("/pg-kill main/some_db app=invoice-export -- old version",),
        OPERATORS,
    ),
    Step(
        "second",
        "Production takes two people",
        "On prod (`SECOND_PERSON_CLUSTERS`) nobody confirms what they asked for. Ask, press"
        " Terminate yourself and be told so; then confirm as somebody else.",
        ("/pg-kill prod/some_db app=celery* -- wrong queue",),
        OPERATORS,
    ),
    Step(
        "back",
        "A client that comes back",
        "Confirm, and wait: ten seconds later the same message says that the client is back. To end"
        " a session doesn't stop its client.",
        ("/pg-kill main/some_db app=cron-report -- runs too often",),
        OPERATORS,
    ),
)

ENDING: Ending = {
    "title": "What to try next",
    "text": (
        "The record has it all. Below, break something and ask again: with every connection taken"
        " the bot still gets in, and while PostgreSQL hangs the other cluster still answers."
        " *Reset* begins anew. For servers of your own, `README.md` has a section “Set it up in"
        " five minutes”."
    ),
    "commands": ["/pg-kill history", "/pg-sessions", "/pg-sessions help"],
}


@dataclass(slots=True)
class _Preview:
    """A message that had a red button: for which sessions, and what became of it."""

    pids: Mapping[Client, int]
    asked_by: str
    stands: bool = True
    confirmed: bool = False  # an operator has pressed it


@dataclass(slots=True)
class _Seen:
    """What a visitor has brought about so far."""

    done: set[str] = field(default_factory=set)
    previews: dict[Place, _Preview] = field(default_factory=dict)
    refusable: set[str] = field(default_factory=set)  # who pressed without the right
    asked_to_look: bool = False
    last_asker: str = ""


class Guide:
    """Which steps are done, and which is next.

    It reads the workspace's log, knows a preview by its danger button and a session by its pid, and
    asks the connections themselves who is alive.

    Args:
        workspace: Where people talk to the bot.
        holder: Whoever holds the connection of `login`'s role.
        worker: Has begun to write by the time somebody confirms: see `worker_is_meant`.
        regular: Comes back when it is ended.
        prod: Those on the cluster where a kill takes two people.
        login: The login that fails.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        holder: Client,
        worker: Client,
        regular: Client,
        prod: Sequence[Client],
        login: Login,
    ) -> None:
        self._workspace = workspace
        self._holder = holder
        self._worker = worker
        self._regular = regular
        self._prod = prod
        self._login = login
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._seen = _Seen()

    def view(self) -> list[StepView]:
        """The steps as they stand now: one at most is to be done now."""
        states = self._states()
        return [
            StepView(
                id=step.id,
                title=step.title,
                text=step.text,
                commands=list(step.commands),
                people=self._people(step),
                state=states[step.id],
            )
            for step in (*STORY, *SPECIAL)
        ]

    @property
    def worker_is_meant(self) -> bool:
        """Whether a preview of the worker's session stands, or was confirmed and left it alone."""
        return any(
            preview.pids.get(self._worker) == self._worker.pid
            and (preview.stands or preview.confirmed)
            for preview in self._seen.previews.values()
        )

    def look_around(self, *, somebody_watches: bool) -> None:
        """Take note of how the login and the sessions stand; a failure counts if it is seen."""
        done = self._seen.done
        confirmed = [each for each in self._seen.previews.values() if each.confirmed]
        if any(client in each.pids for each in confirmed for client in self._prod_gone()):
            done.add("second")
        if somebody_watches and not self._login.ok and self._holder.is_there:
            done.add("login")
        if self._holder.is_there:
            return
        if any(self._holder in preview.pids for preview in confirmed):
            done.add("confirmed")
        if self._login.ok:
            done.add("green")

    def notice(self, change: Change) -> None:
        """Take note of a change in the workspace."""
        match change.subject:
            case Envelope(payload=payload) if change.kind == "interaction_sent":
                self._notice_request(payload)
            case Message() as message if change.kind in {"message_posted", "message_changed"}:
                self._read(message)

    # What is done, and what comes next

    def _states(self) -> dict[str, StepState]:
        done = self._seen.done | ({"preview"} if self._preview_is_done() else set())
        passed = set()
        for number, step in enumerate(STORY):
            if {later.id for later in STORY[number + 1 :]} & done:
                passed.add(step.id)
        if self._holder.is_there:
            passed.discard("preview")  # it was dismissed or has expired
        states: dict[str, StepState] = {}
        for step in (*STORY, *SPECIAL):
            if step.id in done:
                states[step.id] = "done"
            elif step.id in passed:
                states[step.id] = "passed"
            else:
                states[step.id] = "later" if "now" in states.values() else "now"
        return states

    def _preview_is_done(self) -> bool:
        """Whether there is something to press, or has been for the session that is gone."""
        previews = [p for p in self._seen.previews.values() if self._holder in p.pids]
        return any(preview.stands or not self._holder.is_there for preview in previews)

    def _people(self, step: Step) -> list[str]:
        """Who can do it: what asks for a second person, somebody else than who asked."""
        askers = {
            self._workspace.state.users[preview.asked_by].name
            for preview in self._seen.previews.values()
            if preview.stands and preview.asked_by and self._is_of(step.id, preview)
        }
        others = [person for person in step.people if person not in askers]
        return others if askers and others else list(step.people)

    def _is_of(self, step_id: str, preview: _Preview) -> bool:
        """Whether a step is about somebody else confirming this preview."""
        match step_id:
            case "confirmed":
                return self._holder in preview.pids
            case "second":
                return any(client in preview.pids for client in self._prod)
            case _:
                return False

    # What happens

    def _notice_request(self, payload: Any) -> None:  # noqa: ANN401 - whatever Slack sends
        seen, user = self._seen, payload["user_id" if "command" in payload else "user"]
        user_id = user if isinstance(user, str) else user["id"]
        if not _presses_danger(payload):
            seen.last_asker = user_id
            seen.asked_to_look |= payload.get("command") == "/pg-sessions"
            return
        if user_id not in self._operators:
            seen.refusable.add(user_id)
            return
        container = payload.get("container", {})
        place = (container.get("channel_id", ""), container.get("message_ts", ""))
        if preview := seen.previews.get(place):
            preview.confirmed = True

    def _read(self, message: Message) -> None:
        if message.user != self._workspace.state.app.user_id:
            return
        seen, place = self._seen, (message.channel, message.ts)
        if message.receiver in seen.refusable:
            seen.done.add("refused")
        pids = _pids(message)
        named = {
            client: client.pid
            for client in self._watched
            if client.pid is not None and client.pid in pids
        }
        if _has_danger(list(message.blocks)):
            seen.previews.setdefault(place, _Preview(named, seen.last_asker))
        elif place in seen.previews:
            seen.previews[place].stands = False
            self._read_outcome(message, seen.previews[place], pids)
        elif seen.asked_to_look and self._holder in named:
            seen.done.add("look")

    def _read_outcome(self, message: Message, preview: _Preview, pids: set[int]) -> None:
        done, was = self._seen.done, preview.pids
        if not preview.confirmed:
            return  # it was dismissed, or has expired
        worker, regular = self._worker, self._regular
        if worker in was and worker.pid == was[worker] and "changed" in _words(message):
            done.add("changed")
        if regular in was and regular.pid in pids and regular.pid != was[regular]:
            done.add("back")

    def _prod_gone(self) -> Iterator[Client]:
        return (client for client in self._prod if not client.is_there)

    @property
    def _watched(self) -> tuple[Client, ...]:
        return (self._holder, self._worker, self._regular, *self._prod)

    @property
    def _operators(self) -> set[str]:
        return {self._workspace.user("ben").id, *self._workspace.group("oncall").users}


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


# Alone in a cell, first in a line, or after its name: `3 waiting sessions` is no pid.
_PID = re.compile(r"(?:^|\n|\bpid )\s*(\d+)(?![\w.:]| (?:s|min|h|d|of)\b)")


def _pids(message: Message) -> set[int]:
    """The pids that a message names."""
    return {int(pid) for text in _texts(message) for pid in _PID.findall(text)}


def _words(message: Message) -> set[str]:
    return {word for text in _texts(message) for word in re.findall(r"\w+", text)}


def _texts(message: Message) -> Iterator[str]:
    yield message.text
    yield from _strings(list(message.blocks))


def _strings(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, dict):
        yield from _strings(list(value.values()))
