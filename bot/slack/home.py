"""The Home tab: drawn when somebody opens it, and a way to ask from there.

It ends nothing and answers nobody but its person. Each button opens a modal, which takes what a
command takes and a channel; from there on it is that command, with all its rules.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.response import BoltResponse

from bot.domain.alerts import Alert
from bot.domain.boards import Board
from bot.domain.channels import Closed
from bot.domain.kills import Proposal
from bot.domain.people import Person, Right
from bot.errors import LedgerError, NotAllowed
from bot.grammar.requests import KILL
from bot.operations.results import ClusterCard
from bot.slack import payloads
from bot.slack.api_errors import FAILURES, code_of
from bot.slack.authorization import Denied
from bot.slack.buttons import ActionId, Ask
from bot.slack.objects import Identity
from bot.slack.other_versions import refuse_window
from bot.slack.payloads import Click, Command
from bot.slack.runner import Runner
from bot.slack.shortcuts import FormAck, filled_in
from bot.slack.views import errors
from bot.slack.views import home as home_view
from bot.slack.views.home import CHANNEL, Contents, Standing
from bot.slack.views.lines import CHANNEL_ID, Line, Quoted, escape
from bot.slack.views.shortcut import FIELD

log = structlog.get_logger(__name__)

PAUSE = 1.0
"""Seconds between two drawings of one person's tab, however often they open it."""

Run = Callable[[Runner, AsyncAck, Command], Awaitable[bool]]
"""Does what a command says up to its acknowledgement; returns whether that was the answer."""

_Placed = TypeVar("_Placed", Alert, Board, Proposal)


class HomeTab:
    """Everyone's Home tab.

    `run` is what a typed command does; `closed` says why a channel takes no alerts, by its ID.
    """

    def __init__(
        self, runner: Runner, identity: Identity, run: Run, closed: Mapping[str, Closed]
    ) -> None:
        self._closed = closed
        self._runner = runner
        self._identity = identity
        self._run = run
        self._again: dict[str, bool] = {}  # people whose tab is being drawn: once more after that?

    def register(self, app: AsyncApp) -> None:
        """Register a listener for the event, the buttons and the modal."""

        @app.event(payloads.HOME_OPENED)
        async def opened(body: dict[str, Any]) -> None:
            self._draw_soon(payloads.home_opened(body, ActionId.HOME_REFRESH))

        @app.action(str(ActionId.HOME_REFRESH))
        async def refresh(ack: AsyncAck, body: dict[str, Any]) -> None:
            await ack()
            self._draw_soon(payloads.click(body))

        @app.action(re.compile(rf"\A{re.escape(ActionId.HOME_ASK)}\.[0-9]+\Z"))
        async def ask(ack: AsyncAck, body: dict[str, Any]) -> None:
            await ack()
            click = payloads.click(body)
            self._runner.start(click, self._ask(click))

        @app.view(str(ActionId.HOME_ASKED))
        async def asked(ack: AsyncAck, body: dict[str, Any]) -> None:
            await self._asked(ack, payloads.submission(body))

    # --- drawing -------------------------------------------------------------------

    def _draw_soon(self, click: Click) -> None:
        """Draw the tab; while it is being drawn, and for a moment after, only note the wish."""
        user_id = click.actor.user_id
        if user_id in self._again:
            self._again[user_id] = True
            return
        self._again[user_id] = False
        self._runner.start(click, self._drawn(click))

    async def _drawn(self, click: Click) -> None:
        try:
            await self.draw(click)
        finally:
            self._runner.start_later(click, self._draw_again(click))

    async def _draw_again(self, click: Click) -> None:
        try:
            await asyncio.sleep(PAUSE)
            while self._again[click.actor.user_id]:
                self._again[click.actor.user_id] = False
                await self.draw(click)
                await asyncio.sleep(PAUSE)
        finally:
            del self._again[click.actor.user_id]

    async def draw(self, click: Click, notice: Line = ()) -> None:
        """Draw the tab of whoever opened it or clicked in it; `notice` says what came of that."""
        runner, actor = self._runner, click.actor
        person = await runner.authorization.person(Right.LOOK, actor)
        try:
            contents = await self._contents(click, person, notice)
        except NotAllowed:
            view = home_view.refused(person, notice)
        else:
            view = home_view.home(contents)
        try:
            await runner.delivery.publish_home(actor.user_id, view)
        except FAILURES as error:
            log.warning("home.not_published", error=code_of(error))

    async def _contents(self, click: Click, person: Person, notice: Line) -> Contents:
        """What the tab shows. Raises `NotAllowed` for somebody who may look nowhere."""
        rights, group_names = (
            self._runner.authorization.rights,
            self._runner.authorization.group_names,
        )
        mine = self._runner.operations.within(rights.reach(Right.LOOK, person))
        overview, alerts, boards, previews = await asyncio.gather(
            mine.standing(click.actor, click.channel_id, reference=click.reference),
            self._linked(mine.open_alerts()),
            self._linked(mine.open_boards()),
            self._linked(mine.open_previews()),
        )

        def standing(card: ClusterCard) -> Standing:
            server = card.look.server.id if card.look else None
            may = (r for r in reversed(Right) if mine.clusters.may(r, card.cluster, server))
            right = next(may, Right.LOOK)
            return Standing(card, right, rights.grants(right, person, card.cluster))

        return Contents(
            standings=[standing(card) for card in overview.cards],
            left_out=overview.left_out,
            closed=self._closed,
            alerts=alerts or (),  # the previews say that the record can't be read
            boards=boards or (),
            previews=previews,
            now=overview.now,
            group_names=group_names,
            notice=notice,
        )

    async def _linked(
        self, found: Awaitable[tuple[_Placed, ...]]
    ) -> list[tuple[_Placed, str]] | None:
        """What is on record, with links to its messages; None if that can't be read."""
        try:
            return [(each, self._identity.permalink(each.place)) for each in await found]
        except LedgerError as error:
            log.warning("home.no_record", problem=str(error))
            return None

    # --- asking --------------------------------------------------------------------

    async def _ask(self, click: Click) -> None:
        """Open the modal; the rights are checked again when it is submitted."""
        runner = self._runner
        try:
            asked = Ask.decode(click.value)
        except ValueError:
            await self.draw(click, errors.OTHER_PAGE)
            return
        admitted = await runner.authorization.admit_person(_right(asked.command), click.actor)
        if isinstance(admitted, Denied):
            runner.record(click, admitted, f"{click.action_id} {click.value}")
            await self.draw(click, ("You may no longer do that: the attempt is on record.",))
            return
        try:
            await runner.delivery.open_view(click.trigger_id, home_view.asking(asked))
        except FAILURES as error:
            log.warning("modal.not_shown", error=code_of(error))
            code = Quoted(code_of(error), code=True)
            again: Line = ("Slack did not show the window (", code, "): press it again.")
            await self.draw(click, again)

    async def _asked(self, ack: AsyncAck, click: Click) -> None:
        """The submitted modal: a command, in the chosen channel."""
        try:
            asked = Ask.decode(f"{click.value} ")
        except ValueError:
            await refuse_window(self._runner, ack, click)
            return
        channel_id = click.channel_id or click.inputs.get(CHANNEL, "")
        command = Command(
            command=asked.command,
            text=escape(click.inputs.get(FIELD, "")),
            actor=click.actor,
            channel_id=channel_id,
            channel_name="",
            response_url=click.response_url,
        )
        if not CHANNEL_ID.fullmatch(channel_id):
            await ack(response_action="errors", errors={CHANNEL: "Choose a channel."})
            return
        # While Slack says that, everything else is asked as well: an answer is due within 3 s.
        is_member = asyncio.ensure_future(
            self._runner.authorization.is_member(command.actor, channel_id)
        )
        form = _HomeAck(ack, command, is_member)
        await self._runner.acknowledged(command, form, self._filled_in(form, command))

    async def _filled_in(self, form: "_HomeAck", command: Command) -> bool:
        try:
            return await filled_in(form, self._run(self._runner, form, command))
        except _NotInChannel:
            await form.choose_another()
            return True


class _NotInChannel(Exception):  # noqa: N818  nothing failed
    """They aren't in the channel that they chose, where they couldn't type the command."""


class _HomeAck(FormAck):
    """A form's acknowledgement that says where the answer goes: the Home tab doesn't show it.

    Raises `_NotInChannel` in place of accepting a command, which is then not begun.
    """

    def __init__(
        self, ack: AsyncAck, command: Command, is_member: "asyncio.Future[bool | None]"
    ) -> None:
        super().__init__(ack)
        self._command = command
        self._is_member = is_member

    async def __call__(  # type: ignore[override]
        self, answer: Mapping[str, Any] | None = None
    ) -> BoltResponse:
        if answer is None or "blocks" not in answer:
            if await self._is_member is False:
                raise _NotInChannel
            view = home_view.on_its_way(self._command.command, self._command.channel_id)
            return await self._ack(response_action="update", view=view)
        return await super().__call__(answer)

    async def choose_another(self) -> None:
        """Say under the second field that they aren't in that channel."""
        log.info("home.not_in_channel", channel=self._command.channel_id)
        words = "You aren't in this channel. Join it first, or choose one that you are in."
        await self._ack(response_action="errors", errors={CHANNEL: words})


def _right(command: str) -> Right:
    return Right.CANCEL if command == KILL else Right.LOOK
