-- Who and where we are, without reading the catalogs. A pooler hands out a backend key that
-- differs from the backend's: the caller compares the pid with the one that it was given.
select pid, usesysid, datid, system_identifier, pg_postmaster_start_time() as postmaster_start_time
from pg_stat_get_activity(pg_backend_pid()), pg_control_system()
