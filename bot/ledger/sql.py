"""The ledger in SQL, for SQLite and PostgreSQL.

Anything that may happen only once is one UPDATE whose WHERE names the state it must come from. The
number of changed rows says whether it happened, and two processes can't both have changed the row.
If a process read first and updated later, two of them could win.

Expiry and leases use only the database's clock, in the statement that checks them.

This module is long so that everything that changes a kill is side by side.
"""

import asyncio
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, cast

import structlog
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Insert,
    Row,
    Table,
    Text,
    Update,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.dml import ReturningUpdate

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
from bot.ledger.alerts import SqlAlerts
from bot.ledger.boards import SqlBoards
from bot.ledger.leases import SqlLeases
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
from bot.ledger.store import CLOCK_TOLERANCE, AsyncConnection, Store, Transactions
from bot.ledger.stores import store_of

log = structlog.get_logger(__name__)

TIME_LIMIT = 4.0
"""Seconds for one call. A silent ledger is reported within 5 s, and nothing is signalled."""

START_LIMIT = 5.0
"""Seconds for the steps to a newer schema, once, before the bot serves anyone."""

SIGNATURES_KEPT = timedelta(minutes=10)

FORGET_EVERY = 600.0
"""Seconds between two searches for rows that have been kept for long enough."""

FORGET_PAUSE = 1.0
"""Seconds between two batches of deletions."""


class Made:
    """Statements, and their conditions, made once for a store: that takes longer than to run them.

    Attributes:
        by_key: reads the kill with this `key`.
        by_id: reads the kill with this `id`.
        opened: the only update of a proposal that a click may act on, the one with `its_key`.
        claim: claims it.
        mark: notes what the clock shows, if it goes forward.
        marked: the mark, the clock, and whether a preview may be open beyond the mark.
        has_lapsed: whether a claim may be taken over.
        is_unfollowed: whether a second look may be taken over.
        left: what `marked` has, and whether anything may be taken over.
    """

    def __init__(self, store: Store) -> None:
        self.by_key = entries.Page.of(store, entries.ids(kills.c.key == bindparam("key")))
        self.by_id = entries.Page.of(store, entries.ids(kills.c.id == bindparam("id")))
        self.opened = _opened(store)
        self.claim = _claim(self.opened, store)
        mark = _marks_of(ledger_marks.c.latest < store.clock).values(latest=store.clock)
        self.mark = mark.returning(ledger_marks.c.latest)
        may_be_open = exists().where(
            kills.c.state == State.PROPOSED, kills.c.expires_at > ledger_marks.c.latest
        )
        self.marked = select(ledger_marks.c.latest, store.clock, may_be_open)
        self.has_lapsed = (
            kills.c.state == State.CLAIMED,
            or_(kills.c.owner != bindparam("asker"), kills.c.id.not_in(_several("working"))),
            kills.c.lease_until <= store.clock,
        )
        self.is_unfollowed = (
            kills.c.state == State.DONE,
            kills.c.followed_at.is_(None),
            kills.c.cluster.in_(_several("clusters")),
            kills.c.concluded_at <= store.after(-SECOND_LOOK_AFTER),
            kills.c.concluded_at > store.after(-SECOND_LOOK_UNTIL),
            kills.c.id.not_in(_several("following")),
            kills.c.lease_until <= store.clock,
            # Implied by the conditions above; it lets the index find the few.
            kills.c.lease_until > store.after(-SECOND_LOOK_UNTIL),
        )
        either = (self.has_lapsed, self.is_unfollowed)
        self.left = self.marked.add_columns(or_(*(exists().where(*each) for each in either)))


def _several(name: str) -> BindParameter[Any]:
    """A parameter that takes any number of values."""
    return bindparam(name, expanding=True)


def _opened(store: Store) -> Update:
    serves = select(ledger_marks.c.serves).scalar_subquery()
    return update(kills).where(
        kills.c.key == bindparam("its_key"),
        kills.c.state == State.PROPOSED,
        kills.c.expires_at > entries.now_or_latest(store),
        # Otherwise it was made by a clock that has been set back, which isn't noted yet.
        kills.c.created_at <= store.after(CLOCK_TOLERANCE),
        serves <= migrations.SCHEMA_VERSION,
    )


def _claim(opened: Update, store: Store) -> ReturningUpdate[Any]:
    return opened.values(
        state=State.CLAIMED,
        message_ts=func.coalesce(kills.c.message_ts, bindparam("clicked")),
        confirmed_action=bindparam("confirmed"),
        confirmed_by=bindparam("confirmer"),
        confirmed_by_team=bindparam("their_team"),
        claimed_at=store.clock,
        owner=bindparam("claimer"),
        lease_until=store.after(bindparam("span")),
    ).returning(kills.c.id, kills.c.message_ts, kills.c.claimed_at)


class SqlLedger:
    """`bot.ports.Ledger` on SQLite or PostgreSQL.

    `url` is a LEDGER_URL. `time_limit` is the seconds that one call may take, including its wait
    for a connection. `keep` is how long a kill is kept (None: forever). The constructor raises
    `LedgerError` for an invalid URL, and opens nothing.

    If a reply is lost (a `LedgerError` from a time limit or a broken connection), the change may
    or may not have happened. After a claim, signal nothing and let the lease run out. A conclusion
    may be sent again.
    """

    def __init__(
        self, url: str, *, time_limit: float = TIME_LIMIT, keep: timedelta | None = None
    ) -> None:
        self._store = store_of(url)
        self._transactions = Transactions(self._store, time_limit)
        self._keep_for = keep
        self._forgetting: asyncio.Task[None] | None = None
        self.home: LedgerHome | None = None  # the server, if it is PostgreSQL; from `open` on
        self._identity = ""
        self._is_outdated = False  # as far as it was noticed
        self._unreadable: set[int] = set()  # the kills of which the log says so
        self._made = Made(self._store)
        self.leases, self.boards = SqlLeases(self._transactions), SqlBoards(self._transactions)
        self.alerts = SqlAlerts(self._transactions)

    def __repr__(self) -> str:
        return f"<SqlLedger on {self._store.kind}>"

    async def open(self) -> None:
        """Connect, migrate, and hold the connections from here on.

        Raises `LedgerError`, and then leaves nothing open.
        """
        self._store.check()
        self._store.make()
        self._transactions.reopen()
        try:
            async with self._transactions.write(START_LIMIT) as connection:
                await self._store.lock(connection)
                await connection.run_sync(
                    migrate,
                    identity=self._store.identity,
                    random=self._store.random,
                    clock=self._store.clock,
                )
                self._identity = await connection.scalar(select(ledger_identity.c.identity)) or ""
                self.home = await self._store.home(connection)
            await self._transactions.hold()
        except BaseException:
            await self._transactions.dispose()
            raise
        if self._keep_for is not None:
            forgetting = every(FORGET_EVERY, self._forget, failed="ledger.not_dropped")
            self._forgetting = asyncio.create_task(forgetting, name="ledger-keep")

    async def open_to_read(self) -> None:
        """Connect to an existing ledger to read its record; change nothing.

        Raises `LedgerError`, also if there is no ledger or it has an earlier schema. Call `close`
        in that case too.
        """
        self._store.check()
        version = 0
        if self._store.exists():
            async with self._transactions.read() as connection:
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
        """Close the connections, if any are open. Calls under way have a second to end."""
        if self._forgetting is not None:
            self._forgetting.cancel()
        await self._transactions.close()
        if self._forgetting is not None:
            await asyncio.gather(self._forgetting, return_exceptions=True)
            self._forgetting = None

    @property
    def identity(self) -> str:
        """The value that distinguishes this ledger from every other; known once it is open."""
        return self._identity

    def made(self, key: str) -> bool:
        """Whether this ledger made a kill's key."""
        return key.partition("-")[0] == self._identity

    async def propose(self, draft: Draft, ttl: timedelta) -> Proposal:
        """Record a preview; give it its id, its key and its expiry."""
        key = f"{self._identity}-{secrets.token_hex(16)}"
        async with self._transactions.write() as connection:
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
            (entry,) = await entries.entries(connection, self._made.by_id, {"id": kill_id})
            return entry.proposal

    async def posted(self, proposal_id: int, message_ts: str) -> bool:
        """Record the message of an open preview; False if one is on record, or it isn't open."""
        async with self._transactions.write() as connection:
            is_open = kills.c.state == State.PROPOSED
            posted = _kill(proposal_id, is_open, kills.c.message_ts.is_(None))
            return await _changed(connection, posted.values(message_ts=message_ts))

    async def get(self, key: str) -> Entry | None:
        """A proposal and what is known about it, or None if the ledger has no such key.

        Raises `OtherVersion` if this version can't read it.
        """
        async with self._transactions.read() as connection:
            found = await entries.read(connection, self._store, self._made.by_key, {"key": key})
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
        seen: Proposal | None = None,
    ) -> Proposal | None:
        """Claim a proposal, once: one guarded update checks its key and its expiry.

        What was `seen` of it isn't read again: but for its claim, a proposal never changes.
        """
        confirmed = {
            "its_key": key,
            "clicked": message_ts or None,
            "confirmed": action,
            "confirmer": actor.user_id,
            "their_team": actor.team_id,
            "claimer": owner,
            "span": microseconds(lease),
        }
        async with self._transactions.write() as connection:
            await self._mark(connection)
            claimed = (await connection.execute(self._made.claim, confirmed)).one_or_none()
            if claimed is None:
                await self._refuse_if_outdated(connection)
                return None
            if seen is None:
                (entry,) = await entries.entries(connection, self._made.by_id, {"id": claimed.id})
                seen = entry.proposal
            return replace(
                seen,
                state=State.CLAIMED,
                action=action,
                message_ts=claimed.message_ts or "",
                confirmed_by=actor,
                claimed_at=claimed.claimed_at,
            )

    async def renew(self, proposal_id: int, owner: str, lease: timedelta) -> bool:
        """Extend a lease that has not run out; False if this owner has lost the claim.

        A lease that has run out is not extended, even if nobody took the claim: its owner must
        stop.
        """
        renewal = _kill(
            proposal_id,
            kills.c.state == State.CLAIMED,
            kills.c.owner == owner,
            kills.c.lease_until > self._store.clock,
        ).values(lease_until=self._store.after(lease))
        async with self._transactions.write() as connection:
            return await _changed(connection, renewal)

    async def lapsed(
        self, owner: str, lease: timedelta, *, working: Collection[int]
    ) -> tuple[Proposal, ...]:
        """Take over the claims whose lease has run out, with one guarded update each.

        Leaves those in `working`, which this owner is still working on. Any other claim of this
        owner's was written without its reply arriving.
        """
        async with self._transactions.write() as connection:
            await self._mark(connection, lazily=True)
            asked = {"asker": owner, "working": list(working)}
            taken = await self._take_over(connection, self._made.has_lapsed, asked, owner, lease)
            return tuple(entry.proposal for entry in taken)

    async def is_left(
        self,
        owner: str,
        *,
        working: Collection[int],
        clusters: Collection[str],
        following: Collection[int],
    ) -> bool:
        """Whether `lapsed` or `unfollowed` may have something to do: reads, and decides nothing.

        `lapsed` also notes what the clock shows, while that matters.
        """
        asked = {
            "asker": owner,
            "working": list(working),
            "clusters": list(clusters),
            "following": list(following),
        }
        async with self._transactions.read() as connection:
            found = (await connection.execute(self._made.left, asked)).one()
        latest, now, may_be_open, is_left = found
        return is_left or _is_set_back(now, latest) or (now > latest and may_be_open)

    async def _take_over(
        self,
        connection: AsyncConnection,
        conditions: tuple[ColumnElement[bool], ...],
        asked: Mapping[str, object],
        owner: str,
        lease: timedelta,
    ) -> list[Entry]:
        """Take over what this version understands; leave the rest to a later version."""
        candidates = await connection.scalars(
            select(kills.c.id).where(*conditions).order_by(kills.c.id), asked
        )
        mine = {"owner": owner, "lease_until": self._store.after(lease)}
        taken = []
        for kill_id in candidates.all():
            try:
                (entry,) = await entries.entries(
                    connection, self._made.by_id, {"id": kill_id}, strict=True
                )
            except entries.GARBLED as error:
                if kill_id not in self._unreadable:
                    self._unreadable.add(kill_id)
                    log.warning("ledger.kill_unreadable", kill=kill_id, why=str(error))
                continue
            if await _changed(connection, _kill(kill_id, *conditions).values(**mine), asked):
                taken.append(entry)
        return taken

    async def conclude(self, conclusion: Conclusion, owner: str) -> bool:
        """Record the outcome; False if this owner no longer holds the claim.

        Also True if this owner has already recorded an outcome, which then stands. So a conclusion
        whose reply was lost may be sent again.
        """
        kill_id = conclusion.proposal.id
        end = _kill(kill_id, kills.c.state == State.CLAIMED, kills.c.owner == owner).values(
            **conclusion_values(conclusion),
            state=State.DONE,
            concluded_at=self._store.clock,
            lease_until=self._store.after(SECOND_LOOK_LEASE),
        )
        async with self._transactions.write() as connection:
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
        """Record the second look, even an empty one; False if there was one already.

        Raises `LedgerError` for a result that is not a target of that kill.
        """
        followed = _kill(proposal_id, kills.c.state == State.DONE, kills.c.followed_at.is_(None))
        async with self._transactions.write() as connection:
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
        """Take over the second looks that nobody is working on, with one guarded update each."""
        is_due = self._made.is_unfollowed
        asked = {"clusters": list(clusters), "following": list(working)}
        async with self._transactions.write() as connection:
            return tuple(await self._take_over(connection, is_due, asked, owner, SECOND_LOOK_LEASE))

    async def leave(self, owner: str) -> None:
        """Release the second looks of an owner that stops, so that others take them over."""
        mine = update(kills).where(
            kills.c.state == State.DONE,
            kills.c.owner == owner,
            kills.c.lease_until > self._store.clock,  # for the index
        )
        async with self._transactions.write() as connection:
            await connection.execute(mine.values(lease_until=self._store.clock))

    async def dismiss(self, key: str, actor: Actor) -> bool:
        """Close an open proposal; False if it was not open, or has expired."""
        dismissal = self._made.opened.values(
            state=State.DISMISSED,
            dismissed_by=actor.user_id,
            dismissed_by_team=actor.team_id,
            dismissed_at=self._store.clock,
        )
        async with self._transactions.write() as connection:
            await self._mark(connection)
            if await _changed(connection, dismissal, {"its_key": key}):
                return True
            await self._refuse_if_outdated(connection)
            return False

    async def note(self, notes: Sequence[tuple[float, Note]]) -> None:
        """Record all of these, in order; each comes with how many seconds ago it was."""
        async with self._transactions.write() as connection:
            ago = bindparam("ago", type_=BigInteger)
            for kind, alike in groupby(notes, key=lambda each: type(each[1])):
                await connection.execute(
                    _noting(kind, self._store.before(ago)),
                    [
                        {"ago": microseconds(timedelta(seconds=seconds)), **_noted(note)}
                        for seconds, note in alike
                    ],
                )

    async def first_time(self, signature: str) -> bool:
        """Remember a request's signature; False if it was seen in the last ten minutes.

        Slack's signatures are valid for five. These aren't part of the record: old ones are
        deleted.
        """
        old = delete(signatures).where(signatures.c.at < self._store.after(-SIGNATURES_KEPT))
        seen = _noting(SignatureNote, self._store.clock)
        try:
            async with self._transactions.write() as connection:
                await connection.execute(old)
                return await _changed(connection, seen, _noted(SignatureNote(signature)))
        except LedgerError as error:
            # Two replicas at the same moment: the second one gets a unique violation.
            if isinstance(error.__cause__, IntegrityError):
                return False
            raise

    async def last_look(self, channel_id: str, cluster: str) -> datetime | None:
        """The cluster's clock at the last look at it that this channel saw.

        Looks are ordered as they were recorded, because a cluster's clock may go back when it
        fails over.
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
        async with self._transactions.read() as connection:
            seen: datetime | None = await connection.scalar(last)
            return seen

    async def history(
        self, where: HistoryFilter, *, limit: int, before_id: int | None = None
    ) -> tuple[Entry | Unreadable, ...]:
        """The latest kills that match, newest first, in any state.

        All names must match the same target: `user=a db=b` is a kill of a session of `a` in `b`. A
        name that was not seen (NULL) matches nothing, not even `!=`.
        """
        page = (
            entries.ids(*entries.matching(self._store, where))
            .order_by(kills.c.id.desc())
            .limit(limit)
        )
        if before_id is not None:
            page = page.where(kills.c.id < before_id)
        async with self._transactions.read() as connection:
            return tuple(
                await entries.read(connection, self._store, entries.Page.of(self._store, page))
            )

    async def noted(
        self, record: Record, *, since: datetime | None, limit: int, before_id: int | None = None
    ) -> tuple[Noted, ...]:
        """The latest refusals or looks, newest first."""
        table = refusals if record is Record.REFUSALS else looks
        page = select(table).order_by(table.c.id.desc()).limit(limit)
        if since is not None:
            page = page.where(table.c.at >= since)
        if before_id is not None:
            page = page.where(table.c.id < before_id)
        async with self._transactions.read() as connection:
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

    async def ready(self) -> None:
        """Raise `LedgerError` unless a write succeeds, which is then rolled back."""
        async with self._transactions.write() as connection:
            await self._refuse_if_outdated(connection)
            await connection.execute(update(ledger_version).values(at=self._store.clock))
            await connection.rollback()

    async def drop_old(self) -> bool:
        """Delete a batch of what was kept for long enough; return whether there may be more."""
        if self._keep_for is None:
            return False
        async with self._transactions.write() as connection:
            return await retention.drop_old(connection, self._store, self._keep_for)

    async def _forget(self) -> None:
        """Delete, now and then, what was kept for long enough. Nobody waits for it."""
        try:
            while await self.drop_old():  # noqa: ASYNC110  it waits for nothing
                await asyncio.sleep(FORGET_PAUSE)
        except LedgerError as error:
            log.warning("ledger.not_dropped", problem=str(error))

    async def _now(self, connection: AsyncConnection) -> datetime:
        now: datetime = await connection.scalar(select(self._store.clock))
        return now

    async def _mark(self, connection: AsyncConnection, *, lazily: bool = False) -> datetime:
        """Note what the clock shows now (`lazily`: only if some preview might not have expired).

        If the clock was set back, end everything that depends on it. Otherwise an open preview
        would be valid for longer than people were told, an expired one would be valid again, and a
        lease of a dead process would keep others from its work.
        """
        if not lazily:
            noted: datetime | None = await connection.scalar(self._made.mark)
            if noted is not None:
                return noted
        latest, clock, is_due = (await connection.execute(self._made.marked)).one()
        now: datetime = clock
        is_set_back = _is_set_back(now, latest)
        if is_set_back or (now > latest and is_due):
            mark = _marks_of(ledger_marks.c.latest == latest).values(latest=now)
            if await _changed(connection, mark) and is_set_back:
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
        """Raise `OtherVersion` if the ledger has a later version that doesn't serve this one."""
        serves = await connection.scalar(select(ledger_marks.c.serves)) or 0
        if serves > migrations.SCHEMA_VERSION:
            if not self._is_outdated:
                self._is_outdated = True
                log.warning("ledger.needs_later_version", serves=serves)
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


def _noting(kind: type[Note], at: ColumnElement[datetime]) -> Insert:
    """Insert notes of a kind; their values, by `_noted`, are parameters."""
    if kind is RefusalNote:
        return insert(refusals).values(at=at)
    if kind is LookNote:
        return insert(looks).values(at=at)
    signature = bindparam("signature", type_=Text)
    is_known = exists().where(signatures.c.signature == signature)
    return insert(signatures).from_select(
        ["signature", "at"], select(signature, at).where(~is_known)
    )


def _noted(note: Note) -> dict[str, Any]:
    match note:
        case RefusalNote(actor=actor):
            return {
                "user_id": actor.user_id,
                "team_id": actor.team_id,
                "channel_id": note.channel_id,
                "what": note.what,
                "why": note.why,
                "reference": note.reference,
            }
        case LookNote(actor=actor):
            return {
                "user_id": actor.user_id,
                "team_id": actor.team_id,
                "channel_id": note.channel_id,
                "cluster": note.cluster,
                "cluster_at": note.cluster_at,
                "what": note.what,
                "reference": note.reference,
            }
        case SignatureNote(signature):
            return {"signature": signature}


def _marks_of(condition: ColumnElement[bool]) -> Update:
    """Update the mark, unless somebody holds it.

    Whoever holds the row may have lost its network, and then holds it for long. Neither the mark
    nor a kill should wait for that.
    """
    free = select(ledger_marks.c.latest).where(condition).with_for_update(skip_locked=True)
    return update(ledger_marks).where(ledger_marks.c.latest.in_(free))


def _is_set_back(clock: datetime, latest: datetime) -> bool:
    return clock < latest - CLOCK_TOLERANCE


def _kill(kill_id: int, *conditions: ColumnElement[bool]) -> Update:
    return update(kills).where(kills.c.id == kill_id, *conditions)


async def _changed(
    connection: AsyncConnection, guarded: Update | Insert, values: Mapping[str, Any] | None = None
) -> bool:
    return (await connection.execute(guarded, values)).rowcount == 1


async def _insert(connection: AsyncConnection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:  # SQLAlchemy would insert one row of defaults for an empty list
        await connection.execute(insert(table), rows)
