from ipaddress import ip_address, ip_network

import pytest

from bot.domain.poolers import Poolers
from tests.unit.builders import backend

POOLERS = Poolers((ip_network("10.1.0.0/16"), ip_network("10.0.0.5"), ip_network("2001:db8::/32")))


@pytest.mark.parametrize(
    ("address", "application", "serves"),
    [
        ("10.0.0.5", "web", True),
        ("10.1.2.3", "web", True),
        ("2001:db8::1", "web", True),
        ("10.0.0.6", "web", False),
        ("::1", "web", False),
        (None, "web", False),
        (None, "PgBouncer", True),
        ("10.0.0.6", "pgcat", True),
        ("10.0.0.6", "odyssey 1.3", True),
        ("10.0.0.6", "odyssey-web", False),
        ("10.0.0.6", "not pgbouncer", False),
        ("10.0.0.6", None, False),
    ],
)
def test_a_pooler_is_known_by_its_address_or_its_name(address, application, serves):
    client = None if address is None else ip_address(address)
    seen = backend(client_addr=client, application_name=application)
    assert POOLERS.serve(seen) is serves
