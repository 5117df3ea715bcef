-- How many sessions have each set of values of some columns, the largest groups first, as of one
-- snapshot. Reads the function behind pg_stat_activity, as look.sql does, and for the same reason.
with
{waits},
blocking as materialized (
    select pid from waits where blocks > 0
),
matched as materialized (
    select a.* from everyone as a where ({where})
),
groups as (
    select
        {keys},
        count(*)::int as sessions,
        min(xact_start) filter (
            where backend_type = 'client backend' and state is distinct from 'starting'
        ) as oldest_xact
    from matched
    group by {keys}
)
select
    groups.*,
    (select count(*)::int from groups) as number,
    (select count(*)::int from matched) as total,
    now.*
from ({now}) as now
left join groups on true
order by groups.sessions desc nulls last, groups.oldest_xact nulls last, {keys}
limit $1
