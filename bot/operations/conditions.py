"""What a request asks for, as conditions over the sessions of one cluster."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bot.domain.filters import Condition, PidIn, freeze
from bot.domain.query_tags import carried, query_tags
from bot.domain.sessions import Names
from bot.errors import ClusterRefused, TargetError
from bot.grammar.requests import KillRequest, SessionsRequest
from bot.grammar.suggest import near
from bot.grammar.terms import Field, Match, Tagged
from bot.ports import Cluster

HIDDEN = "a lock on a catalog hides the names of its roles or databases"


def conditions_of(
    cluster: Cluster, request: SessionsRequest | KillRequest, names: Names
) -> tuple[Condition, ...]:
    """The request's terms, frozen. Raises `TargetError` for a name that doesn't exist.

    Raises `ClusterRefused` if the bot can't see whether it exists.
    """
    terms = request.terms
    if isinstance(request, SessionsRequest):  # `_tagged` looks for them
        terms = tuple(term for term in terms if not isinstance(term, Tagged))
    try:
        conditions = freeze(terms, names, names.read_at, database=request.target.database)
    except TargetError:
        if names.known_at is None and names.stale:
            raise ClusterRefused(cluster.name, HIDDEN) from None
        raise
    return (*conditions, PidIn(request.pids)) if request.pids else conditions


async def conditions_with_tags(
    cluster: Cluster, request: SessionsRequest, names: Names, keys: Sequence[str]
) -> tuple[Condition, ...]:
    """As `conditions_of`, and the tags that a look asks for, of which `keys` may be shown."""
    return (
        *conditions_of(cluster, request, names),
        *await _tagged(cluster, request, names, keys),
    )


async def _tagged(
    cluster: Cluster, request: SessionsRequest, names: Names, keys: Sequence[str]
) -> tuple[PidIn, ...]:
    """The sessions that carry the tags that a look asks for, if it asks for any.

    The texts that hold the tags are compared here, because no SQL should read them. Raises
    `TargetError` for a key that may not be shown.
    """
    terms = [term for term in request.terms if isinstance(term, Tagged)]
    refuse_hidden_tags(terms, keys)
    if not terms:
        return ()
    texts = await cluster.texts(names)

    def found() -> PidIn:
        return PidIn(
            tuple(each.pid for each in texts if carried(query_tags(each.query, keys), terms))
        )

    # Off the event loop: somebody else may be waiting for an answer.
    return (await asyncio.to_thread(found),)


def refuse_hidden_tags(terms: Iterable[Tagged], keys: Sequence[str]) -> None:
    """Raise `TargetError` for a key that may not be shown."""
    for term in terms:
        if term.key not in keys:
            shown = tuple(str(replace(term, key=key)) for key in near(term.key, keys) or keys)
            raise TargetError(str(term), "QUERY_TAGS doesn't have this key", shown)


def names_type(request: SessionsRequest | KillRequest) -> bool:
    """Whether a request mentions `backend_type`, and so includes background processes."""
    return any(
        isinstance(term, Match) and term.field is Field.BACKEND_TYPE for term in request.terms
    )
