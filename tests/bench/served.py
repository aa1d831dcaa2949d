"""The streaming function's app as `run.sh` serves it, with a probe."""

from functions.agent_events.app import app as function
from tests.bench.probe import probed

app = probed(function)
