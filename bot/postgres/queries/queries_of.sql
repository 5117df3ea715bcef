-- What some backends run or ran last, and since when.
select
    wanted.pid,
    seen.query_start,
    textsend(seen.query) as query
from unnest($1::int[]) as wanted (pid)
cross join lateral pg_stat_get_activity(wanted.pid) as seen
