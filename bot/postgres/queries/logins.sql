-- Who is logging in: a client holds a slot from its startup packet on, before PostgreSQL knows
-- its role. Up to 17 only the lock on its own transaction shows it, which means reading the lock
-- table; {logins_by_locks} says whether to do that.
logins as materialized (
    select pid from everyone
    where backend_type = 'client backend' and state = 'starting'
    union
    select pid from pg_lock_status()
    where {logins_by_locks}
        and current_setting('server_version_num')::int < 180000
        and locktype = 'virtualxid'
        and granted
        and pid is not null
        and pid <> all (array(select everyone.pid from everyone))
)
