"""Ask Slack whether it would take the bot's messages and windows (`blocks.validate`).

Nothing is posted, and no token is sent: the method needs none.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from bot.check.facts import Layouts, Untold
from bot.slack.api_errors import FAILURES, PATIENCE, in_words
from bot.slack.objects import items, mapping, text
from bot.slack.views.message import Message
from bot.slack.views.specimens import Specimen, specimens

CALL_WITHIN = 5.0
AT_ONCE = 4
OBJECTIONS = 5
"""How many objections to one sample are told."""

_REFUSED = frozenset({"invalid_blocks", "invalid_message", "invalid_view"})


async def validate(
    session: aiohttp.ClientSession, api_url: str, until: float, *, proxy: str | None = None
) -> Layouts:
    """Have Slack look at one sample of each kind, until it can't be asked.

    `until` is an instant on the event loop's clock.
    """
    return await _Validation(session, api_url, until, proxy).run()


class _Validation:
    def __init__(
        self, session: aiohttp.ClientSession, api_url: str, until: float, proxy: str | None
    ) -> None:
        self._session = session
        self._api_url = api_url
        self._until = until
        self._proxy = proxy
        self._free = asyncio.Semaphore(AT_ONCE)
        self._asked = 0
        self._refused: dict[str, tuple[str, ...]] = {}
        self._unread: Untold | None = None

    async def run(self) -> Layouts:
        every = specimens()
        await asyncio.gather(*(self._see(what, each) for what, each in every.items()))
        refused = {what: self._refused[what] for what in every if what in self._refused}
        return Layouts(self._asked, refused, self._unread)

    async def _see(self, what: str, specimen: Specimen) -> None:
        async with self._free:
            if self._unread is not None:
                return  # Slack can't be asked; once is enough
            try:
                async with asyncio.timeout_at(self._until), asyncio.timeout(CALL_WITHIN):
                    objections = await self._objections(specimen)
            except FAILURES as error:
                self._unread = Untold(in_words(error, self._api_url))
                return
            if isinstance(objections, Untold):
                self._unread = objections
                return
        self._asked += 1
        if objections:
            self._refused[what] = objections

    async def _objections(
        self, specimen: Specimen, *, again: bool = True
    ) -> tuple[str, ...] | Untold:
        """What Slack would refuse. Waits out a short rate limit. Raises one of `FAILURES`."""
        url = f"{self._api_url.rstrip('/')}/blocks.validate"
        asking = self._session.post(url, data=_asked(specimen), proxy=self._proxy)
        async with asking as response:
            status, body = response.status, await response.text()
            wait = response.headers.get("Retry-After", "")
        if again and status == 429 and wait.isdigit() and int(wait) <= PATIENCE:
            await asyncio.sleep(int(wait))
            return await self._objections(specimen, again=False)
        try:
            answer = mapping(json.loads(body))
        except (ValueError, RecursionError):
            return Untold(f"Slack answers {status}")
        if answer.get("ok") is True:
            return ()
        if (code := text(answer.get("error"))) not in _REFUSED:
            return Untold(f"Slack answers {code or status}")
        told = map(_objection, map(mapping, items(answer.get("errors"))))
        return tuple(told)[:OBJECTIONS] or (code,)


def _asked(specimen: Specimen) -> dict[str, str]:
    if isinstance(specimen, Message):
        content = {"text": specimen.text, "blocks": list(specimen.blocks)}
        return {"message": json.dumps(content)}
    return {"view": json.dumps(specimen)}


def _objection(error: Mapping[str, Any]) -> str:
    return (
        f"{text(error.get('message')) or text(error.get('code'))} at {text(error.get('pointer'))}"
    )
