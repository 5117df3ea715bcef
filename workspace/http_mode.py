"""HTTP mode: interactions as POST requests, signed with the app's signing secret."""

import hashlib
import hmac
import json
from urllib.parse import urlencode

import aiohttp

from workspace.blocks import Json
from workspace.delivery import DispatchFailed, Envelope
from workspace.state import State

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class HttpMode:
    """Sends every interaction to one request URL."""

    def __init__(self, state: State, url: str) -> None:
        self._state = state
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def deliver(self, envelope: Envelope) -> object:
        """POST it; the body of a 200 is the acknowledgement's payload."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        is_event = envelope.type == "events_api"
        body = json.dumps(envelope.payload) if is_event else urlencode(_form(envelope))
        headers = self.signed(body, JSON if is_event else FORM)
        try:
            async with self._session.post(self._url, data=body, headers=headers) as response:
                text = await response.text()
        except aiohttp.ClientError as error:
            raise DispatchFailed(str(error)) from error
        if response.status != 200:
            raise DispatchFailed(f"the app answered {response.status}")
        if response.content_type != "application/json":
            return text or None
        try:
            return json.loads(text) if text else None
        except json.JSONDecodeError as error:
            raise DispatchFailed("the app's answer is not JSON") from error

    def signed(self, body: str, content_type: str = FORM) -> dict[str, str]:
        """The headers of a request with this body, including Slack's signature (v0)."""
        timestamp = str(int(self._state.clock.now()))
        base = f"v0:{timestamp}:{body}".encode()
        secret = self._state.app.signing_secret.encode()
        return {
            "Content-Type": content_type,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": "v0=" + hmac.new(secret, base, hashlib.sha256).hexdigest(),
        }

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _form(envelope: Envelope) -> Json:
    if envelope.type == "slash_commands":
        return envelope.payload
    return {"payload": json.dumps(envelope.payload)}
