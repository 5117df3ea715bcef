"""Sessions, waits, filters and kills. Pure: no clock, no I/O, no environment."""
