-- Which role the bot has, without reading the catalogs. This copies what the server knows of every
-- backend, so it isn't part of each statement.
select usesysid as own_role
from pg_stat_get_activity(pg_backend_pid())
