"""The record of kills, on SQLite or PostgreSQL: `bot.ledger.sql.SqlLedger`."""
