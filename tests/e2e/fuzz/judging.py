"""What must hold for everything that the bot says, whatever names others have. Pure."""

import json
import re
from collections.abc import Collection, Iterator
from copy import deepcopy
from typing import Any

from tests.e2e.fuzz.making import MARK, SECRET, SECRET_NUMBER
from tests.unit.reading import walk
from workspace.blocks import Json
from workspace.log import Change
from workspace.state import ApiCall, View

JOINER = "\u2060"
MESSAGES = "https://acme.slack.com/archives/"
LINE_MOST = 2000
"""Characters of a line of the log: a large request must not fill the log."""

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

# Slack never reads markup in these; `user` and `channel` are mentions.
_ELEMENTS = frozenset({"rich_text", "rich_text_section", "rich_text_preformatted", "text", "user"})


def faults_of_text(text: str, known: Collection[str]) -> Iterator[str]:
    """What is wrong with a text in which Slack reads markup: a message's own text, or mrkdwn.

    `known` are the people whom the bot may mention.
    """
    for mention in _MENTION.finditer(text):
        if mention[1] is not None and mention[1] not in known:
            yield f"mentions {mention[0]}"
    bare = _MENTION.sub("", text).replace("(`all` counts them)", "")
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


def faults_of_home(blocks: list[Json], known: Collection[str]) -> Iterator[str]:
    """The same for a Home tab, which has headings and examples of our own, and links."""
    for block in blocks:
        if block["type"] in {"header", "section"}:
            if MARK in _flat(block):
                yield f"client text among our own: {block}"
            continue
        for each in walk(block):
            if each.get("type") == "link" and str(each["url"]).startswith(MESSAGES):
                each["type"] = "text"
        yield from faults_of_blocks(block, known)


def secrets_in(text: str) -> Iterator[str]:
    """The literals of queries that a text contains."""
    if (at := text.find(SECRET)) >= 0:
        yield text[max(0, at - 40) : at + 40]
    if found := SECRET_NUMBER.search(text):
        yield found[0]


def faults_of(change: Change, known: Collection[str], killers: Collection[str]) -> Iterator[str]:
    """What is wrong with a change, if the bot made it."""
    match change.kind, change.subject:
        case "api_called", ApiCall(method=method, args=args):
            if method.startswith(("chat.", "response_url")):
                yield from _faults_of_message(method, args, known)
        case "view_opened" | "view_changed", View(user=user, body=body):
            yield from faults_of_blocks(body, known)
            if user not in killers:
                yield from (f"a secret: {each}" for each in secrets_in(_flat(body)))
        case "home_published", View(body=body):
            yield from faults_of_home(deepcopy(body["blocks"]), known)
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
    "alerts.unsaid",  # it is tried again
    # If a connection is given up while it is being made, asyncpg leaves a future that nobody
    # awaits.
    "Future exception was never retrieved\nfuture: <Future finished exception=ConnectionError(",
)


def faults_of_line(line: str, secrets: Collection[str]) -> Iterator[str]:
    """What is wrong with a line of the log: a failure, or something that must not be logged.

    An answer that reaches nobody isn't the bot's failure: the case itself checks whether it could
    have been delivered.
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
