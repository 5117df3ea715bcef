-- Who and where we are, without a word to the catalogs. A pooler hands out another backend key
-- than the backend has: the caller compares the pid with the one that it was given.
select pid, usesysid, datid, system_identifier, pg_postmaster_start_time() as postmaster_start_time
from pg_stat_get_activity(pg_backend_pid()), pg_control_system()
