select oid, textsend(datname::text) as datname, datconnlimit, datistemplate from pg_database
