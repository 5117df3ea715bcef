"""The bot's settings: environment variables -> `Settings`, or every error at once.

Nothing here reads the process's environment or `.env`: the composition root passes both to `load`.
A message names its variable and says what is expected. It never shows a value, except for ids and
names, which aren't secret.

A new setting is a field of `Settings`, plus a function in `texts` if no other setting has texts of
that kind.
"""

from bot.config.loading import LEDGER, beside, ledger_url, load
from bot.config.secret import Secret
from bot.config.settings import FORMS, PER_CLUSTER, VARIABLES, Settings
from bot.config.spelling import is_ours, is_setting

__all__ = [
    "FORMS",
    "LEDGER",
    "PER_CLUSTER",
    "VARIABLES",
    "Secret",
    "Settings",
    "beside",
    "is_ours",
    "is_setting",
    "ledger_url",
    "load",
]
