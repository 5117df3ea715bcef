"""Sessions whose client is a connection pooler: the server sees the pooler, not who is behind it.

Pure.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from bot.domain.sessions import Backend

_NAMED: Final = re.compile(
    r"(?:pgbouncer|pgcat|odyssey|pgpool|supavisor|pgagroal)(?:[ /:0-9].*+)?", re.IGNORECASE
)
"""The `application_name` of a pooler's own connections; its version may follow."""


@dataclass(frozen=True, slots=True)
class Poolers:
    """The addresses that the settings name."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def serve(self, backend: Backend) -> bool:
        """Whether a session's client is a pooler, by its address or its application_name."""
        address = backend.client_addr
        if address is not None and any(address in network for network in self.networks):
            return True
        return _NAMED.fullmatch(backend.application_name or "") is not None
