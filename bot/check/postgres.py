"""What the facts about the servers mean: reachable, the role's rights, room for connections."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bot.check.facts import Answer, ClusterFacts, Holds, LedgerFacts, OwnRole, Slots, Untold
from bot.check.findings import Finding, Section, count, failure, name, of_url, ok, some, warning
from bot.text import visible

OLDEST = 14
"""The oldest version of PostgreSQL whose views have everything that looks read."""


def identifier(text: str) -> str:
    r"""A name as an SQL identifier; invisible characters become codes, `U&"\+00202e"`."""
    if visible(text) == text:
        return '"' + text.replace('"', '""') + '"'
    return 'U&"' + "".join(map(_in_unicode, text)) + '"'


def _in_unicode(character: str) -> str:
    if character in {'"', "\\"}:
        return character * 2
    if visible(character) == character:
        return character
    return f"\\+{ord(character):06x}"


def of_cluster(facts: ClusterFacts, *, needed: int, may_kill: bool) -> Section:
    """The findings about one cluster.

    `needed` is how many connections the bot opens there as this role, for the ledger and under all
    names of the server. `may_kill` is whether anybody may end sessions.
    """
    findings = _of_cluster(facts, needed, may_kill)
    if isinstance(facts.answer, Answer) and facts.answer.is_standby:
        findings = map(_on_the_primary, findings)
    return Section(f"cluster {facts.name}", tuple(findings))


def _on_the_primary(finding: Finding) -> Finding:
    """Send a remedy to the primary: a standby has its roles, but settings of its own."""
    if not any(statement.startswith(("grant ", "alter role ")) for statement in finding.remedy):
        return finding
    return replace(finding, text=f"{finding.text}; it is a standby, so on its primary run:")


def _of_cluster(facts: ClusterFacts, needed: int, may_kill: bool) -> Iterator[Finding]:
    answer = facts.answer
    if isinstance(answer, Untold):
        yield failure(f"{facts.host}: {answer.problem}")
        return
    yield _of_version(facts.host, answer)
    yield from of_url(facts.left_out)
    yield from _of_the_way_there(facts, answer)
    yield from _of_rights(answer, may_kill=may_kill)
    if answer.slots is not None:
        yield from _of_slots(answer, answer.slots, needed)


def _of_version(host: str, answer: Answer) -> Finding:
    major, minor = divmod(answer.version_num, 10_000)
    # Before PostgreSQL 10 a version had three parts; the first one is enough.
    version = f"PostgreSQL {major}.{minor}" if major >= 10 else f"PostgreSQL {major}"
    if major < OLDEST:
        return failure(f"{host}: {version}; the bot needs {OLDEST} or newer")
    if answer.is_standby is None:
        return ok(f"{host}: {version}")
    return ok(f"{host}: {version}, {'standby' if answer.is_standby else 'primary'}")


def _of_the_way_there(facts: ClusterFacts, answer: Answer) -> Iterator[Finding]:
    if answer.pooled:
        yield warning(
            "the URL leads to a pooler, so the bot sees the pooler's address instead of each"
            " client's, and the pooler's limits apply first. Use the server's own address"
        )
    elif answer.is_encrypted is False and not facts.is_local:
        yield warning(
            "the connection is not encrypted, so others on the network can read it. Add"
            " sslmode=verify-full to the URL, or sslmode=require"
        )


# --- Rights ------------------------------------------------------------------------


def _of_rights(answer: Answer, *, may_kill: bool) -> Iterator[Finding]:
    role = answer.role
    called = name(role.name)
    if role.is_superuser:
        yield warning(
            f"its role {called} is a superuser, which is more than the bot needs. Give the bot"
            " a role of its own with pg_read_all_stats and pg_signal_backend"
        )
        return
    if role.sees is Holds.YES:
        yield ok(f"its role {called} sees all sessions")
    else:
        yield failure(
            f"its role {called} can't see other roles' sessions, so the bot can't show or end"
            f" them{_why(role.sees)}",
            _grant("pg_read_all_stats", role, role.sees, answer),
        )
    if role.signals is Holds.YES:
        yield ok(f"its role {called} can end sessions, except superusers'")
    else:
        # The right to end sessions isn't needed to look at them.
        level = failure if may_kill else warning
        yield level(
            f"its role {called} can't end other roles' sessions{_why(role.signals)}",
            _grant("pg_signal_backend", role, role.signals, answer),
        )
    if answer.missing:
        yield failure(
            f"its role {called} can't read what the bot needs; in the database"
            f" {name(answer.database)} run:",
            *(
                f"grant {_privilege(each)} on {each} to {_identifier(role)};"
                for each in answer.missing
            ),
        )


def _privilege(thing: str) -> str:
    return "execute" if thing.startswith("function ") else "select"


def _why(holds: Holds) -> str:
    return (
        ": it is a member of the role, but doesn't inherit its rights"
        if holds is Holds.NOT_INHERITED
        else ""
    )


def _identifier(role: OwnRole) -> str:
    return identifier(role.name)


def _grant(granted: str, role: OwnRole, holds: Holds, answer: Answer) -> str:
    if holds is not Holds.NOT_INHERITED:
        return f"grant {granted} to {_identifier(role)};"
    if answer.version_num >= 160_000:
        return f"grant {granted} to {_identifier(role)} with inherit true;"
    return f"alter role {_identifier(role)} inherit;"


# --- Slots -------------------------------------------------------------------------


def _of_slots(answer: Answer, slots: Slots, needed: int) -> Iterator[Finding]:
    role = answer.role
    if not role.is_superuser:
        yield from _of_reserved(answer, slots)
    yield from _of_limits(role, slots, answer, needed)
    if slots.others:
        yield from _of_others(role, slots.others)


def _of_reserved(answer: Answer, slots: Slots) -> Iterator[Finding]:
    reserves = answer.role.reserves
    if slots.reserved is None or reserves is Holds.NO_SUCH_ROLE:
        return
    if reserves is Holds.YES and slots.reserved == 0:
        yield warning(
            "pg_use_reserved_connections is granted, but has no effect while reserved_connections"
            " is 0; after the change, restart the server",
            "alter system set reserved_connections = 8;",
        )
    elif reserves is Holds.YES:
        yield ok(
            f"{count(slots.reserved, 'slot is', 'slots are')} reserved, and its role can use them"
        )
    elif slots.reserved > 0:
        yield warning(
            f"{count(slots.reserved, 'slot is', 'slots are')} reserved, but its role can't use"
            " them: if the server is full, the bot can't connect",
            _grant("pg_use_reserved_connections", answer.role, reserves, answer),
        )


def _of_limits(role: OwnRole, slots: Slots, answer: Answer, needed: int) -> Iterator[Finding]:
    """Whether there is room for the bot's connections; it may already hold some of them."""
    if role.is_superuser:
        yield from _of_room("the server", slots.maximum, slots.taken, slots.own, needed)
        return
    if 0 <= slots.role_limit < needed:
        yield failure(
            f"its role {name(role.name)} has a limit of {count(slots.role_limit, 'connection')},"
            f" but the bot opens {needed}",
            f"alter role {_identifier(role)} connection limit {needed * 2};",
        )
    elif slots.role_limit >= 0:
        used = slots.own + sum(slots.others.values())
        yield from _of_room("its role", slots.role_limit, used, slots.own, needed)
    if slots.database_limit >= 0:
        yield from _of_room(
            f"the database {name(answer.database)}",
            slots.database_limit,
            slots.database_used,
            slots.own,
            needed,
        )
    open_to_it = slots.maximum - slots.superuser_reserved
    if role.reserves is not Holds.YES:
        open_to_it -= slots.reserved or 0
    yield from _of_room("the server", open_to_it, slots.taken, slots.own, needed)
    if slots.logging_in:
        one = slots.logging_in == 1
        clients = "1 client is" if one else f"{slots.logging_in} clients are"
        yield ok(
            f"{clients} logging in, and already {'holds' if one else 'hold'} a connection slot"
        )


def _of_room(of: str, limit: int, used: int, own: int, needed: int) -> Iterator[Finding]:
    left = max(0, limit - used)
    if left + own < needed:
        yield warning(
            f"{of} has {count(left, 'connection')} left of {limit}, but the bot opens {needed}"
        )
    else:
        yield ok(f"{of} has {count(left, 'connection')} left of {limit}; the bot opens {needed}")


def _of_others(role: OwnRole, others: Mapping[str, int]) -> Iterator[Finding]:
    named = some(
        f"{name(application) or 'without a name'} ({number})"
        for application, number in sorted(others.items())
    )
    yield warning(
        f"other software connects as {name(role.name)} too: {named}. The bot never ends a session"
        " of its own role, so give it a role that nothing else uses"
    )


# --- All clusters ------------------------------------------------------------------


def needed(clusters: Sequence[ClusterFacts], ledger: LedgerFacts) -> dict[str, int]:
    """How many connections the bot opens to each cluster's server as its role there."""
    held: dict[object, int] = defaultdict(int)
    for cluster in clusters:
        held[_seat(cluster)] += cluster.holds
    for cluster in clusters:
        answer = cluster.answer
        home = ledger.home
        if (
            isinstance(answer, Answer)
            and answer.id is not None
            and home is not None
            and (home.system_identifier, home.usesysid)
            == (answer.id.system_identifier, answer.role.oid)
            and not answer.is_standby
        ):
            held[_seat(cluster)] += ledger.holds
            break
    return {cluster.name: held[_seat(cluster)] for cluster in clusters}


def _seat(cluster: ClusterFacts) -> object:
    """The server and the role whose slots a cluster's connections use."""
    answer = cluster.answer
    if isinstance(answer, Untold) or answer.id is None:
        return cluster.name
    return (answer.id, answer.role.oid)


def of_all(clusters: Sequence[ClusterFacts]) -> Section:
    """What shows only in all clusters together."""
    answers = [(each.name, each.answer) for each in clusters if isinstance(each.answer, Answer)]
    return Section("all clusters", tuple(_of_twins(answers)))


def _of_twins(answers: Sequence[tuple[str, Answer]]) -> Iterator[Finding]:
    systems: dict[int, list[tuple[str, Answer]]] = defaultdict(list)
    for cluster, answer in answers:
        if answer.id is not None:
            systems[answer.id.system_identifier].append((cluster, answer))
    for same_system in systems.values():
        servers: dict[object, list[str]] = defaultdict(list)
        for cluster, answer in same_system:
            servers[answer.id].append(cluster)
        for names in servers.values():
            if len(names) > 1:
                yield warning(
                    f"{some(names)} are the same server under {len(names)} names. A cluster"
                    " is a server, whatever database its URL names"
                )
        if len(servers) > 1:
            kinds = (
                f"{names[0]} ({'standby' if _is_standby(names[0], same_system) else 'primary'})"
                for names in servers.values()
            )
            yield ok(
                f"{some(kinds)} are copies of each other: they have the same system identifier"
            )


def _is_standby(cluster: str, answers: Sequence[tuple[str, Answer]]) -> bool:
    return bool(dict(answers)[cluster].is_standby)
