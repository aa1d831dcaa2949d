#!/bin/sh
# What the Lambda Web Adapter starts. The layers are not on a plain process's path by themselves.
set -eu
cd "$LAMBDA_TASK_ROOT"
export PYTHONPATH="$LAMBDA_TASK_ROOT:/opt/python${PYTHONPATH:+:$PYTHONPATH}"
exec python3 -m uvicorn functions.agent_events.app:app --host 127.0.0.1 --port "$PORT" \
    --ws none --no-access-log --no-server-header --log-level warning --timeout-keep-alive 650
