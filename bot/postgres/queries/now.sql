-- The server's clock, which server it is, and as whom the bot is there.
select
    clock_timestamp() as now,
    current_setting('server_version_num')::int as server_version_num,
    pg_is_in_recovery() as in_recovery,
    (select system_identifier from pg_control_system()) as system_identifier,
    pg_postmaster_start_time() as postmaster_start_time,
    (select usesysid from pg_stat_get_activity(pg_backend_pid())) as own_role
