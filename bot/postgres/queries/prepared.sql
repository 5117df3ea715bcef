-- The prepared transactions, by the number that `waits.sql` gives each. Calls the function behind
-- pg_prepared_xacts, because the view hangs while a catalog that it needs is locked.
select
    -transaction::text::bigint as pid,
    textsend(gid) as gid,
    prepared,
    ownerid,
    dbid,
    age(transaction) as xids,
    now.*
from pg_prepared_xact(), ({now}) as now
