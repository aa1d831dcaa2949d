"""MiniStack, kept to loopback and to one folder."""

import http.client
import json
import urllib.error
from pathlib import Path

from local.processes import NO_PROXY, StartError
from local.template import ROOT

COMMAND = ROOT / ".envs/emulator/bin/ministack"
HEALTH = "/_ministack/health"
APIS = "_aws/execute-api"  # each has its id and its stage behind that
GRACE = 10.0  # seconds: it saves its state when it is told to stop


def environment(state: Path, host: str, port: int) -> dict[str, str]:
    return {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": host,
        "IOT_MTLS_ENABLED": "0",  # would listen on every interface, whatever BIND_HOST says
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state / "emulator"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state / "s3"),
        "TMPDIR": str(state / "tmp"),  # it leaves what functions were unpacked to
        # Functions run in its interpreter, and look here for AWS.
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }


def check(endpoint: str) -> None:
    """Raises StartError where nothing answers there, whatever it answers: it may be another one."""
    try:
        with NO_PROXY.open(endpoint + HEALTH, timeout=5):
            return
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise StartError(
            f"No emulator answers at AWS_ENDPOINT_URL={endpoint} ({error}). Start it, or leave "
            "that out, and one is started: env -u AWS_ENDPOINT_URL make run"
        ) from None


def forget_stream_positions(state: Path) -> None:
    """It keeps how far each function has read a table's stream, but not the stream.

    After a new start the function would miss as many records as it had read before.
    """
    file = state / "emulator/lambda.json"
    if file.exists():
        content = json.loads(file.read_text())
        content["payload"]["dynamodb_stream_positions"]["data"] = {}
        file.write_text(json.dumps(content))
