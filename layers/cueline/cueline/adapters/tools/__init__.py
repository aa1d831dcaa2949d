"""The tools that an agent may be configured with, one module a kind; imported on first use."""
