"""A bare Bolt app: it acknowledges a command and posts one fixed message, read from a file."""

import asyncio
import json
import os
from pathlib import Path

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

MESSAGE = json.loads(Path(os.environ["MESSAGE"]).read_text())


async def main() -> None:
    """Serve until it is ended."""
    client = AsyncWebClient(
        token=os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"]
    )
    app = AsyncApp(client=client)

    @app.command("/pg-sessions")
    async def sessions(ack: AsyncAck, client: AsyncWebClient) -> None:
        await ack(response_type="in_channel")
        await client.chat_postMessage(**MESSAGE)

    await AsyncSocketModeHandler(app).start_async()


asyncio.run(main())
