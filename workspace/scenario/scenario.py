"""The scenario as a whole: start it on two servers, watch it, break it, bring it back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from workspace.page.contract import FaultButton, ScenarioView
from workspace.postgres import PostgresServer
from workspace.scenario import cast
from workspace.scenario.activity import Activity
from workspace.scenario.clients import Clients, Crowd
from workspace.scenario.connections import TROUBLE, superuser
from workspace.scenario.faults import BUTTONS, Hang, SlackFaults
from workspace.scenario.guide import ENDING, Guide
from workspace.scenario.login import Login
from workspace.slack import Workspace

READ_EVERY = 1.0


class Scenario:
    """The story of `some_user`, between `async with` and its end; `workspace.page` shows it.

    Args:
        workspace: Where people talk to the bot; the guide follows what happens there.
        main: A fresh server, started with `cast.SETTINGS`, where the story plays.
        prod: Another, so that a `some_db` is found twice; it becomes a standby.

    The servers are started and stopped by whoever made them. All connections are to loopback.
    """

    def __init__(self, workspace: Workspace, *, main: PostgresServer, prod: PostgresServer) -> None:
        self._workspace = workspace
        self._server = main
        self._main = Clients(main, cast.MAIN, self._changed)
        self._prod_server = prod
        self._prod = Clients(prod, cast.PROD, self._changed)
        self._crowd = Crowd(main, cast.CROWD, self._changed)
        self._login = Login(main, self._changed)
        self._activity = Activity(main)
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
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    @property
    def sessions(self) -> int:
        """How many sessions it has on both servers now."""
        return len(self._main.there) + len(self._prod.there)

    # What the page asks for

    def view(self) -> ScenarioView:
        """How things stand now, as JSON."""
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
        """Yield a view whenever things have changed, for ever.

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
        """Press the button of a fault, one of `faults.BUTTONS`: it begins, or ends if in force.

        Returns once it has happened. A restart ends by itself, and so does a hang, after
        `faults.HANG_SECONDS`. Raises KeyError for what is no button.
        """
        match fault_id:
            case "hang" if self._hang.is_on:
                await self._hang.end()
            case "hang" | "fill" | "restart":
                async with self._one_at_a_time:
                    await self._hang.end()
                    await self._break_postgres(fault_id)
            case _:
                self._slack.toggle(fault_id)
        self._changed()

    async def reset(self) -> None:
        """Bring everything back to the beginning: sessions, faults, channels and the guide.

        Whoever else is connected as one of the cast's roles is disconnected. The bot's ledger
        stays: it forgets nothing.
        """
        async with self._one_at_a_time:
            await self._hang.end()
            await self._crowd.leave()
            self._slack.clear()
            self._clear_channels()
            async with self._login.pause:
                await self._begin()
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
        """Between a preview of its session and the click on it, as happens in real life."""
        writes = self._writing is not None and self._writing == self._worker.pid
        if self._guide.worker_is_meant == writes or not self._worker.is_there:
            return
        with suppress(*TROUBLE):
            await self._worker.run(cast.WORKER_STOPS if writes else cast.WORKER_WRITES)
            self._writing = None if writes else self._worker.pid

    async def _close(self) -> None:
        await self._hang.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._crowd.leave()
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
