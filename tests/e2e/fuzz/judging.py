"""What holds for everything that the bot says, whatever others are called and send. Pure."""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from tests.e2e.fuzz.making import MARK, SECRET, SECRET_NUMBER
from tests.unit.reading import walk
from workspace.blocks import Json
from workspace.log import Change
from workspace.state import ApiCall, View

JOINER = "\u2060"
LINE_MOST = 2000
"""Characters of a line of the log: whoever sends much must not fill it."""

_MENTION = re.compile(r"<@([UW][A-Z0-9]+)>|<#[CDG][A-Z0-9]+>")
_HIDDEN = re.compile(
    "[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
_FORMATS = re.compile(
    rf"[*~`](?!{JOINER})"
    rf"|(?<![A-Za-z0-9])_(?!{JOINER})\S|(?m:^&gt;)"
    r"|:(?!\d\d:\d\d UTC)[A-Za-z0-9_+'-]+:"
)
_LINKS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|\w@\w|[A-Za-z0-9-]+\.[^\W\d_]{2,}")
_BROADCAST = re.compile(r"@(?:here|channel|everyone)")

# What Slack never reads for markup stands in these; `user` and `channel` are mentions.
_ELEMENTS = frozenset({"rich_text", "rich_text_section", "rich_text_preformatted", "text", "user"})


def faults_of_text(text: str, known: Collection[str]) -> Iterator[str]:
    """What is wrong with a text that Slack reads for markup: a message's own, or mrkdwn.

    `known` are the people whom the bot may mention.
    """
    for mention in _MENTION.finditer(text):
        if mention[1] is not None and mention[1] not in known:
            yield f"mentions {mention[0]}"
    bare = _MENTION.sub("", text)
    for why, pattern in (
        ("is markup", re.compile("[<>]")),
        ("is no entity", re.compile("&(?!amp;|lt;|gt;)")),
        ("can't be seen", _HIDDEN),
        ("formats", _FORMATS),
        ("links", _LINKS),
        ("notifies everybody", _BROADCAST),
    ):
        if found := pattern.search(bare):
            yield f"{found[0]!r} {why}, in {text!r}"


def faults_of_blocks(blocks: object, known: Collection[str]) -> Iterator[str]:
    """What is wrong with blocks: client text in mrkdwn, emoji, links, mentions of strangers."""
    for each in walk(blocks):
        match each.get("type"):
            case "mrkdwn":
                if each.get("verbatim") is not True:
                    yield f"links names by itself: {each}"
                if MARK in each["text"]:
                    yield f"client text in mrkdwn: {each}"
                yield from faults_of_text(each["text"], known)
            case "plain_text":
                if each.get("emoji") is not False:
                    yield f"draws emoji: {each}"
            case "user":
                if each["user_id"] not in known:
                    yield f"mentions {each}"
            case "usergroup" | "broadcast" | "link" | "emoji" | "markdown" | "header" | "image":
                yield f"should not be there: {each}"
            case _:
                pass
        if isinstance(text := each.get("text"), str) and _HIDDEN.search(text):
            yield f"can't be seen: {text!r}"


def secrets_in(text: str) -> Iterator[str]:
    """The literals of queries that stand in some text."""
    if (at := text.find(SECRET)) >= 0:
        yield text[max(0, at - 40) : at + 40]
    if found := SECRET_NUMBER.search(text):
        yield found[0]


def faults_of(change: Change, known: Collection[str], killers: Collection[str]) -> Iterator[str]:
    """What is wrong with what the bot did, where this is something that it did."""
    match change.kind, change.subject:
        case "api_called", ApiCall(method=method, args=args):
            if method.startswith(("chat.", "response_url")):
                yield from _faults_of_message(method, args, known)
        case "view_opened" | "view_changed", View(user=user, body=body):
            yield from faults_of_blocks(body, known)
            if user not in killers:
                yield from (f"a secret: {each}" for each in secrets_in(_flat(body)))
        case "interaction_settled", settled:
            payload = getattr(settled, "payload", None)
            if isinstance(payload, dict):
                yield from _faults_of_message("ack", payload, known)
        case _:
            pass


def _faults_of_message(method: str, body: Json, known: Collection[str]) -> Iterator[str]:
    blocks = body.get("blocks") or []
    blocks = json.loads(blocks) if isinstance(blocks, str) else blocks
    yield from faults_of_text(str(body.get("text") or ""), known)
    yield from faults_of_blocks(blocks, known)
    yield from (f"a secret: {each}" for each in secrets_in(_flat([body.get("text"), blocks])))
    if method in {"chat.postMessage", "response_url"}:
        for flag in ("unfurl_links", "unfurl_media"):
            if str(body.get(flag)).lower() not in {"false", "0"}:
                yield f"{method} unfurls: {flag}={body.get(flag)!r}"


def _flat(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_NO_FAILURES = (
    "delivery.failed",
    # Of a connection that is given up while it is made, asyncpg keeps a future that nobody asks.
    "Future exception was never retrieved\nfuture: <Future finished exception=ConnectionError(",
)


def faults_of_line(line: str, secrets: Collection[str]) -> Iterator[str]:
    """What is wrong with a line of the log: a failure, or something that it may not hold.

    An answer that finds nobody is no failure of the bot's: whether there was one to be had,
    the case itself says.
    """
    try:
        entry = json.loads(line)
    except ValueError:
        yield f"no JSON: {line}"
        return
    failed = entry.get("level") in {"error", "critical"} or "exception" in entry
    if failed and not str(entry.get("event")).startswith(_NO_FAILURES):
        yield f"failed: {line}"
    if len(line) > LINE_MOST:
        yield f"{len(line)} characters: {line[:400]}"
    for secret in (SECRET, MARK, *secrets):
        if secret in line:
            yield f"holds {secret!r}: {line}"
    if found := SECRET_NUMBER.search(line):
        yield f"holds {found[0]}: {line}"
