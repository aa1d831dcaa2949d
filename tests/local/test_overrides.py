"""What the template's parameters are, once SAM's own parser has read them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local import deployment, template
from local.overrides import JSON_PARAMETERS, check, json_parameter, override
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


def as_deployed(*words: str, **environment: str) -> list[str]:
    """What `make deploy` gives to SAM."""
    shows = "import json, sys; print(json.dumps(sys.argv[1:]))"
    run = subprocess.run(
        [sys.executable, "-m", "local.overrides", sys.executable, "-c", shows, *words],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": "layers/cueline", **environment},
    )  # fmt: skip
    given: list[str] = json.loads(run.stdout)
    return given


def test_a_value_with_quotes_spaces_and_commas_arrives_whole() -> None:
    value = 'a "b", it\'s {c=d}'
    assert as_sam_reads(override("Name", value), "Other=1") == {"Name": value, "Other": "1"}


def test_a_setting_that_is_no_longer_set_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SAM would use the last deployment's: a key, say, for a provider that it is not of."""
    given: list[str | Path] = []
    monkeypatch.setattr(deployment, "client", lambda *_: SimpleNamespace(create_bucket=dict))
    monkeypatch.setattr(deployment, "_sam", lambda words, *_, **__: given.extend(words))
    deployment.deploy(tmp_path, "http://emulator", {"ModelName": "m"}, tmp_path / "log")
    overrides = map(str, given[given.index("--parameter-overrides") + 1 :])
    source = template.load()
    read = as_sam_reads(*overrides)
    assert read == {**template.defaults(source), "ModelName": "m"}
    assert list(read) == list(source["Parameters"])
    assert (read["ModelSecretArn"], read["ToolNetwork"], read["Limits"]) == ("", "", "{}")


HARD = ['say "x", y', "it's\n", "\\", '\\"', "\\ é"]


@pytest.mark.parametrize(
    ("variable", "given"),
    [
        ("MODEL_PARAMETERS", {"temperature": 0.2, "stop": HARD, "a": {}}),
        ("MODEL_PRICES", {name: {"input": 1.5} for name in HARD}),
        ("LIMITS", {"tokens": 500, "cost": None}),
    ],
)
def test_json_arrives_as_it_was_given_to_make(variable: str, given: dict[str, Any]) -> None:
    name = JSON_PARAMETERS[variable]
    read = as_sam_reads(*as_deployed("ModelApi=chat", **{variable: json.dumps(given)}))
    assert json.loads(read.pop(name)) == given
    assert read == {"ModelApi": "chat"}


def test_a_parameter_is_emptied_by_its_bare_name() -> None:
    read = as_sam_reads(*as_deployed("ToolNetwork=", "ModelApi=chat"))
    assert read == {"ToolNetwork": "", "ModelApi": "chat"}


@pytest.mark.parametrize(
    ("variable", "given", "says"),
    [
        ("LIMITS", '{"tokns": 500}', "LIMITS .* at tokns"),
        ("LIMITS", '{"cost": -1}', "LIMITS .* at cost"),
        ("MODEL_PRICES", '{"gpt-4.1": {"input": "dear"}}', r"MODEL_PRICES .* at gpt-4\.1\.input"),
        ("TOOL_NETWORK", "https://api.internal", "TOOL_NETWORK is such as"),
        ("LEASE_SECONDS", "1", "LEASE_SECONDS"),
        ("MODEL_API", "chats", "MODEL_API"),
        ("AUTH", "of", "AUTH"),
    ],
)
def test_what_functions_would_refuse_is_refused_before_anything_starts(
    variable: str, given: str, says: str
) -> None:
    """Deployed, each request and each turn would fail, and nothing that a caller sees says why."""
    check({"AUTH": "off", "LIMITS": '{"tokens": 500}', "TOOL_NETWORK": "10.0.0.0/8"})
    with pytest.raises(StartError, match=says):
        check({variable: given})


def test_what_functions_would_refuse_is_not_deployed() -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        as_deployed("ModelApi=chat", LIMITS='{"tokns": 500}')
    assert "tokns" in failed.value.stderr
    assert "Traceback" not in failed.value.stderr
    assert not failed.value.stdout


@pytest.mark.parametrize("given", ["{", "[]", "0.2", "{temperature:0.2}"])
def test_what_is_no_json_object_is_refused_before_anything_starts(given: str) -> None:
    with pytest.raises(StartError, match="LIMITS"):
        json_parameter("LIMITS", given)
