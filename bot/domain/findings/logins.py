"""Why a login is refused: a limit that is reached, or a setting in the catalogs."""

from collections.abc import Iterable

from bot.domain.findings.locks import timeouts
from bot.domain.findings.model import (
    Act,
    End,
    Finding,
    Full,
    Question,
    Refusal,
    Refused,
    Rule,
    Run,
    Severity,
    Subject,
    SubjectOf,
)
from bot.domain.findings.survey import LoginFacts, Survey
from bot.domain.sessions import Backend, Limit, LimitOf, Server
from bot.domain.sql_text import identifier

HOLDERS = 3
"""How many sessions at a limit are named."""

PRISTINE = "template0"
"""The database that initdb closes, so that it stays as it is."""

GROUPS = 3
"""How many applications on a full server are named."""


def limit(survey: Survey, question: Question) -> Iterable[Finding]:
    """Roles and databases at their limit; one without sessions too, if it is asked about."""
    server = survey.server
    limits = [*server.roles, *server.databases]
    asked = ((LimitOf.ROLE, question.role), (LimitOf.DATABASE, question.database))
    for of, name in asked:
        known = any((each.of, each.name) == (of, name) for each in limits)
        if name is not None and not known and (found := survey.look.limit(of, name)) is not None:
            limits.append(found)
    for each in limits:
        if each.reached:
            yield _at_limit(survey, each)


def _at_limit(survey: Survey, limit: Limit) -> Finding:
    of_role = limit.of is LimitOf.ROLE
    name = identifier(limit.name)
    rows = [row for row in survey.clients() if _counts_against(row, limit)]
    holders = _cheapest_first(survey, rows)
    groups = [group for group in survey.groups if of_role and group.usename == limit.name]
    more = limit.limit * 2 or 10
    raised = f"alter {limit.of} {name} connection limit {more};"
    behind, freed = _behind(survey, holders)
    return Finding(
        rule=Rule.LIMIT,
        severity=Severity.ERROR,
        subject=Subject(SubjectOf.ROLE if of_role else SubjectOf.DATABASE, limit.name),
        evidence=Full(
            limit=limit,
            error=f'FATAL: too many connections for {limit.of} "{limit.name}"',
            holders=tuple(holders[:HOLDERS]),
            behind=behind,
            freed=freed,
            groups=tuple(groups[:GROUPS]),
        ),
        hurt=1 + behind,
        involved=frozenset(row.pid for row in rows),
        covers=frozenset(row.pid for row in holders[:1]),
        acts=_ends(survey, holders),
        prevention=(*_timeouts(holders), raised) if limit.limit else (raised,),
    )


def _counts_against(row: Backend, limit: Limit) -> bool:
    return (row.usename if limit.of is LimitOf.ROLE else row.datname) == limit.name


def _cheapest_first(survey: Survey, rows: Iterable[Backend]) -> list[Backend]:
    """Sessions that the bot may end first; then by what ending undoes, then by idle time."""

    def price(row: Backend) -> tuple[bool, int, float]:
        idle = row.state_age(survey.now)
        return row.pid in survey.spared, row.cost, -(idle.total_seconds() if idle else 0.0)

    return sorted(rows, key=price)


def _behind(survey: Survey, holders: list[Backend]) -> tuple[int, int]:
    """How many wait behind the first of these, and how many of them only for it."""
    waits, first = survey.waits, [row.pid for row in holders[:1]]
    return len(waits.behind(first)), len(waits.freed_by(first))


def _ends(survey: Survey, holders: list[Backend]) -> tuple[Act, ...]:
    return tuple(End(row) for row in holders[:1] if row.pid not in survey.spared)


def _timeouts(holders: list[Backend]) -> Iterable[str]:
    """The timeout that would have ended the first of them, if that is idle."""
    return timeouts(holders[0]) if holders and holders[0].is_idle else ()


def server_full(survey: Survey, _: Question) -> Iterable[Finding]:
    """The server has no slot left for ordinary roles."""
    server = survey.server
    ordinary = server.ordinary
    if not ordinary.reached:
        return
    holders = _cheapest_first(survey, survey.clients())
    behind, freed = _behind(survey, holders)
    largest = survey.groups[:GROUPS]
    name = next((group.usename for group in largest if group.usename is not None), None)
    limited = name is not None and server.role_limit(name) is not None
    cap: tuple[str, ...] = ()
    if name is not None and not limited:
        cap = (f"alter role {identifier(name)} connection limit {ordinary.limit * 3 // 4};",)
    yield Finding(
        rule=Rule.SERVER_FULL,
        severity=Severity.CRITICAL,
        subject=Subject(SubjectOf.SERVER, server.cluster),
        evidence=Full(
            limit=ordinary,
            error=_no_slot(server),
            holders=tuple(holders[:HOLDERS]),
            behind=behind,
            freed=freed,
            groups=largest,
        ),
        hurt=1,
        involved=frozenset(row.pid for row in survey.clients()),
        acts=_ends(survey, holders),
        prevention=(*_timeouts(holders), *cap),
    )


def _no_slot(server: Server) -> str:
    """PostgreSQL's message (postinit.c, proc.c), by version and by whose slots are left."""
    free = server.max_connections - server.ordinary.taken
    if free <= 0:
        return "FATAL: sorry, too many clients already"
    reserved = "FATAL: remaining connection slots are reserved for "
    if int(server.version.partition(".")[0]) < 16:
        return f"{reserved}non-replication superuser connections"
    if free <= server.superuser_reserved_connections:
        return f"{reserved}roles with the SUPERUSER attribute"
    return f'{reserved}roles with privileges of the "pg_use_reserved_connections" role'


def login(survey: Survey, question: Question) -> Iterable[Finding]:
    """Other reasons to refuse logins of a role or to a database, in PostgreSQL's order."""
    facts = survey.login
    if facts is None:
        return
    asked = question.database
    if question.role is not None:
        yield from (_refused(each) for each in _of_role(survey, facts))
    closed = [each for each in facts.databases if each.datname == asked]
    for database in closed:
        name = identifier(database.datname)
        if database.datconnlimit == -2:
            yield _refused(
                Refused(
                    why=Refusal.INVALID,
                    error=f'FATAL: cannot connect to invalid database "{database.datname}"',
                    datname=database.datname,
                ),
                Run(f"drop database {name};"),
            )
        elif not database.datallowconn:
            opened = Run(f"alter database {name} with allow_connections true;")
            on_purpose = database.datname == PRISTINE
            yield _refused(
                Refused(
                    why=Refusal.NOT_ALLOWED,
                    error=f'FATAL: database "{database.datname}" is not currently accepting'
                    " connections",
                    datname=database.datname,
                ),
                *(() if on_purpose else (opened,)),
            )
    if question.role is None or facts.rolsuper:
        return
    if asked is None:
        # If no database is named: only if none is open to the role.
        possible = [each for each in facts.databases if each.datallowconn]
        closed = [] if any(each.may_connect for each in possible) else possible[:1]
    yield from (_no_connect(facts, each.datname) for each in closed if not each.may_connect)


def _of_role(survey: Survey, facts: LoginFacts) -> Iterable[Refused]:
    if not facts.rolcanlogin:
        yield Refused(
            why=Refusal.NOLOGIN,
            error=f'FATAL: role "{facts.rolname}" is not permitted to log in',
            rolname=facts.rolname,
        )
    if facts.rolvaliduntil is not None and facts.rolvaliduntil <= survey.now:
        yield Refused(
            why=Refusal.VALID_UNTIL,
            error=f'FATAL: password authentication failed for user "{facts.rolname}"',
            rolname=facts.rolname,
            valid_until=facts.rolvaliduntil,
        )


def _no_connect(facts: LoginFacts, datname: str) -> Finding:
    refused = Refused(
        why=Refusal.NO_CONNECT,
        error=f'FATAL: permission denied for database "{datname}"',
        rolname=facts.rolname,
        datname=datname,
    )
    grant = f"grant connect on database {identifier(datname)} to {identifier(facts.rolname)};"
    return _refused(refused, Run(grant))


def _refused(refused: Refused, *acts: Run) -> Finding:
    if refused.why is Refusal.NOLOGIN and refused.rolname is not None:
        login = Run(f"alter role {identifier(refused.rolname)} login;")
        acts = () if refused.is_predefined else (login,)
    elif refused.why is Refusal.VALID_UNTIL and refused.rolname is not None:
        acts = (Run(f"alter role {identifier(refused.rolname)} valid until 'infinity';"),)
    of_role = refused.why not in {Refusal.NOT_ALLOWED, Refusal.INVALID}
    name = refused.rolname if of_role else refused.datname
    return Finding(
        rule=Rule.LOGIN,
        severity=Severity.ERROR,
        subject=Subject(SubjectOf.ROLE if of_role else SubjectOf.DATABASE, name or ""),
        evidence=refused,
        hurt=1,
        acts=acts,
    )
