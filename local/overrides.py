"""The template's parameters in words that SAM reads back as they were meant.

`python -m local.overrides sam deploy --parameter-overrides ...` runs that with the parameters that
are JSON behind it, as `make deploy LIMITS='{...}'` has them in the environment.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping

from local.processes import StartError

JSON_PARAMETERS = {
    "MODEL_PARAMETERS": "ModelParameters",
    "MODEL_PRICES": "ModelPrices",
    "LIMITS": "Limits",
}
"""Environment variable -> parameter of the template."""
EMPTIED = re.compile(r"[A-Za-z]+=")


def override(name: str, value: str) -> str:
    return f'{name}="' + value.replace('"', '\\"') + '"'


def json_parameter(variable: str, text: str) -> str:
    r"""The same JSON object, spelled so that SAM leaves it whole, which eats the \ of \" and reads
    \\ before a quote as the end."""
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise StartError(f"{variable} is a JSON object, such as '{{\"name\":0.2}}'")
    return json.dumps(given).replace("\\\\", "\\u005c").replace('\\"', "\\u0022")


def json_parameters(environment: Mapping[str, str]) -> dict[str, str]:
    """Those that the environment has, by the names of the template."""
    return {
        name: json_parameter(variable, environment[variable])
        for variable, name in JSON_PARAMETERS.items()
        if environment.get(variable)
    }


def main() -> int:
    try:
        given = json_parameters(os.environ)
    except StartError as error:
        print(error, file=sys.stderr)
        return 1
    # SAM takes no bare `Name=`, by which a parameter is emptied.
    plain = [f'{word}""' if EMPTIED.fullmatch(word) else word for word in sys.argv[1:]]
    command = [*plain, *(override(name, value) for name, value in given.items())]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
