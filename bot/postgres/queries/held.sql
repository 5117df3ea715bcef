-- The locks that some backends hold on relations, the strongest first, at most $2 of each; and
-- advisory locks. Not what reading a system catalog takes: hardly anybody waits for that.
select
    held.*,
    now.*
from (
    select
        pid,
        locktype,
        mode,
        database,
        relation,
        row_number() over (
            partition by pid
            order by
                locktype = 'relation' desc,
                array_position(
                    '{AccessExclusiveLock,ExclusiveLock,ShareRowExclusiveLock,ShareLock,'
                    'ShareUpdateExclusiveLock,RowExclusiveLock,RowShareLock,AccessShareLock}'
                        ::text[],
                    mode
                ),
                relation
        ) as place
    from pg_lock_status()
    where granted
        and pid = any($1::int[])
        and (
            locktype = 'advisory'
            or locktype = 'relation' and (relation >= 16384 or mode <> 'AccessShareLock')
        )
) as held
cross join ({now}) as now
where held.place <= $2
order by held.pid, held.place
