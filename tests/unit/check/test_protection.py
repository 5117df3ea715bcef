"""What the check says about names that should be protected."""

from typing import Any

from bot.check.facts import ClusterFacts, Holds
from bot.check.findings import Finding, Level
from bot.check.protection import of_protection
from tests.unit.check.test_postgres import answer, cluster, role


def of_roles(*clusters: ClusterFacts, roles: str) -> list[Finding]:
    globs = tuple(tuple(each.split("*")) for each in roles.split(","))
    return [each for section in of_protection(clusters, globs, ()) for each in section.findings]


def of_applications(*clusters: ClusterFacts, names: str) -> list[Finding]:
    globs = tuple(tuple(each.split("*")) for each in names.split(","))
    return [each for section in of_protection(clusters, (), globs) for each in section.findings]


def two(**changes: Any) -> tuple[ClusterFacts, ClusterFacts]:
    return (
        cluster("main", answer(**changes)),
        cluster("prod", answer(system_identifier=2)),
    )


def test_without_such_settings_nothing_is_said() -> None:
    assert not list(of_protection(two(), (), ()))


def test_protected_role_that_exists_nowhere() -> None:
    (fine,) = of_roles(*two(), roles="we*")
    assert fine == Finding(Level.OK, "its name matches a role")
    (only,) = of_roles(*two(), roles="we*,repl*")
    assert only.level is Level.WARNING
    assert only.text == "no role on main and prod is called repl*: that protects nothing"


def test_mistyped_role_gets_the_nearest_name() -> None:
    (only,) = of_roles(*two(roles={"nightly_batch": True}), roles="nigthly_batch")
    assert only.text.endswith("that protects nothing. Similar: nightly_batch")


def test_role_in_capitals_matches_the_folded_name() -> None:
    assert of_roles(*two(), roles="Web")[0].level is Level.OK


def test_a_group_protects_none_of_its_members() -> None:
    groups = two(roles={"dba": False, "web": True})
    (only,) = of_roles(*groups, roles="dba,web")
    assert only.level is Level.WARNING
    assert "dba can't log in, so it has no sessions" in only.text
    assert of_roles(*groups, roles="*")[0].level is Level.OK
    login_elsewhere = (*groups, cluster("x", answer(system_identifier=3, roles={"dba": True})))
    assert of_roles(*login_elsewhere, roles="dba")[0].level is Level.OK


def test_silent_server_may_have_any_role() -> None:
    assert not of_roles(*two(), cluster("down", None), roles="repl")
    unread = answer(system_identifier=3, roles=None, id=None)
    assert not of_roles(*two(), cluster("shy", unread), roles="repl")
    assert not of_applications(*two(), names="pg_dump")


def test_an_application_that_is_not_connected_is_only_a_hint() -> None:
    seen = frozenset({"pg_dump", "R\\xc3\\xbcckmeldung"})
    main = cluster("main", answer(applications=seen))
    (fine,) = of_applications(main, names="pg_*,Rückmeldung")
    assert fine.text == "all of its names match sessions that are connected now, on main"
    (hint,) = of_applications(main, names="pg_*,cron*,Rücklauf")
    assert hint.level is Level.OK
    assert hint.text.startswith(
        "no session on main is called cron* and Rücklauf now. If one should"
    )


def test_no_finding_about_applications_that_cant_be_seen() -> None:
    blind = answer(applications=frozenset(), role=role(sees=Holds.NO))
    assert not of_applications(cluster("main", blind), names="pg_dump")
