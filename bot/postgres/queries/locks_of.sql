-- The locks of one backend: first those that it waits for, then the strongest on relations.
-- Calls the function behind pg_locks.
select
    count(*) over ()::int as total,
    locktype,
    database,
    relation,
    mode,
    granted,
    fastpath,
    waitstart,
    now.*
from pg_lock_status(), ({now}) as now
where pid = $1
order by
    granted,
    locktype = 'relation' desc,
    array_position(
        '{AccessExclusiveLock,ExclusiveLock,ShareRowExclusiveLock,ShareLock,'
        'ShareUpdateExclusiveLock,RowExclusiveLock,RowShareLock,AccessShareLock}'::text[],
        mode
    ),
    locktype,
    relation
limit $2
