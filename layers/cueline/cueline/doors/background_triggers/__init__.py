"""Door 4: events that have agents work in the background, and what has become of them."""
