-- All roles, one array per column, since there may be thousands. Names come as bytes, because a
-- role may have been created under another encoding. may_end is what PostgreSQL requires of
-- whoever ends a session (pg_signal_backend in signalfuncs.c).
select
    roles.*,
    now.*,
    own.*
from
    (
        select
            array_agg(oid) as oids,
            array_agg(textsend(rolname::text)) as rolnames,
            array_agg(rolsuper) as are_super,
            array_agg(rolconnlimit) as limits,
            array_agg(rolcanlogin) as can_login,
            array_agg(
                current_setting('is_superuser')::bool
                or not rolsuper
                    and (pg_has_role(oid, 'usage') or pg_has_role('pg_signal_backend', 'usage'))
            ) as may_end
        from pg_roles
    ) as roles,
    ({now}) as now,
    ({own}) as own
