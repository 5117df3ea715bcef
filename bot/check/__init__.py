"""`python -m bot check`: what the probes found, and what it means for whoever runs the bot.

Pure. The probes (`bot.slack.probe`, `bot.ledger.probe`, `bot.postgres.probe`) fill in `facts` and
don't judge. The other modules in this package judge the facts, in words, and do no I/O.
"""
