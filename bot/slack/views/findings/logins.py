"""`limit`, `server_full` and `login` in words. Pure."""

from collections.abc import Iterable

from bot.domain.findings.logins import PRISTINE
from bot.domain.findings.model import Finding, Full, Refusal, Refused
from bot.domain.findings.survey import Group, Survey
from bot.domain.sessions import LimitOf
from bot.slack.views import lines
from bot.slack.views.findings import words
from bot.slack.views.lines import Line, Quoted
from bot.slack.views.text import age, capital, timestamp, used


def full_head(full: Full, _: Finding, survey: Survey) -> Line:
    """Whose login fails, and at which limit."""
    limit, on = full.limit, words.on(survey)
    match limit.of:
        case LimitOf.ROLE:
            why = f": it is at its limit, {used(limit)}"
            return (Quoted(limit.name), " can't log in", *on, why)
        case LimitOf.DATABASE:
            why = f": the database is at its limit, {used(limit)}"
            return ("Nobody can log in to ", Quoted(limit.name), *on, why)
        case LimitOf.SERVER:
            return ("Ordinary roles can't log in", *on, f": connections {used(limit)}")


def full(full: Full, _: Finding, survey: Survey) -> Iterable[Line]:
    """PostgreSQL's error, and who holds the slots."""
    yield (Quoted(full.error, 300, code=True),)
    if full.groups and full.limit.taken > 1:
        told = lines.listed(tuple(Quoted(_group(group), 150) for group in full.groups))
        yield (_share(full), *told)
    for at, row in enumerate(full.holders):
        behind = f", and {words.wait(full.behind)} behind it" if full.behind and not at else ""
        label = "held by " if full.limit.limit == 1 else "then " if at else "cheapest to end: "
        yield (label, *words.doing(row, survey), behind)


def _share(full: Full) -> str:
    """How the groups that are named relate to all who hold a slot."""
    named, taken = sum(group.sessions for group in full.groups), full.limit.taken
    if named >= taken:
        return "all of them: "
    return "most of them: " if 2 * named > taken else "the largest groups: "


def _group(group: Group) -> str:
    name = group.application_name or group.usename or "without a name"
    return f"{group.sessions} {name} {group.state or ''}".rstrip()


def full_gain(full: Full, _: Finding) -> str:
    """What ending one session gains."""
    limit = full.limit
    parts = ["login works again"] if limit.taken == limit.limit else []
    parts += [words.gain(full.freed, full.behind)] if full.behind else []
    gain = ", ".join(parts)
    return f" {capital(gain)}." if gain else ""


def full_otherwise(full: Full, _: Finding) -> Line:
    """What to do if no session should be ended."""
    return () if full.limit.limit else ("raise the limit, if it isn't 0 on purpose.",)


def refused_head(refused: Refused, _: Finding, survey: Survey) -> Line:
    """Whose login fails, and why."""
    role, database = Quoted(refused.rolname or ""), Quoted(refused.datname or "")
    on = words.on(survey)
    match refused.why:
        case Refusal.NOLOGIN:
            return (role, " can't log in", *on, ": it has NOLOGIN")
        case Refusal.VALID_UNTIL:
            then = refused.valid_until or survey.now
            ago = f"{age(survey.now - then)} ago, at {timestamp(then)}"
            return (role, " can't log in", *on, f" by password: VALID UNTIL passed {ago}")
        case Refusal.NO_CONNECT:
            return (role, " can't log in to ", database, *on, ": it has no CONNECT there")
        case Refusal.NOT_ALLOWED:
            return ("Nobody can log in to ", database, *on, ": it has ALLOW_CONNECTIONS false")
        case Refusal.INVALID:
            what = ": a DROP DATABASE was interrupted, and left it invalid"
            return ("Nobody can log in to ", database, *on, what)


def refused(refused: Refused, _: Finding, __: Survey) -> Iterable[Line]:
    """PostgreSQL's error."""
    yield (Quoted(refused.error, 300, code=True),)
    if refused.why is Refusal.NOT_ALLOWED and refused.datname == PRISTINE:
        yield ("It is closed on purpose, and should stay so: new databases are made from it.",)
    if refused.is_predefined:
        yield (
            "It is a predefined role of PostgreSQL: nobody logs in as it, others are granted it.",
        )
    if refused.why is Refusal.VALID_UNTIL:
        yield ("Only logins by password are refused: VALID UNTIL is the password's.",)


def run_if(refused: Refused) -> str:
    """What must be so before a login is allowed."""
    if refused.why is Refusal.NOLOGIN:
        return "if it should log in itself, and wasn't locked out on purpose, "
    return ""


def refused_otherwise(refused: Refused, _: Finding) -> Line:
    """What to do if nothing should be changed."""
    return ("log in as a role that it is granted to.",) if refused.is_predefined else ()
