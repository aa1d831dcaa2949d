"""What the local stack and the tests read from template.yaml."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short tags as what they are short for."""


def _tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tag)


def load(path: Path = ROOT / "template.yaml") -> dict[str, Any]:
    template: dict[str, Any] = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506
    return template


def stage(template: dict[str, Any]) -> str:
    name: str = template["Resources"]["Api"]["Properties"]["StageName"]
    return name


def defaults(template: dict[str, Any]) -> dict[str, str]:
    """Of every parameter. SAM uses the last deployment's value of one that it is not given."""
    return {name: str(one["Default"]) for name, one in template["Parameters"].items()}


def functions(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def streaming_routes(template: dict[str, Any]) -> list[tuple[str, re.Pattern[str]]]:
    """(method, path) of each route whose answer is streamed."""
    return [
        (event["Properties"]["Method"].upper(), path_pattern(event["Properties"]["Path"]))
        for function in functions(template).values()
        for event in function["Properties"].get("Events", {}).values()
        if event["Properties"].get("ResponseTransferMode") == "RESPONSE_STREAM"
    ]


def gateway_response(template: dict[str, Any], kind: str) -> tuple[int | None, str]:
    """(status, body) that the template gives API Gateway for `kind`."""
    response = template["Resources"]["Api"]["Properties"]["GatewayResponses"][kind]
    body: str = response["ResponseTemplates"]["application/json"]
    return response.get("StatusCode"), body


def path_pattern(path: str) -> re.Pattern[str]:
    """Matches what API Gateway routes to `path`."""
    literal = re.split(r"\{\w+\}", path)
    return re.compile("[^/]+".join(map(re.escape, literal)) + "/?")
