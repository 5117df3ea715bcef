"""What the listeners share: acknowledge, then work; and every way that work can end."""

import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck

from bot.domain.kills import Place, Proposal
from bot.errors import BotError, ClusterError, LedgerError, OtherVersion, TargetError, UsageError
from bot.operations import Operations
from bot.ports import Meter
from bot.slack.api_errors import FAILURES, code_of
from bot.slack.authorization import Authorization, Denied
from bot.slack.buttons import ActionId
from bot.slack.delivery import Delivery, Undelivered
from bot.slack.payloads import Click, Command
from bot.slack.tasks import Tasks
from bot.slack.views import errors
from bot.slack.views import session as session_view
from bot.slack.views.message import Message

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Runner:
    """The parts that a listener needs, and what every listener does with them."""

    operations: Operations
    authorization: Authorization
    delivery: Delivery
    tasks: Tasks
    meter: Meter

    def start(
        self,
        request: Command | Click,
        work: Coroutine[Any, Any, None],
        *,
        public: bool = False,
    ) -> None:
        """Go on with a request after its acknowledgement.

        Whatever the work raises is answered: a cluster's trouble to the channel where
        `public`, all else to the one who asked.
        """
        self.tasks.start(
            self._finished(request, work, public=public),
            name=f"request-{request.reference}",
        )

    def start_later(self, request: Command | Click, work: Coroutine[Any, Any, None]) -> None:
        """Add to an answer what is learned after it; dropped at a stop."""
        self.tasks.start(
            self._safely(request, work, public=False),
            name=f"request-{request.reference}",
            optional=True,
        )

    async def _finished(
        self,
        request: Command | Click,
        work: Coroutine[Any, Any, None],
        *,
        public: bool,
    ) -> None:
        with structlog.contextvars.bound_contextvars(**_of(request)):
            log.info("request.started")
            await self._safely(request, work, public=public)
            seconds = time.monotonic() - request.since
            log.info("request.finished", seconds=round(seconds, 3))
            self.meter.answered(_what(request), seconds)

    async def _safely(
        self, request: Command | Click, work: Coroutine[Any, Any, None], *, public: bool
    ) -> None:
        try:
            await work
        except ClusterError as error:
            log.warning("request.cluster_trouble", cluster=error.cluster, why=error.problem)
            message = self.explain(request, error)
            if public:
                await self.post(request, message)
            else:
                await self.say(request, message)
        except BotError as error:
            log.info("request.refused", error=type(error).__name__)
            await self.say(request, self.explain(request, error))
        except Exception:
            log.exception("request.failed")
            await self.say(request, errors.unknown(_reference(request)))

    async def acknowledged(
        self, request: Command | Click, ack: AsyncAck, listener: Awaitable[bool]
    ) -> None:
        """Run what comes before the acknowledgement, by which its failure is told.

        `listener` acknowledges, and returns whether that was the answer.
        """
        with structlog.contextvars.bound_contextvars(**_of(request)):
            try:
                answered = await listener
            except BotError as error:
                log.info("request.refused", error=type(error).__name__)
                await self.ack_alone(ack, self.explain(request, error))
                answered = True
            except Exception:
                log.exception("request.failed")
                await self.ack_alone(ack, errors.unknown(request.reference))
                answered = True
            seconds = time.monotonic() - request.since
            self.meter.acknowledged(_what(request), seconds)
            if answered:
                self.meter.answered(_what(request), seconds)

    async def ack_alone(self, ack: AsyncAck, message: Message) -> None:
        """Answer by the acknowledgement itself, the one who asked alone."""
        blocks = list(message.blocks)
        await ack({"response_type": "ephemeral", "text": message.text, "blocks": blocks})

    async def ack_seen(self, ack: AsyncAck, *, public: bool) -> None:
        """Acknowledge; visibly, with the typed command, where the channel may know."""
        if public:
            await ack({"response_type": "in_channel"})
        else:
            await ack()

    def explain(self, request: Command | Click, error: BotError) -> Message:
        """A known error, in words."""
        match error:
            case UsageError():
                return errors.usage(error, request.command)
            case TargetError():
                return errors.target_error(error)
            case ClusterError():
                health = self.operations.health(error.cluster)
                return errors.cluster_trouble(
                    error, last_seen_ago=health.last_seen_ago, others=health.others
                )
            case OtherVersion():
                return errors.other_version()
            case LedgerError():
                return errors.ledger_trouble()
            case _:
                raise error

    async def deny(self, request: Command | Click, denied: Denied, what: str) -> None:
        """Record a refused attempt and say so, to the one who tried."""
        self.record(request, denied, what)
        await self.say(request, denied.message)

    def record(self, request: Command | Click, denied: Denied, what: str) -> None:
        """Record a refused attempt."""
        log.info("request.denied", why=denied.why)
        self.meter.refused(_what(request))
        self.refused(request, what, denied.why)

    def refused(self, request: Command | Click, what: str, why: str) -> None:
        """Record a refused attempt under the reference that the log's lines carry now."""
        self.operations.refused(
            request.actor, request.channel_id, what, why, reference=_reference(request)
        )

    async def post(
        self,
        request: Command | Click,
        message: Message,
        *,
        otherwise: Callable[[Undelivered], Message] | None = None,
    ) -> Place | None:
        """Answer in the channel. If it takes nothing, tell the one who asked, and return None.

        They are told `otherwise`, or the message itself and why only they see it.
        """
        given = await self.delivery.post(
            request.channel_id, message, response_url=request.response_url
        )
        if isinstance(given, Place):
            return given
        await self.say(request, otherwise(given) if otherwise else _not_posted(message, given))
        return None

    async def replace(self, click: Click, message: Message) -> None:
        """Draw the clicked message anew. If that can't be shown, tell whoever clicked."""
        given = await self.delivery.update(click.place, message, response_url=click.response_url)
        if isinstance(given, Undelivered):
            await self.whisper(click, _not_posted(message, given))

    async def redraw(self, click: Click, message: Message) -> None:
        """`replace`, where one person's message may be the clicked one: it stays theirs."""
        if not click.ephemeral:
            await self.replace(click, message)
        elif not await self.delivery.respond(click.response_url, message, replace_original=True):
            await self.whisper(click, message)

    async def conclude(
        self, proposal: Proposal, message: Message, click: Click | None = None
    ) -> None:
        """Show what became of a kill, in its message.

        If the channel takes nothing, tell those who asked for the kill and confirmed it.
        """
        place, url = proposal.place, ""
        if click is not None:
            place, url = click.place, click.response_url
        given = await self.delivery.update(place, message, response_url=url)
        if isinstance(given, Place):
            return
        alone = _not_posted(message, given)
        if click is not None:
            await self.whisper(click, alone)
        told = {click.actor.user_id} if click is not None else set()
        both = (proposal.confirmed_by, proposal.asked_by)
        for user_id in dict.fromkeys(actor.user_id for actor in both if actor is not None):
            if user_id not in told:
                # The click's url is good only for who clicked.
                await self.delivery.whisper(place.channel_id, user_id, alone, response_url="")

    async def say(self, request: Command | Click, message: Message) -> None:
        """Answer the one who asked, alone: in the modal that they pressed, if it was one."""
        if not (isinstance(request, Click) and request.view is not None):
            await self.whisper(request, message)
            return
        view = session_view.told(message, request.view.private_metadata)
        try:
            await self.delivery.update_view(request.view.id, view)
        except FAILURES as error:
            log.info("modal.not_updated", error=code_of(error))
            await self.whisper(request, message)

    async def whisper(self, request: Command | Click, message: Message) -> None:
        """Answer the one who asked, alone."""
        await self.delivery.whisper(
            request.channel_id,
            request.actor.user_id,
            message,
            response_url=request.response_url,
        )


def _not_posted(message: Message, given: Undelivered) -> Message:
    return errors.not_posted(message, given.code, is_restricted=given.is_restricted)


def _what(request: Command | Click) -> str:
    """The command, or the action's id without its number; one of a few words in any case."""
    if isinstance(request, Command):
        return request.command
    known = (action for action in ActionId if action.pattern.match(request.action_id))
    return next(known, "unknown")


def _of(request: Command | Click) -> dict[str, str]:
    """What a log line says of a request: never its text, which may hold literals."""
    return {
        "reference": request.reference,
        "what": _what(request),
        "user": request.actor.user_id,
        "channel": request.channel_id,
    }


def _reference(request: Command | Click) -> str:
    """What the log's lines carry now: by then it may be the kill's."""
    return str(structlog.contextvars.get_contextvars().get("reference", request.reference))
