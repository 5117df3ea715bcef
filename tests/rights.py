"""Who may do what, for tests that need somebody who may."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.domain.people import Allowlist, Allowlists, Reach, Right, Rights


@dataclass(frozen=True, slots=True)
class _Everywhere(Reach):
    def may(self, right: Right, cluster: str) -> bool:
        del right, cluster
        return True


EVERYWHERE = _Everywhere()
"""Of somebody who may do everything, on whatever clusters there are."""


def rights(
    general: Mapping[Right, Allowlist],
    *,
    clusters: tuple[str, ...] = ("main",),
    of: Mapping[Right, Mapping[str, Allowlist]] | None = None,
) -> Rights:
    """The general lists; `of` has those of single clusters."""
    lists = {
        right: Allowlists(general.get(right, Allowlist()), (of or {}).get(right, {}))
        for right in Right
    }
    return Rights(clusters, lists)
