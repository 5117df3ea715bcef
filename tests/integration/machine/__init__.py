"""What the state machine of kills is made of: its processes, its victims, its judge."""
