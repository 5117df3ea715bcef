"""What the probes found, without judgement. Names in here are other people's text, as it came."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bot.domain.channels import Channel
from bot.domain.people import Home
from bot.domain.record import LedgerHome
from bot.domain.sessions import ServerId


@dataclass(frozen=True, slots=True)
class Untold:
    """There was no answer; says why, in words that hold no secret."""

    problem: str


NOT_ASKED = Untold("not asked")


@dataclass(frozen=True, slots=True)
class Unknown:
    """The id exists nowhere."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port that the bot would listen on; `problem` says why it can't, if it can't."""

    variable: str
    number: int
    problem: str | None = None
    is_the_bots: bool = False


# --- Slack -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bot:
    """The bot token's owner. An `app_id` of None means that Slack didn't say.

    `workspaces` are those of an installation for a whole organization; None for any other.
    """

    name: str
    workspace: str
    team_id: str
    app_id: str | None
    workspaces: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket that opened; `connections` counts the app's sockets then, including this one."""

    connections: int | None
    app_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """The person behind a user id. None means that Slack didn't say."""

    id: str
    name: str
    handle: str
    home: Home | None
    deleted: bool = False
    is_guest: bool | None = False
    is_bot: bool = False
    is_admin: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A user group.

    Attributes:
        is_locked: nobody can edit its members: Slack or an identity provider manages them.
        is_restricted: whether editing it is restricted; None if Slack doesn't say.
        editor: who changed it last.
    """

    id: str
    handle: str
    name: str
    members: tuple[str, ...]
    disabled: bool = False
    is_locked: bool = False
    is_restricted: bool | None = None
    editor: str | None = None


@dataclass(frozen=True, slots=True)
class Layouts:
    """What Slack says about samples of all messages and windows.

    `refused` has its objections, by what the sample is. `unread` is why it wasn't asked about the
    rest, None if it was.
    """

    asked: int
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unread: Untold | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackFacts:
    """Slack's side. `scopes` is None if Slack didn't say; `socket` is None in HTTP mode."""

    bot: Bot | Untold
    scopes: frozenset[str] | None = None
    socket: Socket | Untold | None = None
    people: Mapping[str, Member | Unknown | Untold] = field(default_factory=dict)
    groups: Mapping[str, Group | Unknown | Untold] = field(default_factory=dict)
    channels: Mapping[str, Channel | Unknown | Untold] = field(default_factory=dict)
    layouts: Layouts = field(default_factory=lambda: Layouts(0, unread=NOT_ASKED))


# --- PostgreSQL --------------------------------------------------------------------


class Holds(StrEnum):
    """Whether a role has the privileges of a predefined one."""

    YES = "yes"
    NOT_INHERITED = "not inherited"  # a member, by a grant that isn't inherited
    NO = "no"
    NO_SUCH_ROLE = "no such role"  # this version of PostgreSQL doesn't have it


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRole:
    """The role that the bot connects as, and what it may do. The oid is that of the login role."""

    oid: int
    name: str
    is_superuser: bool
    sees: Holds
    signals: Holds
    reserves: Holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """The server's connection slots.

    Attributes:
        reserved: slots for `pg_use_reserved_connections`; None before PostgreSQL 16.
        role_limit: the limit of the bot's role; -1 means none.
        used: all client backends, including the probe's own.
        logging_in: clients that hold a slot and have not logged in yet.
        database_limit: the limit of the database in the URL; -1 means none.
        database_used: client backends in that database.
        own: sessions of the bot's role under the bot's name, including the probe's own.
        others: sessions of the bot's role under other names, by `application_name`.
    """

    maximum: int
    superuser_reserved: int
    reserved: int | None
    role_limit: int
    used: int
    database_limit: int
    database_used: int
    own: int
    others: Mapping[str, int]
    logging_in: int = 0

    @property
    def taken(self) -> int:
        """The server's slots that are in use."""
        return self.used + self.logging_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered.

    Attributes:
        pooled: whether a pooler is in between.
        missing: what the bot reads or calls and its role may not: `function f(integer)`, `table t`,
            in the words of a GRANT.
        roles: the names of all roles, and whether they may log in.
        applications: the names that clients gave their sessions.
        is_encrypted: the server's view of the connection.

    From `roles` on, a value is None if the role may not ask.
    """

    version_num: int
    database: str
    role: OwnRole
    pooled: bool
    missing: tuple[str, ...]
    roles: Mapping[str, bool] | None = None
    applications: frozenset[str] | None = None
    is_encrypted: bool | None = None
    id: ServerId | None = None
    is_standby: bool | None = None
    slots: Slots | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """One cluster in the settings.

    Attributes:
        holds: how many connections the bot keeps open to it.
        left_out: parameters of its URL that the bot ignores.
    """

    name: str
    host: str
    is_local: bool
    holds: int
    answer: Answer | Untold
    left_out: tuple[str, ...] = ()


# --- The ledger --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """What is known about the ledger.

    Attributes:
        place: a file's path, or a server's host and database.
        holds: how many connections the bot keeps open to it.
        problem: why it can't be opened or written; None if it can.
        version: its schema version; 0 if it doesn't exist yet, None if it can't be read.
        known_version: the schema version that this version of the bot creates.
        identity: distinguishes it from other ledgers; empty if it has none yet.
        is_open_to_others: whether anyone on its machine may read the file.
        home: the server and the role; None for a file.
        connection_limit: that role's limit; -1 for none or a superuser.
        is_encrypted: the server's view of the connection; None for a file.
        left_out: parameters of its URL that the bot ignores.
    """

    kind: str
    place: str
    holds: int
    known_version: int
    problem: str | None = None
    version: int | None = None
    identity: str = ""
    is_open_to_others: bool = False
    is_local: bool = True
    home: LedgerHome | None = None
    connection_limit: int = -1
    is_encrypted: bool | None = None
    left_out: tuple[str, ...] = ()
