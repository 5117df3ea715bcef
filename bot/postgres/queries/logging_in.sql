-- How many clients hold a slot but have not logged in, where only the lock table shows it.
with
everyone as materialized (
    select pid, backend_type, state from pg_stat_get_activity(null)
),
{logins}
select count(logins.pid)::int as logging_in, now.*
from logins
right join ({now}) as now on true
group by now.now, now.server_version_num, now.in_recovery, now.system_identifier,
    now.postmaster_start_time
