-- The names of some relations in the connection's own database. Reading pg_class takes no lock on
-- the relations themselves. Names come as bytes, as everywhere.
select class.oid, textsend(format('%I.%I', namespace.nspname, class.relname)) as name, now.*
from pg_class as class
cross join ({now}) as now
join pg_namespace as namespace on namespace.oid = class.relnamespace
where class.oid = any($1::oid[])
