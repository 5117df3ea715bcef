"""`python -m bot check`: what the probes found, and what it means for whoever runs the bot.

Pure. The probes (`bot.slack.probe`, `bot.ledger.probe`, `bot.postgres.probe`) fill in `facts`
and judge nothing; the rooms beside it judge, in words, and touch nothing.
"""
