"""A database whose owner wants to run code as whoever connects to it.

    await plant(connection)  # as the owner, in the database

Its schema `public` then has something with the name of everything in pg_catalog that a statement
may use: functions and operators with the same types, and with types that fit better than
pg_catalog's own; aggregates; types; views. Each records in `public.calls` that it was called.
"""

from collections.abc import Mapping

import asyncpg

CALLS = """
    create table public.calls (what text not null, as_role text not null default current_user);
    grant insert, select on public.calls to public;

    create function public.tell(what text) returns boolean
    language plpgsql set search_path = pg_catalog, pg_temp as $$ begin
        insert into public.calls (what) values (what);
        return true;
    end $$;
"""

FUNCTIONS = r"""
do $do$ declare one record; begin
    for one in
        select
            p.proname,
            pg_get_function_arguments(p.oid) as arguments,
            pg_get_function_result(p.oid) as result,
            p.proretset or p.proallargtypes is not null as has_rows
        from pg_proc as p
        where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind = 'f'
    loop
        begin
            execute format(
                'create function public.%I(%s) returns %s language plpgsql'
                ' set search_path = pg_catalog, pg_temp as $f$ begin'
                ' perform public.tell(%L); return%s; end $f$',
                one.proname, one.arguments, one.result, one.proname,
                case when one.has_rows then '' else ' null' end
            );
        exception when others then null;  -- of a type that no such function may take
        end;
    end loop;
end $do$;
"""

# For pg_catalog's polymorphic functions, and for those that take a wider type: versions that fit
# the bot's arguments best.
BETTER = r"""
do $do$ declare
    one text;
    of text;
    places int := 0;
begin
    foreach of in array array['oid', 'int', 'bigint', 'text', 'timestamptz', 'bytea'] loop
        foreach one in array array[
            'array_position(%1$s[], %1$s) returns int',
            'array_to_string(%1$s[], text) returns text',
            'cardinality(%1$s[]) returns int',
            'array_length(%1$s[], int) returns int',
            'unnest(%1$s[]) returns setof %1$s',
            'min(%1$s) returns %1$s',
            'max(%1$s) returns %1$s',
            'count(%1$s) returns bigint',
            'array_agg(%1$s) returns %1$s[]'
        ] loop
            begin
                execute format(
                    'create function public.' || one || ' language plpgsql'
                    ' set search_path = pg_catalog, pg_temp as $f$ begin'
                    ' perform public.tell(%2$L); %3$s end $f$',
                    of, one, case when one like '%setof%' then 'return;' else 'return null;' end
                );
            exception when others then null;  -- pg_catalog has that very one, and so has public
            end;
        end loop;
    end loop;
end $do$;

create function public.unnest(oid[], int[]) returns table (a oid, b int)
    language plpgsql as $$ begin perform public.tell('unnest of two'); end $$;
create function public.unnest(int[], timestamptz[]) returns table (a int, b timestamptz)
    language plpgsql as $$ begin perform public.tell('unnest of two'); end $$;
"""

OPERATORS = r"""
do $do$ declare
    one record;
    number int := 0;
begin
    for one in
        select oprname, oprleft::regtype as l, oprright::regtype as r, oprresult::regtype as result
        from pg_operator
        where oprnamespace = 'pg_catalog'::regnamespace and oprleft <> 0
        union
        -- What fits a text and a parameter of another kind better than pg_catalog's.
        select name, l::regtype, r::regtype, 'boolean'::regtype
        from unnest(array['=', '<>', '<', '>', '<=', '>=', '~~', '!~~']) as name,
            unnest(array['text', 'varchar', 'name', 'bigint', 'int', 'oid', 'xid']) as l,
            unnest(array['text', 'varchar', 'name', 'bigint', 'int', 'oid', 'xid']) as r
        order by 1, 2, 3
    loop
        number := number + 1;
        begin
            execute format(
                'create function public.operator_%1$s(%2$s, %3$s) returns %4$s language plpgsql'
                ' set search_path = pg_catalog, pg_temp as $f$ begin'
                ' perform public.tell(%5$L); return null; end $f$',
                number, one.l, one.r, one.result, format('%s %s %s', one.l, one.oprname, one.r)
            );
            execute format(
                'create operator public.%1$s (leftarg = %2$s, rightarg = %3$s,'
                ' function = public.operator_%4$s)',
                one.oprname, one.l, one.r, number
            );
        exception when others then null;
        end;
    end loop;
end $do$;
"""

AGGREGATES = r"""
create function public.step(text) returns text
    language plpgsql as $$ begin perform public.tell('count(*)'); return 1; end $$;
create aggregate public.count(*) (sfunc = public.step, stype = text);
"""

TYPES = r"""
do $do$ declare one text; begin
    foreach one in array array[
        'text', 'oid', 'inet', 'bytea', 'timestamptz', 'name', 'xid', 'regclass', 'bool', 'int4'
    ] loop
        execute format(
            'create domain public.%1$I as pg_catalog.%1$I check (public.tell(%2$L))',
            one, 'type ' || one
        );
    end loop;
end $do$;
"""

VIEWS = r"""
do $do$ declare one text; begin
    foreach one in array array[
        'pg_roles', 'pg_database', 'pg_class', 'pg_namespace', 'pg_settings', 'pg_type', 'pg_range'
    ] loop
        execute format(
            'create view public.%1$I as select * from pg_catalog.%1$I where public.tell(%2$L)',
            one, 'view ' || one
        );
        execute format('grant select on public.%I to public', one);
    end loop;
end $do$;
"""

SETTINGS = {
    "search_path": "public, pg_catalog",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "row_security": "off",
    "lock_timeout": "1ms",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "bytea_output": "escape",
    "datestyle": "German, DMY",
    "intervalstyle": "sql_standard",
    "timezone": "Pacific/Chatham",
    "client_encoding": "LATIN1",
    "client_min_messages": "debug5",
    "extra_float_digits": "-15",
    "xmloption": "document",
    "exit_on_error": "on",
    "work_mem": "64kB",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
}
"""The worst settings that its owner may make."""

WITH_LIMITS = {
    **SETTINGS,
    "statement_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "idle_session_timeout": "1ms",
    "transaction_timeout": "20ms",
    "local_preload_libraries": "nowhere",
}
"""Settings that would end a pooler's own connections."""


async def plant(owner: asyncpg.Connection) -> None:
    """Plant everything in this connection's database."""
    for statement in (CALLS, FUNCTIONS, BETTER, OPERATORS, AGGREGATES, TYPES, VIEWS):
        await owner.execute(statement)


async def set_all(owner: asyncpg.Connection, database: str, settings: Mapping[str, str]) -> None:
    """Make everyone who connects from now on inherit the settings."""
    newer = {"transaction_timeout"} if owner.get_server_version().major < 17 else set()
    for name, value in settings.items():
        if name in newer:
            continue
        listed = ", ".join(f'"{item}"' for item in value.split(", "))
        await owner.execute(
            f"alter database {database} set {name} to"
            f" {listed if name == 'search_path' else f'{value!r}'}"
        )


async def calls(owner: asyncpg.Connection) -> set[str]:
    """What was called by anyone except the owner."""
    rows = await owner.fetch(
        "select distinct what::pg_catalog.text || ' as ' || as_role::pg_catalog.text as called"
        " from public.calls where as_role operator(pg_catalog.<>) current_user"
    )
    return {row["called"] for row in rows}
