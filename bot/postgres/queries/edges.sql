-- The head of a WITH: every backend, and who waits for whom, in one snapshot.
everyone as materialized (
    select * from pg_stat_get_activity(null)
),
edges as materialized (
    -- pg_blocking_pids takes all of the lock manager's partitions: only waiters are asked.
    -- Somebody who waits for a safe snapshot (DEFERRABLE) has an answer elsewhere.
    select distinct waiter.pid as waiter, blocker.pid as blocker
    from everyone as waiter
    cross join lateral unnest(
        case
            when waiter.wait_event_type = 'Lock' then pg_blocking_pids(waiter.pid)
            when waiter.wait_event = 'SafeSnapshot' then pg_safe_snapshot_blocking_pids(waiter.pid)
        end
    ) as blocker (pid)
    where waiter.wait_event_type = 'Lock' or waiter.wait_event = 'SafeSnapshot'
)
