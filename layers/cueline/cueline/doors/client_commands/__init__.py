"""Door 3: client commands over a WebSocket."""
