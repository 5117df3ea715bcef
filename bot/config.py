"""The bot's settings: environment variables -> `Settings`, or every error at once.

Nothing here reads the process's environment or `.env`: the composition root hands both to
`load`. A message names its variable and says what is expected; it never shows a value,
but for ids and names, which are no secrets.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import timedelta
from difflib import get_close_matches
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bot import pg_url
from bot.domain.kept_names import of_roles
from bot.domain.people import Allowlist, Glob
from bot.errors import SettingsError
from bot.grammar.requests import MAX_NAME
from bot.pg_url import is_loopback

LogFormat = Literal["json", "console"]

MAIN = "main"
"""The cluster that `DATABASE_URL` names."""

_CLUSTER_NAME = re.compile(r"[a-z0-9_-]{1,40}")
_USER_ID = re.compile(r"[UW][A-Z0-9]+")
_GROUP_ID = re.compile(r"S[A-Z0-9]+")
_CHANNEL_ID = re.compile(r"[CG][A-Z0-9]+")
_FIT_TO_SHOW = re.compile(r"(?!xox|xapp)[\w.*@#<>|-]{1,31}", re.ASCII | re.IGNORECASE)

# An unknown variable that begins so can only be meant for the bot, and leaving it out
# would unprotect what it was to protect.
_OURS = ("PROTECTED_", "SECOND_PERSON")

# Names so common that a near one is no typing error of theirs; what they set is seen to be
# missing, or does no harm.
_ANYONES = frozenset({"PORT", "DATABASE_URL", "HEALTH_PORT", "LOG_LEVEL", "LOG_FORMAT"})

# Lists whose items are looked at one by one.
_LISTS = frozenset(
    {
        *("PG_KILL_ALLOWLIST", "PG_SESSIONS_ALLOWLIST", "ALLOWED_CHANNELS"),
        *("PROTECTED_ROLES", "PROTECTED_APPLICATIONS", "SECOND_PERSON_CLUSTERS"),
    }
)

_QUOTES = "\"'`“”„‟«»‘’‚‛"

# Slack's older libraries read this one: no misspelt SLACK_APP_TOKEN.
_OF_OTHERS = frozenset({"SLACK_API_TOKEN"})


# What a variable's text must be. Each takes the stripped text and raises `ValueError` with
# words that follow the variable's name.


def _token(prefix: str, kind: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if re.fullmatch(prefix + "[!-~]+", text) is None:
            raise ValueError(f"must be {kind} token, {prefix}…")
        return text

    return check


def _one_word(text: str) -> str:
    if re.fullmatch("[!-~]+", text) is None:
        raise ValueError("must be one word of ASCII")
    return text


def _whole_number(least: int, most: int, of: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if re.fullmatch("[0-9]{1,9}", text) is None or not least <= int(text) <= most:
            raise ValueError(f"must be {of} from {least} to {most}")
        return int(text)

    return read


def _one_of(*words: str) -> Callable[[str], str]:
    spellings = {word.lower(): word for word in words}

    def read(text: str) -> str:
        if text.lower() not in spellings:
            raise ValueError(f"must be one of {', '.join(words)}")
        return spellings[text.lower()]

    return read


def _api_url(text: str) -> str:
    """A base that `urljoin` keeps whole: with a slash at its end."""
    try:
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


def _one_server(text: str) -> str:
    pg_url.read(text)
    return text


def _ledger_url(text: str) -> str:
    if text.startswith("postgres"):
        pg_url.read(text, of_ledger=True)
        return text
    path = text.removeprefix("sqlite:///")
    if path == text:
        raise ValueError("must begin with sqlite:/// or postgresql://")
    if path in ("", ":memory:") or "?" in path:
        raise ValueError("must name a file that outlives the bot: sqlite:///ledger.db")
    return text


def _split(text: str) -> list[str]:
    return [item for item in map(str.strip, text.split(",")) if item]


def _items(text: str) -> list[str]:
    """The items of a list that is not empty.

    What can't be meant as it stands is refused: a name in quotes matches nothing, in silence.
    """
    items = _split(text)
    if not items:
        raise ValueError("contains only commas")
    unseen = next((character for character in text if not character.isprintable()), None)
    if unseen is not None:
        raise ValueError(f"contains the invisible U+{ord(unseen):04X}; separate names with commas")
    quoted = [item for item in items if item[0] in _QUOTES or item[-1] in _QUOTES]
    if quoted:
        raise ValueError(
            f"has quotes around {_shown(item.strip(_QUOTES) for item in quoted)}, which --env-file"
            " keeps: remove them"
        )
    return items


def _shown(items: Iterable[str]) -> str:
    """Items as they may stand in a message: a secret pasted into a list stays out of it."""
    return ", ".join(
        f"`{item}`" if _FIT_TO_SHOW.fullmatch(item) else f"an item of {len(item)} characters"
        for item in items
    )


def _ids(text: str, kinds: Iterable[re.Pattern[str]], expected: str) -> list[str]:
    items = _items(text)
    wrong = [item for item in items if not any(kind.fullmatch(item) for kind in kinds)]
    if wrong:
        hint = ""
        if any(kind.fullmatch(item.upper()) for item in wrong for kind in kinds):
            hint = "; ids are in upper case"
        raise ValueError(f"must be {expected}, not {_shown(wrong)}{hint}")
    return items


def _kill_allowlist(text: str) -> Allowlist:
    if "*" in _items(text):
        raise ValueError("can't be `*`: list who may end sessions")
    return _people(text)


def _sessions_allowlist(text: str) -> Allowlist:
    items = _items(text)
    if items == ["*"]:
        return Allowlist(everyone=True)
    if "*" in items:
        raise ValueError("must be either `*` or ids, not both")
    return _people(text)


def _people(text: str) -> Allowlist:
    ids = _ids(text, (_USER_ID, _GROUP_ID), "ids of users (U…, W…) and user groups (S…)")
    groups = frozenset(item for item in ids if item.startswith("S"))
    return Allowlist(users=frozenset(ids) - groups, groups=groups)


def _channels(text: str) -> frozenset[str]:
    return frozenset(_ids(text, (_CHANNEL_ID,), "ids of channels (C…, G…)"))


def _globs(text: str) -> tuple[Glob, ...]:
    return tuple(tuple(item.split("*")) for item in _items(text))


def _roles(text: str) -> tuple[Glob, ...]:
    globs = _globs(text)
    if too_long := ["*".join(glob) for glob in globs if not of_roles(glob)]:
        raise ValueError(
            f"no role is called {_shown(too_long)}: a name has {MAX_NAME} bytes at most"
        )
    return globs


def _names(text: str) -> frozenset[str]:
    return frozenset(item.lower() for item in _items(text))


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=_whole_number(1, 86_400, "a whole number of seconds")(text))


def _days(text: str) -> timedelta:
    return timedelta(days=_whole_number(1, 36_500, "a whole number of days")(text))


_PORT = BeforeValidator(_whole_number(1, 65_535, "a port"))
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_DatabaseUrl = Annotated[SecretStr, BeforeValidator(_one_server)]


class Settings(BaseSettings):
    """What the environment says, checked. Made by `load`; its repr masks every secret.

    A field's alias is its variable.

    Attributes:
        slack_app_token: Socket Mode, whether or not there is a signing secret as well.
        slack_signing_secret: HTTP mode, where there is no app token.
        slack_api_url: ends in a slash.
        clusters: name -> URL; `main` first, then by name. Each URL names one server.
        protected_roles: globs as `bot.domain.protection.Protection` takes them.
        protected_applications: the same.
        second_person_clusters: some of the names in `clusters`.
        ledger_url: `sqlite:///…` or `postgresql://…`, as it was given.
    """

    model_config = SettingsConfigDict(
        alias_generator=str.upper,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=False,  # defaults are values, not texts to be read
    )

    slack_bot_token: Annotated[SecretStr, BeforeValidator(_token("xoxb-", "a bot"))]
    slack_app_token: Annotated[
        SecretStr | None, BeforeValidator(_token("xapp-", "an app-level"))
    ] = None
    slack_signing_secret: Annotated[SecretStr | None, BeforeValidator(_one_word)] = None
    slack_api_url: Annotated[str, BeforeValidator(_api_url)] = "https://slack.com/api/"
    port: Annotated[int, _PORT] = 3000
    clusters: Annotated[
        Mapping[str, _DatabaseUrl], AfterValidator(MappingProxyType), Field(alias="DATABASE_URL")
    ]
    kill_allowlist: Annotated[
        Allowlist, BeforeValidator(_kill_allowlist), Field(alias="PG_KILL_ALLOWLIST")
    ] = Allowlist()
    sessions_allowlist: Annotated[
        Allowlist, BeforeValidator(_sessions_allowlist), Field(alias="PG_SESSIONS_ALLOWLIST")
    ] = Allowlist()
    allowed_channels: Annotated[frozenset[str], BeforeValidator(_channels)] = frozenset()
    protected_roles: Annotated[tuple[Glob, ...], BeforeValidator(_roles)] = ()
    protected_applications: Annotated[tuple[Glob, ...], BeforeValidator(_globs)] = ()
    second_person_clusters: Annotated[frozenset[str], BeforeValidator(_names)] = frozenset()
    confirm_ttl: Annotated[timedelta, BeforeValidator(_seconds)] = timedelta(seconds=600)
    ledger_url: Annotated[SecretStr, BeforeValidator(_ledger_url)] = SecretStr(
        "sqlite:///ledger.db"
    )
    ledger_keep: Annotated[timedelta, BeforeValidator(_days)] = timedelta(days=400)
    health_port: Annotated[int | None, _PORT] = None
    log_level: Annotated[str, BeforeValidator(_one_of(*_LEVELS))] = "INFO"
    log_format: Annotated[LogFormat, BeforeValidator(_one_of("json", "console"))] = "json"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        *_unused: PydanticBaseSettingsSource,
        **_others: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but what `load` hands in."""
        return (init_settings,)


VARIABLES: tuple[str, ...] = tuple(str(field.alias) for field in Settings.model_fields.values())
"""Every variable but the `DATABASE_URL_<NAME>`, in the order in which problems are told."""


LEDGER = "LEDGER_URL"


def is_setting(name: str) -> bool:
    """Whether a variable is one that the bot reads."""
    return name in VARIABLES or name.startswith("DATABASE_URL_")


def load(environ: Mapping[str, str | None]) -> Settings:
    """Settings from variables, or `SettingsError` with everything that is wrong with them.

    A variable that is blank, or None as in a `.env` line without `=`, counts as unset.
    """
    given = {name: text.strip() for name, text in environ.items() if text and text.strip()}
    given, kept = _without_what_env_files_keep(given)
    urls, problems = _clusters(given)
    problems += kept
    values: dict[str, Any] = {name: given[name] for name in VARIABLES if name in given}
    values["DATABASE_URL"] = {name: given[variable] for name, variable in urls.items()}
    problems += [*_no_way_in(given), *_unknown_clusters(given, urls), *_misspelt(given)]
    try:
        settings = Settings(**values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        problems += [_problem(detail, urls) for detail in found]
    else:
        if not problems:
            return settings
    raise SettingsError(tuple(sorted(problems, key=_rank)))


def ledger_url(environ: Mapping[str, str | None]) -> SecretStr:
    """Return where the record is, whatever else is set. Raises `SettingsError`."""
    given = {name: text.strip() for name, text in environ.items() if text and text.strip()}
    meant, problems = _without_what_env_files_keep(
        {name: text for name, text in given.items() if name == LEDGER}
    )
    problems += [_such(name, LEDGER) for name in given if _meant_by(name, given) == LEDGER]
    url: SecretStr = Settings.model_fields["ledger_url"].default
    try:
        url = SecretStr(_ledger_url(meant[LEDGER])) if LEDGER in meant else url
    except ValueError as error:
        problems.append(f"{LEDGER}: {error}")
    if problems:
        raise SettingsError(tuple(problems))
    return url


def _without_what_env_files_keep(given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The texts as they were meant, and what stands in them that nobody takes off.

    Quotes and comments are syntax in `.env` and in a shell; what `docker --env-file` and
    `kubectl --from-env-file` read is handed on with them.
    """
    meant, problems = dict(given), []
    for name in filter(is_setting, given):
        text = given[name]
        if not text.isascii() and text != (clean := text.encode(errors="replace").decode()):
            problems.append(f"{name}: is not UTF-8")
            text = clean
        if (comment := re.search(r"\s#", text)) is not None:
            problems.append(
                f"{name}: contains ` #`, which starts a comment in some files, but"
                " --env-file keeps it: remove it (in a name, write `*` instead)"
            )
            text = text[: comment.start()].rstrip()
        if text and text[0] in _QUOTES and name not in _LISTS:
            problems.append(f"{name}: is in quotes, which --env-file keeps: remove them")
            text = text.strip(_QUOTES)
        meant[name] = text
    return {name: text for name, text in meant.items() if text}, problems


def _clusters(given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Each cluster's variable by its name, `main` first, and what is wrong with the names."""
    urls: dict[str, str] = {}
    problems = []
    for variable in sorted(given):
        if variable == "DATABASE_URL":
            name = MAIN
        elif variable.startswith("DATABASE_URL_"):
            name = variable.removeprefix("DATABASE_URL_").lower()
        else:
            continue
        if _CLUSTER_NAME.fullmatch(name) is None:
            problems.append(f"{variable}: a cluster's name is 1 to 40 of a to z, 0 to 9, _ and -")
        elif name in urls:
            problems.append(f"{variable}: names the cluster `{name}` again, after {urls[name]}")
        else:
            urls[name] = variable
    if not urls and not problems:
        problems.append("DATABASE_URL: is required, or a DATABASE_URL_<NAME>")
    return dict(sorted(urls.items(), key=lambda item: (item[0] != MAIN, item[0]))), problems


def _no_way_in(given: Mapping[str, str]) -> Iterator[str]:
    if "SLACK_APP_TOKEN" not in given and "SLACK_SIGNING_SECRET" not in given:
        yield "SLACK_APP_TOKEN: is required, or SLACK_SIGNING_SECRET for HTTP mode"


def _unknown_clusters(given: Mapping[str, str], urls: Iterable[str]) -> Iterator[str]:
    named = _split(given.get("SECOND_PERSON_CLUSTERS", ""))
    unknown = sorted({item.strip(_QUOTES).lower() for item in named}.difference(urls, {""}))
    if unknown:
        known = ", ".join(f"`{name}`" for name in urls) or "none"
        yield (
            f"SECOND_PERSON_CLUSTERS: unknown {'clusters' if len(unknown) > 1 else 'cluster'}"
            f" {_shown(unknown)}; known clusters: {known}"
        )


def _misspelt(given: Mapping[str, str]) -> Iterator[str]:
    """Variables that nobody else can have meant.

    What is left out by a typing error here protects, confines or records nothing, in
    silence. Slack's prefix is shared with other software: one of its names counts only
    where it is very near to one that is unset.
    """
    for variable in given:
        if meant := _meant_by(variable, given):
            yield _such(variable, meant)


def _meant_by(variable: str, given: Container[str]) -> str | None:
    """The setting that an unknown variable can only have been meant for."""
    if variable in VARIABLES or variable in _OF_OTHERS:
        return None
    slack = [name for name in VARIABLES if name.startswith("SLACK_")]
    own = [name for name in VARIABLES if name not in _ANYONES and name not in slack]
    name = variable.upper()
    nearest = get_close_matches(name, own, n=1, cutoff=0.85)
    if not nearest and name.startswith(_OURS):
        nearest = get_close_matches(name, own, n=1, cutoff=0)
    if not nearest and name.startswith("SLACK_"):
        unset = [known for known in slack if known not in given]
        nearest = get_close_matches(name, unset, n=1, cutoff=0.9)
    return nearest[0] if nearest else None


def _such(variable: str, nearest: str) -> str:
    return f"{variable}: unknown setting; did you mean {nearest}?"


def _problem(detail: ErrorDetails, urls: Mapping[str, str]) -> str:
    alias, *inner = detail["loc"]
    variable = urls[str(inner[0])] if inner else alias
    if detail["type"] == "missing":
        return f"{variable}: is required"
    return f"{variable}: {detail['ctx']['error']}"


def _rank(problem: str) -> tuple[int, str]:
    """Problems stand in the order of the settings, those of unknown variables last."""
    variable = problem.partition(":")[0]
    known = "DATABASE_URL" if variable.startswith("DATABASE_URL_") else variable
    return (VARIABLES.index(known) if known in VARIABLES else len(VARIABLES), problem)
