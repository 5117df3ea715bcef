-- Which of some backends are still there. A row whose backend_start the bot may not see
-- counts as there: gone is said only of what is seen to be gone.
select
    (select system_identifier from pg_control_system()) as system_identifier,
    pg_postmaster_start_time() as postmaster_start_time,
    clock_timestamp() as now,
    wanted.pid,
    wanted.backend_start,
    a.pid is not null as there,
    a.state,
    a.wait_event_type,
    a.wait_event,
    a.query_start
from (select) as one
left join unnest($1::int[], $2::timestamptz[]) as wanted (pid, backend_start) on true
-- One by one: the queries of all would be copied, and these are looked at every few ms.
left join lateral pg_stat_get_activity(wanted.pid) as a
    on a.pid = wanted.pid
    and (a.backend_start is null or a.backend_start = wanted.backend_start)
