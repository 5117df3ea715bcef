"""A Slack bot that shows who is connected to PostgreSQL and ends the right session.

Importing any module here opens nothing, reads no environment and builds no app. Only `bot.__main__`
puts the parts together.
"""

__version__ = "0.1.0"
