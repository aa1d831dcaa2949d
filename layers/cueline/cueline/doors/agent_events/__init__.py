"""Door 1, agent events: agents, sessions and their events over HTTP."""
