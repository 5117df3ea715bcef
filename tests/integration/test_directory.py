"""What the bot knows of Slack's people, groups and channels, and for how long."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.kills import Actor
from bot.domain.people import Allowlist, Right, may
from bot.slack.api_errors import Client
from bot.slack.directory import CHANNEL_FRESH, GOOD_FOR, Directory
from bot.slack.objects import Identity
from bot.slack.views.errors import Obstacle
from workspace import Workspace


@dataclass
class HandClock:
    """A clock that a test moves."""

    seconds: float = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
async def slack() -> AsyncIterator[Workspace]:
    async with Workspace() as workspace:
        yield workspace


@pytest.fixture
async def client(slack: Workspace) -> AsyncIterator[AsyncWebClient]:
    async with aiohttp.ClientSession() as session:
        yield Client(
            token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[]
        )


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def directory(client: AsyncWebClient, clock: HandClock) -> Callable[..., Directory]:
    def build(
        kill: Allowlist = Allowlist(),  # noqa: B008
        look: Allowlist = Allowlist(),  # noqa: B008
        enterprise_id: str = "",
    ) -> Directory:
        lists = {Right.KILL: kill, Right.LOOK: look}
        return Directory(client, Identity("T0ACME", enterprise_id), lists, clock)

    return build


async def allowed(directory: Directory, right: Right, actor: Actor) -> bool:
    return may(right, await directory.person(right, actor), directory.lists)


ANA, SAM, GUS = (Actor(f"U0{name}", "T0ACME") for name in ("ANA", "SAM", "GUS"))
EVERYONE = Allowlist(everyone=True)
ON_CALL = Allowlist(groups=frozenset({"S0ONCALL"}))


async def test_when_slack_fails_the_last_answer_is_good_for_fifteen_minutes_then_denies(
    slack: Workspace, directory: Callable[..., Directory], clock: HandClock
) -> None:
    known = directory(ON_CALL)
    await known.refresh_groups()
    assert await allowed(known, Right.KILL, ANA)

    slack.faults.fail("usergroups.users.list", times=100)
    clock.seconds = GOOD_FOR
    await known.refresh_groups()
    assert await allowed(known, Right.KILL, ANA)
    clock.seconds = GOOD_FOR + 1
    await known.refresh_groups()
    assert not await allowed(known, Right.KILL, ANA)

    slack.faults.clear()
    await known.refresh_groups()
    assert await allowed(known, Right.KILL, ANA)


async def test_who_leaves_a_group_loses_the_right_at_the_next_reading(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    known = directory(ON_CALL)
    await known.refresh_groups()
    slack.state.put_group(replace(slack.group("oncall"), users=("U0BEN",)))
    assert await allowed(known, Right.KILL, ANA)
    await known.refresh_groups()
    assert not await allowed(known, Right.KILL, ANA)


@pytest.mark.parametrize("group", ["S0OLD", "S0NOBODY"])
async def test_a_disabled_or_unknown_group_is_empty(
    directory: Callable[..., Directory], group: str
) -> None:
    known = directory(Allowlist(groups=frozenset({group})))
    await known.refresh_groups()
    assert not await allowed(known, Right.KILL, SAM)


async def test_a_group_that_is_disabled_while_the_bot_runs_is_empty_at_once(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    known = directory(ON_CALL)
    await known.refresh_groups()
    slack.state.put_group(replace(slack.group("oncall"), enabled=False))
    await known.refresh_groups()
    assert not await allowed(known, Right.KILL, ANA)


async def test_where_slack_does_not_say_who_is_a_guest_everyone_is_nobody(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    known = directory(look=Allowlist(everyone=True))
    slack.faults.fail("users.info", times=2)
    assert not await allowed(known, Right.LOOK, SAM)
    assert await allowed(known, Right.LOOK, SAM)
    assert not await allowed(known, Right.LOOK, GUS)


async def test_people_without_a_workspace_or_of_another_are_strangers(
    directory: Callable[..., Directory],
) -> None:
    known = directory(Allowlist(users=frozenset({"U0ANA", "U0OLGA"})))
    for stranger in (("U0OLGA", "T0OTHER"), ("U0OLGA", ""), ("U0NOBODY", ""), ("", "T0ACME")):
        assert not await allowed(known, Right.KILL, Actor(*stranger))
    # Where the payload does not say it, Slack is asked.
    assert await allowed(known, Right.KILL, Actor("U0ANA", ""))
    assert await allowed(known, Right.KILL, ANA)


async def test_a_question_whose_answer_is_lost_is_asked_once_more(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    known = directory(look=Allowlist(everyone=True))
    slack.faults.drop("users.info")
    assert await allowed(known, Right.LOOK, SAM)
    slack.faults.drop("conversations.info")
    assert await known.obstacle("C0INCIDENTS", afresh=True) is None


@pytest.mark.parametrize(
    "path", ["user", "user.is_restricted", "user.is_ultra_restricted", "user.is_bot"]
)
async def test_whom_slack_describes_in_part_is_not_everyone(
    slack: Workspace, directory: Callable[..., Directory], path: str
) -> None:
    known = directory(look=Allowlist(everyone=True))
    slack.faults.leave_out("users.info", path, times=100)
    assert not await allowed(known, Right.LOOK, SAM)
    assert not await allowed(known, Right.LOOK, Actor(SAM.user_id, ""))


async def test_an_answer_without_the_person_is_not_remembered(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    known = directory(look=Allowlist(everyone=True))
    slack.faults.leave_out("users.info", "user")
    assert not await allowed(known, Right.LOOK, SAM)
    assert await allowed(known, Right.LOOK, SAM)


async def test_an_answer_without_the_members_leaves_those_that_were_known(
    slack: Workspace, directory: Callable[..., Directory], clock: HandClock
) -> None:
    known = directory(ON_CALL)
    await known.refresh_groups()
    slack.faults.leave_out("usergroups.users.list", "users", times=100)
    clock.seconds = GOOD_FOR
    await known.refresh_groups()
    assert await allowed(known, Right.KILL, ANA)
    clock.seconds = GOOD_FOR + 1
    await known.refresh_groups()
    assert not await allowed(known, Right.KILL, ANA)


async def test_on_enterprise_grid_named_people_of_a_sister_workspace_count(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    slack.form_enterprise()
    uma, olga = Actor("U0UMA", "T0ACMELABS"), Actor("U0OLGA", "T0GLOBEX")
    named = Allowlist(users=frozenset({"U0UMA", "U0OLGA"}))
    grid = directory(named, Allowlist(everyone=True), enterprise_id="E0ACME")
    for right in Right:
        assert await allowed(grid, right, uma)
        assert not await allowed(grid, right, olga)
    # `*` is the bot's own workspace, on Enterprise Grid too.
    star = directory(look=Allowlist(everyone=True), enterprise_id="E0ACME")
    assert not await allowed(star, Right.LOOK, uma)
    assert await allowed(star, Right.LOOK, SAM)
    # A bot that belongs to no enterprise takes nobody for its own by one.
    assert not await allowed(directory(named), Right.KILL, uma)


async def test_whom_slack_does_not_name_is_nobody(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    slack.form_enterprise()
    known = directory(Allowlist(users=frozenset({"U0UMA"})), enterprise_id="E0ACME")
    slack.faults.refuse("users.info", "user_not_found")
    person = await known.person(Right.KILL, Actor("U0UMA", "T0ACMELABS"))
    assert person.home is None
    assert not may(Right.KILL, person, known.lists)


async def test_what_slack_says_of_channels(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    slack.form_enterprise()
    slack.state.join("G0ANABENVERA", slack.state.app.user_id)
    slack.state.set_scopes(*slack.state.scopes, "mpim:read")
    pending = replace(slack.channel("random"), is_pending_ext_shared=True)
    slack.state.put_channel(pending)
    known = directory()
    for channel_id, expected in {
        "C0INCIDENTS": None,
        "C0WARROOM": None,
        "C0ORG": None,  # read by the same enterprise only
        "C0SHARED": Obstacle.SHARED,
        "C0RANDOM": Obstacle.SHARED,
        "G0ANABENVERA": Obstacle.DIRECT,
        "C0SECRET": Obstacle.NOT_SEEN,
        "C0NOWHERE": Obstacle.NOT_SEEN,
    }.items():
        assert await known.obstacle(channel_id, afresh=False) is expected
    slack.state.set_scopes("channels:read")
    assert await known.obstacle("C0WARROOM", afresh=True) is Obstacle.NO_SCOPE


@pytest.mark.parametrize("path", ["channel", "channel.is_ext_shared"])
async def test_an_answer_that_does_not_say_is_no_answer(
    slack: Workspace, directory: Callable[..., Directory], path: str
) -> None:
    known = directory()
    slack.faults.leave_out("conversations.info", path)
    assert await known.obstacle("C0INCIDENTS", afresh=False) is Obstacle.NOT_TOLD
    assert await known.obstacle("C0INCIDENTS", afresh=False) is None


async def test_a_channel_is_remembered_for_a_look_and_asked_about_for_a_kill(
    slack: Workspace, directory: Callable[..., Directory], clock: HandClock
) -> None:
    known = directory()
    incidents = slack.channel("incidents")
    assert await known.obstacle(incidents.id, afresh=False) is None
    slack.state.put_channel(replace(incidents, connected_team_ids=("T0GLOBEX",)))
    clock.seconds = CHANNEL_FRESH
    assert await known.obstacle(incidents.id, afresh=False) is None
    assert await known.obstacle(incidents.id, afresh=True) is Obstacle.SHARED
    # What a kill's question has found, a look knows.
    assert await known.obstacle(incidents.id, afresh=False) is Obstacle.SHARED
    slack.faults.fail("conversations.info", times=2)
    assert await known.obstacle(incidents.id, afresh=True) is Obstacle.NOT_TOLD


async def test_a_channel_is_unknown_again_when_slack_fails_for_long(
    slack: Workspace, directory: Callable[..., Directory], clock: HandClock
) -> None:
    known = directory()
    await known.obstacle("C0INCIDENTS", afresh=False)
    slack.faults.fail("conversations.info", times=100)
    clock.seconds = GOOD_FOR
    assert await known.obstacle("C0INCIDENTS", afresh=False) is None
    assert await known.obstacle("C0INCIDENTS", afresh=True) is Obstacle.NOT_TOLD
    clock.seconds = GOOD_FOR + 1
    assert await known.obstacle("C0INCIDENTS", afresh=False) is Obstacle.NOT_TOLD


async def test_an_answer_that_is_no_json_is_no_answer(client: AsyncWebClient) -> None:
    """A portal's page, say, with a 200 and a text: the SDK by itself trips over it."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="Please log in")

    async def listed(request: web.Request) -> web.Response:
        return web.json_response([1])

    app = web.Application()
    app.router.add_post("/users.info", page)
    app.router.add_post("/conversations.info", listed)
    async with TestServer(app) as server:
        client.base_url = str(server.make_url("/"))
        known = Directory(client, Identity("T0ACME"), dict.fromkeys(Right, EVERYONE), HandClock())
        assert not await allowed(known, Right.LOOK, SAM)
        assert await known.obstacle("C0INCIDENTS", afresh=False) is Obstacle.NOT_TOLD
