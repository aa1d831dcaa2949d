"""Run a command that must not outlive whoever started it: python child.py GRACE COMMAND...

It stops the command when its own standard input ends, which happens however its parent dies,
SIGKILL included, and on every system. The command has a session of its own, so that Ctrl-C in the
terminal reaches the parent alone, and the parent decides on the order.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress


def main() -> int:
    grace, command = float(sys.argv[1]), sys.argv[2:]
    # Sockets that the parent passed on are inheritable, and nothing else is.
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, close_fds=False
    )

    def stop() -> None:
        with suppress(ProcessLookupError):
            child.terminate()
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            kill_group()

    def kill_group() -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)

    def watch() -> None:
        while os.read(0, 1024):
            pass
        stop()

    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop, daemon=True).start())
    threading.Thread(target=watch, daemon=True).start()
    code = child.wait()
    kill_group()  # what the command itself may have left behind
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
