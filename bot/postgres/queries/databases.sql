select
    oid, textsend(datname::text) as datname, datconnlimit, datistemplate,
    pg_encoding_to_char(encoding) as encoding,
    now.*
from pg_database, ({now}) as now
