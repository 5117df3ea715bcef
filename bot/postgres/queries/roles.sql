-- Names as bytes: a role may have been created under another encoding.
select
    oid, textsend(rolname::text) as rolname, rolsuper, rolconnlimit, rolcanlogin,
    now.*
from pg_roles, ({now}) as now
