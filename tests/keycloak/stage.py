"""What every run has: the binary under test, a directory of its own, and a verdict at the end."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def play(scene, keep):
    """Plays `scene(directory, binary)`, which returns its checks, and prints the verdict; the exit code."""
    for interruption in (signal.SIGHUP, signal.SIGTERM):
        # As Control-C does: what was begun is cleared away.
        signal.signal(interruption, interrupted)
    for variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[variable]
    binary = build()
    directory = Path(tempfile.mkdtemp(prefix="bearerd-run-"))
    try:
        checks = scene(directory, binary)
    finally:
        if keep:
            print(f"left in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    failed = [name for name, holds in checks if not holds]
    for name in failed:
        print(f"failed: {name}")
    print(f"{len(checks) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def interrupted(number, _frame):
    """Ends the run in good order; who hears it once more knows already."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def build():
    """The binary under test, freshly built."""
    subprocess.run(["cargo", "build", "--locked", "--quiet"], cwd=ROOT, check=True)
    metadata = subprocess.run(["cargo", "metadata", "--format-version=1", "--no-deps"], cwd=ROOT,
                              check=True, stdout=subprocess.PIPE)
    return Path(json.loads(metadata.stdout)["target_directory"]) / "debug" / "bearerd"
