"""What this process has claimed, and what of it the ledger has still to take."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace

import structlog

from bot.domain.kills import LEASE, Action, Actor, Conclusion, Proposal, Result
from bot.domain.record import Entry
from bot.errors import LedgerError
from bot.operations.log_context import named
from bot.operations.results import conclusion_of
from bot.ports import Clock, Ledger, Meter

log = structlog.get_logger(__name__)

_RECORD_TRIES = (0.2, 0.5, 1.0, 2.0)
"""Seconds before each further try to write an outcome."""

RECORD_WITHIN = 4.5
"""Seconds for all of these: people must not wait longer for what has been done already."""


class Claims:
    """The claims and the second looks of one process, `owner`.

    A kill is carried out by who has claimed it, while the claim's lease is renewed. An outcome
    that the ledger doesn't take is kept, and tried again with every `write_unwritten`.
    """

    def __init__(self, ledger: Ledger, clock: Clock, owner: str, meter: Meter | None) -> None:
        self._ledger = ledger
        self._clock = clock
        self._owner = owner
        self._meter = meter
        self._working: set[int] = set()  # claims that this process is at work on
        self._following: set[int] = set()  # kills that this process will look at once more
        # What a second look saw of these, before their outcomes could be written.
        self._second_looks: dict[int, tuple[tuple[Result, ...], tuple[str, ...]]] = {}
        self.unwritten: dict[int, Conclusion] = {}
        """Outcomes that the ledger has not taken, by the kill's number."""

    async def claim(
        self, key: str, actor: Actor, *, action: Action, message_ts: str
    ) -> Proposal | None:
        """Claim an open preview; None where it is not open. Raises `LedgerError`."""
        return await self._ledger.claim(
            key, actor, self._owner, LEASE, action=action, message_ts=message_ts
        )

    @asynccontextmanager
    async def held(self, claimed: Proposal) -> AsyncIterator[None]:
        """Hold a claim's lease while its work goes on."""
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

    async def _renew(self, kill: int) -> None:
        while True:
            await self._clock.sleep(LEASE.total_seconds() / 3)
            try:
                if not await self._ledger.renew(kill, self._owner, LEASE):
                    log.error("kill.lease_lost", kill=kill)
                    return
            except LedgerError:
                log.warning("kill.lease_not_renewed", kill=kill, exc_info=True)

    async def lapsed(self) -> tuple[Proposal, ...]:
        """Claims whose lease has run out, this process's from now on. Raises `LedgerError`."""
        return await self._ledger.lapsed(self._owner, LEASE, working=frozenset(self._working))

    async def record(self, conclusion: Conclusion) -> Conclusion:
        """Write the outcome, trying again; what can't be written is said in the message.

        It goes on being tried with every `recover`, and the message is then amended.
        """
        outcomes = {outcome.value: number for outcome, number in conclusion.counts.items()}
        log.info("kill.concluded", outcomes=outcomes, took=conclusion.took.total_seconds())
        if self._meter is not None:
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
            # Told to stop meanwhile: `settle` tries once more.
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
        """Keep an outcome that the ledger has not taken, to be written later."""
        self.unwritten[conclusion.proposal.id] = conclusion
        self._working.add(conclusion.proposal.id)

    async def _concluded(self, conclusion: Conclusion) -> bool | None:
        """Whether the ledger took it; False where the claim is another's, None where it fails."""
        for pause in (0.0, *_RECORD_TRIES):
            await self._clock.sleep(pause)
            try:
                if await self._ledger.conclude(conclusion, self._owner):
                    return True
            except LedgerError:
                log.warning("kill.not_recorded", kill=conclusion.proposal.id, exc_info=True)
            else:
                log.error("kill.claim_lost", kill=conclusion.proposal.id)
                return False
        return None

    async def _on_record(self, conclusion: Conclusion) -> Conclusion:
        """What the ledger has of a kill by now: no message says otherwise."""
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
        """Try again to write the outcomes that the ledger has not taken; those it took."""
        written = []
        for kill, conclusion in list(self.unwritten.items()):
            with structlog.contextvars.bound_contextvars(**named(conclusion.proposal)):
                try:
                    await self._ledger.renew(kill, self._owner, LEASE)
                    mine = await self._ledger.conclude(conclusion, self._owner)
                except LedgerError:
                    log.warning("kill.not_recorded", exc_info=True)
                    break
                del self.unwritten[kill]
                self._working.discard(kill)
                second_look = self._second_looks.pop(kill, None)
                if not mine:
                    log.error("kill.claim_lost")
                elif second_look is not None:
                    with suppress(LedgerError):  # then it is due once more
                        await self._ledger.amend(kill, *second_look)
                written.append(await self._on_record(conclusion))
        return written

    @contextmanager
    def following(self, kill: int) -> Iterator[None]:
        """Keep a second look to this process."""
        self._following.add(kill)
        try:
            yield
        finally:
            self._following.discard(kill)

    async def left_behind(self, clusters: Mapping[str, object]) -> tuple[Entry, ...]:
        """Outcomes whose second look is due and whose process has stopped: this one's now.

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
        """Record what a second look saw; False where another has looked, and has said so."""
        if kill in self.unwritten:
            # It is written after the outcome, by whoever writes that.
            self._second_looks[kill] = amendments, notes
            return True
        try:
            return await self._ledger.amend(kill, amendments, notes)
        except LedgerError:
            log.warning("kill.amendment_not_recorded", kill=kill, exc_info=True)
            return True

    async def settle(self) -> None:
        """Before the end: write what is unwritten once more, and leave the second looks.

        Raises `LedgerError`.
        """
        await self.write_unwritten()
        await self._ledger.leave(self._owner)
