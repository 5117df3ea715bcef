-- Who has waited for which lock since when, and the prepared transactions in their way.
--
-- A prepared transaction has no process: pg_blocking_pids gives 0 for it, and pg_locks no
-- pid. Its lock on its own transaction id says which one it is. This reads the function
-- under pg_prepared_xacts, for the view joins catalogs that may be locked, and the one under
-- pg_locks, since any view stands still where pg_class is locked.
with
locks as materialized (
    select * from pg_lock_status()
),
waiting as (
    select * from locks where not granted
),
prepared as (
    select waiting.pid, xact.gid, xact.prepared, xact.ownerid
    from waiting
    join locks as held
        on held.granted
        and held.pid is null
        and held.locktype = waiting.locktype
        and held.database is not distinct from waiting.database
        and held.relation is not distinct from waiting.relation
        and held.page is not distinct from waiting.page
        and held.tuple is not distinct from waiting.tuple
        and held.virtualxid is not distinct from waiting.virtualxid
        and held.transactionid is not distinct from waiting.transactionid
        and held.classid is not distinct from waiting.classid
        and held.objid is not distinct from waiting.objid
        and held.objsubid is not distinct from waiting.objsubid
    join locks as itself
        on itself.granted
        and itself.pid is null
        and itself.virtualtransaction = held.virtualtransaction
        and itself.locktype = 'transactionid'
    join pg_prepared_xact() as xact on xact.transaction = itself.transactionid
)
select distinct
    waiting.pid,
    waiting.waitstart,
    waiting.locktype,
    waiting.mode,
    textsend(prepared.gid) as gid,
    prepared.prepared,
    prepared.ownerid
from waiting
left join prepared on prepared.pid = waiting.pid
order by waiting.pid
