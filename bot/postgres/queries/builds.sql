-- Index builds. lockers_total and the columns after it are NULL unless the role may see them.
select
    builds.*,
    now.*
from (
    select
        pid, datid as database, relid, index_relid, command, phase, lockers_total, lockers_done,
        current_locker_pid
    from pg_stat_progress_create_index
    limit $1
) as builds
cross join ({now}) as now
