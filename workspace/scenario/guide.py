"""The guide through the story. It ticks off steps according to what really happened.

Whatever a visitor presses, the guide goes on: it passes over a step that the story has gone past,
and repeats one whose preview was dismissed or has expired.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from workspace.delivery import Envelope
from workspace.log import Change
from workspace.page.contract import Step as StepView
from workspace.page.contract import StepState
from workspace.scenario.clients import Client
from workspace.scenario.incidents import Incident
from workspace.scenario.login import Login
from workspace.scenario.steps import SPECIAL, STORY, Step
from workspace.slack import Workspace
from workspace.state import Message

Place: TypeAlias = tuple[str, str]  # a channel, and a message's ts


@dataclass(slots=True)
class _Preview:
    """A message that had a red button: for which sessions, and what became of it."""

    pids: Mapping[Client, int]
    asked_by: str
    stands: bool = True
    confirmed: bool = False  # an operator has pressed it


@dataclass(slots=True)
class _Seen:
    """What a visitor has done so far."""

    done: set[str] = field(default_factory=set)
    previews: dict[Place, _Preview] = field(default_factory=dict)
    refusable: set[str] = field(default_factory=set)  # who pressed without the right
    asked_to_look: bool = False
    last_asker: str = ""


class Guide:
    """Which steps are done, and which is next.

    It reads the workspace's log, recognizes a preview by its danger button and a session by its
    pid, and asks the connections themselves which are alive.

    Args:
        workspace: Where people talk to the bot.
        holder: The client that holds the connection of `login`'s role.
        worker: Has begun to write by the time somebody confirms: see `worker_is_meant`.
        regular: Comes back when it is ended.
        prod: The clients on the cluster where a kill takes two people.
        incidents: Those behind buttons; each has a step of its id.
        login: The failing login.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        holder: Client,
        worker: Client,
        regular: Client,
        prod: Sequence[Client],
        incidents: Sequence[Incident],
        login: Login,
    ) -> None:
        self._workspace = workspace
        self._holder = holder
        self._worker = worker
        self._regular = regular
        self._prod = prod
        self._incidents = incidents
        self._login = login
        self.forget()

    def forget(self) -> None:
        """Start over."""
        self._seen = _Seen()

    def view(self) -> list[StepView]:
        """The current state of all steps: at most one is to be done now."""
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
        """Whether a preview of the worker's session is open, or was confirmed and spared it.

        A preview of others as well doesn't count: it would spoil the step before anyone is there.
        """
        return any(
            preview.pids == {self._worker: self._worker.pid}
            and (preview.stands or preview.confirmed)
            for preview in self._seen.previews.values()
        )

    def look_around(self, *, somebody_watches: bool) -> None:
        """Note the state of the login and the sessions; a failure counts if somebody sees it."""
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
        """Note a change in the workspace."""
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
        """Whether there is a button to press, or was one for a session that is now gone."""
        previews = [p for p in self._seen.previews.values() if self._holder in p.pids]
        return any(preview.stands or not self._holder.is_there for preview in previews)

    def _people(self, step: Step) -> list[str]:
        """Who can do it; if it takes a second person, someone other than the one who asked."""
        askers = {
            self._workspace.state.users[preview.asked_by].name
            for preview in self._seen.previews.values()
            if preview.stands and preview.asked_by and self._is_of(step.id, preview)
        }
        others = [person for person in step.people if person not in askers]
        return others if askers and others else list(step.people)

    def _is_of(self, step_id: str, preview: _Preview) -> bool:
        """Whether a step is about someone else confirming this preview."""
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
        seen.done |= {each.id for each in self._incidents if each.is_told_by(list(_texts(message)))}

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
    """Whether these blocks contain a danger button."""
    if isinstance(value, list):
        return any(map(_has_danger, value))
    if isinstance(value, dict):
        is_it = value.get("type") == "button" and value.get("style") == "danger"
        return is_it or any(map(_has_danger, value.values()))
    return False


# Alone in a cell, at the beginning of a line, or after the word; `3 waiting sessions` isn't a pid.
_PID = re.compile(r"(?:^|\n|\bpid )\s*(\d+)(?![\w.:]| (?:s|min|h|d|of)\b)")


def _pids(message: Message) -> set[int]:
    """The pids that a message mentions."""
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
