"""The adapter to Slack: what comes in, what goes out, who may."""
