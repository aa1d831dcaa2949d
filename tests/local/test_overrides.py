"""What the template's parameters are, once SAM's own parser has read them."""

import json
import os
import subprocess
import sys

import pytest

from local.overrides import JSON_PARAMETERS, json_parameter, override
from local.processes import StartError
from local.template import ROOT

PARSER = """
import json, sys
from samcli.cli.types import CfnParameterOverridesType
print(json.dumps(CfnParameterOverridesType().convert((*sys.argv[1:],), None, None)))
"""


def as_sam_reads(*given: str) -> dict[str, str]:
    run = subprocess.run(
        [ROOT / ".envs/sam/bin/python", "-c", PARSER, *given],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    read: dict[str, str] = json.loads(run.stdout)
    return read


def test_a_value_with_quotes_spaces_and_commas_arrives_whole() -> None:
    value = 'a "b", it\'s {c=d}'
    assert as_sam_reads(override("Name", value), "Other=1") == {"Name": value, "Other": "1"}


@pytest.mark.parametrize(("variable", "name"), JSON_PARAMETERS.items())
def test_json_arrives_as_it_was_given_to_make(variable: str, name: str) -> None:
    given = {"temperature": 0.2, "stop": ['say "x", y', "it's\n", "\\", '\\"', "\\ é"], "a": {}}
    environment = {"PATH": os.environ["PATH"], variable: json.dumps(given)}
    shows = "import json, sys; print(json.dumps(sys.argv[1:]))"
    command = [
        sys.executable,
        "-m",
        "local.overrides",
        sys.executable,
        "-c",
        shows,
        "ModelApi=chat",
    ]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment
    )
    read = as_sam_reads(*json.loads(run.stdout))
    assert json.loads(read.pop(name)) == given
    assert read == {"ModelApi": "chat"}


@pytest.mark.parametrize("given", ["{", "[]", "0.2", "{temperature:0.2}"])
def test_what_is_no_json_object_is_refused_before_anything_starts(given: str) -> None:
    with pytest.raises(StartError, match="LIMITS"):
        json_parameter("LIMITS", given)
