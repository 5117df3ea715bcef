"""A Slack workspace on loopback, for tests and for the demo. It refuses what Slack refuses."""

from workspace.people import NotSeen, Person
from workspace.slack import Workspace

__all__ = ["NotSeen", "Person", "Workspace"]
