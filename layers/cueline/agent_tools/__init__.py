"""Functions that agents may use as tools: each public function of each public module here.

An agent's configuration names one, as `current_time` or `clock.current_time`. Its docstring tells
the model what it is for, and its annotations what it takes. What it returns becomes JSON, a string
stays as it is. Raise `cueline.adapters.tools.found.ToolError` to tell the model what went wrong;
any other exception is logged, and the model learns only that it happened.
"""
