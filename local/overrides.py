"""The template's parameters in words that SAM reads back as they were meant.

`python -m local.overrides sam deploy --parameter-overrides ...` runs that with the parameters that
are JSON behind it, as `make deploy LIMITS='{...}'` has them in the environment.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cueline.settings import Settings
from local.processes import StartError

JSON_PARAMETERS = {
    "MODEL_PARAMETERS": "ModelParameters",
    "MODEL_PRICES": "ModelPrices",
    "LIMITS": "Limits",
}
"""Environment variable -> parameter of the template."""
PLAIN_PARAMETERS = ("AUTH", "LEASE_SECONDS", "MODEL_API", "TOOL_NETWORK")
"""Environment variables of `make run` that are settings of the functions as they are."""
_REST = {"table_name": "-", "wake_ups_url": "-", "aws_endpoint_url": "http://127.0.0.1"}
"""Of a function's settings; what is deployed has its own."""
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
    """Those that the environment has, by the names of the template. Raises StartError."""
    given = {
        name: json_parameter(variable, environment[variable])
        for variable, name in JSON_PARAMETERS.items()
        if environment.get(variable)
    }
    _check(environment, JSON_PARAMETERS)
    return given


def check(environment: Mapping[str, str]) -> None:
    """Raises StartError where functions would refuse their settings, and so all that comes."""
    json_parameters(environment)
    _check(environment, PLAIN_PARAMETERS)


def _check(environment: Mapping[str, str], variables: Iterable[str]) -> None:
    given = {name.lower(): environment[name] for name in variables if environment.get(name)}
    try:
        Settings.model_validate({**_REST, **given})
    except ValidationError as error:
        raise StartError("\n".join(map(_said, error.errors()))) from None


def _said(problem: ErrorDetails) -> str:
    variable, *place = map(str, problem["loc"])
    where = f", at {'.'.join(place)}" if place else ""
    return f"{variable.upper()} cannot be used{where}: {problem['msg']}"


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
