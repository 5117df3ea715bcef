-- The replication slots that hold back vacuum. Calls the function behind pg_replication_slots,
-- because the view hangs while pg_database is locked. inactive_since, synced and failover exist from
-- PostgreSQL 17 on. On a standby, inactive_since of a synced slot is when it was last copied.
-- A lost slot still shows its xmin, but no longer holds anything back
-- (ReplicationSlotsComputeRequiredXmin).
select
    slots.*,
    now.*
from (
    select
        slot.slot_name,
        slot.slot_type,
        slot.datoid,
        slot.active,
        slot.wal_status,
        age(slot.xmin) as xids,
        age(slot.catalog_xmin) as catalog_xids,
        (to_jsonb(slot) ->> 'inactive_since')::timestamptz as inactive_since,
        (to_jsonb(slot) ->> 'synced')::boolean is true and pg_is_in_recovery() as is_copy,
        (to_jsonb(slot) ->> 'failover')::boolean is true as failover
    from pg_get_replication_slots() as slot
    where (slot.xmin is not null or slot.catalog_xmin is not null)
        and slot.wal_status is distinct from 'lost'
    order by greatest(age(slot.xmin), age(slot.catalog_xmin)) desc
    limit $1
) as slots
cross join ({now}) as now
