"""What everyone may see of a look. Pure."""

from dataclasses import replace

from bot.domain.query_tags import query_tags
from bot.domain.sessions import Look
from bot.domain.shown import ROW_QUERY, as_shown
from bot.ports import Rules


def redacted(look: Look, rules: Rules) -> Look:
    """The look with its queries redacted, and with what may be shown of their comments."""
    found = {row.pid: query_tags(row.query, rules.query_tags) for row in look.rows}
    return replace(
        look,
        rows=tuple(as_shown(row, ROW_QUERY) for row in look.rows),
        tags={pid: tags for pid, tags in found.items() if tags},
        through_pooler=frozenset(row.pid for row in look.rows if rules.poolers.serve(row)),
    )
