"""Answers and errors -> messages in Slack's blocks. Pure: no clock, no I/O, no client.

`lines` quotes text that a client chose, so that Slack reads no markup in it. `blocks` and `tables`
keep to Slack's size limits. The other modules say what there is to say.
"""
