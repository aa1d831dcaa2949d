"""A stack of real processes on a table and a queue that they share."""

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
from botocore.config import Config

from cueline.adapters.dynamodb.items import Item
from local.template import ROOT
from tests.contract.backends import create_table
from tests.reliability.aws import REGION
from tests.reliability.conditions import LEDGER, Conditions, Given, environment
from tests.reliability.roles import told

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

VISIBILITY = 4
"""Seconds after which a message comes back that was received and not deleted."""
TOLD = ('"error":"Unavailable"', '"code":"model_unauthorized"')
"""What a hostile world brings about, and an operator is told."""
AT_REST = 60.0
"""Seconds within which a world that is left alone must come to rest."""


class Zygote:
    """The other end of `tests.reliability.zygote`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        nowhere = "http://127.0.0.1:9"
        nothing = Given("", nowhere, nowhere, nowhere, "", "", "")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.reliability.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **environment(nothing),
                "TABLE_NAME": "none",
                "WAKE_UPS_URL": "none",
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": f"{ROOT}:{ROOT / 'layers/cueline'}",
            },
        )
        self._answer()

    def order(self, **order: Any) -> dict[str, Any]:
        with self._lock:
            assert self._process.stdin
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def start(self, role: str, given: dict[str, Any]) -> tuple[int, str]:
        """Its process id, and its base URL if it is a server."""
        log = self._folder / f"{given.get('table', '')}{role}.log"
        made = self.order(do="start", role=role, given=given, log=str(log))
        return made["pid"], f"http://127.0.0.1:{made['port']}"

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


@dataclass
class Base:
    """What all stacks of a test session share."""

    zygote: Zygote
    folder: Path
    aws: str
    model: str
    gateway: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def client(self, service: str) -> Any:
        session = boto3.Session("testing", "testing", region_name=REGION)
        config = Config(retries={"total_max_attempts": 3}, max_pool_connections=50)
        return session.client(service, endpoint_url=self.aws, config=config)  # type: ignore[call-overload]

    @contextmanager
    def stack(self, conditions: Conditions) -> Iterator["Stack"]:
        table = f"t{next(self._numbers)}"
        dynamodb, sqs = self.client("dynamodb"), self.client("sqs")
        create_table(dynamodb, table)
        visibility = {"VisibilityTimeout": str(VISIBILITY)}
        queue = sqs.create_queue(QueueName=table, Attributes=visibility)["QueueUrl"]
        folder = self.folder / table
        folder.mkdir()
        urls = self.aws, self.model, self.gateway
        given = Given("", *urls, table, queue, str(folder), conditions)
        made = Stack(self, given, dynamodb, sqs)
        try:
            yield made
        finally:
            made.stop()


@contextmanager
def base(folder: Path) -> Iterator[Base]:
    zygote = Zygote(folder)
    try:
        _, aws = zygote.start("aws", {})
        _, model = zygote.start("model", {})
        _, gateway = zygote.start("gateway", {})
        yield Base(zygote, folder, aws, model, gateway)
    finally:
        zygote.close()


@dataclass
class Stack:
    """One deployment. Its processes are started by the test, and end with it."""

    base: Base
    given: Given
    dynamodb: "DynamoDBClient"
    sqs: "SQSClient"
    pids: list[int] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def start(self, role: str, **more: Any) -> tuple[int, str]:
        """`more` are fields of Given, and `post` of a host."""
        post = {"post": more.pop("post")} if "post" in more else {}
        given = replace(self.given, name=f"{role}{next(self._numbers)}", **more)
        made = self.base.zygote.start(role, told(given, **post))
        self.pids.append(made[0])
        return made

    def door(self) -> str:
        """Its base URL."""
        _, url = self.start("door")
        until = time.monotonic() + 20
        while True:
            try:
                httpx.get(f"{url}/healthz", timeout=5).raise_for_status()
            except httpx.HTTPError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                return url

    def status(self) -> dict[str, Any]:
        """Of all stacks of this session: who is alive, who stands still."""
        return self.base.zygote.order(do="status")

    def signal(self, pid: int, number: int) -> None:
        self.base.zygote.order(do="signal", pid=pid, signal=number)

    def stop(self) -> None:
        for pid in self.pids:
            self.signal(pid, 9)
        self.dynamodb.close()
        self.sqs.close()

    def messages(self) -> int:
        """In the queue: visible, delayed, or being worked off."""
        attributes = self.sqs.get_queue_attributes(
            QueueUrl=self.given.queue, AttributeNames=["All"]
        )["Attributes"]
        return sum(int(v) for k, v in attributes.items() if k.startswith("ApproximateNumber"))

    def rest(self, seconds: float = AT_REST) -> None:
        """Waits until nothing is left to do; raises TimeoutError where that never comes."""
        until, quiet = time.monotonic() + seconds, 0
        while quiet < 3:
            quiet = 0 if self.messages() else quiet + 1
            if time.monotonic() > until:
                raise TimeoutError(f"{self.messages()} wake-ups are still in the queue")
            time.sleep(0.1)

    def items(self) -> list[Item]:
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.given.table, ConsistentRead=True
        )
        return [item for page in pages for item in page["Items"]]

    def ledger(self) -> list[str]:
        """What its tools have left: a line for each run."""
        file = Path(self.given.folder) / LEDGER
        return file.read_text().splitlines() if file.exists() else []

    def errors(self) -> list[str]:
        """What the processes wrote that only a bug makes them write."""
        lines: Sequence[str] = [
            line
            for log in self.base.folder.glob(f"{self.given.table}[a-z]*.log")
            for line in log.read_text().splitlines()
        ]
        return [
            line[:1500]
            for line in lines
            if "Traceback" in line
            or ('"level":"ERROR"' in line and not any(told in line for told in TOLD))
        ]
