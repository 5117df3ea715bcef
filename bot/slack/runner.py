"""What all listeners share: acknowledge, then work; and every way in which work can end."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

import structlog
from slack_bolt.async_app import AsyncAck

from bot.background import Tasks, Work
from bot.domain.kills import Action, Place, Proposal
from bot.domain.people import Right
from bot.errors import (
    BotError,
    ClusterError,
    LedgerError,
    NoSample,
    NotAllowed,
    OtherVersion,
    TargetError,
    UsageError,
)
from bot.operations import Operations
from bot.ports import Meter
from bot.slack.api_errors import FAILURES, code_of
from bot.slack.authorization import Admitted, Authorization, Denied
from bot.slack.buttons import ActionId
from bot.slack.delivery import Delivery, Undelivered
from bot.slack.payloads import Click, Command
from bot.slack.speech import Speech
from bot.slack.views import errors
from bot.slack.views import session as session_view
from bot.slack.views.message import Message

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Runner:
    """What listeners need, and what every listener does with it."""

    operations: Operations
    authorization: Authorization
    delivery: Delivery
    tasks: Tasks
    meter: Meter
    speech: Speech

    def _delivery(self, request: Command | Click) -> Delivery:
        """In the workspace of the person who asked, whose layouts may differ from another's."""
        return self.delivery.of(request.actor.team_id)

    def within(self, admitted: Admitted) -> Operations:
        """The use cases, on the clusters where somebody holds the right that each takes."""
        return self.operations.within(admitted.reach)

    def require(self, admitted: Admitted, right: Right, cluster: str) -> None:
        """Raise `NotAllowed` unless somebody holds a right there; ignores an unknown name."""
        if cluster in self.operations.clusters.by_name:
            self.operations.clusters.within(admitted.reach).require(right, cluster)

    def offered(self, admitted: Admitted, cluster: str, *, redrawn: bool = False) -> Action | None:
        """What a message lets people do to the sessions of a cluster.

        What the person who asks may do; everything if it is `redrawn` for the channel.
        """
        may = self.operations.clusters.within(admitted.reach).may
        if redrawn or may(Right.KILL, cluster):
            return Action.TERMINATE
        return Action.CANCEL if may(Right.CANCEL, cluster) else None

    def start(
        self,
        request: Command | Click,
        work: Work,
        *,
        public: bool = False,
    ) -> None:
        """Continue a request after its acknowledgement.

        Every error is answered: a cluster's trouble in the channel if `public`, anything else only
        to the person who asked.
        """
        self.tasks.start(
            work,
            around=partial(self._finished, request, public=public),
            name=f"request-{request.reference}",
        )

    def start_later(self, request: Command | Click, work: Work) -> None:
        """Add to an answer something learned later; dropped when the bot stops."""
        self.tasks.start(
            work,
            around=partial(self._safely, request, public=False),
            name=f"request-{request.reference}",
            optional=True,
        )

    async def _finished(
        self,
        request: Command | Click,
        work: Work,
        *,
        public: bool,
    ) -> None:
        about = _of(request)
        with structlog.contextvars.bound_contextvars(**about):
            log.info("request.started")
            await self._safely(request, work, public=public)
            seconds = time.monotonic() - request.since
            log.info("request.finished", seconds=round(seconds, 3))
            self.meter.answered(about["what"], seconds)

    async def _safely(self, request: Command | Click, work: Work, *, public: bool) -> None:
        try:
            await work
        except ClusterError as error:
            if isinstance(error, NoSample):  # its cluster may be well
                log.info("request.no_sample", cluster=error.cluster, why=error.problem)
            else:
                log.warning("request.cluster_trouble", cluster=error.cluster, why=error.problem)
            message = await self.explain(request, error)
            if public:
                await self.post(request, message)
            else:
                await self.say(request, message)
        except NotAllowed as error:
            await self.deny(request, self._denied(error), _asked(request))
        except BotError as error:
            log.info("request.refused", error=type(error).__name__)
            await self.say(request, await self.explain(request, error))
        except Exception:
            log.exception("request.failed")
            await self.say(request, errors.unknown(_reference(request)))

    async def acknowledged(
        self, request: Command | Click, ack: AsyncAck, listener: Awaitable[bool]
    ) -> None:
        """Run the listener up to its acknowledgement; report a failure in the acknowledgement.

        `listener` acknowledges, and returns whether that was the answer.
        """
        about = _of(request)
        with structlog.contextvars.bound_contextvars(**about):
            try:
                answered = await listener
            except BotError as error:
                log.info("request.refused", error=type(error).__name__)
                await self.ack_alone(ack, await self.explain(request, error))
                answered = True
            except Exception:
                log.exception("request.failed")
                await self.ack_alone(ack, errors.unknown(request.reference))
                answered = True
            seconds = time.monotonic() - request.since
            self.meter.acknowledged(about["what"], seconds)
            if answered:
                self.meter.answered(about["what"], seconds)

    def _denied(self, error: NotAllowed) -> Denied:
        return self.authorization.denied(Right(error.right), error.cluster)

    async def ack_alone(self, ack: AsyncAck, message: Message) -> None:
        """Answer in the acknowledgement itself, visible only to the person who asked."""
        blocks = list(message.blocks)
        await ack({"response_type": "ephemeral", "text": message.text, "blocks": blocks})

    async def ack_seen(self, ack: AsyncAck, *, public: bool) -> None:
        """Acknowledge; if `public`, show the typed command in the channel."""
        if public:
            await ack({"response_type": "in_channel"})
        else:
            await ack()

    async def explain(self, request: Command | Click, error: BotError) -> Message:
        """A known error, in words."""
        match error:
            case UsageError():
                return errors.usage(error, request.command)
            case TargetError():
                return errors.target_error(error)
            case NotAllowed():
                return self._denied(error).message
            case ClusterError():
                reach = await self.authorization.reach(Right.LOOK, request.actor)
                health = self.operations.within(reach).health(error.cluster)
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
        """Record a refused attempt, and tell the person who tried."""
        self.record(request, denied, what)
        await self.say(request, denied.message)

    def record(self, request: Command | Click, denied: Denied, what: str) -> None:
        """Record a refused attempt."""
        log.info("request.denied", why=denied.why)
        self.meter.refused(_what(request))
        self.refused(request, what, denied.why)

    def refused(self, request: Command | Click, what: str, why: str) -> None:
        """Record a refused attempt under the reference in the current log lines."""
        self.operations.refused(
            request.actor, request.channel_id, what, why, reference=_reference(request)
        )

    async def post(
        self,
        request: Command | Click,
        message: Message,
        *,
        otherwise: Callable[[Undelivered], Message] | None = None,
        broadcast: bool = False,
    ) -> Place | None:
        """Answer in the channel, or in the thread where it was asked for.

        What is `broadcast` the channel sees as well. If it takes nothing, tell the person who
        asked, and return None. They are told `otherwise`, or get the message itself and why only
        they see it.
        """
        given = await self._delivery(request).post(
            request.channel_id,
            message,
            response_url=request.response_url,
            thread_ts=request.thread_ts,
            broadcast=broadcast,
        )
        if isinstance(given, Place):
            if request.thread_ts and given.message_ts and not given.thread_ts:
                await self.whisper(replace(request, thread_ts=""), errors.not_in_thread())
            return given
        await self.say(request, otherwise(given) if otherwise else _not_posted(message, given))
        return None

    async def replace(self, click: Click, message: Message) -> None:
        """Redraw the clicked message. If that can't be shown, tell the person who clicked."""
        given = await self._delivery(click).update(
            click.place, message, response_url=click.response_url
        )
        if isinstance(given, Undelivered):
            await self.whisper(click, _not_posted(message, given))

    async def answer(
        self,
        request: Command | Click,
        message: Message,
        admitted: Admitted,
        *,
        private: bool = False,
    ) -> None:
        """Answer in the channel, or alone: if that is asked for, or the channel must not see it."""
        if is_alone(request, admitted, private=private):
            await self.whisper(request, admitted.told_alone(message))
        else:
            await self.post(request, message)

    async def redraw(self, click: Click, message: Message, admitted: Admitted) -> None:
        """`replace`, where the channel may see it; a message visible to one person stays so."""
        if not click.ephemeral:
            if admitted.public:
                await self.replace(click, message)
            else:
                # The channel has been shared since the message was posted.
                await self.whisper(click, admitted.told_alone(message))
        elif not await self._delivery(click).respond(
            click.response_url, message, replace_original=True
        ):
            await self.whisper(click, message)

    async def conclude(
        self, proposal: Proposal, message: Message, click: Click | None = None
    ) -> None:
        """Show what became of a kill in its message.

        If the channel takes nothing, tell the people who asked for the kill and confirmed it.
        """
        place, url = proposal.place, ""
        if click is not None:
            place, url = click.place, click.response_url
        given = await self.delivery.update(place, message, response_url=url, broadcast=True)
        if isinstance(given, Place):
            return
        alone = _not_posted(message, given)
        if click is not None:
            await self.whisper(click, alone)
        told = {click.actor.user_id} if click is not None else set()
        both = (proposal.confirmed_by, proposal.asked_by)
        for user_id in dict.fromkeys(actor.user_id for actor in both if actor is not None):
            if user_id not in told:
                # The click's response_url works only for the person who clicked.
                await self.delivery.whisper(place.channel_id, user_id, alone, response_url="")

    async def say(self, request: Command | Click, message: Message) -> None:
        """Answer only the person who asked: in the modal, if they pressed a button there."""
        if not isinstance(request, Click) or request.view is None or request.view.is_home:
            await self.whisper(request, message)
            return
        view = session_view.told(message, request.view.private_metadata)
        try:
            await self.delivery.update_view(request.view.id, view)
        except FAILURES as error:
            log.info("modal.not_updated", error=code_of(error))
            await self.whisper(request, message)

    async def whisper(self, request: Command | Click, message: Message) -> None:
        """Answer only the person who asked."""
        await self._delivery(request).whisper(
            request.channel_id,
            request.actor.user_id,
            message,
            response_url=request.response_url,
            thread_ts=request.thread_ts if request.thread_begun else "",
        )


def is_alone(request: Command | Click, admitted: Admitted, *, private: bool = False) -> bool:
    """Whether only the person who asks sees the answer."""
    return private or not admitted.public or (isinstance(request, Click) and request.ephemeral)


def _not_posted(message: Message, given: Undelivered) -> Message:
    return errors.not_posted(message, given.code, is_restricted=given.is_restricted)


def _what(request: Command | Click) -> str:
    """The command, or the action's id without its number: one of a few fixed words."""
    if isinstance(request, Command):
        return request.command
    return ActionId.of(request.action_id) or "unknown"


def _asked(request: Command | Click) -> str:
    """What was refused, for the record; without a command's text, which may hold anything."""
    if isinstance(request, Command):
        return request.command
    return f"{request.action_id} {request.value}"


def _of(request: Command | Click) -> dict[str, str]:
    """What a log line says about a request: never its text, which may hold literals."""
    return {
        "reference": request.reference,
        "what": _what(request),
        "user": request.actor.user_id,
        "channel": request.channel_id,
    }


def _reference(request: Command | Click) -> str:
    """The reference in the current log lines; by then it may be the kill's."""
    return str(structlog.contextvars.get_contextvars().get("reference", request.reference))
