"""The real template, through `sam build` and `sam deploy`, to whatever AWS_ENDPOINT_URL names."""

import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from local import template
from local.overrides import override
from local.processes import Process, StartError
from local.template import ROOT

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

STACK = "cueline"
BUCKET = "cueline-artifacts"
SECRET = "cueline/model"  # noqa: S105
REGION = "us-east-1"
WORKERS = 4
SAM = ROOT / ".envs/sam/bin/sam"
# Shared by every state, so that dependencies are installed once; a lock keeps builds apart.
WORKSHOP = ROOT / ".aws-sam/local"

# The emulator takes any credentials; these make sure that no real ones are used.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def client(service: str, endpoint: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
        config=Config(proxies={}, retries={"mode": "standard"}),
    )


@dataclass(frozen=True)
class Deployment:
    """What the running parts need to know of the deployed stack."""

    api_id: str
    sockets_id: str
    stage: str
    table: str
    streaming_arn: str
    streaming_environment: Mapping[str, str]


def runtime() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def fingerprint_of_sources() -> str:
    """Changes whenever building again would make a difference."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted([ROOT / "template.yaml", *_sources("functions"), *_sources("layers")]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _sources(folder: str) -> Iterator[Path]:
    for path in (ROOT / folder).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def build(target: Path, log: Path) -> None:
    """Build into `target`, as `sam build` does for AWS but with this machine's wheels."""
    with _alone(WORKSHOP / "lock"):
        _sam(
            [
                *("build", "--cached", "--parallel"),
                *("--template-file", ROOT / "template.yaml"),
                *("--build-dir", WORKSHOP / "build"),
                *("--cache-dir", WORKSHOP / "cache"),
                *("--parameter-overrides", f"PythonRuntime={runtime()}"),
            ],
            log,
        )
        shutil.rmtree(target, ignore_errors=True)
        # Taken away: processes run from it while another state may build.
        shutil.move(WORKSHOP / "build", target)


def deploy(built: Path, endpoint: str, parameters: Mapping[str, str], log: Path) -> None:
    storage = client("s3", endpoint)
    storage.create_bucket(Bucket=BUCKET)
    given = {**template.defaults(template.load()), **parameters}
    overrides = [override(name, value) for name, value in given.items()]
    _sam(
        [
            "deploy",
            *("--template-file", built / "template.yaml"),
            *("--config-file", ROOT / "samconfig.toml", "--config-env", "local"),
            *("--stack-name", STACK, "--s3-bucket", BUCKET),
            *("--parameter-overrides", *overrides),
        ],
        log,
        AWS_ENDPOINT_URL=endpoint,
    )


def _sam(arguments: Sequence[str | Path], log: Path, **environment: str) -> None:
    process = Process(
        "SAM CLI",
        [SAM, *arguments],
        log=log,
        cwd=ROOT,
        environment={
            # The layers' makefiles find this very Python first, and so does SAM.
            **{
                k: v
                for k, v in os.environ.items()
                if not k.startswith(("AWS_", "SAM_", "PYTHON", "OPENAI_"))
            },
            **CREDENTIALS,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "LAYER_PLATFORM": "",
            "SAM_CLI_TELEMETRY": "0",
            **environment,
        },
    )
    try:
        if process.wait():
            raise StartError(f"sam {arguments[0]} failed. {log} ends:\n{process.tail(30)}")
    finally:
        process.stop()


def describe(endpoint: str, resources: dict[str, Any]) -> Deployment | None:
    """The stack as it is deployed there, or None if it is not."""
    formation: CloudFormationClient = client("cloudformation", endpoint)
    try:
        stack = formation.describe_stacks(StackName=STACK)["Stacks"][0]
    except ClientError:
        return None
    if stack["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        return None
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    function = client("lambda", endpoint).get_function_configuration(
        FunctionName=outputs["AgentEventsFunctionName"]
    )
    return Deployment(
        api_id=outputs["ApiId"],
        sockets_id=outputs["WsApiId"],
        stage=template.stage(resources),
        table=outputs["TableName"],
        streaming_arn=function["FunctionArn"],
        streaming_environment=function["Environment"]["Variables"],
    )


def limit_workers(endpoint: str) -> None:
    """The emulator starts as many workers as it may, and unpacks all layers for each.

    Not by a parameter of the template: it takes a parameter for text, and then counts no longer.
    """
    functions = client("lambda", endpoint)
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        if "ScalingConfig" in mapping:
            functions.update_event_source_mapping(
                UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": WORKERS}
            )


def store_secret(endpoint: str, value: str) -> str:
    """Keep the provider's key where the functions look for it on AWS too, and return its ARN."""
    secrets = client("secretsmanager", endpoint)
    try:
        arn: str = secrets.create_secret(Name=SECRET, SecretString=value)["ARN"]
    except secrets.exceptions.ResourceExistsException:
        arn = secrets.put_secret_value(SecretId=SECRET, SecretString=value)["ARN"]
    return arn


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def up_to_date(
    endpoint: str,
    parameters: Mapping[str, str],
    folder: Path,
    say: Callable[[str], None],
) -> Deployment:
    """The deployed stack, built and deployed first if anything has changed since the last time."""
    resources = template.load()
    sources = fingerprint_of_sources()
    settings = json.dumps([sources, sorted(parameters.items()), endpoint])
    wanted = hashlib.sha256(settings.encode()).hexdigest()
    note, built = folder / "deployed", folder / "build"
    if _says(note, wanted) and built.exists():
        deployment = describe(endpoint, resources)
        if deployment:
            say("the stack is as it was: nothing to build or deploy")
            return deployment
    note.unlink(missing_ok=True)
    if not (_says(folder / "built", sources) and built.exists()):
        (folder / "built").unlink(missing_ok=True)
        say("building the template (sam build; the first time installs the layer's dependencies)")
        build(built, folder / "logs/sam.log")
        (folder / "built").write_text(sources)
    say("deploying it to the emulator (sam deploy)")
    deploy(built, endpoint, parameters, folder / "logs/sam.log")
    limit_workers(endpoint)
    deployment = describe(endpoint, resources)
    if deployment is None:
        raise StartError(f"sam deploy left no usable stack; see {folder / 'logs/sam.log'}")
    note.write_text(wanted)
    return deployment


def _says(note: Path, wanted: str) -> bool:
    return note.exists() and note.read_text() == wanted
