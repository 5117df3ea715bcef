"""A fresh workspace for each test, and apps made with the official clients on it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from workspace import Workspace
from workspace.people import PATIENCE


@pytest.fixture
async def slack() -> AsyncIterator[Workspace]:
    async with Workspace() as started:
        yield started


@pytest.fixture
def client(slack: Workspace) -> AsyncWebClient:
    return AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)


async def eventually(holds: Callable[[], object]) -> None:
    """Wait until `holds()` is true, 15 s at most."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.01)
