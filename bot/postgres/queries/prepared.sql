-- The prepared transactions, by the number that `waits.sql` has for each. By the function under
-- pg_prepared_xacts: the view stands still where a catalog that it needs is locked.
select
    -transaction::text::bigint as pid,
    textsend(gid) as gid,
    prepared,
    ownerid,
    dbid,
    now.*
from pg_prepared_xact(), ({now}) as now
