"""Names and texts in SQL form, for statements that people copy. Pure.

Such a statement is shown; the bot never runs it. Whatever a name contains, it stays one name, and
all its characters are visible.
"""

import re

from bot.text import is_visible

_ORDINARY = re.compile("[a-z_][a-z0-9_]*")

# https://www.postgresql.org/docs/current/sql-keywords-appendix.html: the reserved words, and those
# that can be functions or types.
_WORDS = """
all analyse analyze and any array as asc asymmetric authorization binary both case cast check
collate collation column concurrently constraint create cross current_catalog current_date
current_role current_schema current_time current_timestamp current_user default deferrable desc
distinct do else end except false fetch for foreign freeze from full grant group having ilike in
initially inner intersect into is isnull join lateral leading left like limit localtime
localtimestamp natural not notnull null offset on only or order outer overlaps placing primary
references returning right select session_user similar some symmetric system_user table
tablesample then to trailing true union unique user using variadic verbose when where window
with
"""
_RESERVED = frozenset(_WORDS.split())
"""Names that need quotes."""


def identifier(name: str) -> str:
    """A role's or database's name, quoted if needed; `U&"…"` if it has invisible characters."""
    if _ORDINARY.fullmatch(name) and name not in _RESERVED:
        return name
    quoted = name.replace('"', '""')
    if is_visible(name):
        return f'"{quoted}"'
    escaped = "".join(_escaped(each, "\\{:04x}", "\\+{:06x}") for each in quoted)
    return f'U&"{escaped}"'


def literal(text: str) -> str:
    """A string literal; `E''` if a backslash must not depend on a setting."""
    quoted = text.replace("'", "''")
    if "\\" not in quoted and is_visible(text):
        return f"'{quoted}'"
    return (
        f"E'{''.join(_escaped(each, chr(92) + 'u{:04x}', chr(92) + 'U{:08x}') for each in quoted)}'"
    )


def role_timeout(role: str, setting: str, length: str) -> str:
    """`alter role some_user set statement_timeout = '5min';`."""
    return f"alter role {identifier(role)} set {setting} = '{length}';"


def rollback_prepared(gid: str) -> str:
    """What ends a prepared transaction, run in its database."""
    return f"rollback prepared {literal(gid)};"


def _escaped(character: str, short: str, long: str) -> str:
    if character == "\\":
        return "\\\\"
    if is_visible(character):
        return character
    code = ord(character)
    return short.format(code) if code <= 0xFFFF else long.format(code)
