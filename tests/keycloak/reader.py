"""Consumers: curl, sending each published token to the server that issued it, over and over."""

import hashlib
import json
import subprocess
import threading
import time
from collections import Counter

PAUSE = 0.3
# curl's exit codes for: cannot connect, time-out, TLS broken off, nothing received, send and receive failed.
NOT_REACHED = {7, 28, 35, 52, 55, 56}
# Outcomes, and what they count as where the run itself has caused them.
EXCUSED = {"absent": "none published", "rejected": "revoked", "unreachable": "server down"}


class Excuses:
    """Which outcomes of which readers are the run's own doing at the moment."""

    def __init__(self):
        self.pairs = frozenset()

    def allow(self, outcome, names):
        self.pairs |= {(name, outcome) for name in names}

    def none(self):
        self.pairs = frozenset()


class Reader(threading.Thread):
    """Reads one token's file until stopped, and counts what becomes of it."""

    def __init__(self, name, arguments, path, excuses):
        super().__init__(name=f"reader {name}", daemon=True)
        self.token, self.arguments, self.path = name, arguments, path
        self.excuses = excuses
        self.counts = Counter()
        self.seen = set()
        self.complaints = []
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            before = self.excuses.pairs
            outcome, detail = self.read()
            # A read belongs to the moment it began in and to the one it ended in.
            if (self.token, outcome) in before | self.excuses.pairs:
                outcome = EXCUSED[outcome]
            elif outcome != "accepted":
                at = time.strftime("%H:%M:%S", time.gmtime())
                self.complaints.append(f"{at} {self.token} {outcome}: {detail}")
            self.counts[outcome] += 1
            self.stopping.wait(PAUSE)

    def read(self):
        """One request with the token as it stands in the file now."""
        try:
            published = self.path.open("rb")
        except FileNotFoundError:
            return "absent", f"no {self.path.name}"
        with published:
            self.seen.add(hashlib.sha256(published.read()).digest())
            published.seek(0)
            done = subprocess.run(
                ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "5",
                 "--write-out", "\n%{http_code}", *self.arguments],
                stdin=published, capture_output=True, text=True)
        if done.returncode in NOT_REACHED:
            return "unreachable", done.stderr.strip()
        body, _, status = done.stdout.rpartition("\n")
        if done.returncode != 0 or status not in ("200", "401", "403"):
            return "unreachable", f"curl {done.returncode}, HTTP {status}: {done.stderr.strip()}"
        if status == "200" and json.loads(body).get("active", True):
            return "accepted", ""
        return "rejected", f"HTTP {status}: {body[:200]}"

    def stop(self):
        self.stopping.set()
        self.join()


def table(readers):
    """What became of every read, a line per token."""
    columns = ["accepted", "rejected", "absent", "unreachable", *EXCUSED.values()]
    lines = [f"{'token':<10} {'tokens':>6} {'reads':>6} "
             + " ".join(f"{column:>{max(8, len(column))}}" for column in columns)]
    for reader in readers:
        counts = " ".join(f"{reader.counts[column]:>{max(8, len(column))}}" for column in columns)
        lines.append(f"{reader.token:<10} {len(reader.seen):>6} {reader.counts.total():>6} {counts}")
    return "\n".join(lines)
