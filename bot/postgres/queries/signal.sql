-- Verdict and signal for one target, in one statement.
--
-- The target is signalled only if every WHEN before the signal was passed, in this statement, on
-- this server, at this moment; a value that can't be seen (NULL) never passes. The deadline comes
-- last, right before the signal, so that a statement that was delayed on its way signals nothing.
-- Between reading the row and the signal there remain the microseconds of this statement:
-- PostgreSQL can't signal a backend by its identity.
--
-- Needs pg_signal_backend for other roles' sessions; PostgreSQL raises
-- insufficient_privilege for a superuser's. Needs pg_read_all_stats to see the row.
with
{blocking}
target as materialized (
    -- For -1 or NULL the function returns every backend, so the pid is compared again.
    select * from pg_stat_get_activity($3::int) where pid = $3::int
)
select
    case
        when (select system_identifier from pg_control_system()) is distinct from $1::bigint
            or pg_postmaster_start_time() is distinct from $2::timestamptz
            then 'server changed'
        when a.pid is null then 'gone'
        when a.backend_start is null then 'not visible'
        when a.backend_start <> $4::timestamptz then 'gone'
        when a.backend_type is null then 'not visible'
        when a.backend_type <> 'client backend' then 'not a client backend'
        when a.state is null or a.usesysid is null then 'not visible'
        when a.usesysid = any($5::oid[])
            or coalesce(a.application_name, '') like any($6::text[])
            then 'protected'
        when ({running}) is not true then 'finished'
        when ({match}) is not true then 'no longer matches'
        when ({cost}) is not true then 'costs more'
        when ({transaction}) is not true then 'changed'
        when clock_timestamp() >= $7::timestamptz then 'late'
        when {function}(a.pid) then 'signalled'
        else 'gone'
    end as verdict,
    clock_timestamp() as now,
    a.xact_start,
    a.backend_xid,
    a.state
from (select) as one
left join target as a on true
