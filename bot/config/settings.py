"""Every setting, with the form of its text and its default."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Literal, TypeVar

from bot.config import texts
from bot.config.secret import Secret
from bot.domain.alerts import DEFAULT_AFTER, patience
from bot.domain.findings.model import Rule
from bot.domain.people import Allowlist, Allowlists, Glob, Right, Rights
from bot.domain.query_tags import DEFAULT_KEYS
from bot.domain.shown import Poolers
from bot.pg_url import read
from bot.ports import Rules

T = TypeVar("T")
PerCluster = Mapping[str, T]
"""A setting that clusters may have for themselves, as `PG_KILL_ALLOWLIST_PROD`: by name."""

GENERAL = ""
"""The key in these of the value for all clusters that have none of their own."""

LogFormat = Literal["json", "console"]

_PORT = texts.whole_number(1, 65_535, "a port")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Form:
    """How a setting is given.

    Attributes:
        variable: its name in the environment.
        read: its value by its text; raises `ValueError` with words that follow the variable's name.
        default: its value without a text, unless clusters may have it for themselves.
        is_secret: whether its value is a `Secret`.
        is_list: whether its items are separated by commas.
        is_per_cluster: whether clusters may have it for themselves.
    """

    variable: str
    read: Callable[[str], Any]
    default: Any
    is_secret: bool
    is_list: bool
    is_per_cluster: bool

    def value(self, text: str) -> Any:  # noqa: ANN401  each setting's own
        value = self.read(text)
        return Secret(value) if self.is_secret else value


def _setting(  # noqa: PLR0913  keyword-only, each with its own meaning
    variable: str,
    read: Callable[[str], Any],
    default: Any = None,  # noqa: ANN401  each setting's own
    *,
    secret: bool = False,
    a_list: bool = False,
    per_cluster: bool = False,
) -> Any:  # noqa: ANN401  as `field` does
    form = Form(
        variable, read, default, is_secret=secret, is_list=a_list, is_per_cluster=per_cluster
    )
    return field(metadata={"form": form})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The environment's settings, checked. Made by `load`; its repr masks all secrets.

    Attributes:
        slack_app_token: for Socket Mode, whether or not there is also a signing secret.
        slack_signing_secret: for HTTP mode, if there is no app token.
        slack_api_url: ends with a slash.
        clusters: name -> URL; `main` first, then by name. Each URL names one server.
        password_commands: by cluster; see `password_command`.
        kill_allowlist: by cluster, like the other two; see `rights`.
        protected_roles: globs as `bot.domain.protection.Protection` takes them.
        protected_applications: the same.
        second_person_clusters: some of the names in `clusters`.
        alert_channels: by cluster; see `alert_channel_by_cluster`.
        alert_after: how long each finding has to hold; one that isn't here is never told.
        ledger_url: `sqlite:///…` or `postgresql://…`, as it was given.
        secrets_dir: the composition root has already read it.
    """

    slack_bot_token: Secret = _setting(
        "SLACK_BOT_TOKEN", texts.token("xoxb-", "a bot"), secret=True
    )
    slack_app_token: Secret | None = _setting(
        "SLACK_APP_TOKEN", texts.token("xapp-", "an app-level"), secret=True
    )
    slack_signing_secret: Secret | None = _setting(
        "SLACK_SIGNING_SECRET", texts.one_word, secret=True
    )
    slack_api_url: str = _setting("SLACK_API_URL", texts.api_url, "https://slack.com/api/")
    port: int = _setting("PORT", _PORT, 3000)
    clusters: PerCluster[Secret] = _setting(
        "DATABASE_URL", texts.one_server, secret=True, per_cluster=True
    )
    password_commands: PerCluster[Secret] = _setting(
        "DATABASE_PASSWORD_COMMAND", texts.command, secret=True, per_cluster=True
    )
    kill_allowlist: PerCluster[Allowlist] = _setting(
        "PG_KILL_ALLOWLIST",
        texts.allowlist("end sessions"),
        a_list=True,
        per_cluster=True,
    )
    cancel_allowlist: PerCluster[Allowlist] = _setting(
        "PG_CANCEL_ALLOWLIST",
        texts.allowlist("cancel queries"),
        a_list=True,
        per_cluster=True,
    )
    sessions_allowlist: PerCluster[Allowlist] = _setting(
        "PG_SESSIONS_ALLOWLIST", texts.sessions_allowlist, a_list=True, per_cluster=True
    )
    allowed_channels: frozenset[str] = _setting(
        "ALLOWED_CHANNELS", texts.channels, frozenset(), a_list=True
    )
    protected_roles: tuple[Glob, ...] = _setting("PROTECTED_ROLES", texts.roles, (), a_list=True)
    protected_applications: tuple[Glob, ...] = _setting(
        "PROTECTED_APPLICATIONS", texts.globs, (), a_list=True
    )
    second_person_clusters: frozenset[str] = _setting(
        "SECOND_PERSON_CLUSTERS", texts.names, frozenset(), a_list=True
    )
    confirm_ttl: timedelta = _setting("CONFIRM_TTL", texts.seconds, timedelta(seconds=600))
    ledger_url: Secret = _setting(
        "LEDGER_URL", texts.ledger_url, Secret("sqlite:///ledger.db"), secret=True
    )
    ledger_keep: timedelta = _setting("LEDGER_KEEP", texts.days, timedelta(days=400))
    pgbouncer_addresses: tuple[IPv4Network | IPv6Network, ...] = _setting(
        "PGBOUNCER_ADDRESSES", texts.networks, (), a_list=True
    )
    query_tags: tuple[str, ...] = _setting("QUERY_TAGS", texts.tag_keys, DEFAULT_KEYS, a_list=True)
    sample_every: timedelta = _setting("SAMPLE_EVERY", texts.pause, timedelta(seconds=5))
    alert_channels: PerCluster[str] = _setting("ALERT_CHANNEL", texts.channel, per_cluster=True)
    alert_after: Mapping[Rule, timedelta] = _setting(
        "ALERT_AFTER", texts.alert_after, DEFAULT_AFTER, a_list=True
    )
    secrets_dir: str | None = _setting("SECRETS_DIR", str)
    health_port: int | None = _setting("HEALTH_PORT", _PORT)
    log_level: str = _setting("LOG_LEVEL", texts.one_of(*_LEVELS), "INFO")
    log_format: LogFormat = _setting("LOG_FORMAT", texts.one_of("json", "console"), "json")

    def password_command(self, cluster: str) -> tuple[str, ...] | None:
        """The program and its arguments that give this cluster's password.

        The general one is for the clusters whose URL has none.
        """
        command = self.password_commands.get(cluster)
        if command is None and not read(self.clusters[cluster].revealed).has_password:
            command = self.password_commands.get(GENERAL)
        return None if command is None else tuple(shlex.split(command.revealed))

    @property
    def alert_channel_by_cluster(self) -> Mapping[str, str]:
        """The channel where the bot speaks first, of each cluster that has one."""
        general = self.alert_channels.get(GENERAL, "")
        found = {name: self.alert_channels.get(name, general) for name in self.clusters}
        return {name: channel for name, channel in found.items() if channel}

    @property
    def rules(self) -> Rules:
        """What the use cases go by."""
        return Rules(
            protected_roles=self.protected_roles,
            protected_applications=self.protected_applications,
            second_person=self.second_person_clusters,
            confirm_ttl=self.confirm_ttl,
            query_tags=self.query_tags,
            poolers=Poolers(self.pgbouncer_addresses),
            sample_every=self.sample_every,
            patience=patience(self.alert_after),
        )

    @property
    def rights(self) -> Rights:
        """Who may do what on which cluster."""
        given = {
            Right.KILL: self.kill_allowlist,
            Right.CANCEL: self.cancel_allowlist,
            Right.LOOK: self.sessions_allowlist,
        }
        lists = {
            right: Allowlists(
                lists.get(GENERAL, Allowlist()),
                {name: lists[name] for name in self.clusters if name in lists},
            )
            for right, lists in given.items()
        }
        return Rights(tuple(self.clusters), lists)


FORMS: Mapping[str, Form] = {each.name: each.metadata["form"] for each in fields(Settings)}
"""The form of each setting, by its name in `Settings`."""

VARIABLES: tuple[str, ...] = tuple(form.variable for form in FORMS.values())
"""Every variable except those for one cluster, in the order in which problems are listed."""

PER_CLUSTER: tuple[str, ...] = tuple(
    form.variable for form in FORMS.values() if form.is_per_cluster
)
"""The variables that each cluster may have for itself, as `DATABASE_URL_<NAME>`."""


def setting_of(variable: str) -> str:
    """`DATABASE_URL` for `DATABASE_URL_PROD`; any other variable itself."""
    of_one = (setting for setting in PER_CLUSTER if variable.startswith(f"{setting}_"))
    return variable if variable in VARIABLES else next(of_one, variable)


LISTS: frozenset[str] = frozenset(form.variable for form in FORMS.values() if form.is_list)
"""The settings whose items are separated by commas."""

WORDS = frozenset({"DATABASE_PASSWORD_COMMAND"})
"""The settings that are split as a shell would, so that quotes may stand in them."""

MAY_BE_BLANK: frozenset[str] = frozenset({*map(str, Right), "ALERT_CHANNEL"})
"""The settings that may be blank for one cluster: then the general one isn't for it."""
