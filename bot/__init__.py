"""A Slack bot that shows who is connected to PostgreSQL and ends the right session.

Importing any module here opens nothing, reads no environment and builds no app:
`bot.__main__` is the one place where the parts meet.
"""

__version__ = "0.1.0"
