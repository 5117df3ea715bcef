-- The head of a WITH: every backend, and the queues of the locks that somebody waits for.
--
-- Not with pg_blocking_pids: for a queue of n it returns n * n / 2 pairs and takes time that grows
-- with n * n * n. The lock table has the same information in n rows. {locks} says whether it is
-- read at all.
--
-- A session waits for everyone who holds the lock in a mode that conflicts with the one it asks
-- for, and for everyone before it in the queue who asks for such a mode. So it is enough to know
-- everyone's mode and place. A parallel worker counts as its leader: they don't block each other,
-- and only the leader can be ended.
everyone as materialized (
    -- Everything but the query: with track_activity_query_size = '1MB' nobody should copy them all.
    select
        datid, pid, usesysid, application_name, state, wait_event_type, wait_event, xact_start,
        query_start, backend_start, state_change, client_addr, client_hostname, client_port,
        backend_xid, backend_xmin, backend_type, leader_pid, query_id
    from pg_stat_get_activity(null)
),
workers as materialized (
    select pid, leader_pid from everyone where leader_pid is not null
),
locks as materialized (
    -- Only the kinds of lock that somebody waits for: one client may hold 100,000 of another
    -- kind. Rows without a pid belong to prepared transactions. This is the function behind
    -- pg_locks, because the view hangs while pg_class is locked.
    select
        -- A lock's kind determines which of the others are NULL. As bytes, which sort fast.
        concat_ws(
            ' ', locktype, database, relation, page, tuple, virtualxid, transactionid,
            classid, objid, objsubid
        ) collate "C" as tag,
        pid,
        virtualtransaction,
        locktype,
        transactionid,
        array_position(
            '{AccessShareLock,RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,'
            'ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'::text[],
            mode
        ) as mode,
        granted,
        waitstart
    from pg_lock_status()
    where
        {locks}
        and exists (select from everyone where wait_event_type = 'Lock')
        and (
            pid is null
            or locktype = any(
                array(select distinct wait_event from everyone where wait_event_type = 'Lock')
            )
        )
),
prepared as materialized (
    -- The lock on its own transaction id identifies it.
    select locks.virtualtransaction, xact.transaction::text::bigint as xid
    from locks
    join pg_prepared_xact() as xact on xact.transaction = locks.transactionid
    where locks.pid is null and locks.locktype = 'transactionid'
),
asked as materialized (
    select
        locks.tag,
        coalesce(workers.leader_pid, locks.pid, -prepared.xid, 0) as pid,
        locks.mode,
        -- Table 13.2 in https://www.postgresql.org/docs/current/explicit-locking.html: one bit for
        -- each mode that conflicts with this one.
        ('{256,384,480,496,472,504,508,510}'::int[])[locks.mode] as conflicts,
        locks.granted,
        locks.waitstart
    from locks
    left join workers on workers.pid = locks.pid
    left join prepared
        on prepared.virtualtransaction = locks.virtualtransaction and locks.pid is null
    -- `is true` keeps the planner from making it a join, whose size it can't estimate.
    where (locks.tag in (select tag from locks where not granted)) is true
        and locks.mode is not null  -- SIReadLock blocks nobody
    union all
    -- A wait for a safe snapshot (DEFERRABLE) is treated as a lock of its own.
    select 'snapshot ' || pid, pid, 1, 256, false, null
    from everyone
    where {locks} and wait_event = 'SafeSnapshot'
    union all
    select 'snapshot ' || waiter.pid, blocker.pid, 8, 510, true, null
    from everyone as waiter
    cross join lateral unnest(pg_safe_snapshot_blocking_pids(waiter.pid)) as blocker (pid)
    where {locks} and waiter.wait_event = 'SafeSnapshot'
),
held as materialized (
    select
        *,
        bit_or(1 << mode) filter (where granted) over (partition by tag, pid) as holds,
        bit_or(conflicts) filter (where not granted) over (partition by tag) as wanted
    from asked
),
placed as materialized (
    select
        dense_rank() over (order by tag)::int as queue,
        pid,
        mode,
        conflicts,
        waitstart,
        -- Sessions that already hold the lock come before those that wait for that.
        case
            when granted then 0
            else row_number() over (
                partition by tag, granted order by least(waitstart, jumps_to), jumps_to, pid
            )::int
        end as place
    from held
    cross join lateral (
        select
            case
                when not granted and holds is not null then (
                    select min(other.waitstart)
                    from held as other
                    where other.tag = held.tag
                        and not other.granted
                        and other.pid <> held.pid
                        and other.conflicts & held.holds <> 0
                )
            end as jumps_to
    ) as jump
    where not granted or (1 << mode) & wanted <> 0
),
requests as materialized (
    -- Place 0 is a held lock, which all waiters must see. `blocks` is how many stand behind it, if
    -- one of them asks for a mode that conflicts.
    select
        *,
        case
            when (1 << mode) & bit_or(conflicts) over behind <> 0
                then (count(*) over behind)::int
            else 0
        end as blocks,
        first_value(pid) over (partition by queue order by place, pid) as head
    from placed
    window behind as (
        partition by queue order by place desc range between unbounded preceding and 1 preceding
    )
),
waits as materialized (
    select
        pid,
        sum(blocks)::int as blocks,
        min(waitstart) as waitstart,
        min(head) filter (where place > 0) as waits_behind
    from requests
    group by pid
)
