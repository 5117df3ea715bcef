-- Every backend in one snapshot, to be sorted and counted by the bot: that costs the server a
-- quarter of a look. Long queries are read of the few that are shown, and so are those of the idle:
-- track_activity_query_size may be 1 MB, and there may be thousands of sessions. Calls the function
-- behind pg_stat_activity, as look.sql does. The bot's own row has what is said of the server.
select
    pid,
    datid,
    leader_pid,
    usesysid,
    textsend(application_name) as application_name,
    client_addr,
    textsend(client_hostname) as client_hostname,
    client_port,
    backend_start,
    xact_start,
    query_start,
    state_change,
    wait_event_type,
    wait_event,
    state,
    backend_xid,
    backend_xmin,
    query_id,
    case when state <> 'idle' and octet_length(query) <= 1024 then textsend(query) end
        as short_query,
    backend_type,
    greatest(age(backend_xid), age(backend_xmin)) as xids,
    case when is_own then clock_timestamp() end as now,
    case when is_own then pg_is_in_recovery() end as in_recovery,
    case when is_own then {system_identifier} end as system_identifier,
    case when is_own then pg_postmaster_start_time() end as postmaster_start_time,
    case when is_own then current_setting('server_version_num')::int end as server_version_num,
    case when is_own then current_setting('max_connections')::int end as max_connections,
    case when is_own then current_setting('superuser_reserved_connections')::int end
        as superuser_reserved_connections,
    case when is_own then coalesce(current_setting('reserved_connections', true), '0')::int end
        as reserved_connections
from pg_stat_get_activity(null)
cross join lateral (select pid = pg_backend_pid() as is_own) as own
