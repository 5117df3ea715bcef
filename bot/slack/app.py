"""The Slack side as a whole: the Bolt app, its socket, and what runs beside it."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import aiohttp
import structlog
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from bot.background import every
from bot.check.slack import ORG_WIDE
from bot.domain.people import Allowlist, Right
from bot.errors import LedgerError, SettingsError, SlackDown
from bot.operations import Operations
from bot.ports import Clock, Meter
from bot.slack import objects, outcomes, routes
from bot.slack.api_errors import FAILURES, Client, ShortRateLimits, in_words, is_refusal, place
from bot.slack.authorization import Authorization
from bot.slack.delivery import Delivery
from bot.slack.directory import Directory
from bot.slack.objects import Identity
from bot.slack.runner import Runner
from bot.slack.tasks import Tasks
from bot.slack.transports import HttpMode, SocketMode, Transport

log = structlog.get_logger(__name__)

RECOVER_EVERY = 5.0
DRAIN_WITHIN = 10.0
DISCONNECT_WITHIN = 3.0
SETTLE_WITHIN = 2.0
CALL_TIMEOUT = 10
"""Seconds for one call of the Web API: then the answer goes another way."""

START_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """What the Slack side needs of the settings."""

    bot_token: str
    app_token: str | None  # Socket Mode, where there is one
    signing_secret: str | None  # HTTP mode otherwise
    port: int
    api_url: str
    lists: Mapping[Right, Allowlist]
    allowed_channels: frozenset[str]

    def __repr__(self) -> str:
        return f"SlackSettings(api_url={self.api_url!r})"


@contextmanager
def _no_token_in_the_environment() -> Iterator[None]:
    """Bolt takes one from there, and warns that it has no use for it."""
    token = os.environ.pop("SLACK_BOT_TOKEN", None)
    try:
        yield
    finally:
        if token is not None:
            os.environ["SLACK_BOT_TOKEN"] = token


class SlackService:
    """The bot in Slack, from the first `auth.test` to the last answer."""

    def __init__(
        self, settings: SlackSettings, operations: Operations, clock: Clock, meter: Meter
    ) -> None:
        self._settings = settings
        self._meter = meter
        self._operations = operations
        self._clock = clock
        self._tasks = Tasks()
        self._stack = AsyncExitStack()
        self._transport: Transport = (
            HttpMode(
                settings.port,
                settings.signing_secret or "",
                operations.first_time,
                routes.COMMANDS.keys(),
            )
            if settings.app_token is None
            else SocketMode(settings.app_token, routes.COMMANDS.keys())
        )

    async def open(self) -> None:
        """Check the tokens, read the groups, connect.

        Raises `SettingsError` for a token that Slack refuses (the SDK's socket would try
        it for ever in silence), `SlackDown` where Slack can't be asked.
        """
        # The SDK minds its own `timeout` in a session of its own alone.
        limit = aiohttp.ClientTimeout(total=CALL_TIMEOUT)
        session = await self._stack.enter_async_context(aiohttp.ClientSession(timeout=limit))
        client = self._client(session, token=self._settings.bot_token)
        identity = await self._identify(client)
        directory = Directory(client, identity, self._settings.lists, self._clock)
        await directory.refresh_groups()
        runner = Runner(
            operations=self._operations,
            authorization=Authorization(directory, self._settings.allowed_channels),
            delivery=Delivery(client, session),
            tasks=self._tasks,
            meter=self._meter,
        )

        async def authorize() -> AuthorizeResult:
            # Bolt would ask Slack in the first request's time, about the team that it names.
            return AuthorizeResult(enterprise_id=None, team_id=identity.team_id)

        with _no_token_in_the_environment():
            app = AsyncApp(
                client=self._client(session),
                authorize=authorize,
                # The transport does so, before anything is parsed.
                request_verification_enabled=False,
            )
        routes.register(app, runner)
        try:
            await self._transport.open(app)
        except OSError as error:
            raise SettingsError((f"PORT: can't listen ({error.strerror})",)) from None
        self._tasks.start(directory.keep_groups(), name="groups", optional=True)
        recovering = every(
            RECOVER_EVERY,
            partial(self._recover, runner),
            failed="recovery.failed",
            at_once=True,
            sleep=self._clock.sleep,
        )
        self._tasks.start(recovering, name="recovery", optional=True)
        log.info("slack.connected", mode=type(self._transport).__name__, team=identity.team_id)

    def _client(self, session: aiohttp.ClientSession, token: str | None = None) -> AsyncWebClient:
        return Client(
            token=token,
            base_url=self._settings.api_url,
            session=session,
            # What was sent and lost is for `Delivery` to try again: it knows the other ways.
            retry_handlers=[ShortRateLimits(max_retry_count=2)],
        )

    async def connected(self) -> bool:
        """Whether requests of Slack's can come in."""
        return await self._transport.connected()

    async def close(self) -> None:
        """Take no more work, finish what is under way within 10 s, disconnect."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCONNECT_WITHIN):
                await self._transport.close()
        ended = await self._tasks.drain(DRAIN_WITHIN)
        if ended:
            log.warning("slack.work_ended", tasks=ended)
        with suppress(LedgerError, TimeoutError):
            async with asyncio.timeout(SETTLE_WITHIN):
                await self._operations.settle()
        await self._stack.aclose()

    async def _identify(self, client: AsyncWebClient) -> Identity:
        me = await self._first_call("SLACK_BOT_TOKEN", client.auth_test())
        if (token := self._settings.app_token) is not None:
            call = client.apps_connections_open(app_token=token)
            await self._first_call("SLACK_APP_TOKEN", call)
        if objects.is_org_wide(me):
            raise SettingsError((f"SLACK_BOT_TOKEN: {ORG_WIDE}",))
        identity = objects.identity(me)
        if identity is None:
            raise SettingsError((f"{place(self._settings.api_url)}: {objects.NOT_SLACK}",))
        return identity

    async def _first_call(self, variable: str, call: object) -> Mapping[str, object]:
        try:
            async with asyncio.timeout(START_TIMEOUT):
                answer = await call  # type: ignore[misc]
        except FAILURES as error:
            words = in_words(error, self._settings.api_url)
            if is_refusal(error):
                raise SettingsError((f"{variable}: {words}",)) from None
            raise SlackDown(words) from None
        return answer.data  # type: ignore[no-any-return]

    async def _recover(self, runner: Runner) -> None:
        """Conclude what a process that died had claimed, and look again for it."""
        try:
            for conclusion in await self._operations.recover():
                # Slack may take long over each: the next claim does not wait for it.
                work = outcomes.recovered(runner, conclusion)
                self._tasks.start(work, name=f"outcome-{conclusion.proposal.id}")
            for conclusion in await self._operations.left_behind():
                # A silent server is asked for a minute: it holds up no other.
                work = outcomes.caught_up(runner, conclusion)
                name = f"second-look-{conclusion.proposal.id}"
                self._tasks.start(work, name=name, optional=True)
        except LedgerError as error:
            log.warning("recovery.no_ledger", problem=str(error))
