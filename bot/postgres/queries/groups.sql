-- How many client backends each application has in each state, in descending order.
select
    groups.*,
    now.*
from (
    select
        textsend(application_name) as application_name,
        usesysid,
        state,
        count(*)::int as sessions
    from pg_stat_get_activity(null)
    where backend_type = 'client backend' and state is distinct from 'starting'
    group by pg_stat_get_activity.application_name, usesysid, state
    order by sessions desc, application_name, usesysid, state
    limit $1
) as groups
cross join ({now}) as now
