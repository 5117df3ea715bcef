"""A day of incidents on a real PostgreSQL, for `test_day.py`: who is there, the bots, the judge."""
