"""Door 2, triggered responses: sessions and events that an agent may begin by itself, over HTTP."""
