"""The parts of the state machine of kills: its processes, its victims, its judge."""
