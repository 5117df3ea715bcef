"""Names in settings, compared with names as PostgreSQL shows them."""

import pytest

from bot.domain.kept_names import names_role, of_applications, of_roles
from bot.postgres.where import likes


def typed(text: str) -> tuple[str, ...]:
    return tuple(text.split("*"))


def application(text: str, shown: str) -> bool:
    return of_applications((typed(text),)).match(shown)


def role(text: str, rolname: str) -> bool:
    return names_role(rolname, (typed(text),))


# Roles


@pytest.mark.parametrize(
    ("text", "rolname"),
    [
        ("batch", "batch"),
        ("Some_User", "some_user"),  # folded, because nobody quoted it
        ("Some_User", "Some_User"),
        ("Repl*", "replicator"),
        ("Rück", "Rück"),
        ("Rück", "rück"),
        ("Rück", "R\\xfcck"),  # made in a LATIN1 database
        ("отчёт", "\\xee\\xf2\\xf7\\xb8\\xf2"),  # made in a WIN1251 one
        ("r" * 71, "r" * 63),
        ("r" * 63, "r" * 63),
        ("ü" * 40, "ü" * 31),
        ("ü" * 40, "\\xfc" * 40),
        ("r" * 71 + "*", "r" * 63),
        ("r" * 70 + "*_ro", "r" * 63),
        ("r" * 62 + "*", "r" * 63),
        ("*" + "r" * 63, "r" * 63),
    ],
)
def test_a_role_is_named_as_postgresql_keeps_it(text: str, rolname: str) -> None:
    assert role(text, rolname)


@pytest.mark.parametrize(
    ("text", "rolname"),
    [
        ("batch", "Batch"),
        ("some_user", "Some_User"),
        ("r" * 62, "r" * 63),
        ("r" * 71, "r" * 62),
        ("rr*" + "r" * 61 + "x", "r" * 63),
        ("Rück", "R\\xf6ck"),
    ],
)
def test_another_role_is_not(text: str, rolname: str) -> None:
    assert not role(text, rolname)


def test_impossible_role_name_has_no_form() -> None:
    assert of_roles(typed("a*" + "b" * 63)) == ()
    assert of_roles(typed("*" + "b" * 64)) == ()
    assert of_roles(typed("a*" + "b" * 62)) != ()


# Applications


LONG = "payments-worker-deployment-with-a-long-name-7f9c5b6d8f-x2x4z-nightly-run"
assert len(LONG) > 63

SHOWN = [
    ("pg_dump", "pg_dump"),
    ("Rückmeldung", "R??ckmeldung"),  # up to 15
    ("Rückmeldung", "R\\xc3\\xbcckmeldung"),  # from 16 on
    ("Rückmeldung", "R?ckmeldung"),  # SET in a LATIN1 database
    ("Rückmeldung", "R\\xfcckmeldung"),
    ("Rück*", "R\\xc3\\xbcckmeldung"),
    ("*meldung", "R??ckmeldung"),
    ("отчёт", "\\xee\\xf2\\xf7\\xb8\\xf2"),
    (LONG, LONG[:63]),
    (LONG + "*", LONG[:63]),
    ("payments*nightly-run", LONG[:63]),  # its end can't be seen
    ("*nightly-run", LONG[:63]),
    ("payments*", LONG[:63]),
    ("x" * 60 + "漢字", "x" * 60 + "???"),
    ("x" * 60 + "漢字", "x" * 60 + "\\xe"),
    ("x" * 62 + "ü", "x" * 62),
    ("x" * 62 + "ü", "x" * 62 + "?"),  # startup, cut inside the character
    ("x" * 62 + "ü", "x" * 62 + "\\"),
    ("ü" * 40, "?" * 62),
    ("ü" * 40, ("\\xc3\\xbc" * 40)[:63]),
    ("ü" * 20 + "*", ("\\xc3\\xbc" * 20)[:63]),
    ("ü" * 20 + "*x", "?" * 40 + "x"),
    ("100%*", "100% done"),
    ("a\\*", "a\\b"),
]


@pytest.mark.parametrize(("text", "shown"), SHOWN)
def test_an_application_is_named_as_postgresql_shows_it(text: str, shown: str) -> None:
    assert application(text, shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Rückmeldung", "R?????ckmeldung"),
        ("Rückmeldung", "Rckmeldung"),
        ("pg_dump", "pg-dump"),
        ("pg_dump", "PG_DUMP"),
        ("payments*nightly-run", "payments-short"),
        ("*nightly-run", "payments-short"),
        ("orders*nightly-run", LONG[:63]),
        (LONG, LONG[:62]),
        (LONG, "x" * 63),
        ("x" * 62, "x" * 63),
    ],
)
def test_another_application_is_not(text: str, shown: str) -> None:
    assert not application(text, shown)


def test_empty_settings_match_nothing() -> None:
    assert not of_applications(()).match("")
    assert not of_applications(()).match("x" * 63)
    assert of_applications((("",),)).match("")
    assert likes(of_applications(())) == []


def test_like_patterns_for_the_statement() -> None:
    assert likes(of_applications((typed("pay_*run"),))) == [
        "pay\\_%run",
        "pay\\_" + "_" * 56 + "%",
    ]
    assert likes(of_applications((typed("pay*"),))) == ["pay%"]
