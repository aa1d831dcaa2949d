"""The template's parameters in words that SAM reads back as they were meant.

`python -m local.overrides` prints what `make deploy MODEL_PARAMETERS='{...}'` hands to SAM.
"""

import json
import os
import sys

from local.processes import StartError


def override(name: str, value: str) -> str:
    return f'{name}="' + value.replace('"', '\\"') + '"'


def model_parameters(text: str) -> str:
    r"""The same JSON object, spelled so that SAM leaves it whole, which eats the \ of \" and reads
    \\ before a quote as the end."""
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise StartError("MODEL_PARAMETERS is a JSON object, such as '{\"temperature\":0.2}'")
    return json.dumps(given).replace("\\\\", "\\u005c").replace('\\"', "\\u0022")


def main() -> int:
    text = os.environ.get("MODEL_PARAMETERS", "")
    try:
        print(override("ModelParameters", model_parameters(text)) if text else "")
    except StartError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
