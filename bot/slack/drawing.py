"""The boards that one replica draws until they end."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NoReturn

import structlog

from bot.domain.boards import APART, Board, End, Timetable
from bot.domain.findings.model import Severity
from bot.domain.kills import Actor
from bot.domain.people import Right
from bot.domain.samples import Sample
from bot.errors import ClusterError, LedgerError, NotAllowed, TargetError, UsageError
from bot.operations.boards import is_late
from bot.operations.results import Sessions
from bot.ports import Clock
from bot.slack.api_errors import FAILURES, code_of, is_refusal, is_restricted, retry_after
from bot.slack.authorization import Admitted, Denied
from bot.slack.runner import Runner
from bot.slack.speech import Gate, Speech
from bot.slack.views import board as board_view
from bot.slack.views.errors import Obstacle
from bot.slack.views.message import SHAPES, Message

log = structlog.get_logger(__name__)

IDLE = 2.0
"""Seconds between two looks into the ledger while no board is due."""

NONE = 6.0
"""The same while there is no board. One that this replica puts on record is drawn at once."""

AT_ONCE = 8
"""How many boards are drawn at the same time: a cluster that hangs delays no other board."""

GRACE = timedelta(seconds=30)
"""How long a replica has to post a board's message before another one does it."""

GIVE_UP = timedelta(hours=1)
"""How long the bot tries to say in a board's message that it has ended."""

AGAIN = 10.0
"""Seconds between two tries to close or to post a board."""

_ENDS = {
    "message_not_found": End.DELETED,
    "is_archived": End.ARCHIVED,
    "channel_is_archived": End.ARCHIVED,
    "is_inactive": End.ARCHIVED,
    "channel_not_found": End.REMOVED,
    "not_in_channel": End.REMOVED,
    "cant_update_message": End.REFUSED,
    "edit_window_closed": End.REFUSED,
}
"""Slack's codes for a message that can't be redrawn any more."""

_UNSAID = frozenset({End.DELETED, End.ARCHIVED, End.REMOVED, End.REFUSED})
"""Ends that a board's own message can't tell."""


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who asked for a board: it goes on only while they may look, and there."""

    actor: Actor
    channel_id: str
    direct: bool = False


@dataclass(slots=True)
class _State:
    """What this process remembers about a board that it draws."""

    wrong: bool = True  # when it was last drawn; a new board is drawn again soon
    seen_at: datetime | None = None  # when it went on record that the channel saw it
    shapes: int = SHAPES  # how many of its layouts may be tried, the simplest ones
    again_at: float = float("-inf")


class Drawing:
    """Draws the boards on record while this process speaks."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._operations = runner.operations
        self._record = runner.operations.boards
        self._speaker = runner.operations.speaker
        self._speech: Speech = runner.speech
        self._clock = clock
        self._working: dict[int, asyncio.Task[None]] = {}
        self._forget()

    def _forget(self) -> None:
        self._timetable = Timetable()
        self._gate = Gate(self._clock, APART)
        self._states: dict[int, _State] = {}

    async def run(self) -> NoReturn:
        """Draw what is due, until cancelled."""
        try:
            while True:
                wait = IDLE
                try:
                    wait = await self.step()
                except LedgerError as error:
                    log.debug("boards.no_ledger", problem=str(error))
                except Exception:
                    log.exception("boards.failed")
                await self._speaker.rest(wait)
        finally:
            for task in self._working.values():
                task.cancel()

    async def step(self) -> float:
        """Begin to draw the board that is due first; return the seconds until the next step.

        Raises `LedgerError`.
        """
        if not self._speaker.speaks:
            self._forget()
            self._runner.meter.boards(0)
            return IDLE
        boards = await self._record.unclosed()
        drawn = [each for each in boards if each.ended_at is None]
        self._runner.meter.boards(len(drawn))
        self._states = {each.id: self._states.get(each.id) or _State() for each in boards}
        self._timetable.keep({each.id: self._is_wrong(each) for each in drawn})
        if boards and self._gate.left > 0:  # what a board shows would be old by then
            return min(self._gate.left, IDLE)
        now = self._clock.monotonic()
        for due, board in sorted(self._due(boards), key=lambda each: each[0]):
            if due > now:
                return min(due - now, IDLE)
            if len(self._working) >= AT_ONCE:
                break
            self._begin(board, now)
            return APART
        return IDLE if boards else NONE

    async def settled(self) -> None:
        """Wait until all that has begun is done."""
        while self._working:
            await asyncio.wait(tuple(self._working.values()))

    def _due(self, boards: Iterable[Board]) -> Iterable[tuple[float, Board]]:
        for board in boards:
            if board.id in self._working:
                continue
            if _is_drawn(board):
                yield self._timetable.due(board.id), board
            else:
                yield self._state(board).again_at, board

    def _begin(self, board: Board, now: float) -> None:
        if _is_drawn(board):
            self._timetable.tried(board.id, now)
        else:
            self._state(board).again_at = now + AGAIN
        task = asyncio.create_task(self._work(board), name=f"board-{board.id}")
        self._working[board.id] = task
        task.add_done_callback(lambda _: self._working.pop(board.id))

    async def _work(self, board: Board) -> None:
        with structlog.contextvars.bound_contextvars(board=board.id, cluster=board.cluster):
            try:
                async with self._speaker.turn() as mine:
                    if mine:
                        await self._do(board)
            except (LedgerError, TimeoutError) as error:
                log.warning("board.not_drawn", error=type(error).__name__)
            except Exception:
                log.exception("board.failed")

    async def _do(self, board: Board) -> None:
        now = self._clock.now()
        if board.ended_at is not None:
            await self._close(board, now - board.ended_at)
        elif (end := board.is_over(now)) is not None:
            await self._end(board, end)
        elif not board.message_ts and now - board.since <= GRACE:
            pass  # whoever put it on record may be posting it
        elif (admitted := await self._admitted(board)) is None:
            pass
        elif not board.message_ts:
            await self._post(board)
        else:
            await self._draw(board, admitted)

    async def _admitted(self, board: Board) -> Admitted | None:
        """Check the right and the place again; None if the channel must not see the board now.

        If it never may again, the board ends.
        """
        asker = _Asker(board.asked_by, board.channel_id)
        known = self._operations.clusters.by_name
        if board.cluster not in known or not self._operations.samples.seconds:
            await self._end(board, End.UNREADABLE)
            return None
        admitted = await self._runner.authorization.admit(Right.LOOK, asker, board.cluster)
        if isinstance(admitted, Admitted) and admitted.public:
            return admitted
        if (end := self._lost(admitted, board)) is not None:
            await self._end(board, end)
        return None

    async def _draw(self, board: Board, admitted: Admitted) -> None:
        """Draw a board, unless it must end."""
        state, now = self._state(board), self._clock.now()
        answer: Sessions | None = None
        trouble: ClusterError | TargetError | None = None
        recorded = is_late(state.seen_at, now)
        try:
            answer = await self._runner.within(admitted).board(board, recorded=recorded)
        except (ClusterError, TargetError) as error:
            trouble = error
        except NotAllowed:
            await self._end(board, End.RIGHT)
            return
        except UsageError:
            await self._end(board, End.UNREADABLE)
            return
        samples = self._operations.samples.of(board.cluster)
        wrong = isinstance(trouble, ClusterError) or (
            is_wrong(samples[-1]) if samples else answer is not None and _hurts(answer)
        )
        if recorded and answer is not None:
            state.seen_at = now
        if wrong and now - board.troubled_at >= timedelta(minutes=1):
            await self._record.troubled(board.id, now)
        self._timetable.found(board.id, wrong=wrong)
        drawing = board_view.Drawing(
            board=board,
            answer=answer,
            trouble=trouble,
            samples=samples,
            every=self._timetable.said(board.id, self._clock.monotonic()),
            now=now,
        )
        if await self._shown(board, board_view.board(drawing)):
            state.wrong = wrong
            self._timetable.drawn(board.id, self._clock.monotonic())

    async def _shown(self, board: Board, message: Message) -> bool:
        """Whether Slack has redrawn a board's message; ends the board if it never will."""
        state = self._state(board)
        try:
            state.shapes = await self._speech.redraw(
                board.place,
                message,
                before=self._gate.passed,
                team_id=board.asked_by.team_id,
                most=state.shapes,
            )
        except FAILURES as error:
            code = code_of(error)
            log.warning("board.not_redrawn", error=code)
            if (seconds := retry_after(error)) is not None:
                self._gate.hold(seconds)
            elif (end := _end_by(error)) is not None:
                if board.ended_at is None:
                    await self._end(board, end)
                else:
                    await self._record.closed(board.id, self._clock.now())
            return False
        return True

    async def _post(self, board: Board) -> None:
        """Post the message of a board whose replica has died before it did."""
        try:
            message = board_view.placeholder(board, moved=False)
            place = await self._speech.post(board.channel_id, message, board.thread_ts)
        except FAILURES as error:
            if is_refusal(error):
                await self._end(board, End.NOT_POSTED)
                await self._tell(board, End.NOT_POSTED)
            return
        await self._record.posted(board.id, place.message_ts)
        self._speaker.wake()

    async def _end(self, board: Board, end: End) -> None:
        log.info("board.ended", why=end)
        await self._record.end(board.id, end, self._clock.now())
        self._state(board).again_at = float("-inf")
        self._speaker.wake()

    async def _close(self, board: Board, ago: timedelta) -> None:
        """Say that a board has ended: in its message, or else to the person who asked for it."""
        if board.end in _UNSAID:
            await self._tell(board, board.end)
        elif not board.message_ts:
            if ago <= 2 * GRACE and board.end is not End.NOT_POSTED:
                return  # whoever posts it may not have recorded yet where
        elif not await self._shown(board, board_view.closed(board)) and ago < GIVE_UP:
            return
        await self._record.closed(board.id, self._clock.now())

    async def _tell(self, board: Board, end: End | None) -> None:
        message = board_view.told(replace(board, end=end))
        await self._runner.delivery.whisper(
            board.channel_id, board.asked_by.user_id, message, response_url=""
        )

    def _lost(self, admitted: Admitted | Denied, board: Board) -> End | None:
        """Why a board must end if its person or its place isn't admitted; None if Slack fails."""
        if isinstance(admitted, Admitted):
            if admitted.alone_for is Obstacle.NOT_SEEN:
                return End.REMOVED
            is_unknown = admitted.alone_for in {Obstacle.NOT_TOLD, Obstacle.NO_SCOPE}
            return None if is_unknown else End.PLACE
        person, rights = admitted.person, self._runner.authorization.rights
        if person is None:
            return End.PLACE
        everyone = any(one.everyone for one in rights.granting(Right.LOOK, board.cluster))
        is_unknown = person.home is None or (everyone and person.is_guest is None)
        return None if is_unknown else End.RIGHT

    def _is_wrong(self, board: Board) -> bool:
        """Whether something is wrong, or was at the last drawing: its end is shown soon too."""
        latest = self._operations.samples.latest(board.cluster)
        return self._state(board).wrong or (latest is not None and is_wrong(latest))

    def _state(self, board: Board) -> _State:
        return self._states.setdefault(board.id, _State())


def _is_drawn(board: Board) -> bool:
    """Whether a board's message is to be redrawn, rather than posted or closed."""
    return bool(board.message_ts) and board.ended_at is None


def is_wrong(sample: Sample) -> bool:
    """Whether somebody is affected by something at the moment of a sample."""
    if sample.problem is not None or sample.waiting:
        return True
    diagnosis = sample.diagnosis
    found = () if diagnosis is None else diagnosis.findings
    return any(each.severity <= Severity.ERROR for each in found)


def _hurts(answer: Sessions) -> bool:
    look = answer.look
    return bool(look.waits.blocked_by) or any(limit.reached for limit in look.server.limits)


def _end_by(error: BaseException) -> End | None:
    code = code_of(error)
    if is_restricted(code):
        return End.REFUSED
    return _ENDS.get(code) if is_refusal(error) else None
