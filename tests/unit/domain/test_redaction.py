"""What may be shown of a query's text."""

import timeit
from collections.abc import Callable
from time import thread_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.domain.redaction import redact

# Examples


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        # literals
        ("select 'it''s' from t", "select ? from t"),
        (r"select E'it\'s', e'a\\', n", "select ?, ?, n"),
        (r"select U&'d\0061ta' uescape '!', b'01', X'1F', N'x'", "select ? uescape ?, ?, ?, ?"),
        ("select B'1', n'x', x'1F', u&'x', e'x', c", "select ?, ?, ?, ?, ?, c"),
        ("select '', E'', $$$$, c", "select ?, ?, ?, c"),
        ("select E'a''b', c", "select ?, c"),
        (r"select E'a''b\'c', d", "select ?, d"),
        ("select $$a$$, b, $$c$$", "select ?, b, ?"),
        ("select 'one'\n  'two', a", "select ? ?, a"),
        ("select $$it's$$, $a$ $b$ $$ $A$ $a$, c", "select ?, ?, c"),
        ("select $é1_$x$é1_$, a$b$c", "select ?, a$b$c"),
        ("select $$a\nb$$, E'a\\\n', c", "select ?, ?, c"),
        ("select 1, 1.5, .5, 1., 1e10, 1.5E-3, a1", "select ?, ?, ?, ?, ?, ?, a1"),
        ("select 1e5, 1e-5, 1e+5, 1E5, 1E+5", "select ?, ?, ?, ?, ?"),
        ("select 1e-a, 1E+b", "select ?-a, ?+b"),
        ("select 0x1F, 0b1, 0o7, 1_000, -1", "select ?, ?, ?, ?, -?"),
        ("select a[1:2], t1.c2, x::numeric(10,2)", "select a[?:?], t1.c2, x::numeric(?,?)"),
        ("for i in 1..10", "for i in ?.?"),
        ("copy t from program 'curl x'", "copy t from program ?"),
        ("execute p('a', 1, null)", "execute p(?, ?, null)"),
        # comments and whitespace
        ("/* a */ select\t1 -- b\r\n, /* /* c */ d */ x --", "select ? , x"),
        ("select 1-/**/-2, a/**/b", "select ?- -?, a b"),
        ("select a --'\n, b --'\r, c --'\r\n, d", "select a , b , c , d"),
        ("select /*/ a */ b", "select b"),
        ("  \n ", ""),
        # cut
        ("select a, 'cut", "select a, ?"),
        (r"select a, E'cut\'", "select a, ?"),
        ('select a, "cut', "select a, ?"),
        ("select a, $a$cut$a", "select a, ?"),
        ("select a, /* cut /* b */ c", "select a,"),
        ("select a, 'cut''", "select a, ?"),
        ("select a, E'cut''", "select a, ?"),
        ("select a, e'cut b", "select a, ?"),
        ("select a, B'cut b", "select a, ?"),
        ("select a, n'cut b", "select a, ?"),
        ("select a, x'cut b", "select a, ?"),
        ("select a, u&'cut b", "select a, ?"),
        ('select a, "cut""', "select a, ?"),
        # one reading or the other
        (r"select 'a\\' || b", "select ? || b"),
        (r"select 'a\' || 'b' || c", "select ?"),
        (r"select 'a\\\' || 'b' || c", "select ?"),
        ("select 1a, 1E'x', $1a", "select ?, ??, ?"),
        ("select 1a$t$ 'b' $t$ c $t$ d", "select ?"),
        # what is not understood
        (r"select \a {b} $ $a c", "select ?a ?b? ? ?a c"),
        ("select a\x01\x7fb, c\u202ed, \u200b, \ufeffe, “f g”", "select a b, ?, ?, ?, ? ?"),
        ("select a`b, 1`b, 1{b", "select a`b, ?`b, ??b"),
        ('select "a\nb", "a\u202eb"', "select ?, ?"),
        ('select "\u202eb", "a\u202e"', "select ?, ?"),
        # values that need no quotes
        ("set my.secret to abc, d", "set my.secret to ?"),
        ("SET SESSION a=b; select c", "SET SESSION a=?; select c"),
        ('set local "a;b" . c to d ; set e f', 'set local "a;b" . c to ?; set e ?'),
        ("SET TIME ZONE utc", "SET TIME ?"),
        ("set role = bob", "set role = ?"),
        ("alter role b in database d set a.b to c", "alter role b in database d set a.b to ?"),
        ("alter system set a = b", "alter system set a = ?"),
        ("alter system set a.b to c", "alter system set a.b to ?"),
        # what PostgreSQL refuses is shown too
        ("alter system set a b", "alter system set a ?"),
        ("explain set a = b", "explain set a = ?"),
        ("with a as (select b) set c to d", "with a as (select b) set c to ?"),
        ("alter role update set a = b", "alter role update set a = ?"),
        ("create function f() set b = c as 'd'", "create function f() set b = ?"),
        ("ALTER ROLE bob PASSWORD hunter", "ALTER ROLE bob PASSWORD ?"),
        ("create user bob encrypted password hunter; a", "create user bob encrypted password ?; a"),
        ("create group staff password hunter", "create group staff password ?"),
        ("alter role b set local a = c", "alter role b set local a = ?"),
        # text that isn't SQL, with a password in it
        ('psql "postgresql://u:p@h/db" -c x', "psql ? -c x"),
        ('psql "host=h password=p q" x', "psql ? x"),
        (
            'select dblink("u:p@h", "PGPASSWORD: p", "a b", "a@b")',
            'select dblink(?, ?, "a b", "a@b")',
        ),
        ("psql postgresql://u:p-w!oX@h/db?a=b -c x", "psql ? -c x"),
        ("jdbc:postgresql://u:p@h x, ://y z", "jdbc:? x, ? z"),
        ("psql POSTGRES://u:p@h X-S3+a.b://u:p@h x", "psql ? ? x"),
        ("a:// b://c\x7fd", "? ? d"),
        ("psql postgres://u:p'w@h/db' x", "psql ?"),
        ("psql postgres://u:p$w$ x $w$ y", "psql ?"),
        ("psql postgres://u:p;set a to b", "psql ?"),
        ("host=h password=p@w-x!y user=u", "host=h password=? user=u"),
        ("PGPASSWORD = p.w q; export db_pwd=a;b c", "PGPASSWORD = ? q; export db_pwd=? c"),
        (
            "pass=a passwd=b passphrase=c secret=d access_key=e private_key=f",
            "pass=? passwd=? passphrase=? secret=? access_key=? private_key=?",
        ),
        ('select "u:@h", "a://b"', "select ?, ?"),
        ("password=;set a to b", "password=;set a to ?"),
        ("password=a;set b to c d;e", "password=? b to ?;e"),
        ("password = X, a; password X b", "password = ? a; password X b"),
        ("= X", "= X"),
        ("user: u, api_key: a/b, secretKey : c d", "user: u, api_key: ? secretKey : ? d"),
        ('where "passWord" = b and c', 'where "passWord" = ? and c'),
        ("f(password := a, token => b.c) d", "f(password := ? token => ? d"),
        ("create user bob identified by hunter, x; y", "create user bob identified by ?; y"),
        # tokens without quotes
        ("where t = eyJhbGciOiJI.eyJzdWIiOiIx.d-oz_jg and a", "where t = ? and a"),
        ('select "eyJhbGciOiJI.eyJzdWIiOiIx.dozjg", a', "select ? a"),
        ("authorization: Bearer eyJhbGciOiJI.e30.x; a", "authorization: Bearer ? a"),
        (f"use ghp_{'a1' * 18} a", "use ? a"),
        (f"use github_pat_{'a1' * 11}_{'a1' * 10} a", "use ? a"),
        ('select "eyJ0a_b-cDe" a', "select ? a"),
        (" ".join(f"gh{letter}_{'a1' * 10}" for letter in "opsur"), "? ? ? ? ?"),
        (" ".join(f"xox{letter}-1" for letter in "abeoprs"), "? ? ? ? ? ? ?"),
        ("use glpat-x1y2-z3 xoxb-1-2-a1b2 a", "use ? ? a"),
        (f"use sk_live_{'a1' * 12},AKIA{'A1' * 8} a", "use ? a"),
        (f"use ghp_{'A' * 36} github_pat_{'A' * 22} rk_live_{'A' * 24} a", "use ? ? ? a"),
        (f"use AKIA{'A1' * 8} ASIA{'A1' * 8} a", "use ? ? a"),
        (
            "select eyj, eyJail, glpath, ghp_rows, xoxbase, asia",
            "select eyj, eyJail, glpath, ghp_rows, xoxbase, asia",
        ),
        (f'select {"a" * 64}, "{"b" * 64}", {"é" * 32}, {"c" * 63}', f"select ?, ?, ?, {'c' * 63}"),
    ],
)
def test_redacted_examples(query: str, shown: str) -> None:
    assert redact(query) == shown


@pytest.mark.parametrize(
    "query",
    [
        'select "it\'s; 1", "a""b", "" from "T" where é = $1',
        "select a ->> b, a ?| b, a @> $2::jsonb",
        "a + b - c * d / e < f > g = h ~ i ! j @ k # l % m ^ n & o | p ` q ? r, (s)[t].u:v;",
        "select _a, a_b, aB, a1, aé from _t where é_ = E",
        "<insufficient privilege>",
        "autovacuum: VACUUM public.t (to prevent wraparound)",
        "set role bob",
        "set session authorization bob",
        "set transaction isolation level serializable",
        "set session characteristics as transaction isolation level serializable",
        "set constraints all deferred",
        "update t set a = b, c = d where e = f",
        "explain (analyze) update t set a = b",
        "merge into t using s on true when matched then update set a = b",
        "(with x as (update t set a = b returning a) select a)",
        "insert into t values ($1) on conflict do update set a = b",
        "copy (update t set a = b returning a) to stdout",
        "explain analyze update t set a = b",
        "merge into t using s on t.a = s.a when matched then update set a = s.b",
        "prepare p as update t set a = b",
        "alter table t alter c set not null",
        "select X",
        "create table t (password text, b text)",
        "",
        'select U&"d\\0061"',
        "select password from t where password = $1 and token=$2::text",
        "select password, password::text, token:: text, f(password) from t",
        "select passwords = a, password_hash = b, a -> password, password is null from t",
        'select "password", "a:b" from t',
        f'select {"a" * 63}, "{"a" * 63}", "{"é" * 31}"',
        "identified, by",
    ],
)
def test_names_parameters_and_keywords_stay(query: str) -> None:
    assert redact(query) == query


def test_missing_query_stays_none() -> None:
    assert redact(None) is None


# Long ones


LONG = {
    "inserts": "insert into t values (1, 'abc', now(), $1), ",
    "words": "ab set ",
    "settings": "alter role a set ",
    "symbols": "(=",
    "comments": "/* /* */ */ -- x\n",
    "literals": "'' E'\\'' $a$ $$ $a$ ",
    "names": 'a$."b""c"',
    "numbers": "1e+1.5 0x1F ",
    "delimiters": "$a$ $b$ ",
}


@pytest.mark.parametrize("piece", LONG.values(), ids=LONG)
@pytest.mark.parametrize("opened", ["", "'", "E'", "$x$", '"', "/*", "set x to "])
def test_time_is_linear_in_query(piece: str, opened: str) -> None:
    """A query 16 times as long should take 16 times as long; quadratic time would be 256 times."""

    def seconds(length: int) -> float:
        query = opened + piece * (length // len(piece))
        return min(timeit.repeat(lambda: redact(query), number=1, repeat=3, timer=thread_time))

    short = max(seconds(4_000), 1e-4)
    assert seconds(64_000) < short * 100


@pytest.mark.parametrize("piece", LONG.values(), ids=LONG)
def test_reads_only_as_much_as_is_shown(piece: str) -> None:
    """A million characters take no longer than a hundredth of them, except for one long literal."""
    query = piece * (1_000_000 // len(piece))
    start = thread_time()
    redact(query[:100_000], 100)
    short = max(thread_time() - start, 1e-3)
    start = thread_time()
    shown = redact(query, 100)
    assert thread_time() - start < short * 50
    assert shown is not None
    assert len(shown) <= 100


@pytest.mark.parametrize(
    ("query", "most", "shown"),
    [
        ("select a", 8, "select a"),
        ("select a ", 8, "select a"),
        ("select ab", 8, "select…"),
        ("select 'a' from t", 13, "select ? fro…"),
        ("select 'cut", 8, "select ?"),
        ("set a to b c d e f", 20, "set a to ?"),
        ("select X yz", 9, "select X…"),
    ],
)
def test_query_is_cut_after_it_is_redacted(query: str, most: int, shown: str) -> None:
    assert redact(query, most) == shown


@given(st.text("abc'$\"; \n-/*1", max_size=60), st.integers(1, 30))
def test_cut_text_is_a_prefix_of_the_whole(query: str, most: int) -> None:
    cut, whole = redact(query, most), redact(query)
    assert cut is not None
    assert whole is not None
    assert len(cut) <= most
    assert cut == whole or (cut[-1] == "…" and whole.startswith(cut[:-1]))


# Properties
#
# Statements are built from pieces, with a secret inside each literal and comment, as a client
# writes them under either value of standard_conforming_strings. `redact` isn't told which.
# `before` and `after` are next to the secret: quotes, backslashes and the like.

SECRET = "qzxwvkj"
DIGITS = "7481592"

around = st.text("ab'\"\\$-/*;\n é", max_size=5)


def doubled(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def escaped(text: str) -> str:
    """Quotes in both ways: the first is doubled, the others have a backslash."""
    head, quote, tail = text.replace("\\", "\\\\").partition("'")
    return "'" + head + quote * 2 + tail.replace("'", "\\'") + "'"


def literals(plain: Callable[[str], str]) -> st.SearchStrategy[str]:
    secret = st.tuples(around, around).map(lambda pair: pair[0] + SECRET + pair[1])
    return st.one_of(
        secret.map(plain),
        secret.map(lambda text: "N" + plain(text)),
        secret.map(lambda text: "E" + escaped(text)),
        secret.map(lambda text: "U&" + doubled(text)) if plain is doubled else st.nothing(),
        st.tuples(st.sampled_from("bBxX"), secret).map(lambda pair: pair[0] + doubled(pair[1])),
        st.tuples(secret, secret).map(lambda pair: f"{plain(pair[0])} \n {plain(pair[1])}"),
        st.tuples(secret, secret).map(lambda pair: f"E{escaped(pair[0])}\n{escaped(pair[1])}"),
        secret.map(lambda text: f"$${text.replace('$', '')}$$"),
        secret.map(lambda text: f"$tag${text}$tag$"),
        secret.map(lambda text: f"/*{text.replace('*', '')} /* b */ {SECRET} */"),
        secret.map(lambda text: "--" + text.replace("\n", " ")),
        st.sampled_from(
            ["{}", ".{}", "{}.{}", "{}e-{}", "0x{}", "0o{}E", "1_{}", "{}.", "-{}"]
        ).map(lambda form: form.replace("{}", DIGITS)),
        st.sampled_from(
            [
                ";set my.x to {}, {};",
                ";Set Local x={};",
                ";alter role r set x.y to {};",
                ";create role r password {};",
                ";create user u identified by {};",
                'psql "postgresql://u:{}@h/db?a={}"',
                "psql postgresql://u:{}@h/db?a={};{}",
                "a://{}'{}",
                "host=h PGPASSWORD={}-{}/{}",
                '"api_key" : {}@{}',
                '"host=h password={}"',
            ]
        ).map(lambda form: form.replace("{}", SECRET)),
    )


harmless = st.sampled_from(
    ["select", "E", "$1", "(", ",", "::text", "@>", "?|", "a$b$", "é", '"it\'s \\"', 'U&"d"', ";"]
)


def queries(plain: Callable[[str], str]) -> st.SearchStrategy[str]:
    pieces = st.lists(st.one_of(literals(plain), harmless), max_size=6)
    return pieces.map("\n".join)


def secrets_in(text: str) -> list[str]:
    return [
        secret[start : start + 3]
        for secret in (SECRET, DIGITS)
        for start in range(len(secret) - 2)
        if secret[start : start + 3] in text
    ]


@pytest.mark.parametrize("plain", [doubled, escaped], ids=["conforming", "not conforming"])
@given(data=st.data())
def test_no_literal_survives_wherever_the_query_is_cut(
    plain: Callable[[str], str], data: st.DataObject
) -> None:
    query = data.draw(queries(plain))
    for end in range(len(query) + 1):
        shown = redact(query[:end])
        assert shown is not None
        assert secrets_in(shown) == [], query[:end]


FRAGMENTS = [
    *("set", "to", "=", "alter", "role", "password", "update", "local", "a", "_b", "1", ".", ";"),
    *(" ", "\n", "'", "E'", "\\", '"', "$a$", "$", "--", "/*", "*/", "("),
]

anything = st.one_of(
    st.text(st.characters()),
    st.text("aeEnNuU&'\"\\$-/*;\n\x00 1.?_é\u202e\ud800=(+"),
    st.lists(st.sampled_from(FRAGMENTS)).map("".join),
)


@given(anything)
@example("1/**/a")
@example("-/**/-")
@example("/-/*")
@example("$/**/a$")
@example("a\u202e1")
@example('"a"/**/"b"')
@example("set a.1 to b")
def test_redacting_twice_changes_nothing(query: str) -> None:
    shown = redact(query)
    assert redact(shown) == shown


@given(anything)
def test_redacted_query_is_one_printable_line(query: str) -> None:
    shown = redact(query)
    assert shown is not None
    assert shown.isprintable()
    assert shown == shown.strip()
