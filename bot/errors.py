"""The errors that a request can end in.

An expected result of an action (a target that is gone, a preview that has expired) is a
return value, not an error. These are for a request that can't go on::

    BotError
    ├── UsageError          what was typed can't be understood; shown to who typed it
    ├── TargetError         what was typed is clear, but no cluster or database answers to it
    ├── ClusterError        one PostgreSQL server is in trouble
    │   ├── ClusterDown     no connection to it
    │   │   ├── NotSent     ... and so the statement at hand never left
    │   │   └── TwoServers  what belongs together came from two servers
    │   ├── ClusterTimeout  connected, and no reply in time
    │   └── ClusterRefused  it answered, with a refusal
    ├── LedgerError         the record can't be read or written
    ├── SlackDown           Slack can't be reached when the bot starts
    └── SettingsError       the bot can't start as it is configured

What is none of these is a defect: the person gets a reference id that the log has too.
"""


class BotError(Exception):
    """Base of everything that the bot raises on purpose."""


class UsageError(BotError):
    """The text of a command can't be understood.

    Attributes:
        word: the word at fault, as it was typed (the client's text: never markup).
        problem: what is wrong with it, in words of our own.
        nearest: the valid words nearest to it, best first; may be empty.
    """

    def __init__(self, word: str, problem: str, nearest: tuple[str, ...] = ()) -> None:
        super().__init__(f"`{word}`: {problem}" if word else problem)
        self.word = word
        self.problem = problem
        self.nearest = nearest


class TargetError(BotError):
    """No cluster, database, role or session answers to a name that was typed.

    Attributes:
        name: the name as it was typed (the client's text: never markup).
        problem: what is wrong with it, in words of our own.
        nearest: names that exist and are near to it, best first; may be empty.
    """

    def __init__(self, name: str, problem: str, nearest: tuple[str, ...] = ()) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name
        self.problem = problem
        self.nearest = nearest


class ClusterError(BotError):
    """One PostgreSQL server is in trouble.

    Attributes:
        cluster: the name that the settings give it.
        problem: what happened, in words fit for a channel: no address, no secret.
    """

    def __init__(self, cluster: str, problem: str) -> None:
        super().__init__(f"{cluster}: {problem}")
        self.cluster = cluster
        self.problem = problem


class ClusterDown(ClusterError):  # noqa: N818  a state of the cluster, not an "…Error"
    """There is no connection to the server."""


class NotSent(ClusterDown):
    """No connection took the statement: nothing of it reached the server."""


class TwoServers(ClusterDown):
    """What belongs together came from two servers: nothing of it can be used."""

    def __init__(self, cluster: str) -> None:
        super().__init__(
            cluster, "its address leads to more than one server (it may just be moving to another)"
        )


class ClusterTimeout(ClusterError):  # noqa: N818
    """The server was connected and did not reply in time."""


class ClusterRefused(ClusterError):  # noqa: N818
    """The server answered with an error of its own."""


class LedgerError(BotError):
    """The record of kills can't be read or written."""


class OtherVersion(LedgerError):  # noqa: N818  it says what the record is
    """What is on record is of another version of the bot, and is not understood by this one."""


class SlackDown(BotError):  # noqa: N818
    """Slack can't be reached, or fails by itself; nothing is wrong with the settings."""


class SettingsError(BotError):
    """The environment does not describe a bot that may start.

    Attributes:
        problems: one line for each error, each naming its variable and no secret.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
