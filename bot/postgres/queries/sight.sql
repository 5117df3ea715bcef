-- Which of some backends still exist. A row whose backend_start the bot may not see counts as
-- existing: only a backend that is seen to be gone is called gone.
select
    {system_identifier} as system_identifier,
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
-- One by one: a call for all would copy all queries, and this runs every few ms.
left join lateral pg_stat_get_activity(wanted.pid) as a
    on a.pid = wanted.pid
    and (a.backend_start is null or a.backend_start = wanted.backend_start)
