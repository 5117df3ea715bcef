-- Who waits for which lock since when, and the prepared transactions in their way.
--
-- A prepared transaction has no process: pg_blocking_pids gives 0 for it, and pg_locks no pid.
-- Its lock on its own transaction id says which one it is. One that merely holds a lock on
-- the same object is in nobody's way: the modes must conflict, and PostgreSQL must have
-- named a prepared transaction. (The functions under pg_locks and pg_prepared_xacts: a view
-- stands still where a catalog that it needs is locked.)
with
{edges},
locks as materialized (
    select * from pg_lock_status()
),
waiting as (
    select * from locks where not granted
),
-- Table 13.2 in https://www.postgresql.org/docs/current/explicit-locking.html
conflicts (mode, modes) as (
    values
        ('AccessShareLock', '{AccessExclusiveLock}'::text[]),
        ('RowShareLock', '{ExclusiveLock,AccessExclusiveLock}'),
        (
            'RowExclusiveLock',
            '{ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'
        ),
        (
            'ShareUpdateExclusiveLock',
            '{ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,'
            'AccessExclusiveLock}'
        ),
        (
            'ShareLock',
            '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareRowExclusiveLock,ExclusiveLock,'
            'AccessExclusiveLock}'
        ),
        (
            'ShareRowExclusiveLock',
            '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,'
            'ExclusiveLock,AccessExclusiveLock}'
        ),
        (
            'ExclusiveLock',
            '{RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,'
            'ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'
        ),
        (
            'AccessExclusiveLock',
            '{AccessShareLock,RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,'
            'ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'
        )
),
prepared as (
    select waiting.pid, xact.gid, xact.prepared, xact.ownerid, xact.dbid
    from waiting
    join conflicts on conflicts.mode = waiting.mode
    join locks as held
        on held.granted
        and held.pid is null
        and held.mode = any(conflicts.modes)
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
    where exists (select from edges where edges.waiter = waiting.pid and edges.blocker = 0)
)
select distinct
    waiting.pid,
    waiting.waitstart,
    waiting.locktype,
    waiting.mode,
    waiting.database,
    waiting.relation,
    waiting.transactionid::text as transactionid,
    textsend(prepared.gid) as gid,
    prepared.prepared,
    prepared.ownerid,
    prepared.dbid
from waiting
left join prepared on prepared.pid = waiting.pid
order by waiting.pid
