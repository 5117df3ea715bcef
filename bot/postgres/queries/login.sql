-- What the catalogs say about a role's logins: the role itself, and every database. Without a role
-- ($1 is NULL), only the databases.
select
    role.rolcanlogin,
    -- The client can't represent infinite timestamps, nor those after the year 9999.
    case
        when role.rolvaliduntil < '9999-01-01' then greatest(role.rolvaliduntil, to_timestamp(0))
    end as rolvaliduntil,
    role.rolsuper,
    databases.*,
    now.*
from
    (
        select
            array_agg(oid) as oids,
            array_agg(datallowconn) as allowed,
            array_agg(datconnlimit) as limits,
            array_agg(coalesce(has_database_privilege($1::oid, oid, 'connect'), true)) as connects
        from pg_database
    ) as databases
cross join ({now}) as now
left join pg_roles as role on role.oid = $1::oid
