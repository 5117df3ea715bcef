-- The locks of one backend, those that it waits for first; by the function under pg_locks.
select
    locktype,
    database,
    relation,
    mode,
    granted,
    fastpath,
    waitstart
from pg_lock_status()
where pid = $1
order by granted, locktype, relation, mode
limit $2
