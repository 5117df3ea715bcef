-- The server's clock, and which server it is.
select
    clock_timestamp() as now,
    current_setting('server_version_num')::int as server_version_num,
    pg_is_in_recovery() as in_recovery,
    {system_identifier} as system_identifier,
    pg_postmaster_start_time() as postmaster_start_time
