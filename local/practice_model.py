"""Starts the practice model: `python -m local.practice_model --port 8801`."""

import argparse
import contextlib

from local.practice.faults import KINDS, PREFIX
from local.practice.server import HOST, server


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"Models named {PREFIX}<kind> fail that way, or with that HTTP status: "
        + ", ".join(kind.replace("_", "-") for kind in KINDS),
    )
    parser.add_argument("--port", type=int, default=8801)
    parser.add_argument("--api-key", help="refuse every other key (default: take any)")
    parser.add_argument("--token-ms", type=float, default=8.0, help="milliseconds a token")
    given = parser.parse_args()
    print(
        f"Practice model, not an AI, on http://{HOST}:{given.port}/v1 (OpenAI Responses and Chat)",
        flush=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        server(given.port, api_key=given.api_key, token_ms=given.token_ms).run()


if __name__ == "__main__":
    main()
