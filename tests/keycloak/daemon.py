"""The daemon under test: the real binary, started as a service manager starts it."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

STOP_DEADLINE = 15
# Where it keeps what is its own, in the configuration of a run.
TABLE = """\
[daemon]
state_dir   = "{root}/state"
runtime_dir = "{root}/run"
"""


class Daemon:
    """One bearerd process at a time. Stopped and started again, it finds its state again."""

    def __init__(self, binary, config, runtime, log):
        self.binary, self.config, self.log = binary, config, log
        self.socket = runtime / "bearerd.sock"
        self.notify_path = runtime.parent / "notify"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(self.notify_path))
        self.ready = threading.Event()
        threading.Thread(target=self.listen, daemon=True).start()
        self.process = None

    def listen(self):
        """Takes what the daemon tells its service manager (sd_notify(3)), always: the queue is short."""
        while True:
            if "READY=1" in self.notify.recv(4096).decode().splitlines():
                self.ready.set()

    def start(self, deadline=30):
        """Starts it and waits for READY=1; the seconds that took, None if it never came."""
        began = time.monotonic()
        environment = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(self.notify_path)}
        self.ready.clear()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([self.binary, "run", "--config", self.config],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment)
        while not self.ready.wait(0.05):
            if self.process.poll() is not None:
                raise RuntimeError(f"bearerd ended with {self.process.returncode}: {self.tail()}")
            if time.monotonic() - began > deadline:
                return None
        return time.monotonic() - began

    def stop(self):
        """SIGTERM; the exit code and the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()
            code = "none: killed"
        return code, time.monotonic() - began

    def kill(self):
        """SIGKILL: no chance to write anything."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def status(self):
        """`bearerd status --json`, by token. The exit code tells of unfresh tokens; not asked here."""
        done = self.command("status", "--json")
        try:
            return {token["name"]: token for token in json.loads(done.stdout)["tokens"]}
        except (json.JSONDecodeError, KeyError) as error:
            raise RuntimeError(f"bearerd status: {done.stdout[:500]} {done.stderr}") from error

    def command(self, *arguments):
        """A client command of the binary against this daemon."""
        return subprocess.run([self.binary, *arguments, "--socket", self.socket],
                              capture_output=True, text=True, timeout=60)

    def tail(self):
        """The end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
