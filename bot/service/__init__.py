"""What runs beside the bot: logs, health."""
