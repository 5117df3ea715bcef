"""What the use cases need from outside: settings, a cluster, the ledger, a clock.

The adapters (`bot.postgres`, `bot.ledger`, `bot.slack`) implement these and don't know each other.
This module is long because it states each promise once: adapters don't repeat it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Protocol

from bot.domain.alerts import Alert, KillSeen, Opening, Saying
from bot.domain.blocking import HeldLock, Locks
from bot.domain.boards import AskedBoard, Board, End
from bot.domain.filters import Condition
from bot.domain.findings.model import PATIENCE, Patience
from bot.domain.findings.survey import Survey
from bot.domain.groups import Groups
from bot.domain.holdings import Holdings
from bot.domain.kills import (
    Action,
    Actor,
    Conclusion,
    Draft,
    Place,
    Proposal,
    Result,
)
from bot.domain.people import Glob
from bot.domain.query_tags import DEFAULT_KEYS
from bot.domain.record import Entry, HistoryFilter, LedgerHome, Note, Noted, Record, Unreadable
from bot.domain.sessions import About, Backend, BackendId, Look, Names, ServerId
from bot.domain.shown import Poolers
from bot.domain.signals import Guard, Reply, Sighting
from bot.grammar.requests import SortKey
from bot.grammar.terms import Field


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say about kills, what is shown, and how often samples are taken."""

    protected_roles: tuple[Glob, ...] = ()
    protected_applications: tuple[Glob, ...] = ()
    second_person: frozenset[str] = frozenset()
    confirm_ttl: timedelta = timedelta(seconds=600)
    query_tags: tuple[str, ...] = DEFAULT_KEYS
    poolers: Poolers = field(default_factory=Poolers)
    sample_every: timedelta = timedelta(0)  # 0: never
    patience: Patience = PATIENCE  # of the findings of samples


class Urgency(IntEnum):
    """Who may wait for whom when many ask one server at the same time.

    Less urgent work leaves some connections free for more urgent work: no number of looks delays a
    preview, and no preview that hangs delays a kill. Samples have a connection of their own.
    """

    SAMPLE = -1
    LOOK = 0
    PREVIEW = 1
    KILL = 2


class Cluster(Protocol):
    """One PostgreSQL server. Every method raises `ClusterError` if it is in trouble.

    A method that takes names, or a server, reads only from that server, and raises `TwoServers` if
    another one answers.
    """

    @property
    def name(self) -> str:
        """Its name in the settings."""

    @property
    def host(self) -> str:
        """The host in its URL, shown on every card."""

    @property
    def last_seen(self) -> datetime | None:
        """When it last answered, by the bot's clock."""

    @property
    def about(self) -> About | None:
        """What it last said about itself, if it ever did."""

    @property
    def last_names(self) -> Names | None:
        """The last reading of its roles and databases, if there was one."""

    async def names(self, *, urgency: Urgency = Urgency.LOOK) -> Names:
        """The roles and databases, read now; if that fails, the last reading, marked stale."""

    @property
    def server(self) -> ServerId | None:
        """The server that its newest connection leads to; None if none has since the start."""

    @property
    def server_known_at(self) -> datetime | None:
        """When `server` was last known to be right, by the bot's or the server's clock."""

    @property
    def system_identifier(self) -> int | None:
        """The identifier of the server that answered last; None if none has since the start."""

    @property
    def own_roles(self) -> Mapping[int, frozenset[int]]:
        """The oids of the roles of the bot's own connections, by system identifier."""

    async def look(  # noqa: PLR0913  one statement, one call
        self,
        conditions: tuple[Condition, ...] = (),
        *,
        names: Names,
        everything: bool = False,
        strict: bool = False,
        sort: tuple[SortKey, ...] = (),
        waits: bool = True,
        logins: bool = True,
        limit: int = 100,
        offset: int = 0,
        urgency: Urgency = Urgency.LOOK,
    ) -> Look:
        """One statement, one snapshot: the rows that meet all conditions, and the counts.

        Without `everything`, background processes that belong to no database and the bot's own
        connections are left out. `strict` is for a kill: an unknown (NULL) value satisfies
        nothing, and the bot's own connections are included, so that the preview can say that they
        are spared. `waits` (who waits for whom) and, up to PostgreSQL 17, `logins` (who is logging
        in) read the server's lock table; leave them out if nobody needs them.
        """

    async def texts(self, names: Names) -> tuple[Backend, ...]:
        """Every backend's query as it was sent, with its `query_id` and pid, and nothing else.

        Raises `TargetError` if they are too long to compare.
        """

    async def groups(
        self,
        by: tuple[Field, ...],
        conditions: tuple[Condition, ...],
        *,
        names: Names,
        everything: bool,
        limit: int,
    ) -> Groups:
        """The sessions that a look would match, counted by the values of these columns."""

    async def ready(self, guards: Iterable[Guard]) -> None:
        """Prepare to signal with these guards, so that the slow part is done before the claim."""

    async def signal(self, guard: Guard) -> Reply:
        """Check and signal one target, in one statement.

        Raises `NotSent` if no connection took the statement; then nothing can have been signalled.
        Any other `ClusterError` means that no reply came: the signal may have been sent, or may
        still be sent until the guard's deadline.
        """

    async def sight(self, ids: Iterable[BackendId]) -> Sighting:
        """Which of these backends still exist."""

    async def locks(self, names: Names) -> Locks:
        """Who waits for which lock since when, and the prepared transactions that block others."""

    async def locks_of(
        self, pid: int, names: Names, *, limit: int
    ) -> tuple[tuple[HeldLock, ...], int]:
        """The locks that one backend holds or waits for, and their total number.

        First those that it waits for, then the strongest on relations.
        """

    async def holdings(self, look: Look, backends: Sequence[Backend]) -> Mapping[int, Holdings]:
        """What goes with these backends of a look besides their transactions, by pid."""

    async def survey(self, look: Look, *, login: bool, role: int | None, until: float) -> Survey:
        """What a diagnosis needs besides a look, as far as it can be read by `until`.

        `until` is on the event loop's clock. `login` also reads what may refuse logins, including
        a role's own settings if its oid is given.
        """

    async def sample(self, *, until: float, idle_for: timedelta) -> tuple[Survey, Groups]:
        """What a sample is made of: a survey, and all sessions counted as `Seen` says.

        Has all that a look without `all` has, except that only the worst sessions have queries.
        Locks are read of sessions that have been idle in their transactions for `idle_for`.
        Roles, databases and their limits are up to 30 s old. It goes by a connection of its own.
        `until` is on the event loop's clock.
        """


class Leases(Protocol):
    """What only one process may do at a time, by the ledger's clock. Raises `LedgerError`."""

    async def hold(self, name: str, owner: str, lease: timedelta) -> bool:
        """Take a lease that is free or has run out, or renew one's own; False if another has it."""

    async def release(self, name: str, owner: str) -> None:
        """Give a lease back, if this owner has it."""


class Boards(Protocol):
    """The boards on record. Raises `LedgerError`. Instants are by the bot's clock."""

    async def ask(self, asked: AskedBoard) -> tuple[Board, Board | None]:
        """Begin a board; end the one of its channel and cluster, if there is one.

        Returns the new one, and the one that it takes the place of.
        """

    async def posted(self, board_id: int, message_ts: str) -> bool:
        """Record a board's message; False if one is on record already."""

    async def unclosed(self) -> tuple[Board, ...]:
        """The boards that are drawn, and those whose message doesn't say yet that they ended."""

    async def troubled(self, board_id: int, at: datetime) -> None:
        """Record that something was wrong."""

    async def end(self, board_id: int, end: End, at: datetime, by: Actor | None = None) -> bool:
        """End a board; False if it had ended already."""

    async def at(self, place: Place) -> Board | None:
        """The board of a message."""

    async def closed(self, board_id: int, at: datetime) -> None:
        """Record that nothing is left to do for a board that has ended."""


class Alerts(Protocol):
    """The alerts on record. Raises `LedgerError`. Instants are by the bot's clock.

    `speaker` is the name of a lease and its owner: a change that names it happens only if that
    owner holds the lease.
    """

    async def open(self, opening: Opening, speaker: tuple[str, str]) -> Alert | None:
        """Record the intent to tell; None if it is told already, or another process speaks."""

    async def change(self, alert: Alert, speaker: tuple[str, str]) -> Alert | None:
        """Record what an alert has become; None if it was changed, or another process speaks."""

    async def posted(self, alert: Alert, message_ts: str) -> None:
        """Record an alert's message, when it was told, and how many it said are affected."""

    async def replied(self, alert: Alert) -> None:
        """Record that its news was said in its thread."""

    async def drawn(self, alert: Alert) -> None:
        """Record that its message shows this revision."""

    async def seen(self, alert: Alert, at: datetime) -> None:
        """Record that its finding was there at an instant, for whoever speaks after this process.

        That is no change of the alert: its revision stays.
        """

    async def mute(self, key: str, until: datetime, by: Actor) -> Alert | None:
        """Keep an alert's thread silent; None unless it is open."""

    async def get(self, key: str) -> Alert | None:
        """The alert with that key, if there is one that this version can read."""

    async def current(self, since: datetime, undrawn_since: datetime) -> tuple[Alert, ...]:
        """Those that are open or ended after `since`.

        One whose message doesn't say yet that it is over may have ended at `undrawn_since`.
        """

    async def kills(self, cluster: str, within: timedelta) -> tuple[KillSeen, ...]:
        """The recent kills on a cluster, by the ledger's clock; the latest first."""


class Ledger(Protocol):
    """The record of kills. Every method raises `LedgerError` if it can't do its work.

    Times are read from the ledger's own clock, the same for all replicas. Rows are added and
    completed, and deleted when they have been kept for long enough. A click identifies a kill by
    its key, never by its number.
    """

    @property
    def leases(self) -> Leases:
        """The leases that it holds."""

    @property
    def boards(self) -> Boards:
        """The boards that it holds."""

    @property
    def alerts(self) -> Alerts:
        """The alerts that it holds."""

    @property
    def identity(self) -> str:
        """Distinguishes this ledger from every other: random, made with it, copied with it."""

    def made(self, key: str) -> bool:
        """Whether this ledger made a kill's key."""

    async def propose(self, draft: Draft, ttl: timedelta) -> Proposal:
        """Record a preview; give it its id, its key and its expiry."""

    async def posted(self, proposal_id: int, message_ts: str) -> bool:
        """Record the message of an open preview; False if one is on record, or it isn't open."""

    async def get(self, key: str) -> Entry | None:
        """A proposal and what is known about it, or None if the ledger has no such key."""

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

        `action` is the one that was confirmed, of those that the preview offered. `message_ts` is
        the preview's message, recorded if it isn't known yet. Once this returns, it is on record
        who confirmed what. None if it can't be claimed (`get` says why). What was `seen` of the
        proposal isn't read again.
        """

    async def renew(self, proposal_id: int, owner: str, lease: timedelta) -> bool:
        """Extend a lease; False if this owner no longer holds the claim."""

    async def lapsed(
        self, owner: str, lease: timedelta, *, working: Collection[int]
    ) -> tuple[Proposal, ...]:
        """Take over the claims whose lease has expired, with one guarded update each.

        Leaves the owner's own claims that it is still working on.
        """

    async def is_left(
        self,
        owner: str,
        *,
        working: Collection[int],
        clusters: Collection[str],
        following: Collection[int],
    ) -> bool:
        """Whether `lapsed` or `unfollowed` may have something to do: reads, and decides nothing."""

    async def conclude(self, conclusion: Conclusion, owner: str) -> bool:
        """Record the outcome; False if this owner no longer holds the claim."""

    async def amend(
        self, proposal_id: int, amendments: Iterable[Result], notes: Iterable[str]
    ) -> bool:
        """Record the second look, even an empty one; False if there was one already."""

    async def unfollowed(
        self, owner: str, *, clusters: Collection[str], working: Collection[int]
    ) -> tuple[Entry, ...]:
        """Take over the second looks that nobody is working on, with one guarded update each.

        These are due, on one of these clusters, and the process that concluded the kill has
        stopped. Leaves those that the caller is still working on.
        """

    async def leave(self, owner: str) -> None:
        """Release the second looks of an owner that stops, so that others take them over."""

    async def dismiss(self, key: str, actor: Actor) -> bool:
        """Close an open proposal; False if it was not open."""

    async def note(self, notes: Sequence[tuple[float, Note]]) -> None:
        """Record all of these, in order; each comes with how many seconds ago it was."""

    async def first_time(self, signature: str) -> bool:
        """Remember a request's signature; False if it was seen in the last minutes."""

    async def last_look(self, channel_id: str, cluster: str) -> datetime | None:
        """The cluster's clock at this channel's last look at it."""

    async def history(
        self, where: HistoryFilter, *, limit: int, before_id: int | None = None
    ) -> tuple[Entry | Unreadable, ...]:
        """The latest kills that were asked for, newest first."""

    async def noted(
        self, record: Record, *, since: datetime | None, limit: int, before_id: int | None = None
    ) -> tuple[Noted, ...]:
        """The latest refusals or looks, newest first."""

    @property
    def home(self) -> LedgerHome | None:
        """The server that holds the ledger, if it is PostgreSQL."""

    async def ready(self) -> None:
        """Raise `LedgerError` unless it can be written."""


class Voice(Protocol):
    """Posts alerts. Every method raises `Unsaid` if Slack doesn't take it, or doesn't answer."""

    async def post(self, saying: Saying) -> str:
        """Post an alert in its channel; returns the message's `ts`."""

    async def redraw(self, saying: Saying) -> None:
        """Edit its message, which notifies nobody."""

    async def reply(self, saying: Saying) -> None:
        """Say its news in its thread."""

    async def posted(self, alert: Alert) -> str | None:
        """The `ts` of its message, if it was posted; None also if the bot may not look."""

    async def replied(self, alert: Alert) -> bool:
        """Whether its news was said; False also if the bot may not look."""


class Meter:
    """Counts and times what the bot does; by itself, it keeps nothing.

    `what` is a command or an action's id.
    """

    def acknowledged(self, what: str, seconds: float) -> None:
        """A command was acknowledged, after this many seconds."""

    def answered(self, what: str, seconds: float) -> None:
        """A command or click was answered, after this many seconds."""

    def refused(self, what: str) -> None:
        """An attempt was refused."""

    def concluded(self, outcomes: Mapping[str, int]) -> None:
        """A kill was concluded: how many targets had each outcome."""

    def gone(self, seconds: float) -> None:
        """All that a kill signalled have ended, this many seconds after the click."""

    def boards(self, number: int) -> None:
        """How many boards this process draws now."""

    def alert_channel(self, channel_id: str, *, takes: bool) -> None:
        """Whether a channel takes alerts, as far as Slack says."""

    def alert_unsaid(self) -> None:
        """Slack didn't take something about an alert; it is tried again."""

    def alert_opened(self, finding: str) -> None:
        """An alert was opened; `finding` is its name."""

    def alert_closed(self, finding: str) -> None:
        """An alert is over."""

    def sampled(self, cluster: str, findings: Mapping[str, int] | None) -> None:
        """A cluster was sampled: how many findings of each name; None if it didn't answer."""


UNMEASURED = Meter()


class Clock(Protocol):
    """The bot's own clock, for whatever no server's or ledger's clock decides."""

    def now(self) -> datetime:
        """The current instant, in UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""

    async def sleep(self, seconds: float) -> None: ...
