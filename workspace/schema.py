"""Checks of JSON, built from small parts, with complaints worded like Slack's.

A check takes a value, its JSON pointer, and a list to which it adds complaints.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

Check: TypeAlias = Callable[[object, str, list[str]], None]


def complain(problems: list[str], message: str, pointer: str) -> None:
    """Add a complaint in the form of `response_metadata.messages`, without its `[ERROR]`."""
    problems.append(f"{message} [json-pointer:{pointer}]")


def length(text: str) -> int:
    """Characters as Slack counts them: code points, as far as anyone knows."""
    return len(text)


def string(high: int | None = None, *, low: int = 1) -> Check:
    """A string of `low` to `high` characters."""

    def check(value: object, at: str, problems: list[str]) -> None:
        if not isinstance(value, str):
            complain(problems, "must provide a string", at)
        elif length(value) < low:
            complain(problems, f"must be more than {low - 1} characters", at)
        elif high is not None and length(value) > high:
            complain(problems, f"must be less than {high + 1} characters", at)

    return check


def url(high: int = 3000) -> Check:
    """An absolute http(s) address."""
    plain = string(high)

    def check(value: object, at: str, problems: list[str]) -> None:
        before = len(problems)
        plain(value, at, problems)
        if len(problems) == before and not str(value).startswith(("https://", "http://")):
            complain(problems, "must be a valid url", at)

    return check


def boolean(value: object, at: str, problems: list[str]) -> None:
    """True or false, not just something that looks like it."""
    if not isinstance(value, bool):
        complain(problems, "must provide a boolean", at)


def integer(low: int | None = None, high: int | None = None) -> Check:
    """A whole number from `low` to `high`."""

    def check(value: object, at: str, problems: list[str]) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            complain(problems, "must provide a number", at)
        elif low is not None and value < low:
            complain(problems, f"must be more than {low - 1}", at)
        elif high is not None and value > high:
            complain(problems, f"must be less than {high + 1}", at)

    return check


def number(value: object, at: str, problems: list[str]) -> None:
    """An integer or decimal number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        complain(problems, "must provide a number", at)


def one_of(*words: str) -> Check:
    """One of a few words."""

    def check(value: object, at: str, problems: list[str]) -> None:
        if value not in words:
            complain(problems, "must be a valid enum value", at)

    return check


def nullable(inner: Check) -> Check:
    """Whatever `inner` accepts, or null."""

    def check(value: object, at: str, problems: list[str]) -> None:
        if value is not None:
            inner(value, at, problems)

    return check


def array(item: Check, high: int | None = None, *, low: int = 1) -> Check:
    """A list of `low` to `high` items."""

    def check(value: object, at: str, problems: list[str]) -> None:
        if not isinstance(value, list):
            complain(problems, "must provide an array", at)
            return
        if len(value) < low:
            complain(problems, f"no less than {low} items allowed", at)
        if high is not None and len(value) > high:
            complain(problems, f"no more than {high} items allowed", at)
            return
        for index, each in enumerate(value):
            item(each, f"{at}/{index}", problems)

    return check


def record(
    required: Mapping[str, Check] | None = None,
    optional: Mapping[str, Check] | None = None,
    *also: Check,
) -> Check:
    """An object with only these fields; `also` checks it once its fields are right."""
    must = dict(required or {})
    may = dict(optional or {})

    def check(value: object, at: str, problems: list[str]) -> None:
        if not isinstance(value, dict):
            complain(problems, "must provide an object", at)
            return
        before = len(problems)
        for name in must:
            if value.get(name) is None:
                complain(problems, f"missing required field: {name}", at)
        for name, inner in value.items():
            field = must.get(name) or may.get(name)
            if field is None:
                complain(problems, f"invalid additional property: {name}", at)
            elif inner is not None:
                field(inner, f"{at}/{name}", problems)
        if len(problems) == before:
            for judge in also:
                judge(value, at, problems)

    return check


def tagged(kinds: Mapping[str, Check]) -> Check:
    """An object whose `type` names the check that it must pass."""

    def check(value: object, at: str, problems: list[str]) -> None:
        if not isinstance(value, dict):
            complain(problems, "must provide an object", at)
            return
        kind = value.get("type")
        if kind is None:
            complain(problems, "missing required field: type", at)
        elif not isinstance(kind, str) or kind not in kinds:
            complain(problems, f"unsupported type: {kind}", at)
        else:
            kinds[kind]({k: v for k, v in value.items() if k != "type"}, at, problems)

    return check


def anything(value: object, at: str, problems: list[str]) -> None:
    del value, at, problems
