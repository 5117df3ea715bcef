"""What runs beside the bot: logs, metrics, the health port, the clock."""
