"""The whole scenario: start it on two servers, watch it, break it, reset it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Literal, Self

from workspace.page.contract import FaultButton, ScenarioView
from workspace.postgres import PostgresServer
from workspace.scenario import cast
from workspace.scenario.activity import Activity
from workspace.scenario.clients import Clients, Crowd
from workspace.scenario.connections import TROUBLE, superuser
from workspace.scenario.faults import BUTTONS, Hang, SlackFaults
from workspace.scenario.guide import Guide
from workspace.scenario.incidents import HeldVacuum, Incident, Queue
from workspace.scenario.login import Login
from workspace.scenario.steps import ENDING
from workspace.slack import Workspace

READ_EVERY = 1.0


class Scenario:
    """The story of `some_user`, between `async with` and its end; `workspace.page` shows it.

    Args:
        workspace: Where people talk to the bot; the guide follows what happens there.
        main: A new server, started with `cast.SETTINGS`, where the story takes place.
        prod: Another one, so that `some_db` exists twice; it becomes a standby.
        unasked_after: Seconds after the start, and after each reset, until the queue behind a
            migration begins by itself; without it, it doesn't.

    Whoever created the servers starts and stops them. All connections are to loopback.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        main: PostgresServer,
        prod: PostgresServer,
        unasked_after: float | None = None,
    ) -> None:
        self._workspace = workspace
        self._server = main
        self._main = Clients(main, cast.MAIN, self._changed)
        self._prod_server = prod
        self._prod = Clients(prod, cast.PROD, self._changed)
        self._crowd = Crowd(main, cast.CROWD, self._changed)
        self._login = Login(main, self._changed)
        self._activity = Activity(main)
        self._held_vacuum = HeldVacuum(main, self._changed)
        self._queue = Queue(main, self._changed)
        self._incidents: tuple[Incident, ...] = (self._queue, self._held_vacuum)
        self.unasked_after = unasked_after
        self._unasked: asyncio.Task[None] | None = None
        self._hang = Hang(self._changed)
        self._slack = SlackFaults(workspace)
        self._worker = self._main.of(cast.WORKER)
        self._writing: int | None = None  # the worker's session that has begun to write
        self._guide = Guide(
            workspace,
            holder=self._main.of(cast.HOLDER),
            worker=self._worker,
            regular=self._main.of(cast.REGULAR),
            prod=self._prod.all,
            incidents=self._incidents,
            login=self._login,
        )
        self._restarting = False
        self._one_at_a_time = asyncio.Lock()
        self._watchers: set[asyncio.Event] = set()
        self._somebody_watches = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        try:
            await asyncio.gather(
                _set_up(self._server, "some_db", "shop"), _set_up(self._prod_server, "some_db")
            )
            await self._prod_server.become_standby()
            await self._begin()
        except BaseException:
            await self._close()
            raise
        self._tasks = [
            asyncio.create_task(each)
            for each in (self._login.go_on(), self._read_on(), self._follow())
        ]
        self._begin_unasked()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    @property
    def sessions(self) -> int:
        """How many sessions it now has on both servers."""
        return len(self._main.there) + len(self._prod.there)

    # What the page needs

    def view(self) -> ScenarioView:
        """The current state, as JSON."""
        return {
            "login": {
                "ok": self._login.ok,
                "text": self._login.text,
                "at": self._login.at.isoformat(timespec="milliseconds"),
                "attempts": self._login.attempts,
            },
            "activity": {"columns": self._activity.columns, "rows": self._activity.rows},
            "guide": self._guide.view(),
            "ending": ENDING,
            "database": {"state": self._state},
            "faults": self._buttons(),
        }

    async def subscribe(self) -> AsyncIterator[ScenarioView]:
        """Yield a view whenever something has changed, forever.

        `pg_stat_activity` is read every second while there is a subscriber.
        """
        news = asyncio.Event()
        self._watchers.add(news)
        self._somebody_watches.set()
        try:
            last = self.view()
            self._changed()
            while True:
                await news.wait()
                news.clear()
                view = self.view()
                if view != last:
                    last = view
                    yield view
        finally:
            self._watchers.discard(news)
            if not self._watchers:
                self._somebody_watches.clear()

    async def fault(self, fault_id: str) -> None:
        """Press a fault's button, one of `faults.BUTTONS`: it begins, or ends if it is in force.

        Returns once that has happened. A restart ends by itself, and a hang does after
        `faults.HANG_SECONDS`. Raises KeyError if there is no such button.
        """
        match fault_id:
            case "hang" if self._hang.is_on:
                await self._hang.end()
            case "hang" | "fill" | "restart":
                async with self._one_at_a_time:
                    await self._hang.end()
                    await self._break_postgres(fault_id)
            case "queue" | "vacuum":
                (incident,) = (each for each in self._incidents if each.id == fault_id)
                async with self._one_at_a_time:
                    await self._hang.end()
                    await (incident.end() if incident.is_on else incident.begin())
                    await self._activity.read()
            case _:
                self._slack.toggle(fault_id)
        self._changed()

    async def reset(self) -> None:
        """Reset everything to the beginning: sessions, faults, channels and the guide.

        Others who are connected as one of the cast's roles are disconnected. The bot's ledger
        stays: it forgets nothing.
        """
        await self._stay_well()
        async with self._one_at_a_time:
            await self._hang.end()
            await self._crowd.leave()
            await self._calm_down()
            self._slack.clear()
            self._clear_channels()
            async with self._login.pause:
                await self._begin()
        self._begin_unasked()
        self._changed()

    # Inside

    @property
    def _state(self) -> Literal["up", "full", "hung", "restarting"]:
        if self._hang.is_on:
            return "hung"
        if self._restarting:
            return "restarting"
        return "full" if self._activity.is_full else "up"

    def _buttons(self) -> list[FaultButton]:
        active = self._slack.active
        active |= {"hang"} if self._hang.is_on else set()
        active |= {"restart"} if self._restarting else set()
        active |= {"fill"} if self._crowd.is_there else set()
        active |= {each.id for each in self._incidents if each.is_on}
        return [
            {
                "id": button.id,
                "label": button.label,
                "effect": button.effect,
                "where": button.where,
                "can_end": button.can_end,
                "active": button.id in active,
            }
            for button in BUTTONS
        ]

    def _changed(self) -> None:
        self._guide.look_around(somebody_watches=bool(self._watchers))
        for news in self._watchers:
            news.set()

    async def _begin(self) -> None:
        await asyncio.gather(self._main.end(), self._prod.end())
        await self._main.put_back()
        await self._held_vacuum.make_slot()
        await asyncio.gather(self._main.open(), self._prod.open())
        await self._login.begin()
        await self._activity.read()
        self._guide.forget()

    async def _break_postgres(self, fault_id: Literal["hang", "fill", "restart"]) -> None:
        match fault_id:
            case "hang":
                await self._hang.begin(self._server)
            case "fill" if self._crowd.is_there:
                await self._crowd.leave()
            case "fill":
                await self._crowd.come()
            case "restart":
                await self._restart()
        if not self._hang.is_on:
            await self._activity.read()

    def _begin_unasked(self) -> None:
        """Let an incident begin by itself, after a while."""
        if self.unasked_after is not None:
            self._unasked = asyncio.create_task(self._go_wrong(self.unasked_after))

    async def _go_wrong(self, after: float) -> None:
        await asyncio.sleep(after)
        if not self._queue.is_on:
            with suppress(*TROUBLE):
                await self.fault(self._queue.id)

    async def _stay_well(self) -> None:
        if self._unasked is not None:
            self._unasked.cancel()
            await asyncio.gather(self._unasked, return_exceptions=True)

    async def _calm_down(self) -> None:
        for incident in self._incidents:
            if incident.is_on:
                await incident.end()

    async def _restart(self) -> None:
        connected = self._main.there
        self._restarting = True
        self._changed()
        try:
            await self._server.restart("fast")
        finally:
            self._restarting = False
        await self._main.come_back(connected)

    def _clear_channels(self) -> None:
        state = self._workspace.state
        for channel in state.channels:
            for message in state.messages(channel):
                state.delete(message)
        for user in state.users:
            for view in reversed(state.views_of(user)):
                state.close_view(view)

    async def _read_on(self) -> None:
        while True:
            await self._somebody_watches.wait()
            if self._state in {"up", "full"}:
                await self._activity.read()
                self._changed()
            await asyncio.sleep(READ_EVERY)

    async def _follow(self) -> None:
        log = self._workspace.state.log
        async for change in log.follow(len(log)):
            self._guide.notice(change)
            self._changed()
            await self._let_the_worker_write()

    async def _let_the_worker_write(self) -> None:
        """Make the worker write between a preview of it and the click, as happens in real life."""
        writes = self._writing is not None and self._writing == self._worker.pid
        if self._guide.worker_is_meant == writes or not self._worker.is_there:
            return
        with suppress(*TROUBLE):
            await self._worker.run(cast.WORKER_STOPS if writes else cast.WORKER_WRITES)
            self._writing = None if writes else self._worker.pid

    async def _close(self) -> None:
        await self._stay_well()
        await self._hang.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._crowd.leave()
        await self._calm_down()
        await asyncio.gather(self._main.close(), self._prod.close())
        self._activity.close()


async def _set_up(server: PostgresServer, *databases: str) -> None:
    async with superuser(server) as connection:
        await connection.execute(cast.ROLES)
        for database in databases:
            await connection.execute(f"create database {database}")
    for database in databases:
        async with superuser(server, database) as connection:
            await connection.execute(cast.SCHEMA)
