"""What the bot knows about Slack's people, groups and channels, and for how long."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.kills import Actor
from bot.domain.people import Allowlist, Right
from bot.slack.api_errors import FAILURES, code_of
from bot.slack.directory import CHANNEL_FRESH, GOOD_FOR, GROUP_FRESH, Directory, ask_by
from bot.slack.objects import Identity
from bot.slack.views.errors import Obstacle
from tests.integration.kills import HandClock
from tests.rights import rights
from workspace import Workspace
from workspace.state import UserGroup


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
        known = rights({Right.KILL: kill, Right.LOOK: look})
        return Directory(client, Identity("T0ACME", enterprise_id), known, clock)

    return build


async def allowed(directory: Directory, right: Right, actor: Actor) -> bool:
    return directory.rights.may(right, await directory.person(right, actor), "main")


ANA, SAM, GUS = (Actor(f"U0{name}", "T0ACME") for name in ("ANA", "SAM", "GUS"))
EVERYONE = Allowlist(everyone=True)
ON_CALL = Allowlist(groups=frozenset({"S0ONCALL"}))


async def test_last_answer_is_valid_for_fifteen_minutes_if_slack_fails(
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


async def test_leaving_a_group_loses_the_right_at_the_next_refresh(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    known = directory(look=ON_CALL)
    await known.refresh_groups()
    slack.state.put_group(replace(slack.group("oncall"), users=("U0BEN",)))
    assert await allowed(known, Right.LOOK, ANA)
    await known.refresh_groups()
    assert not await allowed(known, Right.LOOK, ANA)


@pytest.mark.parametrize(
    "lists", [{"kill": ON_CALL}, {"kill": ON_CALL, "look": Allowlist(users=frozenset({"U0SAM"}))}]
)
async def test_before_a_kill_slack_is_asked_again_who_is_in_the_group(
    slack: Workspace,
    directory: Callable[..., Directory],
    clock: HandClock,
    lists: Mapping[str, Allowlist],
) -> None:
    known = directory(**lists)
    await known.refresh_groups()
    clock.seconds = GROUP_FRESH + 1
    slack.state.put_group(replace(slack.group("oncall"), users=("U0SAM",)))
    asked = [await allowed(known, Right.KILL, actor) for actor in (ANA, SAM)]
    assert asked == [False, True]


async def test_who_has_just_left_the_group_is_let_in_no_more(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    known = directory(ON_CALL)
    await known.refresh_groups()
    assert await allowed(known, Right.KILL, ANA)
    slack.state.put_group(replace(slack.group("oncall"), users=()))
    assert not await allowed(known, Right.KILL, ANA)


async def test_who_is_refused_has_slack_asked_at_most_every_ten_seconds(
    slack: Workspace, directory: Callable[..., Directory], clock: HandClock
) -> None:
    known = directory(ON_CALL)
    await known.refresh_groups()
    before = len(slack.calls("usergroups.users.list"))
    for seconds in range(0, 60, 5):
        clock.seconds = seconds
        assert not await allowed(known, Right.KILL, SAM)
    assert len(slack.calls("usergroups.users.list")) - before <= 6


async def test_before_a_kill_slack_is_asked_about_the_group_of_each_cluster_and_right(
    slack: Workspace, client: AsyncWebClient, clock: HandClock
) -> None:
    """Also of somebody who has a lesser right, or the same one elsewhere, by another group."""
    for name in ("s0dba", "s0prod"):
        slack.state.put_group(UserGroup(id=name.upper(), handle=name, name=name))
    dba, prod = (Allowlist(groups=frozenset({name})) for name in ("S0DBA", "S0PROD"))
    lists = rights(
        {Right.CANCEL: ON_CALL, Right.KILL: dba},
        clusters=("main", "prod"),
        of={Right.CANCEL: {"prod": prod}},
    )
    known = Directory(client, Identity("T0ACME", ""), lists, clock)
    await known.refresh_groups()
    clock.seconds = GROUP_FRESH + 1
    for name in ("s0dba", "s0prod"):
        slack.state.put_group(replace(slack.group(name), users=("U0ANA",)))
    person = await known.person(Right.CANCEL, ANA)
    assert person.groups == {"S0ONCALL", "S0DBA", "S0PROD"}


async def test_a_slow_answer_about_a_group_leaves_time_to_ask_about_the_channel(
    slack: Workspace, directory: Callable[..., Directory], clock: HandClock
) -> None:
    known = directory(ON_CALL)
    await known.refresh_groups()
    clock.seconds = GROUP_FRESH + 1
    slack.faults.slow("usergroups.users.list", seconds=600)
    until = ask_by()
    person = await known.person(Right.KILL, ANA, until)
    assert known.rights.may(Right.KILL, person, "main")
    assert await known.obstacle("C0INCIDENTS", afresh=True, until=until) is None


async def test_late_answer_about_a_group_does_not_replace_a_newer_one(
    client: AsyncWebClient, clock: HandClock
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def members(request: web.Request) -> web.Response:
        users = [] if asked.is_set() else ["U0ANA"]
        if users:
            asked.set()
            await go_on.wait()
        return web.json_response({"ok": True, "users": users})

    app = web.Application()
    app.router.add_post("/usergroups.users.list", members)
    app.router.add_get("/usergroups.users.list", members)
    async with TestServer(app) as server:
        client.base_url = str(server.make_url("/"))
        known = Directory(client, Identity("T0ACME"), rights({Right.KILL: ON_CALL}), clock)
        refreshing = asyncio.create_task(known.refresh_groups())
        await asked.wait()
        clock.seconds = 1
        assert not await allowed(known, Right.KILL, ANA)
        go_on.set()
        await refreshing
        assert not await allowed(known, Right.KILL, ANA)


async def test_a_crowd_that_kills_asks_once_who_is_in_the_group(
    slack: Workspace, directory: Callable[..., Directory], clock: HandClock
) -> None:
    known = directory(ON_CALL)
    await known.refresh_groups()
    clock.seconds = GROUP_FRESH + 1
    before = len(slack.calls("usergroups.users.list"))
    assert all(await asyncio.gather(*(allowed(known, Right.KILL, ANA) for _ in range(20))))
    assert len(slack.calls("usergroups.users.list")) == before + 1


async def test_who_is_named_is_not_looked_up_in_groups(
    slack: Workspace, directory: Callable[..., Directory], clock: HandClock
) -> None:
    known = directory(replace(ON_CALL, users=frozenset({"U0SAM"})))
    await known.refresh_groups()
    clock.seconds = GROUP_FRESH + 1
    before = len(slack.calls("usergroups.users.list"))
    assert await allowed(known, Right.KILL, SAM)
    assert len(slack.calls("usergroups.users.list")) == before


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


async def test_star_admits_nobody_if_slack_does_not_say_who_is_a_guest(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    known = directory(look=Allowlist(everyone=True))
    slack.faults.fail("users.info", times=2)
    assert not await allowed(known, Right.LOOK, SAM)
    assert await allowed(known, Right.LOOK, SAM)
    assert not await allowed(known, Right.LOOK, GUS)


async def test_people_of_no_or_another_workspace_are_strangers(
    directory: Callable[..., Directory],
) -> None:
    known = directory(Allowlist(users=frozenset({"U0ANA", "U0OLGA"})))
    for stranger in (("U0OLGA", "T0OTHER"), ("U0OLGA", ""), ("U0NOBODY", ""), ("", "T0ACME")):
        assert not await allowed(known, Right.KILL, Actor(*stranger))
    # If the payload doesn't say, Slack is asked.
    assert await allowed(known, Right.KILL, Actor("U0ANA", ""))
    assert await allowed(known, Right.KILL, ANA)


async def test_question_with_a_lost_answer_is_asked_again(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    known = directory(look=Allowlist(everyone=True))
    slack.faults.drop("users.info")
    assert await allowed(known, Right.LOOK, SAM)
    slack.faults.drop("conversations.info")
    assert await known.obstacle("C0INCIDENTS", afresh=True) is None


@pytest.mark.parametrize("path", ["user", "user.is_restricted", "user.is_ultra_restricted"])
async def test_partly_described_person_is_not_covered_by_star(
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
    # `*` covers only the bot's own workspace, also on Enterprise Grid.
    star = directory(look=Allowlist(everyone=True), enterprise_id="E0ACME")
    assert not await allowed(star, Right.LOOK, uma)
    assert await allowed(star, Right.LOOK, SAM)
    # A bot without an enterprise counts nobody as its own because of one.
    assert not await allowed(directory(named), Right.KILL, uma)


async def test_person_unknown_to_slack_has_no_rights(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    slack.form_enterprise()
    known = directory(Allowlist(users=frozenset({"U0UMA"})), enterprise_id="E0ACME")
    slack.faults.refuse("users.info", "user_not_found")
    person = await known.person(Right.KILL, Actor("U0UMA", "T0ACMELABS"))
    assert person.home is None
    assert not known.rights.may(Right.KILL, person, "main")


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
        "C0ORG": None,  # read only within the same enterprise
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
async def test_incomplete_answer_counts_as_none(
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
    # A look uses what was learned for a kill.
    assert await known.obstacle(incidents.id, afresh=False) is Obstacle.SHARED
    slack.faults.fail("conversations.info", times=2)
    assert await known.obstacle(incidents.id, afresh=True) is Obstacle.NOT_TOLD


async def test_slack_is_asked_about_a_channel_once_for_a_crowd_and_for_each_kill(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    known = directory()
    incidents = slack.channel("incidents")

    def calls() -> int:
        return sum(change.kind == "api_called" for change in slack.state.log)

    async def asked(*, afresh: bool) -> int:
        before = calls()
        answers = await asyncio.gather(
            *(known.obstacle(incidents.id, afresh=afresh) for _ in range(20))
        )
        assert answers == [None] * 20
        return calls() - before

    assert await asked(afresh=False) == 1
    assert await asked(afresh=True) == 20


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


async def test_answer_that_is_not_json_counts_as_none(client: AsyncWebClient) -> None:
    """For example a portal's page, with status 200 and text: the SDK itself would fail on it."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="Please log in")

    async def listed(request: web.Request) -> web.Response:
        return web.json_response([1])

    app = web.Application()
    app.router.add_get("/users.info", page)
    app.router.add_get("/conversations.info", listed)
    async with TestServer(app) as server:
        client.base_url = str(server.make_url("/"))
        star = rights(dict.fromkeys(Right, EVERYONE))
        known = Directory(client, Identity("T0ACME"), star, HandClock())
        assert not await allowed(known, Right.LOOK, SAM)
        assert await known.obstacle("C0INCIDENTS", afresh=False) is Obstacle.NOT_TOLD


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (503, "{", "http_503"),
        (200, "[" * 100_000, "SlackClientError"),
    ],
)
async def test_answer_of_broken_json_is_a_failure_that_has_a_name(
    client: AsyncWebClient, status: int, body: str, code: str
) -> None:
    async def broken(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/users.info", broken)
    async with TestServer(app) as server:
        client.base_url = str(server.make_url("/"))
        with pytest.raises(FAILURES) as failed:
            await client.users_info(user=SAM.user_id)
    assert code_of(failed.value) == code


async def test_an_organization_s_people_count_while_the_app_is_in_their_workspace(
    slack: Workspace, client: AsyncWebClient, clock: HandClock
) -> None:
    slack.install_for_the_organization("T0ACME", "T0ACMELABS")
    lists = rights({Right.KILL: ON_CALL, Right.LOOK: EVERYONE})
    known = Directory(client, Identity("E0ACME", "E0ACME", ()), lists, clock)
    uma = Actor("U0UMA", "T0ACMELABS")
    assert not await allowed(known, Right.KILL, ANA)  # nothing has been asked yet
    await known.refresh_groups()
    assert await allowed(known, Right.KILL, ANA)
    assert await allowed(known, Right.LOOK, uma)

    # The group moves to the other workspace, with Uma.
    group = replace(slack.group("oncall"), team_id="T0ACMELABS", users=("U0ANA", "U0UMA"))
    slack.state.put_group(group)
    for _ in range(2):  # it is searched for once it isn't where it was
        await known.refresh_groups()
    assert await allowed(known, Right.KILL, uma)

    slack.state.put_group(replace(group, users=("U0ANA",)))
    await known.refresh_groups()
    assert await allowed(known, Right.LOOK, uma)
    slack.state.granted_to = ("T0ACME",)
    await known.refresh_groups()
    assert not await allowed(known, Right.LOOK, uma)
    clock.seconds = GOOD_FOR + 1
    await known.refresh_groups()
    assert not await allowed(known, Right.KILL, ANA)
