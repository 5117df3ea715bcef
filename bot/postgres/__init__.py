"""Clusters over asyncpg: the only room that knows the driver."""
