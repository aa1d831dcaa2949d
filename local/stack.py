"""make run: starts the parts of the local stack in order, keeps them up, and stops them in order.

    caller -> edge -> streaming function (its own process, from the built artefact)
                   -> emulator (MiniStack): API, functions, table, queues
                          -> practice model, or the provider that OPENAI_* names

Environment: PORT, STATE_DIR, AUTH, LEASE_SECONDS, MODEL_API, MODEL_NAME, MODEL_PARAMETERS,
MODEL_PRICES, LIMITS, TOOL_NETWORK, OPENAI_API_KEY, OPENAI_BASE_URL, and AWS_ENDPOINT_URL to use an
emulator that already runs.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from local import emulator, greeting
from local.claims import HOST, claim_folder, claim_port, free_port, is_free, only_one
from local.deployment import CREDENTIALS, client, store_secret, up_to_date
from local.overrides import check, json_parameters
from local.processes import Process, StartError
from local.sweeper import sweep
from local.template import ROOT

SWEEP_SECONDS = 30
# All that a child may know of this machine; above all no key and no proxy for loopback.
PASSED_ON = ("HOME", "LANG", "LC_ALL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy",
             "SSL_CERT_FILE", "SSL_CERT_DIR")  # fmt: skip


class Interrupt(BaseException):  # as KeyboardInterrupt is: nothing on the way may swallow it
    """Ctrl-C, or SIGTERM."""


@dataclass
class Stack:
    state: Path
    environment: dict[str, str]
    listener: socket.socket
    began: float = field(default_factory=time.monotonic)
    running: list[Process] = field(default_factory=list)

    # --- start ---------------------------------------------------------------------------------

    def start(self) -> None:
        self.url = f"http://{HOST}:{self.listener.getsockname()[1]}"
        endpoint = self.environment.get("AWS_ENDPOINT_URL", "").rstrip("/")
        if endpoint:
            emulator.check(endpoint)
        self.ports = ports = self._ports()
        practice = self._practice_model(ports["practice"])
        if endpoint:
            self._say(f"using the emulator at {endpoint}")
        else:
            endpoint = f"http://{HOST}:{ports['emulator']}"
            self._emulator(ports["emulator"], endpoint)
        parameters = self._parameters(endpoint, ports["practice"] if practice else None)
        self.endpoint = endpoint
        self.deployment = up_to_date(endpoint, parameters, self.state, self._say)
        self._say("starting the streaming function and the edge")
        self.streaming_port = free_port()
        streaming, edge = self._streaming(), self._edge()
        # Asks all parts; the first time, the emulator unpacks the layers.
        edge.wait_for(f"{self.url}/healthz", 180, also=[streaming])
        provider = self.environment.get("OPENAI_BASE_URL") or "OpenAI"
        logs = self.state / "logs"
        self._say(greeting.model(None if practice else provider))
        self._say(f"logs are in {logs}; Ctrl-C stops everything and keeps its state")
        checked = parameters["Auth"] == "on"
        if checked:
            print(greeting.key(self.endpoint))
        print(greeting.ready(self.url, checked=checked), flush=True)

    def _ports(self) -> dict[str, int]:
        """The same at every start: the deployed stack's settings name them."""
        file = self.state / "ports.json"
        ports: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        for name in ("emulator", "practice"):
            if name not in ports or not is_free(ports[name]):
                ports[name] = free_port()
        file.write_text(json.dumps(ports))
        return ports

    def _practice_model(self, port: int) -> bool:
        if self.environment.get("OPENAI_API_KEY") or self.environment.get("OPENAI_BASE_URL"):
            return False
        self._say("starting the practice model")
        process = self._run(
            "practice model",
            [sys.executable, "-m", "local.practice_model", "--port", str(port)],
            {},
        )
        process.wait_for(f"http://{HOST}:{port}/healthz", 15)
        return True

    def _emulator(self, port: int, endpoint: str) -> None:
        self._say("starting the emulator (MiniStack)")
        emulator.forget_stream_positions(self.state)
        process = self._run(
            "emulator",
            [emulator.COMMAND],
            {**CREDENTIALS, **emulator.environment(self.state, HOST, port)},
            grace=emulator.GRACE,
        )
        process.wait_for(endpoint + emulator.HEALTH, 30)

    def _parameters(self, endpoint: str, practice_port: int | None) -> dict[str, str]:
        """Of the template. The provider's key goes by the secrets manager, as on AWS."""
        get = self.environment.get
        key = get("OPENAI_API_KEY", "")
        practice = f"http://{HOST}:{practice_port}/v1"
        return {
            "PythonRuntime": f"python{sys.version_info.major}.{sys.version_info.minor}",
            "Auth": get("AUTH") or "off",
            "AgentCacheSeconds": "0",
            "ModelApi": get("MODEL_API") or "responses",
            "ModelName": get("MODEL_NAME", ""),
            **json_parameters(self.environment),
            "OpenAiBaseUrl": practice if practice_port else get("OPENAI_BASE_URL", ""),
            "ModelSecretArn": store_secret(endpoint, key) if key else "",
            "LeaseSeconds": get("LEASE_SECONDS") or "30",
            "ToolNetwork": get("TOOL_NETWORK", ""),
            "ConnectionsUrl": f"ws{self.url.removeprefix('http')}/realtime",
            "SocketsBase": f"{endpoint}/{emulator.APIS}",
            "LogRetentionDays": "1",
        }

    def _streaming(self) -> Process:
        """What the Lambda Web Adapter would start, from the artefact and not from the sources."""
        built, deployment = self.state / "build", self.deployment
        code = built / "AgentEventsFunction"
        layers = [built / name / "python" for name in ("DependenciesLayer", "CuelineLayer")]
        return self._run(
            "streaming function",
            [code / "functions/agent_events/run.sh"],
            {
                **CREDENTIALS,
                **deployment.streaming_environment,
                "PATH": f"{self._plain_python()}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": os.pathsep.join(map(str, layers)),
                "PYTHONUNBUFFERED": "1",
                "LAMBDA_TASK_ROOT": str(code),
                "AWS_LAMBDA_FUNCTION_NAME": deployment.streaming_arn.rsplit(":", 1)[-1],
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
                "AWS_ENDPOINT_URL": self.endpoint,
                "PORT": str(self.streaming_port),
                "TZ": ":UTC",
            },
            cwd=code,
        )

    def _plain_python(self) -> Path:
        """A folder with a `python3` that has nothing installed: what is missing from the layers
        shall be missing here too."""
        folder = self.state / "bin"
        folder.mkdir(exist_ok=True)
        link = folder / "python3"
        link.unlink(missing_ok=True)
        link.symlink_to(getattr(sys, "_base_executable", sys.executable))
        return folder

    def _edge(self) -> Process:
        deployment, number = self.deployment, self.listener.fileno()
        apis, stage = f"{self.endpoint}/{emulator.APIS}", deployment.stage
        return self._run(
            "edge",
            [
                *(sys.executable, "-m", "local.edge"),
                *("--socket", str(number)),
                *("--rest", f"{apis}/{deployment.api_id}/{stage}"),
                *("--sockets", f"{apis}/{deployment.sockets_id}/{stage}"),
                *("--streaming", f"http://{HOST}:{self.streaming_port}"),
                *("--streaming-arn", deployment.streaming_arn),
            ],
            {},
            pass_fds=[number],
        )

    def _run(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: dict[str, str],
        *,
        cwd: Path = ROOT,
        grace: float = 3,
        pass_fds: list[int] | None = None,
    ) -> Process:
        inherited = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        process = Process(
            name,
            command,
            log=self.state / "logs" / f"{name.replace(' ', '-')}.log",
            environment={
                "PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1,localhost", **inherited,
                **environment,
            },
            cwd=cwd,
            grace=grace,
            pass_fds=pass_fds or [],
        )  # fmt: skip
        self.running.append(process)
        return process

    # --- while it runs -------------------------------------------------------------------------

    def keep_up(self) -> None:
        """Restarts what died; never returns."""
        dynamodb = client("dynamodb", self.endpoint)
        swept = time.monotonic()
        while True:
            time.sleep(0.2)
            for process in [process for process in self.running if process.code is not None]:
                self._restart(process)
            if time.monotonic() - swept > SWEEP_SECONDS:
                with contextlib.suppress(Exception):  # the next sweep may do better
                    sweep(dynamodb, self.deployment.table, int(time.time()))
                swept = time.monotonic()

    def _restart(self, process: Process) -> None:
        self.running.remove(process)
        again: dict[str, Callable[[], object]] = {
            "streaming function": self._streaming,
            "edge": self._edge,
            "practice model": lambda: self._practice_model(self.ports["practice"]),
        }
        if process.name not in again:
            raise StartError(f"The {process.name} ended. {process.log} ends:\n{process.tail()}")
        self._say(f"the {process.name} ended (code {process.code}): starting it again")
        again[process.name]()

    # --- stop ----------------------------------------------------------------------------------

    def stop(self) -> None:
        """Callers first, the emulator last, so that its state holds all that they did."""
        order = ["edge", "streaming function", "practice model", "emulator"].index
        for process in sorted(self.running, key=lambda process: order(process.name)):
            saves = process.name == "emulator"
            hint = ", which saves its state" if saves else ""
            self._say(f"stopping the {process.name}{hint}")
            process.stop()
        self._remove_unpacked()

    def _remove_unpacked(self) -> None:
        """What the emulator unpacked is a hundred thousand files: nobody shall wait for that."""
        with contextlib.suppress(OSError):
            (self.state / "tmp").rename(self.state / f"tmp.{os.getpid()}")
            left = self.state.glob("tmp.*")
            subprocess.Popen(["/bin/rm", "-rf", *left], start_new_session=True)

    # --- words ---------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:5.1f} s] {text}", flush=True)


def main() -> int:
    environment = dict(os.environ)
    state = Path(environment.get("STATE_DIR") or ROOT / ".local").absolute()
    stopping = False

    def interrupt(number: int, _: FrameType | None) -> None:  # noqa: ARG001
        nonlocal stopping
        if stopping:  # a second Ctrl-C shall not break off the clean stop
            os.write(2, b"already stopping\n")
            return
        stopping = True
        raise Interrupt

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        check(environment)
        claim_folder(state)
        with only_one(state), claim_port(environment.get("PORT") or "8800") as listener:
            stack = Stack(state, environment, listener)
            try:
                stack.start()
                stack.keep_up()
            finally:
                stopping = True
                stack.stop()
    except Interrupt:
        return 0
    except StartError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0
