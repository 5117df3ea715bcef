-- Read from a file of the server. A session of our own reads it once (`bot.postgres.bounded`).
(select system_identifier from pg_control_system())
