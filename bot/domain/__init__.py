"""What is known of sessions, waits, filters and kills. Pure: no clock, no I/O, no environment."""
