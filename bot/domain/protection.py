"""What the bot never ends, who else can end it, and how narrow a kill must be. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import Enum, auto

from bot.domain.kept_names import names_role, of_applications
from bot.domain.people import Glob
from bot.domain.sessions import CLIENT_BACKEND, Backend, Names, Role, SpareReason
from bot.errors import UsageError
from bot.grammar.requests import KillRequest
from bot.grammar.terms import Aged, Field, Match, Term
from bot.grammar.values import filter_meant

_WORDS = ("history", "help", "blocked", "blocking", "all")


def roles_named(globs: tuple[Glob, ...], rolnames: Iterable[str]) -> tuple[str, ...]:
    """The roles that one of these globs names, given how PostgreSQL cuts and folds names."""
    return tuple(rolname for rolname in rolnames if names_role(rolname, globs))


class Ender(Enum):
    """Who can end a backend that the bot doesn't end."""

    SUPERUSER = auto()
    SIGNAL_BACKEND = auto()
    SIGNAL_AUTOVACUUM_WORKER = auto()  # from PostgreSQL 18 on


@dataclass(frozen=True, slots=True)
class Barrier:
    """Why the bot doesn't end a backend, and who can."""

    why: SpareReason
    who: Ender


@dataclass(frozen=True, slots=True)
class Protection:
    """What the bot never ends on one cluster.

    `own_roles` are the oids of the roles that the bot (any replica of it) and its ledger connect as
    on that server. `known_roles` is what is known about the server's roles.
    """

    roles: tuple[Glob, ...] = ()
    applications: tuple[Glob, ...] = ()
    own_roles: frozenset[int] = frozenset()
    known_roles: Mapping[int, Role] = field(default_factory=dict)

    def role_oids(self, names: Names, targets: Iterable[Backend]) -> frozenset[int]:
        """The oids that a signalling statement must refuse, according to the current names.

        If roles are protected by name, a target whose role's name can't be seen counts as
        protected.
        """
        protected = {
            oid for oid, role in names.roles.items() if names_role(role.rolname, self.roles)
        }
        if self.roles:
            protected |= {
                target.usesysid
                for target in targets
                if target.usesysid is not None and target.usesysid not in names.roles
            }
        return frozenset(protected | self.own_roles)

    def why(self, backend: Backend) -> SpareReason | None:
        """Why this backend is never signalled, or None if it may be.

        The signalling statement checks the same again, except for PostgreSQL's own check: whether
        the bot's role may signal it.
        """
        if backend.backend_type not in (None, CLIENT_BACKEND):
            return SpareReason.NOT_A_CLIENT
        if backend.backend_start is None or backend.backend_type is None or backend.state is None:
            return SpareReason.UNSEEN
        if backend.usesysid is None:
            return SpareReason.ROLE_UNSEEN
        if backend.usesysid in self.own_roles:
            return SpareReason.OWN_ROLE
        if self.roles and backend.usename is None:
            return SpareReason.ROLE_NAME_UNSEEN
        if backend.usename is not None and names_role(backend.usename, self.roles):
            return SpareReason.PROTECTED_ROLES
        if of_applications(self.applications).match(backend.application_name or ""):
            return SpareReason.PROTECTED_APPLICATIONS
        role = self.known_roles.get(backend.usesysid)
        if role is None or role.may_end:
            return None  # PostgreSQL decides at the click about a role that isn't known here
        return SpareReason.SUPERUSER if role.rolsuper else SpareReason.NO_RIGHT

    def spared(self, backends: Iterable[Backend]) -> dict[int, SpareReason]:
        """Those of these backends that are never signalled, by pid."""
        return {each.pid: why for each in backends if (why := self.why(each)) is not None}

    def barrier(self, backend: Backend) -> Barrier | None:
        """Why the bot doesn't end this backend, and who can; None if it may end it."""
        why = self.why(backend)
        if why is None:
            return None
        role = self.known_roles.get(backend.usesysid or 0)
        if backend.backend_type == "autovacuum worker":
            return Barrier(why, Ender.SIGNAL_AUTOVACUUM_WORKER)
        if role is None or role.rolsuper:
            return Barrier(why, Ender.SUPERUSER)
        return Barrier(why, Ender.SIGNAL_BACKEND)


def require_narrow(request: KillRequest) -> None:
    """Refuse a kill that names no session, or a whole database without the word `all`.

    A filter that every client backend satisfies doesn't count. Raises `UsageError`.
    """
    if request.pids or any(_narrows(term) for term in request.terms):
        return
    typed = str(replace(request, reason=None))
    databases = [t for t in request.terms if isinstance(t, Match) and t.field is Field.DATNAME]
    one = request.target.database is not None or any(
        term.pattern.exact is not None and not term.negated for term in databases
    )
    if request.all and one:
        return
    if request.all:
        raise UsageError("all", "it ends every session of a database; name the database too")
    if one or databases:
        # A mistyped word of the grammar reads as a database's name.
        name = (request.target.database or "").lower()
        nearest = filter_meant(name) or get_close_matches(name, _WORDS, cutoff=0.7)
        raise UsageError(
            typed,
            "to end every session of a database, add the word `all`; to end some, add a filter",
            tuple(nearest),
        )
    raise UsageError(typed, "this names no session: add a pid, or a filter that selects some")


def _narrows(term: Term) -> bool:
    match term:
        case Aged(_, seconds, older):
            return seconds > 0 or not older
        case Match(Field.DATNAME, _, _):
            return False
        case Match(Field.BACKEND_TYPE, pattern, negated):
            # A kill reaches only client backends, so this keeps all of them or none.
            return negated is pattern.matches(CLIENT_BACKEND)
        case Match(_, pattern, negated):
            return negated or any(pattern.parts)
        case _:
            return True
