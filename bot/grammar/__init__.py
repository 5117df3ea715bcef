"""Command text -> request, and back. Pure."""
