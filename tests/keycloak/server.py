"""A Keycloak of one run: its own directory, ports, database and realm; on loopback only."""

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
START_DEADLINE = 120
STOP_DEADLINE = 30


def own_port():
    """A port of this run until it ends, and the lock that says so.

    It is below those that the kernel gives away, so nobody else has it while the server is down.
    """
    locks = Path(tempfile.gettempdir()) / "bearerd-test-ports"
    locks.mkdir(exist_ok=True)
    for port in range(20000, 30000):
        lock = (locks / str(port)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
            return port, lock
        except OSError:
            lock.close()
    raise RuntimeError("no port from 20000 to 29999 is free")


class Keycloak:
    """The server process. It can be stopped and started again: its database stays."""

    def __init__(self, directory, authority, realm, path):
        """`path` is what the server answers below: `/auth` as up to Keycloak 16, or `/`."""
        self.home = Path(directory)
        self.port, self.port_lock = own_port()
        self.base = f"https://localhost:{self.port}{path}".rstrip("/")
        self.realm_name = realm["realm"]
        self.issuer = f"{self.base}/realms/{self.realm_name}"
        self.tls = ssl.create_default_context(cafile=authority.certificate)
        self.authority = authority
        self.process = None
        self.log = self.home / "keycloak.log"
        self.admin_secret = secrets.token_urlsafe(24)
        self.admin_token = ("", 0.0)
        fetched = subprocess.run([HERE / "fetch", path], check=True, stdout=subprocess.PIPE, text=True)
        self.lay_out(Path(fetched.stdout.strip()), realm)

    def lay_out(self, distribution, realm):
        """A home whose big, read-only part is the distribution's own."""
        (self.home / "data" / "import").mkdir(parents=True)
        for part in ("bin", "conf"):
            shutil.copytree(distribution / part, self.home / part)
        for part in ("lib", "providers", "themes"):
            (self.home / part).symlink_to(distribution / part)
        shutil.copy(distribution / "version.txt", self.home)
        imported = self.home / "data" / "import" / f"{self.realm_name}-realm.json"
        imported.write_text(json.dumps(realm))
        self.certificate, self.key = self.authority.leaf(
            "server", "/CN=localhost", "serverAuth", "DNS:localhost,IP:127.0.0.1")

    def start(self):
        """Starts the server and waits until discovery answers."""
        environment = os.environ | {
            "JAVA_OPTS_KC_HEAP": "-Xms256m -Xmx768m",
            "KC_BOOTSTRAP_ADMIN_CLIENT_ID": "run",
            "KC_BOOTSTRAP_ADMIN_CLIENT_SECRET": self.admin_secret,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                # When the run is killed, the server ends, too.
                ["setpriv", "--pdeathsig", "TERM", self.home / "bin" / "kc.sh", "start", "--optimized", "--import-realm",
                 "--cache=local", "--http-host=127.0.0.1", f"--https-port={self.port}", f"--hostname={self.base}",
                 f"--https-certificate-file={self.certificate}",
                 f"--https-certificate-key-file={self.key}",
                 f"--https-trust-store-file={self.authority.certificate}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                start_new_session=True)
        deadline = time.monotonic() + START_DEADLINE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace").splitlines()[-30:]
                raise RuntimeError("Keycloak did not start:\n" + "\n".join(tail))
            time.sleep(0.2)

    def answers(self):
        """Whether discovery answers."""
        try:
            url = f"{self.issuer}/.well-known/openid-configuration"
            with urllib.request.urlopen(url, timeout=5, context=self.tls) as reply:
                return reply.status == 200
        except OSError:
            return False

    def stop(self):
        """Stops the server as a service manager would."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            # kc.sh and the JVM are a process group of their own.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def admin(self, method, path, body=None):
        """One call of the admin REST API; the answer's JSON, or nothing."""
        url = f"{self.base}/admin/realms/{self.realm_name}/{path}"
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, content, method=method, headers={
            "Authorization": f"Bearer {self.bearer()}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20, context=self.tls) as reply:
            return json.loads(reply.read() or b"null")

    def bearer(self):
        """The administrator's own token; the master realm's live for a minute."""
        token, good_until = self.admin_token
        if time.monotonic() < good_until:
            return token
        form = {"grant_type": "client_credentials", "client_id": "run",
                "client_secret": self.admin_secret}
        url = f"{self.base}/realms/master/protocol/openid-connect/token"
        content = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(url, content, timeout=20, context=self.tls) as reply:
            token = json.load(reply)["access_token"]
        self.admin_token = (token, time.monotonic() + 30)
        return token
