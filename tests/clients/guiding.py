"""An agent that the practice model serves, as door 1 takes it."""

AGENT = {
    "name": "Guide",
    "tool_configurations": {},
    "model": {"name": "practice"},
    "first_step": {
        "name": "main",
        "instructions": [{"type": "inline", "name": "main", "template": "You are a kind guide."}],
        "output_parser": {"type": "default"},
    },
}
