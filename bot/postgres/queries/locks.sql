-- Who waits for which lock, and since when; a parallel worker's wait counts as its leader's.
-- Calls the function behind pg_locks, because the view hangs while pg_class is locked.
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
