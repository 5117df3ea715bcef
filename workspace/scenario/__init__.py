"""The story on a live PostgreSQL: who is connected, the failing login, the faults, the guide."""

from workspace.scenario.scenario import Scenario

__all__ = ["Scenario"]
