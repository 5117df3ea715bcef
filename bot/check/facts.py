"""What the probes found out, without a judgement. Names in here are others' text, as it came."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bot.domain.people import Home
from bot.domain.record import LedgerHome
from bot.domain.sessions import ServerId


@dataclass(frozen=True, slots=True)
class Untold:
    """No answer, and why: words that hold no secret."""

    problem: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing answers to that id."""


# --- Slack -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bot:
    """Whose the bot token is. `app_id` None: Slack didn't say."""

    name: str
    workspace: str
    team_id: str
    app_id: str | None
    is_org_wide: bool = False


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket that opened; `connections` are the app's at that moment, this one included."""

    connections: int | None
    app_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Somebody behind a user id. None: Slack didn't say."""

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
        is_locked: nobody edits who is in it: Slack does, or an identity provider.
        is_restricted: whether editing it is restricted; None where Slack doesn't say.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel of ALLOWED_CHANNELS. None in `is_shared`: Slack didn't say."""

    id: str
    name: str
    is_private: bool = False
    is_member: bool = False
    is_archived: bool = False
    is_direct: bool = False
    is_read_only: bool = False
    is_shared: bool | None = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackFacts:
    """Slack's side. `scopes` None: Slack didn't say; `socket` None: HTTP mode."""

    bot: Bot | Untold
    scopes: frozenset[str] | None = None
    socket: Socket | Untold | None = None
    people: Mapping[str, Member | Unknown | Untold] = field(default_factory=dict)
    groups: Mapping[str, Group | Unknown | Untold] = field(default_factory=dict)
    channels: Mapping[str, Channel | Unknown | Untold] = field(default_factory=dict)


# --- PostgreSQL --------------------------------------------------------------------


class Holds(StrEnum):
    """Whether a role has the privileges of a predefined one."""

    YES = "yes"
    NOT_INHERITED = "not inherited"  # a member, by a grant that gives nothing by itself
    NO = "no"
    NO_SUCH_ROLE = "no such role"  # in this version of PostgreSQL


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRole:
    """The role that the bot connects as, and what it may. The oid is the one it logs in as."""

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
        reserved: for `pg_use_reserved_connections`; None before PostgreSQL 16.
        role_limit: of the bot's role; -1 is none.
        used: client backends of all, the probe's own included.
        logging_in: clients that hold a slot and have not logged in.
        database_limit: of the database that the URL names; -1 is none.
        database_used: client backends in that database.
        own: sessions of the bot's role under the bot's name, the probe's own included.
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
        """The server's slots that are not free."""
        return self.used + self.logging_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server said.

    Attributes:
        pooled: whether a pooler answered in its place.
        missing: what the bot reads or calls and its role may not: `function f(integer)`,
            `table t`, as a GRANT names them.
        roles: the names of all roles, and whether they may log in.
        applications: the names that clients have given their sessions.
        is_encrypted: as the server sees its end of the connection.

    From `roles` on: None where the role may not ask.
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
    """One cluster of the settings.

    Attributes:
        holds: how many connections the bot keeps open there.
        left_out: parameters of its URL that have no effect on the bot.
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
    """The record of kills.

    Attributes:
        place: a file's path, or a server's host and the database.
        holds: how many connections the bot keeps open to it.
        problem: why it can't be opened or written; None where it can.
        version: of its schema; 0 where it is not made yet, None where it can't be read.
        known_version: the one that this version of the bot makes of it.
        identity: what tells it from other ledgers; empty if it has none yet.
        is_open_to_others: whether anyone on its machine may read the file.
        home: the server and the role; None for a file.
        connection_limit: of that role, -1 for none or a superuser.
        is_encrypted: as the server sees its end of the connection; None for a file.
        left_out: parameters of its URL that have no effect on the bot.
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
