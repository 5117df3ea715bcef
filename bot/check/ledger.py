"""What the facts about the ledger mean. If it can't be written, nothing is signalled."""

import shlex
from collections.abc import Iterator, Sequence

from bot.check.facts import Answer, ClusterFacts, LedgerFacts
from bot.check.findings import Finding, Section, count, failure, of_url, ok, some, warning
from bot.domain.record import IDENTITY_SHOWN


def of_ledger(facts: LedgerFacts, clusters: Sequence[ClusterFacts]) -> Section:
    return Section("ledger", tuple(_of_ledger(facts, clusters)))


def _of_ledger(facts: LedgerFacts, clusters: Sequence[ClusterFacts]) -> Iterator[Finding]:
    where = f"{facts.kind}, {facts.place}"
    if facts.identity:
        where += f", identity {facts.identity[:IDENTITY_SHOWN]}"
    if facts.problem is not None:
        yield failure(f"{where}: {facts.problem}. Without a ledger the bot ends no session")
        return
    if facts.version == 0:
        yield ok(f"{where}: not created yet; the bot can create it when it starts")
    elif facts.version is not None and facts.version < facts.known_version:
        yield ok(
            f"{where}: writable; the bot migrates it from schema version {facts.version}"
            f" to {facts.known_version} when it starts"
        )
    else:
        yield ok(f"{where}: writable, schema version {facts.version}")
    yield from of_url(facts.left_out)
    if facts.is_open_to_others:
        yield warning(
            "everyone on this machine can read the file; the bot changes that when it starts",
            f"chmod 600 {shlex.quote(facts.place)}",
        )
    if not facts.is_local and facts.is_encrypted is False:
        yield warning("the connection is not encrypted: add sslmode=verify-full to LEDGER_URL")
    if 0 <= facts.connection_limit < facts.holds:
        yield failure(
            f"its role has a limit of {count(facts.connection_limit, 'connection')}, but the bot"
            f" opens {facts.holds} to the ledger"
        )
    yield from _of_home(facts, clusters)


def _of_home(facts: LedgerFacts, clusters: Sequence[ClusterFacts]) -> Iterator[Finding]:
    if facts.home is None:
        return
    watched = [
        cluster.name
        for cluster in clusters
        if isinstance(cluster.answer, Answer)
        and cluster.answer.id is not None
        and cluster.answer.id.system_identifier == facts.home.system_identifier
    ]
    if watched:
        yield warning(
            f"it is on a cluster that the bot watches ({some(watched)}): if that cluster is down,"
            " the bot can't record anything, so it ends nothing. Move the ledger elsewhere"
        )
