"""Print template.yaml as CloudFormation sees it, after SAM's transform.

Run by the environment that has SAM: .envs/sam/bin/python local/expand.py. Needs no network.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from samtranslator.public.translator import ManagedPolicyLoader  # type: ignore[import-not-found]
from samtranslator.translator.transform import transform  # type: ignore[import-not-found]
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-not-found]

ROOT = Path(__file__).parent.parent


class NoManagedPolicies(ManagedPolicyLoader):  # type: ignore[misc]
    """The template names its managed policies by ARN, so there is nothing to look up in IAM."""

    def __init__(self) -> None:
        super().__init__(None)
        self._policy_map: dict[str, str] = {}

    def load(self) -> dict[str, str]:
        return self._policy_map


def expand(template: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    for resource in template["Resources"].values():
        for place in ("CodeUri", "ContentUri"):
            if place in resource.get("Properties", {}):
                # What `sam package` would put here.
                resource["Properties"][place] = "s3://bucket/key"
    expanded: dict[str, Any] = transform(template, parameters, NoManagedPolicies())
    return expanded


def main() -> None:
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")  # the translator asks for one
    template = yaml_parse((ROOT / "template.yaml").read_text())
    json.dump(expand(template, {"AWS::Region": "us-east-1"}), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
