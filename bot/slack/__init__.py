"""The adapter to Slack: requests in, answers out, and authorization."""
