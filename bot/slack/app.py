"""The whole Slack side: the Bolt app, its socket, and what runs beside it."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import aiohttp
import structlog
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from bot.background import Tasks, every
from bot.domain.people import Rights
from bot.errors import (
    NO_WORKSPACE,
    WORKSPACES_UNTOLD,
    LedgerError,
    SettingsError,
    SlackDown,
)
from bot.operations import Operations
from bot.ports import Clock, Meter
from bot.scopes import OPTIONAL_SCOPES, SCOPES, granted
from bot.slack import drawing, kills, objects, outcomes, routes
from bot.slack.alerts import SlackVoice
from bot.slack.api_errors import FAILURES, Client, ShortRateLimits, in_words, is_refusal, place
from bot.slack.authorization import Authorization
from bot.slack.channels import ASK_EVERY, AlertChannels
from bot.slack.delivery import Delivery
from bot.slack.directory import Directory
from bot.slack.layouts import Layouts
from bot.slack.objects import Identity
from bot.slack.runner import Runner
from bot.slack.speech import Speech
from bot.slack.transports import HttpMode, SocketMode, Transport
from bot.slack.workspaces import with_workspaces

log = structlog.get_logger(__name__)

T = TypeVar("T")

RECOVER_EVERY = 5.0
TELL_EVERY = 2.0
"""Seconds between two rounds of deciding which alerts to tell."""

DRAIN_WITHIN = 10.0
DISCONNECT_WITHIN = 3.0
SETTLE_WITHIN = 2.0
CALL_TIMEOUT = 10
"""Seconds for one call to the Web API; after that the answer goes another way."""

START_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """What the Slack side needs from the settings."""

    bot_token: str
    app_token: str | None  # for Socket Mode
    signing_secret: str | None  # for HTTP mode, without an app_token
    port: int
    api_url: str
    rights: Rights
    allowed_channels: frozenset[str]
    alert_channels: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"SlackSettings(api_url={self.api_url!r})"


def _without_debug_lines() -> logging.Logger:
    """The SDK's log; it would put all that it sends into words for lines that nobody gets."""
    logger = logging.getLogger("slack_sdk.web")
    logger.setLevel(logging.INFO)
    return logger


@contextmanager
def _no_token_in_the_environment() -> Iterator[None]:
    """Keep Bolt from taking a token from the environment, and from warning that it ignores it."""
    token = os.environ.pop("SLACK_BOT_TOKEN", None)
    try:
        yield
    finally:
        if token is not None:
            os.environ["SLACK_BOT_TOKEN"] = token


class _Prepared(NamedTuple):
    """What is asked of Slack before requests come in."""

    session: aiohttp.ClientSession
    client: AsyncWebClient
    identity: Identity
    directory: Directory


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
        self._prepared: _Prepared | None = None
        self._transport: Transport = (
            HttpMode(
                settings.port,
                settings.signing_secret or "",
                operations.first_time,
                routes.KNOWN,
            )
            if settings.app_token is None
            else SocketMode(settings.app_token, routes.KNOWN)
        )

    async def prepare(self) -> None:
        """Check the tokens and read the groups.

        Raises `SettingsError` for a token that Slack refuses (the SDK's socket would silently
        retry it forever), `SlackDown` if Slack can't be asked.
        """
        # The SDK applies its own `timeout` only to sessions that it creates.
        limit = aiohttp.ClientTimeout(total=CALL_TIMEOUT)
        session = await self._stack.enter_async_context(aiohttp.ClientSession(timeout=limit))
        client = self._client(session, token=self._settings.bot_token)
        identity = await self._identify(client)
        directory = Directory(client, identity, self._settings.rights, self._clock)
        await directory.refresh_groups()
        self._prepared = _Prepared(session, client, identity, directory)

    async def open(self) -> None:
        """Connect, once it is prepared and everything that requests need is open."""
        assert self._prepared is not None  # noqa: S101  the caller's order
        session, client, identity, directory = self._prepared
        unrepeated = self._client(session, self._settings.bot_token, retries=False)
        layouts = Layouts(self._clock)
        runner = Runner(
            operations=self._operations,
            authorization=Authorization(directory, self._settings.allowed_channels),
            delivery=Delivery(client, session, layouts),
            tasks=self._tasks,
            meter=self._meter,
            speech=Speech(unrepeated, layouts),
        )
        app = self._app(session, identity)
        channels = AlertChannels(
            client, self._settings.alert_channels, self._settings.allowed_channels, self._meter
        )
        routes.register(app, runner, identity, channels.closed)
        try:
            await self._transport.open(app)
        except OSError as error:
            raise SettingsError((f"PORT: can't listen ({error.strerror})",)) from None
        self._tasks.start(directory.keep_groups(), name="groups", optional=True)
        self._tasks.start(self._operations.speaker.keep(), name="speaker", optional=True)
        boards = drawing.Drawing(runner, self._clock)
        self._tasks.start(boards.run(), name="boards", optional=True)
        voice = SlackVoice(
            unrepeated, directory, self._settings.allowed_channels, self._clock, layouts
        )
        self._tasks.start(kills.follow_earlier_previews(runner), name="previews", optional=True)
        self._start_every(TELL_EVERY, partial(self._operations.alerting.work, voice), "alerts")
        self._start_every(ASK_EVERY, channels.ask, "alert-channels")
        self._start_every(RECOVER_EVERY, partial(self._recover, runner), "recovery")
        log.info("slack.connected", mode=type(self._transport).__name__, team=identity.team_id)

    def _app(self, session: aiohttp.ClientSession, identity: Identity) -> AsyncApp:
        async def authorize() -> AuthorizeResult:
            # Otherwise Bolt would ask Slack during the first request about the team that it names.
            return AuthorizeResult(enterprise_id=None, team_id=identity.team_id)

        with _no_token_in_the_environment():
            return AsyncApp(
                name="pg-sessions-bot",  # Bolt would search all that is imported for its caller
                client=self._client(session),
                authorize=authorize,
                # The transport verifies requests before anything is parsed, answers Slack's
                # checks, and passes on nothing else.
                request_verification_enabled=False,
                ssl_check_enabled=False,
                url_verification_enabled=False,
                ignoring_self_events_enabled=False,
                attaching_function_token_enabled=False,
                # A listener ends once it has acknowledged. Without this, Bolt polls every 10 ms
                # for one that goes on.
                process_before_response=True,
            )

    def _start_every(self, seconds: float, work: Callable[[], Awaitable[None]], name: str) -> None:
        repeated = every(
            seconds, work, failed=f"{name}.failed", at_once=True, sleep=self._clock.sleep
        )
        self._tasks.start(repeated, name=name, optional=True)

    def _client(
        self, session: aiohttp.ClientSession, token: str | None = None, *, retries: bool = True
    ) -> AsyncWebClient:
        return Client(
            token=token,
            base_url=self._settings.api_url,
            session=session,
            logger=_without_debug_lines(),
            # `Delivery` retries requests whose answer was lost: it knows the other ways.
            retry_handlers=[ShortRateLimits(max_retry_count=2)] if retries else [],
        )

    async def connected(self) -> bool:
        """Whether Slack's requests can come in."""
        return await self._transport.connected()

    async def close(self) -> None:
        """Take no more work, finish what is under way within 10 s, disconnect."""
        self._operations.stop()
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
        identity = objects.identity(me)
        if identity is None:
            raise SettingsError((f"{place(self._settings.api_url)}: {objects.NOT_SLACK}",))
        self._warn_of_scopes(granted(me.headers.get("x-oauth-scopes")))
        asking = with_workspaces(client, identity)
        identity = await self._first_call("SLACK_BOT_TOKEN", asking, refused=WORKSPACES_UNTOLD)
        if identity.workspaces == ():
            raise SettingsError((f"SLACK_BOT_TOKEN: {NO_WORKSPACE}",))
        return identity

    def _warn_of_scopes(self, scopes: frozenset[str] | None) -> None:
        """Log which scopes the bot's token lacks, as far as Slack says."""
        used = {**SCOPES, **(OPTIONAL_SCOPES if self._settings.alert_channels else {})}
        if scopes is not None and (missing := used.keys() - scopes):
            log.warning(
                "slack.scopes_missing",
                scopes={each: used[each] for each in sorted(missing)},
                remedy="add them under OAuth & Permissions, then reinstall the app",
            )

    async def _first_call(self, variable: str, call: Awaitable[T], *, refused: str = "{why}") -> T:
        try:
            async with asyncio.timeout(START_TIMEOUT):
                return await call
        except FAILURES as error:
            words = in_words(error, self._settings.api_url)
            if is_refusal(error):
                raise SettingsError((f"{variable}: {refused.format(why=words)}",)) from None
            raise SlackDown(words) from None

    async def _recover(self, runner: Runner) -> None:
        """Conclude what a dead process had claimed, and take over its second looks."""
        try:
            if not await self._operations.recovery_is_due():
                return
            for conclusion in await self._operations.recover():
                # Slack may take long over each, and the next claim must not wait for it.
                work = outcomes.recovered(runner, conclusion)
                self._tasks.start(work, name=f"outcome-{conclusion.proposal.id}")
            for conclusion in await self._operations.left_behind():
                # A silent server is asked for up to a minute, which must not delay the others.
                work = outcomes.caught_up(runner, conclusion)
                name = f"second-look-{conclusion.proposal.id}"
                self._tasks.start(work, name=name, optional=True)
        except LedgerError as error:
            log.debug("recovery.no_ledger", problem=str(error))
