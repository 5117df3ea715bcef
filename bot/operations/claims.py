"""This process's previews and claims, and the outcomes that the ledger has not taken yet."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace

import structlog

from bot.domain.kills import LEASE, Action, Actor, Conclusion, Proposal, Result
from bot.domain.record import Entry
from bot.errors import LedgerError
from bot.operations.results import conclusion_of
from bot.ports import Clock, Ledger, Meter

log = structlog.get_logger(__name__)

_RECORD_TRIES = (0.2, 0.5, 1.0, 2.0)
"""Seconds before each further try to write an outcome."""

RECORD_WITHIN = 4.5
"""Seconds for all tries together: people must not wait longer for something already done."""


PREVIEWS = 20
"""How many previews are kept. Of older ones, and of another replica's, the first click reads the
ledger."""


class Previews:
    """The previews that this process has made: spares the first click on each to read it again.

    What a preview shows never changes. Whether it is still open is decided by the claim, in the
    ledger.
    """

    def __init__(self) -> None:
        self._made: dict[str, Proposal] = {}

    def keep(self, made: Proposal) -> None:
        """Keep one that has just been recorded."""
        self._made[made.key] = made
        if len(self._made) > PREVIEWS:
            del self._made[next(iter(self._made))]

    def take(self, key: str) -> Entry | None:
        """The preview with this key as it was recorded, and only once."""
        made = self._made.pop(key, None)
        return None if made is None else Entry(made, expired=False)


class Claims:
    """The claims and the second looks of one process, `owner`.

    The process that claimed a kill carries it out, as long as it renews the claim's lease. An
    outcome that the ledger doesn't take is kept, and tried again with every `write_unwritten`.
    """

    def __init__(self, ledger: Ledger, clock: Clock, owner: str, meter: Meter) -> None:
        self._ledger = ledger
        self._clock = clock
        self._owner = owner
        self._meter = meter
        self.previews = Previews()
        self._working: set[int] = set()  # claims that this process is working on
        self._following: set[int] = set()  # kills that this process will look at a second time
        # What a second look saw, for kills whose outcomes could not be written yet.
        self._second_looks: dict[int, tuple[tuple[Result, ...], tuple[str, ...]]] = {}
        self.unwritten: dict[int, Conclusion] = {}
        """Outcomes that the ledger has not taken, by the kill's number."""
        self.stopping = asyncio.Event()
        """Set once the process is told to stop: no kill takes a further step."""

    async def claim(
        self, seen: Proposal, actor: Actor, *, action: Action, message_ts: str
    ) -> Proposal | None:
        """Claim an open preview; None if it is not open. Raises `LedgerError`."""
        return await self._ledger.claim(
            seen.key, actor, self._owner, LEASE, action=action, message_ts=message_ts, seen=seen
        )

    @asynccontextmanager
    async def held(self, claimed: Proposal) -> AsyncIterator[None]:
        """Hold a claim's lease during the work."""
        self._working.add(claimed.id)
        renewer = asyncio.create_task(self._renew(claimed.id), name=f"lease-{claimed.id}")
        try:
            yield
        finally:
            renewer.cancel()
            with suppress(asyncio.CancelledError):
                await renewer
            if claimed.id not in self.unwritten:
                self._working.discard(claimed.id)

    async def renew(self, claimed: Proposal) -> bool:
        """Renew a claim's lease now; False if it was lost. Raises `LedgerError`."""
        return await self._ledger.renew(claimed.id, self._owner, LEASE)

    async def _renew(self, kill: int) -> None:
        while True:
            await self._clock.sleep(LEASE.total_seconds() / 3)
            try:
                if not await self._ledger.renew(kill, self._owner, LEASE):
                    log.error("kill.lease_lost", kill=kill)
                    return
            except LedgerError as error:
                log.warning("kill.lease_not_renewed", kill=kill, problem=str(error))

    async def is_left(self, clusters: Collection[str]) -> bool:
        """Whether something may be left to record, or to take over. Raises `LedgerError`."""
        return bool(self.unwritten) or await self._ledger.is_left(
            self._owner,
            working=frozenset(self._working),
            clusters=clusters,
            following=frozenset(self._following),
        )

    async def lapsed(self) -> tuple[Proposal, ...]:
        """Take over the claims whose lease has run out. Raises `LedgerError`."""
        return await self._ledger.lapsed(self._owner, LEASE, working=frozenset(self._working))

    async def record(self, conclusion: Conclusion) -> Conclusion:
        """Write the outcome, with retries; if it can't be written, the message says so.

        Every `recover` tries again, and the message is amended when it succeeds.
        """
        outcomes = {outcome.value: number for outcome, number in conclusion.counts.items()}
        log.info("kill.concluded", outcomes=outcomes, took=conclusion.took.total_seconds())
        self._meter.concluded(outcomes)
        try:
            async with asyncio.timeout(RECORD_WITHIN):
                recorded = await self._concluded(conclusion)
                if recorded:
                    return conclusion
                if recorded is False:
                    return await self._on_record(conclusion)
        except TimeoutError:
            pass
        except BaseException:
            # The process was told to stop meanwhile: `settle` tries once more.
            self._keep(conclusion)
            raise
        self._keep(conclusion)
        log.error(
            "kill.outcome_not_in_ledger",
            kill=conclusion.proposal.id,
            outcomes={r.id.pid: r.outcome.value for r in conclusion.results},
        )
        return replace(conclusion, recorded=False)

    def _keep(self, conclusion: Conclusion) -> None:
        """Keep an outcome that the ledger has not taken, to write it later."""
        self.unwritten[conclusion.proposal.id] = conclusion
        self._working.add(conclusion.proposal.id)

    async def _concluded(self, conclusion: Conclusion) -> bool | None:
        """Whether the ledger took it; False if the claim is another's, None if the ledger fails."""
        for pause in (0.0, *_RECORD_TRIES):
            await self._clock.sleep(pause)
            try:
                if await self._ledger.conclude(conclusion, self._owner):
                    return True
            except LedgerError as error:
                kill = conclusion.proposal.id
                log.warning("kill.not_recorded", kill=kill, problem=str(error))
            else:
                log.error("kill.claim_lost", kill=conclusion.proposal.id)
                return False
        return None

    async def _on_record(self, conclusion: Conclusion) -> Conclusion:
        """A kill's outcome as the ledger has it now, so that no message contradicts the ledger."""
        try:
            entry = await self._ledger.get(conclusion.proposal.key)
        except LedgerError:
            return replace(conclusion, recorded=False)
        if entry is None or not entry.results:
            return replace(conclusion, recorded=False)
        if entry.latest == conclusion.results and entry.notes == conclusion.notes:
            return replace(conclusion, recorded=True)
        return conclusion_of(entry)

    async def write_unwritten(self) -> list[Conclusion]:
        """Try again to write the outcomes that the ledger has not taken; returns those it took."""
        written = []
        for kill, conclusion in list(self.unwritten.items()):
            with structlog.contextvars.bound_contextvars(**log_values(conclusion.proposal)):
                try:
                    await self._ledger.renew(kill, self._owner, LEASE)
                    mine = await self._ledger.conclude(conclusion, self._owner)
                except LedgerError as error:
                    log.debug("kill.not_recorded", problem=str(error))  # it was said
                    break
                del self.unwritten[kill]
                self._working.discard(kill)
                second_look = self._second_looks.pop(kill, None)
                if not mine:
                    log.error("kill.claim_lost")
                elif second_look is not None:
                    with suppress(LedgerError):  # otherwise it stays due
                        await self._ledger.amend(kill, *second_look)
                written.append(await self._on_record(conclusion))
        return written

    @contextmanager
    def following(self, kill: int) -> Iterator[None]:
        """Reserve a second look for this process."""
        self._following.add(kill)
        try:
            yield
        finally:
            self._following.discard(kill)

    async def left_behind(self, clusters: Mapping[str, object]) -> tuple[Entry, ...]:
        """Take over the outcomes whose second look is due and whose process has stopped.

        Raises `LedgerError`.
        """
        entries = await self._ledger.unfollowed(
            self._owner, clusters=clusters, working=self._following
        )
        self._following.update(entry.proposal.id for entry in entries)
        return entries

    async def amend(
        self, kill: int, amendments: tuple[Result, ...], notes: tuple[str, ...]
    ) -> bool:
        """Record what a second look saw; False if another process has looked and reported it."""
        if kill in self.unwritten:
            # Whoever writes the outcome writes this after it.
            self._second_looks[kill] = amendments, notes
            return True
        try:
            return await self._ledger.amend(kill, amendments, notes)
        except LedgerError as error:
            log.warning("kill.amendment_not_recorded", kill=kill, problem=str(error))
            return True

    async def settle(self) -> None:
        """Before the process ends: try once more to write outcomes, and release the second looks.

        Raises `LedgerError`.
        """
        await self.write_unwritten()
        await self._ledger.leave(self._owner)


def log_values(proposal: Proposal) -> dict[str, int | str]:
    """A kill's number and reference, for log lines.

    The reference is that of the command that asked for the kill, whichever replica handled it.
    """
    reference = {"reference": proposal.reference} if proposal.reference else {}
    return {"kill": proposal.id, **reference}


def bind_log(proposal: Proposal) -> None:
    """Add a kill's number and reference to this task's log lines from here on."""
    structlog.contextvars.bind_contextvars(**log_values(proposal))
