-- What all backends run, if that is at most so many bytes in all; otherwise no text.
select
    pid,
    datid,
    query_id,
    sum(octet_length(query)) over () > $1 as is_too_much,
    case when sum(octet_length(query)) over () <= $1 then textsend(query) end as query,
    now.*
from pg_stat_get_activity(null), ({now}) as now
