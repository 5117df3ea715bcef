-- Names as bytes: a role may have been created under another encoding. may_end is what
-- PostgreSQL asks of whoever ends a session (pg_signal_backend in signalfuncs.c).
select
    oid, textsend(rolname::text) as rolname, rolsuper, rolconnlimit, rolcanlogin,
    current_setting('is_superuser')::bool
        or not rolsuper
            and (pg_has_role(oid, 'usage') or pg_has_role('pg_signal_backend', 'usage'))
        as may_end,
    now.*
from pg_roles, ({now}) as now
