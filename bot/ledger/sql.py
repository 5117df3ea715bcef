"""The ledger in SQL, for SQLite and PostgreSQL alike.

Whatever may happen only once is one UPDATE whose WHERE says from where, and counts by the
rows that it changed: two processes can't both have changed it. Reading first and updating
after lets both win.

Expiry and leases go by the database's clock alone, in the statement that checks them.

Long for its kind: whatever may change a kill stands here side by side.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, cast

import structlog
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Insert,
    Row,
    Table,
    Update,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from bot.background import every
from bot.domain.kills import (
    SECOND_LOOK_AFTER,
    SECOND_LOOK_LEASE,
    SECOND_LOOK_UNTIL,
    Action,
    Actor,
    Conclusion,
    Draft,
    Proposal,
    Result,
    State,
)
from bot.domain.record import (
    SEEN,
    Entry,
    HistoryFilter,
    LedgerHome,
    LookNote,
    Note,
    Noted,
    Record,
    RefusalNote,
    SignatureNote,
    Unreadable,
)
from bot.errors import LedgerError, OtherVersion
from bot.ledger import entries, migrations, retention, schema
from bot.ledger.migrations import migrate, refuse_later, version_of
from bot.ledger.rows import conclusion_values, kill_values, result_values, target_values
from bot.ledger.schema import (
    kills,
    ledger_identity,
    ledger_marks,
    ledger_version,
    looks,
    microseconds,
    outcomes,
    refusals,
    signatures,
    targets,
)
from bot.ledger.store import TROUBLE
from bot.ledger.stores import store_of

log = structlog.get_logger(__name__)

TIME_LIMIT = 4.0
"""Seconds for one call: a ledger that is silent is told of within 5 s, and nothing is signalled."""

START_LIMIT = 5.0
"""Seconds for the steps to a newer schema, once, before the bot is there for anyone."""

SIGNATURES_KEPT = timedelta(minutes=10)

RETRY_EVERY = 0.02
"""Seconds between two tries for a connection that another call has."""

CLOCK_TOLERANCE = timedelta(seconds=5)
"""How far the ledger's clock may go back, as clocks that are kept right do, before it counts as
set back. Nothing expires twice within it."""


CLOSED_WITHIN = 1.0
"""Seconds that a call has to end when the ledger is closed."""

FORGET_EVERY = 600.0
"""Seconds between two looks for what was kept for long enough."""

FORGET_PAUSE = 1.0
"""Seconds between two batches of it."""

KEEP_EVERY = 1.0
"""Seconds between two looks at the held connections, to replace one that was lost."""


class SqlLedger:
    """`bot.ports.Ledger` on SQLite or PostgreSQL.

    `url` is a LEDGER_URL, `time_limit` the seconds that one call may take, with its wait for
    a connection, `keep` how long a kill is kept (None: nothing is dropped). The constructor
    raises `LedgerError` for what can't be such a URL, and opens nothing.

    Where a reply is lost (`LedgerError` by a time limit, a broken connection) the change may
    stand or not. After a claim that means: signal nothing, the lease runs out. A conclusion
    may be sent again.
    """

    def __init__(
        self, url: str, *, time_limit: float = TIME_LIMIT, keep: timedelta | None = None
    ) -> None:
        self._store = store_of(url)
        self._time_limit = time_limit
        self._writer = self._store.engine()
        self._reader = self._store.reader(self._writer)
        self._keep_for = keep
        self._keepers: list[asyncio.Task[None]] = []
        self._home: LedgerHome | None = None
        self._identity = ""
        self._is_closed = False
        self._at_work = 0

    def __repr__(self) -> str:
        return f"<SqlLedger on {self._store.kind}>"

    async def open(self) -> None:
        """Connect, migrate, and hold the connections from here on.

        Raises `LedgerError`, and leaves nothing open then.
        """
        self._store.check()
        self._store.make()
        self._is_closed = False
        try:
            async with self._transaction(self._writer, START_LIMIT) as connection:
                await self._store.lock(connection)
                await connection.run_sync(
                    migrate,
                    identity=self._store.identity,
                    random=self._store.random,
                    clock=self._store.clock,
                )
                self._identity = await connection.scalar(select(ledger_identity.c.identity)) or ""
                self._home = await self._store.home(connection)
            async with self._in_time(self._time_limit) as all_at_once:
                for _ in range(self._store.size):
                    await self._connect(self._reader, all_at_once)
        except BaseException:
            await self._dispose()
            raise
        if self._store.is_server:
            self._keepers.append(asyncio.create_task(self._keep(), name="ledger"))
        if self._keep_for is not None:
            forgetting = every(FORGET_EVERY, self._forget, failed="ledger.not_dropped")
            self._keepers.append(asyncio.create_task(forgetting, name="ledger-keep"))

    async def open_to_read(self) -> None:
        """Connect to a ledger that is there, to read its record; changes nothing.

        Raises `LedgerError`, also if there is none, or one of an earlier schema. `close` it then,
        too.
        """
        self._store.check()
        version = 0
        if self._store.exists():
            async with self._transaction(self._reader) as connection:
                version = await connection.run_sync(version_of)
                await connection.run_sync(refuse_later, version)
        if version == 0:
            raise LedgerError(f"there is no ledger at {self._store.place}")
        if version < migrations.SCHEMA_VERSION:
            raise LedgerError(
                f"the ledger has schema version {version}, from an earlier version of the bot;"
                f" this one reads {migrations.SCHEMA_VERSION}, and upgrades the ledger when it"
                " starts"
            )

    async def close(self) -> None:
        """Close the connections; harmless if none is open. What is under way has a second."""
        self._is_closed = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSED_WITHIN):
                while self._at_work:  # noqa: ASYNC110  an event would be for this alone
                    await asyncio.sleep(RETRY_EVERY)
        await self._dispose()

    async def _dispose(self) -> None:
        for engine in (self._writer, self._reader):
            await engine.dispose()

    @property
    def identity(self) -> str:
        """What tells this ledger from every other; known once it is open."""
        return self._identity

    def made(self, key: str) -> bool:
        """Whether a kill's key was made by this ledger."""
        return key.partition("-")[0] == self._identity

    async def propose(self, draft: Draft, ttl: timedelta) -> Proposal:
        """Keep a preview; gives it its id, its key and the instant at which it expires."""
        key = f"{self._identity}-{secrets.token_hex(16)}"
        async with self._transaction(self._writer) as connection:
            await self._refuse_if_outdated(connection)
            now = await self._mark(connection)
            kill = await connection.execute(
                insert(kills).values(
                    **kill_values(draft),
                    key=key,
                    state=State.PROPOSED,
                    created_at=now,
                    expires_at=now + ttl,
                )
            )
            kill_id = cast("Row[tuple[int]]", kill.inserted_primary_key).id
            await _insert(connection, targets, target_values(kill_id, draft.targets))
            (entry,) = await entries.entries(
                connection, self._store, entries.ids(kills.c.id == kill_id)
            )
            return entry.proposal

    async def posted(self, proposal_id: int, message_ts: str) -> None:
        """Add where the preview's message stands, once."""
        async with self._transaction(self._writer) as connection:
            await connection.execute(
                _kill(proposal_id, kills.c.message_ts.is_(None)).values(message_ts=message_ts)
            )

    async def get(self, key: str) -> Entry | None:
        """A proposal and what is known of it, or None if the ledger has none of that key.

        Raises `OtherVersion` for one that this version can't read.
        """
        async with self._transaction(self._reader) as connection:
            found = await entries.read(connection, self._store, entries.ids(kills.c.key == key))
        match found:
            case [Entry() as entry]:
                return entry
            case [Unreadable(number, why)]:
                raise OtherVersion(f"kill {number} can't be read by this version: {why}")
            case _:
                return None

    async def claim(  # noqa: PLR0913  one update, one call
        self,
        key: str,
        actor: Actor,
        owner: str,
        lease: timedelta,
        *,
        action: Action = Action.TERMINATE,
        message_ts: str = "",
    ) -> Proposal | None:
        """Claim a proposal, once: by one guarded update that checks its key and its expiry."""
        claim = self._open(key).values(
            state=State.CLAIMED,
            message_ts=func.coalesce(kills.c.message_ts, message_ts or None),
            confirmed_action=action,
            confirmed_by=actor.user_id,
            confirmed_by_team=actor.team_id,
            claimed_at=self._store.clock,
            owner=owner,
            lease_until=self._store.after(lease),
        )
        async with self._transaction(self._writer) as connection:
            await self._mark(connection)
            if not await _changed(connection, claim):
                await self._refuse_if_outdated(connection)
                return None
            (entry,) = await entries.entries(
                connection, self._store, entries.ids(kills.c.key == key)
            )
            return entry.proposal

    async def renew(self, proposal_id: int, owner: str, lease: timedelta) -> bool:
        """Extend a lease that has not run out; False where this owner has lost the claim.

        One that has run out stays so, even if nobody took it: its owner must stop.
        """
        renewal = _kill(
            proposal_id,
            kills.c.state == State.CLAIMED,
            kills.c.owner == owner,
            kills.c.lease_until > self._store.clock,
        ).values(lease_until=self._store.after(lease))
        async with self._transaction(self._writer) as connection:
            return await _changed(connection, renewal)

    async def lapsed(
        self, owner: str, lease: timedelta, *, working: Collection[int]
    ) -> tuple[Proposal, ...]:
        """Take over, one guarded update each, the claims whose lease has run out.

        Of the owner's own those in `working` are left to it: it lives, and is at work on
        them. Another of its own is one whose claim was written and never reported.
        """
        has_lapsed = (
            kills.c.state == State.CLAIMED,
            or_(kills.c.owner != owner, kills.c.id.not_in(working)),
            kills.c.lease_until <= self._store.clock,
        )
        async with self._transaction(self._writer) as connection:
            await self._mark(connection, lazily=True)
            taken = await self._take_over(connection, has_lapsed, owner, lease)
            return tuple(entry.proposal for entry in taken)

    async def _take_over(
        self,
        connection: AsyncConnection,
        conditions: tuple[ColumnElement[bool], ...],
        owner: str,
        lease: timedelta,
    ) -> list[Entry]:
        """Take over whatever this version understands; the rest is left to a later one."""
        candidates = await connection.scalars(
            select(kills.c.id).where(*conditions).order_by(kills.c.id)
        )
        mine = {"owner": owner, "lease_until": self._store.after(lease)}
        taken = []
        for kill_id in candidates.all():
            try:
                (entry,) = await entries.entries(
                    connection, self._store, entries.ids(kills.c.id == kill_id), strict=True
                )
            except entries.GARBLED as error:
                log.warning("ledger.not_understood", kill=kill_id, why=str(error))
                continue
            if await _changed(connection, _kill(kill_id, *conditions).values(**mine)):
                taken.append(entry)
        return taken

    async def conclude(self, conclusion: Conclusion, owner: str) -> bool:
        """Record the outcome; False where this owner no longer holds the claim.

        True as well where this owner has recorded one already, which then stands: so a
        conclusion whose reply was lost may be sent again.
        """
        kill_id = conclusion.proposal.id
        end = _kill(kill_id, kills.c.state == State.CLAIMED, kills.c.owner == owner).values(
            **conclusion_values(conclusion),
            state=State.DONE,
            concluded_at=self._store.clock,
            lease_until=self._store.after(SECOND_LOOK_LEASE),
        )
        async with self._transaction(self._writer) as connection:
            if not await _changed(connection, end):
                done = select(kills.c.id).where(
                    kills.c.id == kill_id, kills.c.state == State.DONE, kills.c.owner == owner
                )
                return await connection.scalar(done) is not None
            results = result_values(kill_id, conclusion.results)
            await _insert(
                connection,
                outcomes,
                [result | {"position": at} for at, result in enumerate(results)],
            )
            await self._annotate(connection, kill_id, conclusion.notes)
        return True

    async def amend(
        self, proposal_id: int, amendments: Iterable[Result], notes: Iterable[str]
    ) -> bool:
        """Record the second look, which may have found nothing; False where there was one.

        Raises `LedgerError` for what is no target of that kill.
        """
        followed = _kill(proposal_id, kills.c.state == State.DONE, kills.c.followed_at.is_(None))
        async with self._transaction(self._writer) as connection:
            if not await _changed(connection, followed.values(followed_at=self._store.clock)):
                return False
            now = await self._now(connection)
            results = result_values(proposal_id, amendments)
            await _insert(connection, schema.amendments, [r | {"at": now} for r in results])
            await self._annotate(connection, proposal_id, notes)
        return True

    async def unfollowed(
        self, owner: str, *, clusters: Collection[str], working: Collection[int]
    ) -> tuple[Entry, ...]:
        """Take over, one guarded update each, the second looks that nobody is at work on."""
        is_due = (
            kills.c.state == State.DONE,
            kills.c.followed_at.is_(None),
            kills.c.cluster.in_(clusters),
            kills.c.concluded_at <= self._store.after(-SECOND_LOOK_AFTER),
            kills.c.concluded_at > self._store.after(-SECOND_LOOK_UNTIL),
            kills.c.id.not_in(working),
            kills.c.lease_until <= self._store.clock,
            # It follows from what stands above, and lets the index find the few.
            kills.c.lease_until > self._store.after(-SECOND_LOOK_UNTIL),
        )
        async with self._transaction(self._writer) as connection:
            return tuple(await self._take_over(connection, is_due, owner, SECOND_LOOK_LEASE))

    async def leave(self, owner: str) -> None:
        """Leave the second looks of an owner that stops to whoever lives."""
        mine = update(kills).where(
            kills.c.state == State.DONE,
            kills.c.owner == owner,
            kills.c.lease_until > self._store.clock,  # for the index
        )
        async with self._transaction(self._writer) as connection:
            await connection.execute(mine.values(lease_until=self._store.clock))

    async def dismiss(self, key: str, actor: Actor) -> bool:
        """Close an open proposal; False where it was not open, or has expired."""
        dismissal = self._open(key).values(
            state=State.DISMISSED,
            dismissed_by=actor.user_id,
            dismissed_by_team=actor.team_id,
            dismissed_at=self._store.clock,
        )
        async with self._transaction(self._writer) as connection:
            await self._mark(connection)
            if await _changed(connection, dismissal):
                return True
            await self._refuse_if_outdated(connection)
            return False

    async def note(self, notes: Sequence[tuple[float, Note]]) -> None:
        """Record all of these, in order; with each, how many seconds ago it was."""
        async with self._transaction(self._writer) as connection:
            for seconds, note in notes:
                at = self._store.after(-timedelta(seconds=seconds))
                await connection.execute(_noting(note, at))

    async def first_time(self, signature: str) -> bool:
        """Remember a request's signature; False where it was seen in the last ten minutes.

        Slack's signatures are good for five. This is no record: old ones are dropped.
        """
        old = delete(signatures).where(signatures.c.at < self._store.after(-SIGNATURES_KEPT))
        seen = _noting(SignatureNote(signature), self._store.clock)
        try:
            async with self._transaction(self._writer) as connection:
                await connection.execute(old)
                return await _changed(connection, seen)
        except LedgerError as error:
            # Two replicas at the same moment: the second one's key is taken.
            if isinstance(error.__cause__, IntegrityError):
                return False
            raise

    async def last_look(self, channel_id: str, cluster: str) -> datetime | None:
        """The cluster's clock at the last look at it that this channel saw.

        The last by the order in which they were recorded: the clock of a cluster that
        failed over may have gone back.
        """
        last = (
            select(looks.c.cluster_at)
            .where(
                looks.c.channel_id == channel_id,
                looks.c.cluster == cluster,
                looks.c.what == SEEN,
            )
            .order_by(looks.c.id.desc())
            .limit(1)
        )
        async with self._transaction(self._reader) as connection:
            return await connection.scalar(last)

    async def history(
        self, where: HistoryFilter, *, limit: int, before_id: int | None = None
    ) -> tuple[Entry | Unreadable, ...]:
        """The last kills that were asked for, newest first, in whatever state they are.

        Names are asked of one target each: `user=a db=b` is a kill of a session of `a` in
        `b`. A name that was not seen (NULL) satisfies nothing, `!=` included.
        """
        page = (
            entries.ids(*entries.matching(self._store, where))
            .order_by(kills.c.id.desc())
            .limit(limit)
        )
        if before_id is not None:
            page = page.where(kills.c.id < before_id)
        async with self._transaction(self._reader) as connection:
            return tuple(await entries.read(connection, self._store, page))

    async def noted(
        self, record: Record, *, since: datetime | None, limit: int, before_id: int | None = None
    ) -> tuple[Noted, ...]:
        """The last refusals or looks, newest first."""
        table = refusals if record is Record.REFUSALS else looks
        page = select(table).order_by(table.c.id.desc()).limit(limit)
        if since is not None:
            page = page.where(table.c.at >= since)
        if before_id is not None:
            page = page.where(table.c.id < before_id)
        async with self._transaction(self._reader) as connection:
            rows = (await connection.execute(page)).mappings()
            return tuple(
                Noted(
                    id=row["id"],
                    at=row["at"],
                    actor=Actor(row["user_id"], row["team_id"]),
                    channel_id=row["channel_id"],
                    what=row["what"],
                    why=row.get("why"),
                    cluster=row.get("cluster"),
                    reference=row["reference"] or "",
                )
                for row in rows
            )

    @property
    def home(self) -> LedgerHome | None:
        """Where the ledger lives, if that is a PostgreSQL server; known once it is open."""
        return self._home

    async def ready(self) -> None:
        """Raise `LedgerError` unless it can be written: by a write that is rolled back."""
        async with self._transaction(self._writer) as connection:
            await self._refuse_if_outdated(connection)
            await connection.execute(update(ledger_version).values(at=self._store.clock))
            await connection.rollback()

    @asynccontextmanager
    async def _transaction(
        self, engine: AsyncEngine, within: float | None = None
    ) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end; drivers' errors come out as `LedgerError`."""
        async with self._in_time(self._time_limit if within is None else within) as stack:
            connection = await self._connect(engine, stack)
            await stack.enter_async_context(connection.begin())
            yield connection

    @asynccontextmanager
    async def _in_time(self, within: float) -> AsyncIterator[AsyncExitStack]:
        """What is opened on the stack has so many seconds until its end."""
        if self._is_closed:
            raise LedgerError("the ledger is closed")
        self._at_work += 1
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(asyncio.timeout(within))
                yield stack
        except TimeoutError as error:
            raise LedgerError(f"the ledger did not answer within {within:g} s") from error
        except TROUBLE as error:
            raise LedgerError(self._store.problem(error)) from error
        finally:
            self._at_work -= 1

    async def _connect(self, engine: AsyncEngine, stack: AsyncExitStack) -> AsyncConnection:
        """A live connection: where one of those held is lost for good, the next.

        While another call has that one, it is waited for: the server may be full.
        """
        alone = 0
        while True:
            try:
                return await stack.enter_async_context(engine.connect())
            except TROUBLE:
                in_use = cast("AsyncAdaptedQueuePool", engine.pool).checkedout()
                alone = 0 if in_use else alone + 1
                if alone == self._store.size:  # the pool hands them out in turn
                    raise
            if in_use:
                await asyncio.sleep(RETRY_EVERY)

    async def _keep(self) -> None:
        """Have lost connections made anew soon, before others take their slots.

        The pool asks each connection that it hands out whether it lives, and hands them out
        in turn.
        """
        while True:
            await asyncio.sleep(KEEP_EVERY)
            for _ in range(self._store.size):
                with suppress(LedgerError):
                    async with self._transaction(self._reader):
                        pass

    def _open(self, key: str) -> Update:
        """The one update of a proposal that a click may act on."""
        serves = select(ledger_marks.c.serves).scalar_subquery()
        return update(kills).where(
            kills.c.key == key,
            kills.c.state == State.PROPOSED,
            kills.c.expires_at > entries.now_or_latest(self._store),
            # Made on a clock that was set back since, which is not noted yet.
            kills.c.created_at <= self._store.after(CLOCK_TOLERANCE),
            serves <= migrations.SCHEMA_VERSION,
        )

    async def drop_old(self) -> bool:
        """Drop a batch of what was kept for long enough; whether there may be more."""
        if self._keep_for is None:
            return False
        async with self._transaction(self._writer) as connection:
            return await retention.drop_old(connection, self._store, self._keep_for)

    async def _forget(self) -> None:
        """Drop what was kept for long enough, now and then. Nobody waits for it."""
        try:
            while await self.drop_old():  # noqa: ASYNC110  it waits for nothing
                await asyncio.sleep(FORGET_PAUSE)
        except LedgerError as error:
            log.warning("ledger.not_dropped", problem=str(error))

    async def _now(self, connection: AsyncConnection) -> datetime:
        return (await connection.execute(select(self._store.clock))).scalar_one()

    async def _mark(self, connection: AsyncConnection, *, lazily: bool = False) -> datetime:
        """Note what the clock shows now (`lazily`: if a preview is not known to have expired).

        If it was set back, end what goes by it.

        An open preview would be good for longer than anyone was told, and one that has expired
        would be good again; a lease would keep from everyone else what a dead process left.
        """
        may_be_open = exists().where(
            kills.c.state == State.PROPOSED, kills.c.expires_at > ledger_marks.c.latest
        )
        asked = select(ledger_marks.c.latest, self._store.clock, may_be_open)
        latest, clock, is_due = (await connection.execute(asked)).one()
        now: datetime = clock
        is_set_back = now < latest - CLOCK_TOLERANCE
        if is_set_back or (now > latest and (is_due or not lazily)):
            # Who holds the row may have lost its network, and then holds it for long: the mark
            # is not worth the wait, nor is a kill to wait for it.
            mine = select(ledger_marks.c.latest).with_for_update(skip_locked=True)
            if await connection.scalar(mine) == latest:
                await connection.execute(update(ledger_marks).values(latest=now))
                if is_set_back:
                    await self._set_back(connection, latest, now)
        return now

    async def _set_back(self, connection: AsyncConnection, latest: datetime, now: datetime) -> None:
        log.error("ledger.clock_set_back", seconds=(latest - now).total_seconds())
        still_open = (kills.c.state == State.PROPOSED, kills.c.expires_at > now)
        await connection.execute(update(kills).where(*still_open).values(expires_at=now))
        leased = (kills.c.state.in_((State.CLAIMED, State.DONE)), kills.c.lease_until > now)
        until = type_coerce(kills.c.lease_until, BigInteger) - microseconds(latest - now)
        await connection.execute(update(kills).where(*leased).values(lease_until=until))

    async def _refuse_if_outdated(self, connection: AsyncConnection) -> None:
        """Raise `OtherVersion` if a later version has the ledger, which doesn't serve this one."""
        serves = await connection.scalar(select(ledger_marks.c.serves)) or 0
        if serves > migrations.SCHEMA_VERSION:
            raise OtherVersion("a later version of the bot has the ledger: this one must go")

    async def _annotate(
        self, connection: AsyncConnection, kill_id: int, lines: Iterable[str]
    ) -> None:
        now = await self._now(connection)
        await _insert(
            connection,
            schema.notes,
            [{"kill_id": kill_id, "note": line, "at": now} for line in lines],
        )


def _noting(note: Note, at: ColumnElement[datetime]) -> Insert:
    match note:
        case RefusalNote(actor=actor):
            return insert(refusals).values(
                user_id=actor.user_id,
                team_id=actor.team_id,
                channel_id=note.channel_id,
                what=note.what,
                why=note.why,
                reference=note.reference,
                at=at,
            )
        case LookNote(actor=actor):
            return insert(looks).values(
                user_id=actor.user_id,
                team_id=actor.team_id,
                channel_id=note.channel_id,
                cluster=note.cluster,
                cluster_at=note.cluster_at,
                what=note.what,
                reference=note.reference,
                at=at,
            )
        case SignatureNote(signature):
            is_known = exists().where(signatures.c.signature == signature)
            return insert(signatures).from_select(
                ["signature", "at"], select(literal(signature), at).where(~is_known)
            )


def _kill(kill_id: int, *conditions: ColumnElement[bool]) -> Update:
    return update(kills).where(kills.c.id == kill_id, *conditions)


async def _changed(connection: AsyncConnection, guarded: Update | Insert) -> bool:
    return (await connection.execute(guarded)).rowcount == 1


async def _insert(connection: AsyncConnection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:  # SQLAlchemy takes an empty list for one row of defaults
        await connection.execute(insert(table), rows)
