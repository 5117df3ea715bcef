-- Which server this is, and how many slots are free. A backend whose type the bot may not see
-- counts as a client.
with
everyone as materialized (
    select * from pg_stat_get_activity(null)
),
me as materialized (
    select * from everyone where pid = pg_backend_pid()
),
clients as materialized (
    select *
    from everyone
    where datid is not null and coalesce(backend_type, 'client backend') = 'client backend'
),
{logins},
others as materialized (
    select coalesce(clients.application_name, '') as name, count(*)::int as sessions
    from clients
    join me using (usesysid)
    where clients.application_name is distinct from $1
    group by 1
)
select
    (select system_identifier from pg_control_system()) as system_identifier,
    pg_postmaster_start_time() as postmaster_start_time,
    pg_is_in_recovery() as in_recovery,
    me.ssl as is_encrypted,
    current_setting('max_connections')::int as max_connections,
    current_setting('superuser_reserved_connections')::int as superuser_reserved_connections,
    current_setting('reserved_connections', true)::int as reserved_connections,
    (select rolconnlimit from pg_roles where oid = me.usesysid) as role_limit,
    (select count(*)::int from clients) as used,
    (select count(*)::int from logins) as logging_in,
    (select count(*)::int from clients where clients.datid = me.datid) as database_used,
    (select datconnlimit from pg_database where oid = me.datid) as database_limit,
    (
        select count(*)::int
        from clients
        where clients.usesysid = me.usesysid and clients.application_name = $1
    ) as own,
    (select array_agg(distinct application_name) from clients where application_name <> '')
        as applications,
    (select array_agg(name order by name) from others) as other_names,
    (select array_agg(sessions order by name) from others) as other_sessions
from me
