"""Boards: begin one, look at what it watches, end it."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.domain.boards import AskedBoard, Board, End
from bot.domain.kills import Actor, Place
from bot.domain.people import Right
from bot.errors import ClusterError, UsageError
from bot.grammar.parser import read_sessions
from bot.grammar.requests import Target as Named
from bot.grammar.watching import WatchRequest
from bot.operations.clusters import Clusters
from bot.operations.look import Looking
from bot.operations.results import Sessions
from bot.ports import Boards, Clock

ROWS = 5
"""How many sessions a board shows."""

SEEN_EVERY = timedelta(minutes=1)
"""How often it goes on record that the channel saw a board."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A board on record, and the one that it takes the place of."""

    board: Board
    before: Board | None


@dataclass(frozen=True, slots=True)
class Which:
    """A board watches one cluster: the person must choose one of these requests."""

    requests: tuple[WatchRequest, ...]


@dataclass(frozen=True, slots=True)
class Watching:
    """What anyone who may look can ask for. Ends no session."""

    _clusters: Clusters
    _boards: Boards
    _looking: Looking
    _clock: Clock

    async def watch(
        self,
        actor: Actor,
        channel_id: str,
        request: WatchRequest,
        *,
        thread_ts: str = "",
        reference: str = "",
    ) -> Begun | Which:
        """Put a board on record, before its message is posted.

        A cluster that doesn't answer can be watched, if it is named. Raises `TargetError` for a
        name that nothing has.
        """
        targets, is_sure = await self._targets(request)
        each = tuple(replace(request.of, target=target) for target in targets)
        if not is_sure:
            return Which(tuple(map(WatchRequest, each)))
        (of,) = each
        with suppress(ClusterError):  # the board says so
            await self._looking.look(actor, channel_id, of, page_size=ROWS, reference=reference)
        asked = AskedBoard(
            channel_id=channel_id,
            thread_ts=thread_ts,
            cluster=of.target.cluster or "",
            wording=str(WatchRequest(of)),
            asked_by=actor,
            since=self._clock.now(),
        )
        return Begun(*await self._boards.ask(asked))

    async def board(self, board: Board, *, recorded: bool) -> Sessions:
        """What a board shows now, with the rights of the person who asked for it.

        Raises `UsageError` if another version of the bot wrote what it watches, otherwise what a
        look raises.
        """
        request = read_sessions(board.wording)
        if not isinstance(request, WatchRequest) or request.target.cluster != board.cluster:
            raise UsageError("", "not a board of this version")
        found = await self._looking.look(
            board.asked_by, board.channel_id, request.of, page_size=ROWS, recorded=recorded
        )
        assert isinstance(found, Sessions)  # noqa: S101  it has a cluster
        return found

    async def open_boards(self) -> tuple[Board, ...]:
        """The boards that are drawn now, on clusters where the person may look.

        Raises `LedgerError`.
        """
        return tuple(
            each
            for each in await self._boards.unclosed()
            if each.ended_at is None and self._clusters.may(Right.LOOK, each.cluster)
        )

    async def stop_watching(self, actor: Actor, place: Place, cluster: str) -> Board | None:
        """End the board of a message, if it is one of this cluster; return it as it ended.

        None if there is no such board. Raises `NotAllowed`.
        """
        board = await self._boards.at(place)
        if board is None or board.cluster != cluster:
            return None
        if cluster in self._clusters.by_name:
            self._clusters.require(Right.LOOK, cluster)
        now = self._clock.now()
        if not await self._boards.end(board.id, End.STOPPED, now, actor):
            return await self._boards.at(place)
        return replace(board, ended_at=now, end=End.STOPPED, ended_by=actor)

    async def _targets(self, request: WatchRequest) -> tuple[list[Named], bool]:
        """What may be meant, each with its cluster, and whether that is the only one."""
        found = await self._clusters.resolve(request.target, Right.LOOK)
        targets = [target for _, target in found.targets(request.target.database)]
        if not targets:
            raise found.troubles[0]
        return targets, len(targets) == 1 and not found.troubles


def is_late(last: datetime | None, now: datetime) -> bool:
    """Whether it is to go on record again that the channel saw a board."""
    return last is None or abs(now - last) >= SEEN_EVERY  # the clock may have been set back
