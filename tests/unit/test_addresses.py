import pytest

from bot.addresses import host_of, is_local


@pytest.mark.parametrize(
    ("url", "host", "local"),
    [
        ("postgresql://bot:secret@db-1.internal/postgres", "db-1.internal", False),
        ("postgresql://bot@db-1.internal:5433/postgres", "db-1.internal:5433", False),
        ("postgresql://bot@10.0.0.7/postgres", "10.0.0.7", False),
        ("postgresql://bot@localhost/postgres", "localhost", True),
        ("postgresql://bot@127.0.0.1:6000/postgres", "127.0.0.1:6000", True),
        ("postgresql://bot@[::1]/postgres", "::1", True),
        ("postgresql:///postgres?host=/run/postgresql", "/run/postgresql", True),
        ("postgresql:///postgres?host=db-1.internal", "db-1.internal", False),
        ("postgresql://bot@%2Frun%2Fpostgresql/postgres", "/run/postgresql", True),
    ],
)
def test_a_url_says_where_it_leads(url, host, local):
    assert (host_of(url), is_local(url)) == (host, local)
