"""Which roles and applications PROTECTED_ROLES and PROTECTED_APPLICATIONS match on the servers now.

A name that matches nothing protects nothing, and nobody would notice.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from bot.check.facts import Answer, ClusterFacts, Holds
from bot.check.findings import Finding, Section, name, ok, some, warning
from bot.domain.kept_names import of_applications
from bot.domain.people import Glob
from bot.domain.protection import roles_named


def of_protection(
    clusters: Sequence[ClusterFacts], roles: tuple[Glob, ...], applications: tuple[Glob, ...]
) -> Iterator[Section]:
    """A section for each of the two settings that could be compared with all servers."""
    answers = [each.answer for each in clusters if isinstance(each.answer, Answer)]
    where = some(each.name for each in clusters)
    if len(answers) < len(clusters):
        return
    if roles and all(answer.roles is not None for answer in answers):
        logins: dict[str, bool] = {}
        for answer in answers:
            for rolname, can_log_in in (answer.roles or {}).items():
                logins[rolname] = logins.get(rolname, False) or can_log_in
        yield Section("PROTECTED_ROLES", tuple(_of_roles(roles, logins, where)))
    seen = all(answer.role.sees is Holds.YES or answer.role.is_superuser for answer in answers)
    if applications and seen and all(answer.applications is not None for answer in answers):
        connected = [each for answer in answers for each in answer.applications or ()]
        yield Section("PROTECTED_APPLICATIONS", (_of_applications(applications, connected, where),))


def _of_roles(globs: tuple[Glob, ...], logins: dict[str, bool], where: str) -> Iterator[Finding]:
    named = {glob: roles_named((glob,), logins) for glob in globs}
    if nobody := [glob for glob in globs if not named[glob]]:
        nearest = (get_close_matches(_typed(glob), logins, n=1) for glob in nobody)
        hint = some(dict.fromkeys(name(near[0]) for near in nearest if near))
        yield warning(
            f"no role on {where} is called {some(name(_typed(glob)) for glob in nobody)}: that"
            f" protects nothing{f'. Similar: {hint}' if hint else ''}"
        )
    groups = [glob for glob in globs if named[glob] and not any(logins[r] for r in named[glob])]
    if groups:
        yield warning(
            f"{some(name(_typed(glob)) for glob in groups)} can't log in, so it has no sessions."
            " Its members are not protected: name them instead"
        )
    if not nobody and not groups:
        yield ok(
            f"all {len(globs)} names match roles" if len(globs) > 1 else "its name matches a role"
        )


def _of_applications(globs: tuple[Glob, ...], connected: list[str], where: str) -> Finding:
    absent = [glob for glob in globs if not any(map(of_applications((glob,)).match, connected))]
    if not absent:
        return ok(f"all of its names match sessions that are connected now, on {where}")
    return ok(
        f"no session on {where} is called {some(name(_typed(glob)) for glob in absent)} now. If"
        " one should be, compare the name with application_name in /pg-sessions"
    )


def _typed(glob: Glob) -> str:
    return "*".join(glob)
