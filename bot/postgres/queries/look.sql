-- One look: the rows that were asked for, and the counts over all that match, in one snapshot.
--
-- It reads the function behind pg_stat_activity, not the view. The view joins pg_database and
-- pg_authid, and hangs while somebody holds ACCESS EXCLUSIVE on one of them. Names are resolved
-- separately. Texts that may be in another database's encoding come as bytes.
with
{waits},
{logins},
by_role as materialized (
    select usesysid, count(*)::int as used
    from everyone
    where backend_type = 'client backend'
    group by usesysid
),
by_database as materialized (
    select datid, count(*)::int as used
    from everyone
    where backend_type = 'client backend'
    group by datid
),
at_limit as materialized (
    select by_role.usesysid
    from by_role
    join unnest($1::oid[], $2::int[]) as limits (usesysid, rolconnlimit) using (usesysid)
    where by_role.used >= limits.rolconnlimit
),
at_databases_limit as materialized (
    select by_database.datid
    from by_database
    join unnest($5::oid[], $6::int[]) as limits (datid, datconnlimit) using (datid)
    where by_database.used >= limits.datconnlimit
),
blocking as materialized (
    select pid from waits where blocks > 0
),
sessions as materialized (
    select
        everyone.*,
        case when everyone.leader_pid is null then coalesce(waits.blocks, 0) else 0 end as blocks,
        waits.waitstart,
        waits.waits_behind,
        (
            everyone.wait_event_type = 'Lock' or everyone.wait_event = 'SafeSnapshot'
        ) is true as is_waiting,
        (
            everyone.backend_type = 'client backend'
            and (
                exists (select from at_limit where at_limit.usesysid = everyone.usesysid)
                or exists (select from at_databases_limit as d where d.datid = everyone.datid)
            )
        ) as is_at_limit
    from everyone
    left join waits on waits.pid = coalesce(everyone.leader_pid, everyone.pid)
),
matched as materialized (
    select a.* from sessions as a where ({where})
),
counts as (
    select of_matched.*, by_state.*, of_everyone.*, of_roles.*, of_databases.*, of_requests.*, logins.*
    from (
        select
            count(*)::int as total,
            (count(*) filter (where is_waiting))::int as waiting,
            min(xact_start) filter (
                where backend_type = 'client backend' and state is distinct from 'starting'
            ) as oldest_xact
        from matched
    ) as of_matched
    cross join (
        select
            array_agg(coalesce(state, '') order by state) as states,
            array_agg(n order by state) as by_state
        from (select state, count(*)::int as n from matched group by state) as states
    ) as by_state
    cross join (
        select
            (count(*) filter (where {hidden}))::int as hidden,
            (count(*) filter (where is_waiting))::int as server_waiting,
            (
                count(*) filter (
                    where backend_type = 'client backend' and state is distinct from 'starting'
                )
            )::int as client_backends,
            (
                count(*) filter (
                    where backend_start is null and usesysid is not null and datid is not null
                )
            )::int as unseen
        from sessions as a
    ) as of_everyone
    cross join (
        select
            array_agg(usesysid order by usesysid) as role_oids,
            array_agg(used order by usesysid) as role_used
        from by_role
        where usesysid is not null
    ) as of_roles
    cross join (
        select
            array_agg(datid order by datid) as database_oids,
            array_agg(used order by datid) as database_used
        from by_database
        where datid is not null
    ) as of_databases
    cross join (
        select
            array_agg(queue order by queue, place, pid) as queues,
            array_agg(place order by queue, place, pid) as places,
            array_agg(pid order by queue, place, pid) as pids,
            array_agg(mode order by queue, place, pid) as modes
        from requests
    ) as of_requests
    cross join (select count(*)::int as logging_in from logins) as logins
),
page as (
    select row_number() over (order by {order}) as place, a.*
    from matched as a
    order by place
    limit $3 offset $4
),
beginning as materialized (
    -- Sessions that could begin another transaction with the same xact_start. That instant is
    -- when the message arrived that began it, so this takes more than one statement, or a
    -- procedure, in the message that now runs. (ASCII bytes: a regular expression must not meet
    -- invalid text.)
    select page.pid
    from page
    cross join lateral (
        select encode(textsend(query), 'escape') as query from pg_stat_get_activity(page.pid)
    ) as seen
    where {strict}
        and page.state = 'active'
        and page.backend_xid is null
        and (
            seen.query ~* ';\s*\S|\m(call|do|execute)\M'
            -- Nobody knows what was cut off. The setting reads `512B`, `1kB` or `1MB`.
            or octet_length(seen.query) >= coalesce(
                substring(current_setting('track_activity_query_size') from '^([0-9]+)B$')::int,
                1024
            ) - 24
        )
),
vxids as materialized (
    -- The transaction's own number decides. Reading it takes the whole lock table.
    select pid, min(virtualtransaction) as virtualtransaction
    from pg_lock_status()
    where exists (select from beginning)
        and locktype = 'virtualxid'
        and granted
        and pid = any(array(select pid from beginning))
    group by pid
)
select
    counts.total,
    counts.waiting,
    counts.hidden,
    counts.oldest_xact,
    counts.client_backends,
    counts.logging_in,
    counts.unseen,
    counts.server_waiting,
    case when is_first then counts.states end as states,
    case when is_first then counts.by_state end as by_state,
    case when is_first then counts.role_oids end as role_oids,
    case when is_first then counts.role_used end as role_used,
    case when is_first then counts.database_oids end as database_oids,
    case when is_first then counts.database_used end as database_used,
    case when is_first then counts.queues end as queues,
    case when is_first then counts.places end as places,
    case when is_first then counts.pids end as pids,
    case when is_first then counts.modes end as modes,
    case when is_first then {system_identifier} end as system_identifier,
    pg_postmaster_start_time() as postmaster_start_time,
    pg_is_in_recovery() as in_recovery,
    current_setting('server_version_num')::int as server_version_num,
    current_setting('max_connections')::int as max_connections,
    current_setting('superuser_reserved_connections')::int as superuser_reserved_connections,
    coalesce(current_setting('reserved_connections', true), '0')::int as reserved_connections,
    clock_timestamp() as now,
    page.pid,
    page.datid,
    page.leader_pid,
    page.usesysid,
    textsend(page.application_name) as application_name,
    page.client_addr,
    textsend(page.client_hostname) as client_hostname,
    page.client_port,
    page.backend_start,
    page.xact_start,
    page.query_start,
    page.state_change,
    page.wait_event_type,
    page.wait_event,
    page.waitstart,
    page.state,
    page.backend_xid,
    vxids.virtualtransaction,
    page.backend_xmin,
    page.query_id,
    -- In the same snapshot: PostgreSQL takes one per statement.
    case
        when page.pid is not null then (
            select textsend(seen.query) from pg_stat_get_activity(page.pid) as seen
        )
    end as query,
    page.backend_type
from counts
left join page on true
left join vxids on vxids.pid = page.pid
cross join lateral (select page.place is null or page.place = $4 + 1 as is_first) as first
order by page.place
