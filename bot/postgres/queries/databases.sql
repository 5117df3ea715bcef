select
    oid, textsend(datname::text) as datname, datconnlimit,
    pg_encoding_to_char(encoding) as encoding,
    now.*,
    own.*
from pg_database, ({now}) as now, ({own}) as own
