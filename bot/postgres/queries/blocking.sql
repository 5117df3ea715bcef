-- For the head of a WITH: those whom others wait for, by PostgreSQL's own word.
--
-- For the signal alone. It asks of one backend and stops at the first that waits for it; to
-- ask about every waiter grows with the cube of a queue. A look reads the lock table
-- (`waits.sql`).
blocking as not materialized (
    -- Somebody who waits for a safe snapshot (DEFERRABLE) has an answer elsewhere.
    select blocker.pid
    from pg_stat_get_activity(null) as waiter
    cross join lateral unnest(
        case
            when waiter.wait_event_type = 'Lock' then pg_blocking_pids(waiter.pid)
            when waiter.wait_event = 'SafeSnapshot' then pg_safe_snapshot_blocking_pids(waiter.pid)
        end
    ) as blocker (pid)
)
