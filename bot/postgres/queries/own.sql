-- Which role the bot has, without reading the catalogs. This copies what the server knows of every
-- backend. A session of our own reads it once (`bot.postgres.bounded`).
select usesysid as own_role
from pg_stat_get_activity(pg_backend_pid())
