"""The server's process: npm's oidc-provider, as `server.mjs` sets it up."""

import hashlib
import json
import os
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MANIFEST = ("package.json", "package-lock.json", ".npmrc")
STOP_DEADLINE = 10


def version():
    return json.loads((HERE / "package.json").read_text())["dependencies"]["oidc-provider"]


def modules():
    """`node_modules` with what the lock file says: made once, found in the cache later."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / f"bearerd-oidc-provider-{version()}"
    installed = cache / hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    if not installed.exists():
        for tool in ("node", "npm"):
            if not shutil.which(tool):
                raise RuntimeError(f"{tool} is missing (apt-get install nodejs npm; 18 or newer)")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            made = Path(work) / "made"
            made.mkdir()
            for name in MANIFEST:
                shutil.copy(HERE / name, made)
            subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
                           cwd=made, check=True, stdout=subprocess.DEVNULL)
            try:
                made.rename(installed)
            except OSError:
                # Another run was faster.
                if not installed.exists():
                    raise
    return installed / "node_modules"


class Provider:
    """One server, until the run ends."""

    def __init__(self, directory, installed, authority, settings):
        """`installed` are its modules, `settings` those of `server.mjs` but for the certificates."""
        directory.mkdir()
        # A module is looked for beside who imports it.
        shutil.copy(HERE / "server.mjs", directory)
        (directory / "node_modules").symlink_to(installed)
        certificate, key = authority.leaf("server", "/CN=server", "serverAuth", "IP:127.0.0.1")
        settings |= {"certificate": str(certificate), "key": str(key), "ca": str(authority.certificate)}
        self.tls = ssl.create_default_context(cafile=authority.certificate)
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(["node", directory / "server.mjs"], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        facts = self.tell(json.dumps(settings))
        self.issuer, self.alias = facts["issuer"], facts["alias"]

    def tell(self, line):
        """Says a line to it; its answer."""
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the server ended: {self.tail()}")
        return json.loads(answer)

    def counts(self):
        """Its requests by listener and path, and what was granted and refused, by client, grant and listener."""
        return self.tell("report")

    def tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
