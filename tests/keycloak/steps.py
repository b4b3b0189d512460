"""What happens to the daemon during the run, step by step, and what must hold after each."""

import json
import time

import pki
from registrations import ALGORITHMS, NEW_PASSWORD, service_name

# How soon a token must be there again after the cause of its trouble is gone.
RECOVERY = 60


class Run:
    """The pieces of one run, and the checks made so far."""

    def __init__(self, server, daemon, registrations, excuses, readers, pace):
        self.server, self.daemon, self.registrations = server, daemon, registrations
        self.excuses, self.readers, self.pace = excuses, readers, pace
        self.checks = []
        self.began = time.monotonic()

    def say(self, text):
        print(f"[{time.monotonic() - self.began:5.1f} s] {text}", flush=True)

    def check(self, name, holds, found=""):
        """Records one check; the run goes on either way."""
        self.checks.append((name, bool(holds)))
        self.say(f"{'ok    ' if holds else 'FAILED'} {name}{f': {found}' if found != '' else ''}")

    def start(self, name, deadline=30):
        """Starts the daemon; it must be ready within so many seconds."""
        seconds = self.daemon.start(deadline)
        found = f"not within {deadline} s" if seconds is None else f"{seconds:.2f} s"
        self.check(name, seconds is not None, found)

    def names(self):
        return [reader.token for reader in self.readers]

    def until(self, holds, deadline=RECOVERY):
        """Waits until `holds()`; the seconds that took, or nothing when it never did."""
        began = time.monotonic()
        while time.monotonic() - began < deadline:
            if holds():
                return time.monotonic() - began
            time.sleep(0.2)
        return None

    def all_fresh(self, names=None, since=0):
        """Whether these tokens are fresh, in their files, and of `since` (seconds since the epoch)."""
        status = self.daemon.status()
        return all(status[reader.token]["state"] == "fresh" and reader.path.exists()
                   and (status[reader.token]["obtained_at"] or 0) >= since
                   for reader in self.readers if reader.token in (names or self.names()))

    def user(self, name):
        """A user's id at the server."""
        return self.server.admin("GET", f"users?username={name}&exact=true")[0]["id"]

    def events(self, kind, client=None):
        """How many events of this kind the server has recorded."""
        path = f"events?type={kind}&max=5000" + (f"&client={client}" if client else "")
        return len(self.server.admin("GET", path))


def steady(run, seconds):
    """Nothing happens; every token is replaced in time."""
    run.say(f"nothing happens for {seconds:.0f} s")
    seen = {reader.token: len(reader.seen) for reader in run.readers}
    time.sleep(seconds)
    stuck = [reader.token for reader in run.readers if len(reader.seen) <= seen[reader.token]]
    run.check("every token was replaced in time", not stuck, ", ".join(stuck))


def rotation(run):
    """The rotating token lives by its refresh token: one password grant, ever."""
    logins, refreshes = (run.events(kind, "lev-reports") for kind in ("LOGIN", "REFRESH_TOKEN"))
    run.check("(a) rotation: one password grant, then refresh tokens",
              logins == 1 and refreshes >= 1, f"{logins} logins, {refreshes} refreshes")


def swap_keys(run):
    """New keys on disk under new `kid`s; later the server forgets the old ones."""
    names = [service_name(alg) for alg in ALGORITHMS]
    run.say("(c) the four signing keys are replaced on disk")
    swapped = time.time()
    run.registrations.sign_with(1)
    taken = run.until(lambda: run.all_fresh(names, swapped + 1))
    for name, keys in run.registrations.jwks_without_first_keys().items():
        client = run.server.admin("GET", f"clients?clientId={name}")[0]
        client["attributes"]["jwks.string"] = keys
        run.server.admin("PUT", f"clients/{client['id']}", client)
    forgotten = time.time()
    refused = {name: run.events("CLIENT_LOGIN_ERROR", name) for name in names}
    run.until(lambda: run.all_fresh(names, forgotten + 1))
    status = run.daemon.status()
    for alg, name in zip(ALGORITHMS, names):
        new = run.events("CLIENT_LOGIN_ERROR", name) - refused[name]
        renewed = (status[name]["obtained_at"] or 0) >= forgotten + 1
        run.check(f"(c) {alg}: assertions are signed with the new key",
                  taken is not None and renewed and new == 0,
                  f"{refused[name]} refused during the swap, {new} since")


def restart(run, kill):
    """The daemon ends and starts again: the refresh token is kept, the outputs stay."""
    logins = run.events("LOGIN", "lev-reports")
    if kill:
        run.say("(a) kill -9, start")
        # Not in the middle of a refresh: what is spent there is gone, as it must be.
        wait_for_refresh(run)
        run.daemon.kill()
    else:
        run.say("(a) SIGTERM, start")
        code, seconds = run.daemon.stop()
        run.check("(a) SIGTERM ends the daemon cleanly", code == 0, f"code {code}, {seconds:.2f} s")
    how = "kill -9" if kill else "SIGTERM"
    run.start(f"(a) after {how} it is ready again")
    refreshed = time.time()
    wait = run.until(lambda: run.all_fresh(["lev"], refreshed), run.pace.lifetime * 1.5)
    again = run.events("LOGIN", "lev-reports") - logins
    run.check(f"(a) after {how} the refresh token still serves", wait is not None and again == 0,
              f"{again} new logins")


def wait_for_refresh(run):
    """Returns right after the rotating token was replaced."""
    generation = run.daemon.status()["lev"]["obtained_at"]
    run.until(lambda: run.daemon.status()["lev"]["obtained_at"] != generation)


def outage(run):
    """The server is away for longer than a token lives; the daemon restarts meanwhile."""
    run.say(f"(a) the server stops for {run.pace.outage} s")
    wait_for_refresh(run)
    run.excuses.allow("unreachable", run.names())
    run.excuses.allow("absent", run.names())
    run.server.stop()
    stopped = time.monotonic()
    run.daemon.stop()
    run.start("(a) outage: a restarted daemon is ready with the last good tokens", 5)
    got = run.daemon.command("get", "lev")
    run.check("(a) outage: bearerd get prints the last good token", got.returncode == 0 and got.stdout,
              f"exit code {got.returncode}")
    time.sleep(max(0.0, run.pace.outage - (time.monotonic() - stopped)))
    status = run.daemon.status()
    states = sorted({status[name]["state"] for name in run.names()})
    run.check("(a) outage: every token is reported as transient", states == ["transient"], states)
    left = [reader.token for reader in run.readers if reader.path.exists()]
    run.check("(a) outage: no expired token is left in a file", not left, ", ".join(left))
    run.server.start()
    away = time.monotonic() - stopped
    took = run.until(run.all_fresh)
    run.check("(a) outage: every token is fresh again", took is not None,
              f"away {away:.0f} s, all fresh {took or RECOVERY:.1f} s later")
    run.excuses.none()


def changed_password(run):
    """The server has a new password, the daemon's file the old one."""
    run.say("(a) the user's password is changed at the server")
    before = run.events("LOGIN_ERROR")
    run.server.admin("PUT", f"users/{run.user('archive')}/reset-password",
                     {"type": "password", "value": NEW_PASSWORD, "temporary": False})
    # It lives by the password alone, and what it holds runs out meanwhile.
    run.excuses.allow("absent", ["lev_plain"])
    run.until(lambda: run.daemon.status()["lev_plain"]["state"] != "fresh", run.pace.lifetime * 2)
    time.sleep(run.pace.lifetime)
    status = run.daemon.status()["lev_plain"]
    run.check("(a) password: reported as fix_config", status["state"] == "fix_config",
              f"{status['state']}: {status['last_error']}; hint: {status['hint']}")
    refused = run.events("LOGIN_ERROR") - before
    run.check("(a) password: tried once, not again and again", refused == 1, f"{refused} refusals")
    run.check("(a) password: the token with a refresh token stays fresh", run.all_fresh(["lev"]))
    mended = time.time()
    pki.write_secret(run.registrations.root / "secrets/archive-password", NEW_PASSWORD)
    took = run.until(lambda: run.all_fresh(["lev_plain"], mended - 1), 10)
    run.check("(a) password: obtained at once when the file is right", took is not None,
              f"{took or 10:.1f} s")
    run.excuses.none()


def ended_session(run):
    """An administrator ends the users' sessions: tokens are revoked before they expire."""
    run.say("(a) an administrator ends the users' sessions")
    # A new session is no part of the end of the old ones.
    time.sleep(1)
    run.excuses.allow("rejected", ["lev", "lev_plain"])
    for user in ("reports", "archive"):
        run.server.admin("POST", f"users/{run.user(user)}/logout")
    ended = time.time()
    for name in ("lev", "lev_plain"):
        run.daemon.command("refresh", name)
    took = run.until(lambda: run.all_fresh(["lev", "lev_plain"], ended - 1), 15)
    run.check("(a) ended session: the password grant starts a new one", took is not None,
              f"{took or 15:.1f} s")
    run.excuses.none()


def requests(run):
    """Nothing went round in circles: the server has counted."""
    seconds = time.monotonic() - run.began
    # At three quarters of the lifetime each, and as many again for all that happened.
    bound = 2 * seconds / (run.pace.lifetime * 0.75) + 10
    counts = {}
    for event in run.server.admin("GET", "events?max=5000"):
        counts[event["clientId"]] = counts.get(event["clientId"], 0) + 1
    counts.pop("inspector", None)
    run.check("no client asked the server too often", max(counts.values()) <= bound,
              f"{json.dumps(counts, sort_keys=True)}, bound {bound:.0f}")
