-- Who the bot is on a server, and what it may do there. Reads no table, so that it can say which
-- ones the bot may not read. Only privileges that take effect (USAGE) count: a member that does not
-- inherit has none.
with
me as (
    select
        to_regrole(quote_ident(current_user))::oid as oid,
        to_regrole(quote_ident(session_user))::oid as login
)
select
    pg_backend_pid() as pid,
    current_setting('server_version_num')::int as server_version_num,
    textsend(current_database()::text) as database,
    me.login,
    textsend(current_user::text) as rolname,
    current_setting('is_superuser')::bool as is_superuser,
    (
        select array_agg(
            case
                when to_regrole(wanted.name) is null then 'no such role'
                when pg_has_role(me.oid, to_regrole(wanted.name), 'usage') then 'yes'
                when pg_has_role(me.oid, to_regrole(wanted.name), 'member') then 'not inherited'
                else 'no'
            end
            order by wanted.place
        )
        from unnest($1::text[]) with ordinality as wanted (name, place)
    ) as holds,
    array(
        select 'function ' || needed.name
        from unnest($2::text[]) as needed (name)
        where has_function_privilege(me.oid, to_regprocedure(needed.name), 'execute') is false
    ) as functions,
    array(
        select 'table ' || needed.name
        from unnest($3::text[]) as needed (name)
        where has_table_privilege(me.oid, to_regclass(needed.name), 'select') is false
    ) as tables
from me
