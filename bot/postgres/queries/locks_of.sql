-- The locks of one backend, those that it waits for first.
select
    locktype,
    database,
    relation,
    mode,
    granted,
    fastpath,
    waitstart
from pg_locks
where pid = $1
order by granted, locktype, relation, mode
limit $2
