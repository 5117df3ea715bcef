"""A fresh workspace for each test, and apps made with the official clients on it."""

from collections.abc import AsyncIterator

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from workspace import Workspace


@pytest.fixture
async def slack() -> AsyncIterator[Workspace]:
    async with Workspace() as started:
        yield started


@pytest.fixture
def client(slack: Workspace) -> AsyncWebClient:
    return AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
