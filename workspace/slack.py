"""The whole workspace: start it, pass its settings to the app, let its people use it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Self

from workspace.clock import Clock
from workspace.faults import Faults
from workspace.http_mode import HttpMode
from workspace.interactions import Interactions
from workspace.people import PATIENCE, NotSeen, Person
from workspace.responses import Responses
from workspace.server import Server
from workspace.state import ApiCall, App, Channel, Message, State, Team, User, UserGroup

OWN = Team("T0ACME", "acme", "Acme")
FOREIGN = Team("T0GLOBEX", "globex", "Globex")
SISTER = Team("T0ACMELABS", "acme-labs", "Acme Labs", "E0ACME")


class Workspace:
    """A Slack workspace on loopback between `async with` and its end.

    The cast: `ana` and `ben` are operators, in the group `oncall`; `vera` may look; `sam` may do
    nothing; `gus` is a guest; `olga` belongs to another workspace and is only in the channel
    `shared`. Channels: `incidents` (public, with the bot), `random` (public, without it),
    `war-room` (private, with it), `secret` (private, without it), `shared` (with the other
    workspace), `announcements` (public, with the bot; only `ana` may post). The group `old` is
    disabled. `ana-ben` is a direct message without the bot, `mpdm-ana--ben--vera-1` one between
    three; everyone's own with the bot is called `bot`.
    """

    def __init__(self, *, request_url: str | None = None, app: App | None = None) -> None:
        self.clock = Clock()
        self.state = State(self.clock, OWN, app or App())
        self.faults = Faults(lambda f: self.state.log.append("faults_changed", f.in_force()))
        responses = Responses(self.state, self.faults)
        self.server = Server(self.state, self.faults, responses)
        self.interactions = Interactions(self.state, self.faults, responses)
        self._http = HttpMode(self.state, request_url) if request_url else None
        self._people: dict[str, Person] = {}
        _settle(self.state)

    async def __aenter__(self) -> Self:
        await self.server.start()
        self.interactions.use(self._http or self.server.sockets, self.server.base_url)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.interactions.close()
        if self._http is not None:
            await self._http.close()
        await self.server.close()

    def form_enterprise(self) -> None:
        """Make the workspace one of two in an enterprise.

        `uma` belongs to the other one, and is in the channel `org`, which both can read.
        """
        state = self.state
        state.put_team(replace(state.team, enterprise_id=SISTER.enterprise_id))
        state.put_team(SISTER)
        uma = User(id="U0UMA", team_id=SISTER.id, name="uma", real_name="Uma Umbra")
        state.put_user(uma)
        members = frozenset({"U0ANA", "U0BEN", uma.id, state.app.user_id})
        state.put_channel(
            Channel(
                id="C0ORG",
                name="org",
                kind="public",
                members=members,
                org_team_ids=(SISTER.id,),
            )
        )

    def install_for_the_organization(self, *team_ids: str) -> None:
        """Install the app for the whole enterprise, added to these of its two workspaces."""
        self.form_enterprise()
        self.state.granted_to = team_ids

    # What an app is configured with

    @property
    def api_url(self) -> str:
        """The base of the Web API; it ends in `/api/`."""
        return self.server.api_url

    @property
    def bot_token(self) -> str:
        return self.state.app.bot_token

    @property
    def app_token(self) -> str:
        return self.state.app.app_token

    @property
    def signing_secret(self) -> str:
        return self.state.app.signing_secret

    @property
    def env(self) -> dict[str, str]:
        """The environment of an app in Socket Mode."""
        return {
            "SLACK_API_URL": self.api_url,
            "SLACK_BOT_TOKEN": self.bot_token,
            "SLACK_APP_TOKEN": self.app_token,
        }

    # Whom and what a test names

    def person(self, name: str) -> Person:
        if name not in self._people:
            self._people[name] = Person(self.state, self.interactions, self.user(name).id)
        return self._people[name]

    def people(self, *names: str) -> Iterator[Person]:
        """Several at once: `ana, ben = slack.people("ana", "ben")`."""
        return (self.person(name) for name in names)

    def user(self, name: str) -> User:
        return next(user for user in self.state.users.values() if user.name == name)

    def channel(self, name: str) -> Channel:
        return next(each for each in self.state.channels.values() if each.name == name)

    def group(self, handle: str) -> UserGroup:
        return next(each for each in self.state.groups.values() if each.handle == handle)

    def messages(self, channel: str) -> list[Message]:
        """Every message of a channel, including everyone's ephemeral ones."""
        return list(self.state.messages(self.channel(channel).id))

    def calls(self, method: str | None = None) -> list[ApiCall]:
        """The calls that the app has made, all or those to one method."""
        return self.state.calls(method)

    async def connected(self, connections: int = 1, seconds: float = PATIENCE) -> None:
        """Wait until the app holds this many connections."""
        sockets = self.server.sockets
        if not await self.state.log.until(lambda: len(sockets) >= connections, seconds):
            raise NotSeen(f"{len(sockets)} connections are open, not {connections}")

    async def called(self, method: str, times: int = 1, seconds: float = PATIENCE) -> list[ApiCall]:
        """Wait until a method has been called this often, and return its calls."""
        if not await self.state.log.until(lambda: len(self.calls(method)) >= times, seconds):
            raise NotSeen(f"{method} was called {len(self.calls(method))} times, not {times}")
        return self.calls(method)


def _settle(state: State) -> None:
    """Create the cast."""
    state.teams[FOREIGN.id] = FOREIGN
    bot = state.app.user_id
    for name, real_name in (
        ("ana", "Ana Alvarez"),
        ("ben", "Ben Baker"),
        ("vera", "Vera Vogel"),
        ("sam", "Sam Stone"),
    ):
        state.put_user(User(id=f"U0{name.upper()}", team_id=OWN.id, name=name, real_name=real_name))
    state.put_user(
        User(id="U0GUS", team_id=OWN.id, name="gus", real_name="Gus Gray", is_restricted=True)
    )
    state.put_user(User(id="U0OLGA", team_id=FOREIGN.id, name="olga", real_name="Olga Orlova"))
    state.put_group(
        UserGroup(id="S0ONCALL", handle="oncall", name="On call", users=("U0ANA", "U0BEN"))
    )
    state.put_group(
        UserGroup(id="S0OLD", handle="old", name="Old", users=("U0SAM",), enabled=False)
    )
    own = frozenset({"U0ANA", "U0BEN", "U0VERA", "U0SAM"})
    for channel in (
        Channel(id="C0INCIDENTS", name="incidents", kind="public", members=own | {"U0GUS", bot}),
        Channel(id="C0RANDOM", name="random", kind="public", members=own),
        Channel(id="C0WARROOM", name="war-room", kind="private", members=own | {bot}),
        Channel(id="C0SECRET", name="secret", kind="private", members=frozenset({"U0ANA"})),
        Channel(
            id="C0SHARED",
            name="shared",
            kind="public",
            members=own | {"U0OLGA", bot},
            connected_team_ids=(FOREIGN.id,),
        ),
        Channel(
            id="C0ANNOUNCE",
            name="announcements",
            kind="public",
            members=own | {bot},
            posters=frozenset({"U0ANA"}),
        ),
        Channel(id="D0ANABEN", name="ana-ben", kind="im", members=frozenset({"U0ANA", "U0BEN"})),
        Channel(
            id="G0ANABENVERA",
            name="mpdm-ana--ben--vera-1",
            kind="mpim",
            members=frozenset({"U0ANA", "U0BEN", "U0VERA"}),
        ),
    ):
        state.put_channel(channel)
    state.direct_message("U0ANA")
