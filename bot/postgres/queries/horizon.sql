-- The sessions and standbys that hold back vacuum, and by how many transactions: the worst $1 of
-- each database, because those of one don't hold back another's.
select
    holders.*,
    now.*
from (
    select
        row_number() over (
            partition by datid order by greatest(age(backend_xid), age(backend_xmin)) desc, pid
        ) as place,
        pid,
        backend_type,
        textsend(application_name) as application_name,
        client_addr,
        datid,
        xact_start,
        greatest(age(backend_xid), age(backend_xmin)) as xids
    from pg_stat_get_activity(null)
    where pid <> pg_backend_pid() and (backend_xid is not null or backend_xmin is not null)
) as holders
cross join ({now}) as now
where place <= $1
