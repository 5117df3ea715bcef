"""The errors that can end a request.

An expected result of an action (a target that is gone, a preview that has expired) is a return
value, not an error. These are for a request that can't continue::

    BotError
    ├── UsageError          the typed text can't be understood; only its author sees this
    ├── TargetError         the text is clear, but no such cluster or database exists
    ├── NotAllowed          the person lacks the right on that cluster
    ├── ClusterError        one PostgreSQL server is in trouble
    │   ├── ClusterDown     no connection to it
    │   │   ├── NotSent     ... and so this statement was never sent
    │   │   └── TwoServers  readings that belong together came from two servers
    │   ├── ClusterTimeout  connected, but no reply in time
    │   ├── ClusterRefused  it replied with an error
    │   └── NoSample        the past was asked about, and no sample has it
    ├── LedgerError         the record can't be read or written
    ├── SlackDown           Slack can't be reached when the bot starts
    ├── Unsaid              Slack didn't take what the bot says unasked
    └── SettingsError       the bot can't start with its settings

Any other exception is a defect: the person gets a reference that is also in the log.
"""

NO_WORKSPACE = (
    "the app is installed for a whole organization, but added to none of its workspaces: add it to"
    " one, in the organization's settings"
)
"""What is wrong with such a token; the bot doesn't start with one."""


WORKSPACES_UNTOLD = (
    "the app is installed for a whole organization, but can't learn to which workspaces it was"
    " added: {why}. Install it in one workspace instead"
)
"""The same, if `auth.teams.list` is refused."""


class BotError(Exception):
    """Base of everything that the bot raises on purpose."""


class UsageError(BotError):
    """The text of a command can't be understood.

    Attributes:
        word: the word at fault, as typed (the client's text: never markup).
        problem: what is wrong with it, in our own words.
        nearest: the valid words closest to it, best first; may be empty.
    """

    def __init__(self, word: str, problem: str, nearest: tuple[str, ...] = ()) -> None:
        super().__init__(f"`{word}`: {problem}" if word else problem)
        self.word = word
        self.problem = problem
        self.nearest = nearest


class TargetError(BotError):
    """A typed name belongs to no cluster, database, role or session.

    Attributes:
        name: the name as typed (the client's text: never markup).
        problem: what is wrong with it, in our own words.
        nearest: similar names that exist, best first; may be empty.
    """

    def __init__(self, name: str, problem: str, nearest: tuple[str, ...] = ()) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name
        self.problem = problem
        self.nearest = nearest


class NotAllowed(BotError):  # noqa: N818  nothing is wrong with the request
    """The person does not hold the required right on that cluster.

    Attributes:
        right: a `bot.domain.people.Right`.
        cluster: the name that the settings give it.
    """

    def __init__(self, right: str, cluster: str) -> None:
        super().__init__(f"{cluster}: not in {right}")
        self.right = right
        self.cluster = cluster


class ClusterError(BotError):
    """One PostgreSQL server is in trouble.

    Attributes:
        cluster: its name in the settings.
        problem: what happened, in words fit for a channel: no address, no secret.
    """

    def __init__(self, cluster: str, problem: str) -> None:
        super().__init__(f"{cluster}: {problem}")
        self.cluster = cluster
        self.problem = problem


class ClusterDown(ClusterError):  # noqa: N818  a state of the cluster, not an "…Error"
    """There is no connection to the server."""


class NotSent(ClusterDown):
    """No connection took the statement, so nothing of it reached the server."""


class TwoServers(ClusterDown):
    """Readings that belong together came from two servers, so none of them can be used."""

    def __init__(self, cluster: str) -> None:
        super().__init__(
            cluster,
            "its address leads to more than one server (it may just be moving to another), or the"
            " server was just restarted",
        )


class ClusterTimeout(ClusterError):  # noqa: N818
    """The server is connected but did not reply in time."""


class ClusterRefused(ClusterError):  # noqa: N818
    """The server replied with an error."""


class NoSample(ClusterError):  # noqa: N818
    """There is no sample of the server from then."""


class LedgerError(BotError):
    """The record of kills can't be read or written."""


class OtherVersion(LedgerError):  # noqa: N818  it says what the record is
    """Another version of the bot made the record, and this one can't understand it."""


class SlackDown(BotError):  # noqa: N818
    """Slack can't be reached, or fails; the settings may be right."""


class SettingsError(BotError):
    """The settings don't let the bot start.

    Attributes:
        problems: one line for each error; each names its variable and contains no secret.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Unsaid(BotError):  # noqa: N818  what happened to the words
    """Slack didn't take what the bot says unasked, or may have taken it without saying so.

    Attributes:
        why: Slack's code, or a name for the failure.
        surely: whether it was certainly not posted.
        lost: whether the message that it is about is gone for good.
        retry_after: the seconds that Slack asks to wait; 0 if it asks for none.
    """

    def __init__(
        self, why: str, *, surely: bool, lost: bool = False, retry_after: float = 0.0
    ) -> None:
        super().__init__(why)
        self.why = why
        self.surely = surely
        self.lost = lost
        self.retry_after = retry_after
