-- For the head of a WITH: the sessions that others wait for, according to PostgreSQL.
--
-- Only for the signal. It asks about one backend and stops at the first one that waits for it.
-- Asking about every waiter takes time that grows with the cube of a queue's length; looks read
-- the lock table instead (`waits.sql`).
blocking as not materialized (
    -- A session that waits for a safe snapshot (DEFERRABLE) is found by another function.
    select blocker.pid
    from pg_stat_get_activity(null) as waiter
    cross join lateral unnest(
        case
            when waiter.wait_event_type = 'Lock' then pg_blocking_pids(waiter.pid)
            when waiter.wait_event = 'SafeSnapshot' then pg_safe_snapshot_blocking_pids(waiter.pid)
        end
    ) as blocker (pid)
)
