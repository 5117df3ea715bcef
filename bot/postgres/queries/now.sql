-- The server's clock, and what tells this server from others.
select
    clock_timestamp() as now,
    current_setting('server_version_num')::int as server_version_num,
    pg_is_in_recovery() as in_recovery
