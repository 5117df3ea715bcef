"""The story, alive on PostgreSQL: who is connected, the login that fails, the faults, the guide."""

from workspace.scenario.scenario import Scenario

__all__ = ["Scenario"]
