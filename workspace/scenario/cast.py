"""Who is connected to the two servers, and what they do there. Plain data, no I/O.

The application names are ones that drivers, pools and tools really send, plus one that tries to
notify a whole channel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

BOT = "sessions_bot"
PROTECTED = "replicator"

# Small, so that a server fills up quickly. The bot's role may use the reserved connections.
SETTINGS: Mapping[str, str | int] = {
    "max_connections": 60,
    "superuser_reserved_connections": 3,
    "reserved_connections": 5,
    "wal_level": "logical",  # for a replication slot that nobody reads
}

ComesBack: TypeAlias = Literal["never", "after a restart", "always"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one session is and does.

    `opening` runs before the session counts as present. `then` runs afterwards, for as long as it
    takes; with `waits`, the session counts as present once `then` waits for a lock.
    """

    usename: str
    datname: str
    application_name: str
    opening: tuple[str, ...] = ()
    then: tuple[str, ...] = ()
    waits: bool = False
    comes_back: ComesBack = "never"
    replication: bool = False


ROLES = f"""
    create role {BOT} login;
    grant pg_read_all_stats, pg_signal_backend, pg_use_reserved_connections to {BOT};
    create role some_user login connection limit 1;
    create role web login;
    create role batch login connection limit 20;
    create role report login;
    create role migrator login;
    create role {PROTECTED} login replication;
"""

CAST_ROLES = ("some_user", "web", "batch", "report", "migrator", PROTECTED)

SCHEMA = """
    create table accounts (id int primary key, balance numeric not null);
    create table customers (id int primary key, email text not null, region text not null);
    create table orders (
        id int primary key,
        customer_id int not null,
        total numeric not null,
        placed_at timestamptz not null default now()
    );
    insert into customers
    select n, 'customer' || n || '@shop.example', (array['north', 'south'])[1 + n % 2]
    from generate_series(1, 50) as n;
    insert into orders (id, customer_id, total)
    select n, 1 + n % 50, n % 90 + 9.9 from generate_series(1, 500) as n;
    grant select, insert, update, delete on all tables in schema public to public;
    insert into accounts select n, 100 from generate_series(1, 10) as n;
    alter table orders owner to migrator;
"""

# What the waiters commit once the holder is gone.
PUT_BACK = "update accounts set balance = 100 where balance <> 100"

HOLDER = Part(
    usename="some_user",
    datname="some_db",
    application_name="psql",
    opening=("begin", "update accounts set balance = balance - 987654 where id = 1"),
)

# Each waits for the one before it, the first for the holder.
CHAIN = (
    Part(
        usename="web",
        datname="some_db",
        application_name="gunicorn: worker [checkout]",
        opening=("begin", "update accounts set balance = balance + 40 where id = 2"),
        then=("update accounts set balance = balance - 40 where id = 1", "commit"),
        waits=True,
    ),
    Part(
        usename="batch",
        datname="some_db",
        application_name="celery@worker-3",
        opening=("begin", "update accounts set balance = balance + 5 where id = 3"),
        then=("update accounts set balance = balance * 1.01 where id = 2", "commit"),
        waits=True,
    ),
    Part(
        usename="web",
        datname="some_db",
        application_name="gunicorn: worker [api]",
        then=("select balance from accounts where id = 3 for share",),
        waits=True,
    ),
)

# It sleeps on the server, for up to a day: a long query that uses no CPU.
LONG_QUERY = Part(
    usename="report",
    datname="some_db",
    application_name="Metabase v0.52.4 [question 118]",
    then=(
        (
            "select c.region, sum(o.total) from orders as o"
            " join customers as c on c.id = o.customer_id"
            " cross join pg_sleep(86400) group by c.region"
        ),
    ),
)


# Idle until there is a preview of it: see `Scenario`.
WORKER = Part(
    usename="web",
    datname="some_db",
    application_name="invoice-export",
    opening=("select count(*) from orders where placed_at < now()",),
    comes_back="always",
)
WORKER_WRITES = ("begin", "update orders set total = total where id = 400")
WORKER_STOPS = ("rollback",)

REGULAR = Part(
    usename="report",
    datname="some_db",
    application_name="cron-report",
    opening=("select region, count(*) from customers group by region",),
    comes_back="always",
)


def _pool(number: int, usename: str, datname: str, application_name: str, last: str) -> list[Part]:
    """Identical idle sessions; `{n}` in the texts is their number."""
    return [
        Part(
            usename=usename,
            datname=datname,
            application_name=application_name.replace("{n}", str(n)),
            opening=(last.replace("{n}", str(n)),),
            comes_back="after a restart",
        )
        for n in range(1, number + 1)
    ]


_OTHERS = (
    *_pool(
        10,
        "batch",
        "some_db",
        "celery@worker-{n}",
        "update orders set total = total + 0.1 where id = {n}",
    ),
    *_pool(
        5,
        "web",
        "some_db",
        "gunicorn: worker [checkout]",
        "select email from customers where id = 17{n}",
    ),
    *_pool(
        4,
        "web",
        "shop",
        "sidekiq 7.3.2 shop [{n} of 10 busy]",
        "select count(*) from orders where total > 5{n}",
    ),
    *_pool(2, "web", "shop", "PostgreSQL JDBC Driver", "select 'HikariPool-1 is alive'"),
    Part(
        usename="batch",
        datname="some_db",
        application_name="psql",
        opening=("begin", "select sum(total) from orders where placed_at > '2024-02-29'"),
    ),
    Part(
        usename="batch",
        datname="some_db",
        application_name="bin/rails console",
        opening=("begin",),
        then=("select total / 0 from orders where id = 12",),  # it fails, and nobody rolls back
    ),
    Part(
        usename="batch",
        datname="shop",
        application_name="pgbouncer",
        opening=("select 1",),
        comes_back="after a restart",
    ),
    Part(
        usename="web",
        datname="some_db",
        application_name="<!channel> <@U0ANA> *look*",
        opening=("begin", "select '<!channel>' as subject"),  # so it is on the first page
    ),
    Part(
        usename="report",
        datname="some_db",
        application_name="DBeaver 24.2.3 - SQLEditor <Script-7.sql>",
        opening=("select * from customers where email = 'customer7@shop.example'",),
    ),
    REGULAR,
    WORKER,
    Part(
        usename="postgres",
        datname="some_db",
        application_name="pgAdmin 4 - CONN:4711",
        opening=("select datname from pg_database order by 1",),
    ),
    Part(
        usename=PROTECTED,
        datname="some_db",
        application_name="Patroni heartbeat",
        opening=("select pg_last_wal_receive_lsn()",),
        comes_back="always",
    ),
    Part(
        usename=PROTECTED,
        datname="some_db",
        application_name="replica-2",
        opening=("IDENTIFY_SYSTEM",),
        comes_back="always",
        replication=True,
    ),
)

MAIN = (*_OTHERS, LONG_QUERY, HOLDER, *CHAIN)
PROD = (
    *_pool(
        4,
        "web",
        "some_db",
        "gunicorn: worker [checkout]",
        "select email from customers where id = {n}",
    ),
    *_pool(2, "batch", "some_db", "celery@worker-{n}", "select total from orders where id = {n}"),
)

# The sessions that fill up the server: one for each free slot.
CROWD = Part(
    usename="web",
    datname="shop",
    application_name="sidekiq 7.3.2 shop [10 of 10 busy]",
    opening=("select id from orders where total > 90 order by placed_at",),
)

# Incidents behind buttons.

SLOT = "old_subscriber"

FORGOTTEN = Part(
    usename="report",
    datname="shop",
    application_name="DataGrip 2024.1",
    opening=("begin isolation level repeatable read", "select count(*) from customers"),
)

REPORT = Part(
    usename="report",
    datname="shop",
    application_name="Metabase v0.52.4 [question 7]",
    opening=("begin", "select count(*) from orders"),
)

MIGRATION = Part(
    usename="migrator",
    datname="shop",
    application_name="alembic upgrade head",
    then=("alter table orders add column note text",),
    waits=True,
)

QUEUED = tuple(
    Part(
        usename="web",
        datname="shop",
        application_name="gunicorn: worker [orders]",
        then=(f"select total from orders where id = {n}",),
        waits=True,
    )
    for n in range(1, 5)
)
