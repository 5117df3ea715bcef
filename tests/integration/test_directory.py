"""What the bot knows of Slack's people, groups and channels, and for how long."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.kills import Actor
from bot.policy import Allowlist, Right, may
from bot.slack.access import GOOD_FOR, Directory, Identity
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
        yield AsyncWebClient(
            token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[]
        )


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def directory(client: AsyncWebClient, clock: HandClock) -> Callable[..., Directory]:
    def build(kill: Allowlist = Allowlist(), look: Allowlist = Allowlist()) -> Directory:  # noqa: B008
        lists = {Right.KILL: kill, Right.LOOK: look}
        return Directory(client, Identity("T0ACME", ""), lists, clock)

    return build


async def allowed(directory: Directory, right: Right, actor: Actor) -> bool:
    return may(right, await directory.person(right, actor), directory.lists)


ANA, SAM, GUS = (Actor(f"U0{name}", "T0ACME") for name in ("ANA", "SAM", "GUS"))
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
    slack.faults.fail("users.info", times=1)
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


async def test_channels_are_remembered_and_what_slack_will_not_say_is_unknown(
    slack: Workspace, directory: Callable[..., Directory]
) -> None:
    known = directory()
    assert (await known.channel("C0INCIDENTS")).is_ext_shared is False
    assert (await known.channel("C0SHARED")).is_ext_shared is True
    assert (await known.channel("C0SECRET")).is_ext_shared is None
    assert (await known.channel("C0NOWHERE")).is_ext_shared is None
    before = len(slack.calls("conversations.info"))
    await known.channel("C0INCIDENTS")
    assert len(slack.calls("conversations.info")) == before


async def test_a_channel_is_unknown_again_when_slack_fails_for_long(
    slack: Workspace, directory: Callable[..., Directory], clock: HandClock
) -> None:
    known = directory()
    await known.channel("C0INCIDENTS")
    slack.faults.fail("conversations.info", times=100)
    clock.seconds = GOOD_FOR
    assert (await known.channel("C0INCIDENTS")).is_ext_shared is False
    clock.seconds = GOOD_FOR + 1
    assert (await known.channel("C0INCIDENTS")).is_ext_shared is None
