-- Who is logging in: from its startup packet on a client holds a slot, and PostgreSQL has no
-- role for it yet. Up to 17 nothing but the lock on its own transaction shows it, which takes
-- the lock table; {logins_by_locks} says whether that is read.
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
