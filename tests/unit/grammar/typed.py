"""What the tests of the grammar type, and what they read of it."""

from collections.abc import Callable

import pytest

from bot.errors import UsageError
from bot.grammar.parser import Asked, parse_sessions
from bot.grammar.requests import (
    HistoryRequest,
    KillRequest,
    SessionsRequest,
    Target,
)
from bot.grammar.terms import Field, Match, Pattern, Term

Request = Asked | KillRequest | HistoryRequest


def slack_escape(text: str) -> str:
    """What Slack does to a command's text on its way to the bot."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def name(text: str) -> Pattern:
    return Pattern((text,))


def user(text: str) -> Match:
    return Match(Field.USENAME, name(text))


def target_of(text: str) -> Target:
    request = parse_sessions(text)
    assert isinstance(request, SessionsRequest)
    return request.target


def term_of(text: str) -> Term:
    request = parse_sessions(text)
    assert isinstance(request, SessionsRequest)
    assert request == SessionsRequest(terms=request.terms)
    (term,) = request.terms
    return term


def refusal(parse: Callable[[str], object], text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(text)
    return caught.value
