"""What is wrong with a server: rules applied to one reading of it.

A rule is a function from a `Survey` to its findings. It guesses nothing: what could not be read is
in `Survey.unread`, and no rule mentions it. Pure.
"""
