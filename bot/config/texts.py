"""What the text of a variable must be.

Each function takes the stripped text. It returns what the text means, or raises `ValueError` with
words that follow the variable's name. The words never show a value, except for ids and names,
which aren't secret.
"""

import re
import shlex
from collections.abc import Callable, Iterable
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

from bot import pg_url
from bot.domain.alerts import DEFAULT_AFTER
from bot.domain.findings.model import Rule
from bot.domain.kept_names import of_roles
from bot.domain.people import Allowlist, Glob
from bot.domain.query_tags import KEY
from bot.grammar.requests import MAX_NAME
from bot.pg_url import is_loopback

_USER_ID = re.compile(r"[UW][A-Z0-9]+")
_GROUP_ID = re.compile(r"S[A-Z0-9]+")
_CHANNEL_ID = re.compile(r"[CG][A-Z0-9]+")
_FIT_TO_SHOW = re.compile(r"(?!xox|xapp)[\w.*@#<>|-]{1,31}", re.ASCII | re.IGNORECASE)

QUOTES = "\"'`“”„‟«»‘’‚‛"


def token(prefix: str, kind: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if re.fullmatch(prefix + "[!-~]+", text) is None:
            raise ValueError(f"must be {kind} token, {prefix}…")
        return text

    return check


def one_word(text: str) -> str:
    if re.fullmatch("[!-~]+", text) is None:
        raise ValueError("must be one word of ASCII")
    return text


def whole_number(least: int, most: int, of: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if re.fullmatch("[0-9]{1,9}", text) is None or not least <= int(text) <= most:
            raise ValueError(f"must be {of} from {least} to {most}")
        return int(text)

    return read


def one_of(*words: str) -> Callable[[str], str]:
    spellings = {word.lower(): word for word in words}

    def read(text: str) -> str:
        if text.lower() not in spellings:
            raise ValueError(f"must be one of {', '.join(words)}")
        return spellings[text.lower()]

    return read


def api_url(text: str) -> str:
    """A base URL that ends with a slash, so that `urljoin` keeps all of it."""
    try:
        one_word(text)  # `urlsplit` would drop a line's end from inside of it
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port  # each raises for what it can't read
    except ValueError:
        raise ValueError("is not a valid URL") from None
    if not host or url.scheme not in ("https", "http"):
        raise ValueError("must be a URL that begins with https://")
    if "@" in url.netloc or "?" in text or "#" in text:
        raise ValueError("must be only a host and a path: no user, password, ? or #")
    if url.scheme == "http" and not is_loopback(host):
        raise ValueError("must begin with https:// unless its host is loopback")
    return text.rstrip("/") + "/"


def one_server(text: str) -> str:
    pg_url.read(text)
    return text


def command(text: str) -> str:
    """A program and its arguments, split as a shell would."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("has a quote that is not closed, or a backslash at its end") from None
    if "\0" in text or not words or not words[0]:
        raise ValueError("must be a program and its arguments")
    return text


def ledger_url(text: str) -> str:
    if text.startswith("postgres"):
        pg_url.read(text, of_ledger=True)
        return text
    path = text.removeprefix("sqlite:///")
    if path == text:
        raise ValueError("must begin with sqlite:/// or postgresql://")
    if path in ("", ":memory:") or "?" in path:
        raise ValueError("must name a file that outlives the bot: sqlite:///ledger.db")
    return text


def split(text: str) -> list[str]:
    return [item for item in map(str.strip, text.split(",")) if item]


def _items(text: str) -> list[str]:
    """The items of a list that isn't empty.

    Refuses items that can't be meant as they are: a quoted name would silently match nothing.
    """
    items = split(text)
    if not items:
        raise ValueError("contains only commas")
    unseen = next((character for character in text if not character.isprintable()), None)
    if unseen is not None:
        raise ValueError(f"contains the invisible U+{ord(unseen):04X}; separate names with commas")
    quoted = [item for item in items if item[0] in QUOTES or item[-1] in QUOTES]
    if quoted:
        raise ValueError(
            f"has quotes around {shown(item.strip(QUOTES) for item in quoted)}, which --env-file"
            " keeps: remove them"
        )
    return items


def shown(items: Iterable[str]) -> str:
    """Items for a message; anything that may be a secret pasted into the list is left out."""
    return ", ".join(
        f"`{item}`" if _FIT_TO_SHOW.fullmatch(item) else f"an item of {len(item)} characters"
        for item in items
    )


def _apart(items: Iterable[str]) -> str:
    """A hint, if items look like several that something else than a comma separates."""
    return "; separate them with commas" if any(re.search(r"[\s;]", each) for each in items) else ""


def _ids(text: str, kinds: Iterable[re.Pattern[str]], expected: str) -> list[str]:
    items = _items(text)
    wrong = [item for item in items if not any(kind.fullmatch(item) for kind in kinds)]
    if wrong:
        hint = ""
        if any(kind.fullmatch(item.upper()) for item in wrong for kind in kinds):
            hint = "; ids are in upper case"
        raise ValueError(f"must be {expected}, not {shown(wrong)}{hint}{_apart(wrong)}")
    return items


def allowlist(doing: str) -> Callable[[str], Allowlist]:
    """Who may do this (`kill`, `cancel queries`)."""

    def read(text: str) -> Allowlist:
        if text and "*" in _items(text):
            raise ValueError(f"can't be `*`: list who may {doing}")
        return _people(text)

    return read


def sessions_allowlist(text: str) -> Allowlist:
    items = _items(text) if text else []
    if items == ["*"]:
        return Allowlist(everyone=True)
    if "*" in items:
        raise ValueError("must be either `*` or ids, not both")
    return _people(text)


def _people(text: str) -> Allowlist:
    if not text:
        return Allowlist()
    ids = _ids(text, (_USER_ID, _GROUP_ID), "ids of users (U…, W…) and user groups (S…)")
    groups = frozenset(item for item in ids if item.startswith("S"))
    return Allowlist(users=frozenset(ids) - groups, groups=groups)


def channels(text: str) -> frozenset[str]:
    return frozenset(_ids(text, (_CHANNEL_ID,), "ids of channels (C…, G…)"))


def channel(text: str) -> str:
    """One channel, or none."""
    ids = _ids(text, (_CHANNEL_ID,), "the id of a channel (C…, G…)") if text else [""]
    if len(ids) > 1:
        raise ValueError(f"must be one channel, not {len(ids)}")
    return ids[0]


def alert_after(text: str) -> dict[Rule, timedelta]:
    """Seconds by finding, over the defaults; `off` takes a finding out."""
    after, wrong, problems, met = dict(DEFAULT_AFTER), [], [], set()
    for item in _items(text):
        name, equals, value = (part.strip().lower() for part in item.partition("="))
        if name not in {*Rule} or not equals:
            wrong.append(item if not equals else name)
        elif name in met:
            problems.append(f"has `{name}` twice")
        elif value == "off":
            after.pop(Rule(name), None)
        else:
            try:
                after[Rule(name)] = timedelta(seconds=_SECONDS_HELD(value))
            except ValueError as error:
                problems.append(f"{name} {error}, or off")
        met.add(name)
    if wrong:
        every = ", ".join(Rule)
        problems.append(
            f"must be findings as `limit=30`, not {shown(wrong)}{_apart(wrong)}; findings: {every}"
        )
    if problems:
        raise ValueError("; ".join(problems))
    return after


def globs(text: str) -> tuple[Glob, ...]:
    return tuple(tuple(item.split("*")) for item in _items(text))


def roles(text: str) -> tuple[Glob, ...]:
    found = globs(text)
    if too_long := ["*".join(glob) for glob in found if not of_roles(glob)]:
        raise ValueError(
            f"no role is called {shown(too_long)}: a name has {MAX_NAME} bytes at most"
        )
    return found


def names(text: str) -> frozenset[str]:
    return frozenset(item.lower() for item in _items(text))


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Addresses, and networks in CIDR notation."""
    found, wrong = [], []
    for item in _items(text):
        try:
            found.append(ip_network(item))
        except ValueError:
            wrong.append(item)
    if wrong:
        said = ", ".join(map(_no_network, wrong)) + _apart(wrong)
        raise ValueError(f"must be addresses or networks (10.0.0.0/8), not {said}")
    return tuple(found)


def _no_network(item: str) -> str:
    """An item for a message, and the network that it may have been meant to be."""
    try:
        return f"`{item}` (its network is {ip_network(item, strict=False)})"
    except ValueError:
        return shown([item])


def tag_keys(text: str) -> tuple[str, ...]:
    """Keys of query tags; `none` is no key."""
    if text.lower() == "none":
        return ()
    items = _items(text)
    if wrong := [item for item in items if not KEY.fullmatch(item)]:
        raise ValueError(
            "must be keys of letters, digits, `_`, `.` and `-`, or `none`, not"
            f" {shown(wrong)}{_apart(wrong)}"
        )
    if "none" in map(str.lower, items):
        raise ValueError("must be either `none` or keys, not both")
    return tuple(dict.fromkeys(items))


def seconds(text: str) -> timedelta:
    return timedelta(seconds=whole_number(1, 86_400, "a whole number of seconds")(text))


def pause(text: str) -> timedelta:
    """Seconds between two runs of something; 0 for never."""
    return timedelta(seconds=whole_number(0, 300, "a whole number of seconds")(text))


_SECONDS_HELD = whole_number(1, 30 * 86_400, "a whole number of seconds")


def days(text: str) -> timedelta:
    return timedelta(days=whole_number(1, 36_500, "a whole number of days")(text))
