"""Clusters over asyncpg. Only this package and the PostgreSQL ledger know the driver."""
