"""What outsiders may send or be called, random but repeatable with the same seed. Pure.

Every name and reason made here contains `MARK`, every literal of a query `SECRET` or a number that
`SECRET_NUMBER` matches. So these show where text is that the bot did not choose.
"""

import json
import re
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

MARK = "Zqj"
"""Part of every name and reason."""

SECRET = "sekritzq"
"""Part of every literal and comment, except for numbers."""

SECRET_NUMBER = re.compile(r"(?<!\d)902100\d{6}(?!\d)")

QUERY_KEPT = 32_768
"""Bytes that the server keeps of a query; it cuts a longer one at any byte."""

LONG = (16_000, 100_000)
"""Characters of a long query."""

BITS = (
    "<!channel>",
    "<!here|x>",
    "<!subteam^S0ONCALL>",
    "<@U0NOBODY>",
    "<#C0INCIDENTS>",
    "<https://evil.example|click>",
    "<mailto:a@evil.example>",
    "https://evil.example/x",
    "evil.example",
    "@here",
    "@channel",
    "@everyone",
    "*bold*",
    "_it_",
    "~no~",
    "`code`",
    "```pre```",
    ":boom:",
    ":100:",
    "&lt;!here&gt;",
    "&amp;lt;",
    "> quoted",
    "\u202egpj",
    "\u2066x\u2069",
    "\u200b",
    "\u00ad",
    "\ufeff",
    "\u2028",
    "\u3164",
    "é",
    "e\u0301\u0302",
    "漢字",
    "😀",
    "👩‍👩‍👧",
    "שלום",
    "'",
    '"',
    "\\",
    "|",
    "/",
    ",",
    "=",
    "*",
    "%",
    "$$",
    ";",
    "--",
    " ",
    "\n",
    "\t",
    "\x1b[31m",
    "{0}",
    "%s",
    "${x}",
    "../..",
    "null",
    "all",
    "history",
    "0",
)
"""Characters that cause trouble somewhere."""

KEYS = (
    *("user", "db", "app", "client", "state", "type", "wait"),
    *("usename", "datname", "application_name", "client_addr", "backend_type", "wait_event"),
    *("age", "xact", "query", "idle", "pid", "stat", "usr", "", "columns", "sort", "limit"),
)
WORDS = (
    *("blocked", "blocking", "all", "private", "help", "history", "main/", "prod/", "nowhere/"),
    *("idle_tx", "active", "10.0.0.0/8", "127.0.0.1", "::1", "300.1.2.3", "1h", "5m", "1h30m"),
    *("5parsecs", "pid,usename", "all", "-xact_age", "query", "1", "0", "99999999999", "٣"),
    *("*", "a*b*c", "*/*", "[local]", "null", "--", "—", "“", "”", "‘", "’", '""', '"', "'"),
)
OPERATORS = ("=", "!=", ">", "<", ">=", "<=", "==", "=!", "<>", "", " = ", "&gt;", "&lt;")


def bits(random: Random, least: int, most: int) -> str:
    """A few of these, and sometimes other characters."""
    return "".join(
        random.choice(BITS) if random.random() < 0.8 else characters(random, 1, 6)
        for _ in range(random.randint(least, most))
    )


def characters(random: Random, least: int, most: int, *, lone: bool = False) -> str:
    """Characters from all of Unicode; with `lone`, also lone surrogates."""
    made = []
    for _ in range(random.randint(least, most)):
        code = random.choice(
            (
                random.randint(1, 0x7F),
                random.randint(0x80, 0x24FF),
                random.randint(0x1, 0xFFFF),
                random.randint(0x1F000, 0x1FAFF),
                random.randint(0x1, 0x10FFFF),
            )
        )
        if 0xD800 <= code < 0xE000 and not lone:
            code = 0xFFFD
        made.append(chr(code))
    return "".join(made)


def name(random: Random) -> str:
    """A name that PostgreSQL accepts: 1 to 63 bytes, no NUL."""
    text = MARK + bits(random, 0, 4)
    if random.random() < 0.2:
        text += random.choice(("x", "漢", "😀", "<!here>")) * 63
    return text.encode()[:63].decode(errors="ignore")


def application(random: Random) -> str:
    """A client's application_name; PostgreSQL converts it to ASCII."""
    return random.choice((name(random), MARK, f"{MARK} {bits(random, 1, 3)}"))


def quoted(text: str, random: Random) -> str:
    """A name as people quote it in a command, or don't."""
    if random.random() < 0.15:
        return text
    opening, closing = random.choice(('""', '""', '""', "''", "“”", "„“", "‘’", "«»"))
    return opening + text.replace(opening, opening * 2) + closing


# --- commands ------------------------------------------------------------------------


def command(random: Random, names: Iterable[str], pids: Iterable[int]) -> str:
    """A command as somebody types it: valid, nearly valid, or neither."""
    verb = random.choice(("/pg-sessions", "/pg-kill"))
    style = random.random()
    if style < 0.1:
        text = characters(random, 0, 60)
    elif style < 0.15:
        text = bits(random, 1, 400)
    else:
        known, numbers = [*names], [*pids]
        parts = [_part(random, known, numbers) for _ in range(random.randint(0, 5))]
        if random.random() < 0.3:
            parts.append(f"{random.choice(('--', '—', '–'))} {reason(random)}")
        text = random.choice((" ", " ", " ", "  ", "\u00a0", "\n")).join(parts)
        for _ in range(random.choice((0, 0, 0, 1, 1, 3))):
            text = mutated(random, text)
    return f"{verb} {text}"


def reason(random: Random) -> str:
    """A reason to end a session, in any words."""
    return f"{MARK} {bits(random, 0, 6)}"


def _part(random: Random, names: list[str], pids: list[int]) -> str:
    match random.randint(0, 9):
        case 0:
            return str(random.choice([*pids, 0, 1, 2**31, 10**20]))
        case 1:
            return quoted(random.choice(names), random)
        case 2:
            cluster = random.choice(("main", "prod", "MAIN", "nowhere", "", MARK))
            return f"{cluster}/{quoted(random.choice(names), random)}"
        case 3 | 4:
            return random.choice(WORDS)
        case 5:
            return f"columns={','.join(random.choice(('pid', 'query', 'usename', 'nothing', 'all', 'blocked_by')) for _ in range(random.randint(1, 4)))}"  # noqa: E501
        case _:
            values: tuple[Callable[[], str], ...] = (
                lambda: quoted(random.choice(names), random),
                lambda: random.choice(WORDS),
                lambda: quoted(name(random), random),
                lambda: bits(random, 0, 3),
            )
            key, operator = random.choice(KEYS), random.choice(OPERATORS)
            return f"{key}{operator}{random.choice(values)()}"


def mutated(random: Random, text: str) -> str:
    """A text with one error."""
    at = random.randint(0, len(text))
    to = min(len(text), at + random.randint(0, 8))
    match random.randint(0, 5):
        case 0:
            return text[:at] + text[to:]
        case 1:
            return text[:to] + text[at:]
        case 2:
            return text[:at] + random.choice(BITS) + text[at:]
        case 3:
            return text[:at] + characters(random, 1, 3) + text[at:]
        case 4:
            return text[to:] + text[:at]
        case _:
            return text[:at]


# --- queries -------------------------------------------------------------------------


def query(random: Random) -> str:
    """A statement with a secret in each literal and comment: valid, invalid, or cut."""
    number = random.randint(0, 999_999)
    pieces = [_piece(random, number + at) for at in range(random.randint(1, 8))]
    if random.random() < 0.15:
        pieces *= random.randint(*LONG) // (len("".join(pieces)) + 1) + 1
    if random.random() < 0.2:
        pieces.append(random.choice(("'", "E'", "$q$", "/* ", "U&'")) + SECRET)  # never closed
    glue = random.choice((" ", ", ", " || ", "\n", " and "))
    head = random.choice(
        ("select ", "select 1 where ", "update t set a = ", "", "do ", "1a (", "se ")
    )
    made = head + glue.join(pieces)
    if random.random() < 0.3:
        # Longer than PostgreSQL keeps, often cut in the middle of a secret.
        made = "select " + "x" * random.randint(QUERY_KEPT - 124, QUERY_KEPT - 4) + ", " + made
    return made.replace("\0", "")


def foreign(random: Random) -> bytes:
    """A statement in bytes that aren't UTF-8: in another encoding, in none, or cut.

    They stand alone: next to a quote or a dollar sign they would change its meaning.
    """
    codec = random.choice(("utf-8", "latin-1", "cp1251"))
    words = query(random).encode(codec, errors="ignore").split(b" ")
    for _ in range(random.randint(1, 8)):
        bits = bytes(random.randint(0x80, 0xFF) for _ in range(random.randint(1, 5)))
        words.insert(random.randint(0, len(words)), bits)
    return b" ".join(words)


def _piece(random: Random, number: int) -> str:
    inner = f"{SECRET}{number}"
    match random.randint(0, 12):
        case 0:
            return f"'{inner}'"
        case 1:
            return f"'it''s {inner}''{inner}'"
        case 2:
            return rf"E'\'{inner}\\'"
        case 3:
            return f"$q${inner}$q$"
        case 4:
            return f"$$ ' {inner} $$"
        case 5:
            return f"/* {inner} /* {inner} */ {inner} */"
        case 6:
            return f"-- {inner}\n"
        case 7:
            return f"902100{number % 10**6:06d}"
        case 8:
            return f"U&'{inner}'"
        case 9:
            return f"'{bits(random, 0, 2).replace(chr(39), '')}{inner}'"
        case 10:
            return f"x'{inner}'"
        case 11:
            return f"copy t from program 'curl {inner}'"
        case _:
            return random.choice(("a.b", '"col"', "t", "now()", "(", ")", "null", "::text", "\\"))


# --- JSON ----------------------------------------------------------------------------


def scalar(random: Random) -> Any:
    """A value that no field expects."""
    return random.choice(
        (
            None,
            True,
            False,
            0,
            -1,
            2**63,
            1.5,
            "",
            " ",
            [],
            {},
            [[]],
            [None],
            {"": None},
            "\ud800",
            "\0",
            "x" * random.choice((1, 300, 5000)),
            "<!channel>",
            "forged",
            ["a", {"b": []}],
            {"id": ["x"]},
        )
    )


def paths(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value except its root."""
    found: list[tuple[Any, ...]] = []
    inner: Iterable[tuple[Any, object]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, each in inner:
        found.append((*at, key))
        found += paths(each, (*at, key))
    return found


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    """Set the value at a place."""
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


def drop(value: Any, path: tuple[Any, ...]) -> None:
    """Remove the value at a place."""
    for key in path[:-1]:
        value = value[key]
    del value[path[-1]]


def broken(random: Random, value: Any, *, spare: Iterable[tuple[Any, ...]] = ()) -> Any:
    """A copy of a JSON value with one error, but not at or around the spared places."""
    copy = json.loads(json.dumps(value))
    spared = [*spare]

    def may(path: tuple[Any, ...]) -> bool:
        return not any(kept[: len(path)] == path or path[: len(kept)] == kept for kept in spared)

    places = [path for path in paths(copy) if may(path)]
    # The parts near the root are the ones that are read.
    places.sort(key=lambda path: (len(path), str(path)))
    path = places[int(len(places) * random.random() ** 2)]
    if random.random() < 0.4:
        drop(copy, path)
    else:
        put(copy, path, scalar(random))
    return copy


# --- clicks --------------------------------------------------------------------------

VALUES = (
    *("", " ", "0", "-1", "+1", "1.0", "1e3", "0x1", "01", "９", "٣", "1\n", "1 ", "9" * 18),
    *("9" * 19, "9" * 500, str(2**63 - 1), str(2**63), "None", "null", "true", "[1]", "{}"),
    *("main", "prod", "main/", "nowhere", "main|1|1", "main|0|0", f"main|{2**31}|1", "|||"),
    *("main|1|9223372036854775807", "main|1|253402300800000000", "main|-1|1", "main|1", "||1|1"),
    *("0 ", "0 main/", "5 all", "0 help", "0 history", "0 user=%", "0 %3C!channel%3E", "0 --"),
    *(f"{2**31 - 1} main/", f"{2**31} main/", "0 user=%25%26%3C", "0 pid", "20 columns=all"),
    *("1 0", "1 99", "1 100", "1 -1", "1  1", "1 history", "1 history main/", "1 pid", "0 history"),
    *("all", "main/ all", "user=*", "main/ user=a", "help", "-- x", "\0", "\ud800", "x" * 2000),
    *("watch main/", "why", "why main/ at=-3m", "tree", "horizon", "by=user", "main/ at=-1s"),
    *("watch", "watch nowhere/", "0 watch main/", "0 at=-3m", "/pg-kill all", "/pg-sessions "),
    *("/pg-kill ", "/pg-sessions watch", "/pg-nothing x", f"{'0' * 32}-{'0' * 32}", "0" * 65),
    *("x" * 60_000, "%", "%2525", "%00", "<@U0NOBODY>", "\u202e1", "1\u200b", "main|1|1|1"),
)
"""Button values that no view has made."""

ACTIONS = (
    *("sessions.refresh", "sessions.previous", "sessions.next", "sessions.choose"),
    *("sessions.kill_row", "sessions.inspect", "answer.refresh", "answer.show"),
    *("session.refresh", "session.kill", "kill.terminate", "kill.cancel", "kill.dismiss"),
    *("kill.cancel_then_terminate", "kill.preview_again", "kill.page", "kill.choose"),
    *("sessions.kill_reason", "answer.show.1", "board.begin", "board.stop"),
    *("why.end", "why.cancel", "kill.timeline"),
    *("alert.preview", "alert.mute", "alert.timeline", "history.older"),
    *("home.refresh", "home.ask", "home.ask.7", "home.asked", "pg_sessions_here", "pg_kill_here"),
    *("kill.terminate.1", "kill.page.99", "kill.choose.0", "sessions.choose.٣", "kill.page.x"),
    *("kill.terminate\n", "kill.terminate.", "KILL.TERMINATE", "kill", "", ".", "nothing", MARK),
    *("kill.terminate.1.2", "xkill.terminate", "kill.terminate " * 300, "\ud800", "\0", "*"),
)

METADATA = (
    *("", " ", "{", "null", "[]", "{}", "0", '""', '"x"', "[" * 3000, '{"row":' * 500, "\ud800"),
    *('{"row": "main|1|1"}', '{"row": "main|1|1", "channel": 1}', '{"row": 1, "channel": ""}'),
    *('{"row": null, "channel": null}', '{"row": "||", "channel": "C0SHARED"}', "NaN", "1e999"),
    *('{"row": "main|1|1", "channel": "C0NOWHERE"}', '{"row": "main|1|1", "channel": "\\ud800"}'),
    *('{"row": "nowhere|1|1", "channel": "C0LANE0"}', '{"row": ["main"], "channel": ["C0LANE0"]}'),
    *("x" * 100_000, '{"row": "main|1|1", "channel": "D0ANABEN"}', "9" * 5000),
    *(
        '["C0LANE1", "", "", false, ""]',
        '["C0SHARED", "", "1.1", true, "x"]',
        '["", "", "", 0, ""]',
    ),
    *(
        '["C0LANE1", "mpdm-a", "1.1", true, "file:///etc/passwd"]',
        '["C0LANE2", "", "9", false, ""]',
    ),
    *('["C0SECRET", "\\ud800", "", false, "http://a b/\\ud800"]', '"abcde"', '{"a":1,"b":2}'),
    *("/pg-sessions", "/pg-kill", "/pg-kill all", "/pg-nothing", '["D0ANABEN", "", "", true, ""]'),
)
"""Modal metadata that no view has made."""

RESPONSE_URLS = (
    *("", " ", "x", "http://", "http://127.0.0.1:1/x", "http://[::1", "http://127.0.0.1:99999/"),
    *("file:///etc/passwd", "ftp://127.0.0.1/", "//127.0.0.1:1", "http://a b/", "\ud800", "\0"),
    *(
        "http://127.0.0.1:1/" + "x" * 20_000,
        "http://ж.invalid./",
        "javascript:1",
        "ws://127.0.0.1:1",
    ),
)


def deep(random: Random) -> str:
    """JSON, or nearly, that is nested deeper than parsers can handle."""
    depth = random.choice((100, 900, 3000, 100_000))
    opening, closing = random.choice((("[", "]"), ('{"a":', "}"), ('{"actions":[', "]}")))
    inner = "1" if opening != "[" else ""
    return opening * depth + inner + closing * random.choice((depth, depth, 0))
