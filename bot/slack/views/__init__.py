"""Answers and errors -> messages in Slack's blocks. Pure: no clock, no I/O, no client.

What a client chose is quoted where Slack reads no markup (`lines`), every size is held to
Slack's limits (`blocks`, `tables`), and the rest of the modules say what there is to say.
"""
