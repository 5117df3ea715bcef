-- Who waits for which lock, and since when; a parallel worker's wait is its leader's. By the
-- function under pg_locks, for the view stands still where pg_class is locked.
select
    coalesce(worker.leader_pid, waiting.pid) as pid,
    waiting.waitstart,
    waiting.locktype,
    waiting.mode,
    waiting.database,
    waiting.relation,
    waiting.transactionid::text as transactionid,
    now.*
from pg_lock_status() as waiting
cross join ({now}) as now
left join (
    select pid, leader_pid from pg_stat_get_activity(null) where leader_pid is not null
) as worker on worker.pid = waiting.pid
where not waiting.granted
order by waiting.waitstart desc
