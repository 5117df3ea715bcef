"""Sessions through a pooler, as looks and previews mark them."""

from ipaddress import ip_network

from bot.domain.shown import Poolers
from bot.grammar.parser import read_sessions
from bot.grammar.requests import SessionsRequest, WhyRequest
from bot.operations.results import Gone, Inspection
from bot.operations.results import Sessions as Shown
from tests.integration.conftest import Bench, Sessions
from tests.integration.kills import ANA, CHANNEL, preview


async def test_looks_and_previews_mark_sessions_through_a_pooler(
    bench: Bench, sessions: Sessions
) -> None:
    by_name, other = [
        (await sessions.open("web", "other_db", app=app)).get_server_pid()
        for app in ("pgbouncer", "behind")
    ]
    request = read_sessions("other_db")
    assert isinstance(request, SessionsRequest)

    async def marked(ops) -> frozenset[int]:
        found = await ops.look(ANA, CHANNEL, request)
        assert isinstance(found, Shown)
        return found.look.through_pooler

    by_address = bench(poolers=Poolers((ip_network("127.0.0.0/8"),)))
    assert await marked(bench()) == {by_name}
    assert await marked(by_address) == {by_name, other}
    assert (await preview(bench(), "other_db app=behind")).through_pooler == frozenset()
    shown = await preview(by_address, "other_db app=behind")
    assert shown.through_pooler == {other}
    inspected: Inspection | Gone = await by_address.inspect(
        ANA, CHANNEL, cluster_name="main", backend_id=shown.proposal.targets[0].id
    )
    assert isinstance(inspected, Inspection)
    assert inspected.through_pooler
    asked = read_sessions(f"why main/ {other}")
    assert isinstance(asked, WhyRequest)
    (diagnosis,) = (await by_address.why(ANA, CHANNEL, asked)).diagnoses
    assert diagnosis.survey.look.through_pooler >= {by_name, other}
