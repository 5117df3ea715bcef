-- What some backends have besides their transactions: advisory locks, replication slots, index
-- builds; and the prepared transactions. Calls the functions behind the views, because the views
-- hang while a catalog that they need is locked.
select
    things.*,
    now.*
from ({now}) as now
left join (
    select
        'advisory' as kind,
        pid,
        null::bytea as name,
        count(*)::int as number,
        null::oid as database,
        null::oid as relation,
        null::oid as owner
    from pg_lock_status()
    where granted and locktype = 'advisory' and pid = any($1::int[])
    group by pid
    union all
    select
        case when temporary then 'temporary slot' else 'slot' end,
        active_pid,
        textsend(slot_name::text),
        1, null, null, null
    from pg_get_replication_slots()
    where active_pid = any($1)
    union all
    -- The numbers that src/include/commands/progress.h gives to the commands: the same in 14 to 18.
    select
        case param1 when 2 then 'CREATE INDEX CONCURRENTLY' else 'REINDEX CONCURRENTLY' end,
        pid,
        null,
        1,
        datid,
        nullif(param7, 0)::oid,
        null
    from pg_stat_get_progress_info('CREATE INDEX')
    where param1 in (2, 4) and pid = any($1)
    union all
    (
        select 'prepared', null, textsend(gid), 1, dbid, null, ownerid
        from pg_prepared_xact()
        where ownerid = any($2::oid[])
        order by prepared
        limit $3
    )
) as things on true
