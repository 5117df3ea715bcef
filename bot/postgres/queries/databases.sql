select
    oid, textsend(datname::text) as datname, datconnlimit, datistemplate,
    now.*
from pg_database, ({now}) as now
