"""What the integration tests share: a guest started through `graft run`, the host command against it, and results in KTAP.

A test waits for what happens (a text on the console, a command's end), never for a time; LIMIT only detects a hang. A
guest is ended on every way out: `graft run` ends its QEMU, and QEMU is killed if `graft run` is.
"""
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("GRAFT_BUILD", ROOT / "build"))  # what is tested
GRAFT = BUILD / "graft"
KEY = ROOT / "keys/development.key"
LIMIT = 120  # seconds

DONE, REFUSED, USAGE, NOTHING_TO_DO, NO_CONNECTION, TIMED_OUT = range(6)


class Failed(Exception):
    """A test's expectation that didn't hold."""


class Skipped(Exception):
    """Why a test can't run here."""


def check(condition, text):
    if not condition:
        raise Failed(text)


class Result:
    """What a run of the host command gave."""

    def __init__(self, arguments, process):
        self.arguments, self.code = arguments, process.returncode
        self.output, self.errors = process.stdout, process.stderr

    def __str__(self):
        return f"graft {' '.join(self.arguments)}: exit code {self.code}\n{self.output}{self.errors}"

    def json(self):
        return json.loads(self.output)


class Guest:
    """A running image. `with Guest("demo.elf") as guest:` ends it surely."""

    def __init__(self, image, *arguments, append=None, qemu=(), control=None):
        command = [str(GRAFT), "run", str(BUILD / image), *arguments]
        if append:
            command += ["--append", append]
        if control:
            command += ["--control", control]
        if qemu:
            command += ["--", *qemu]
        self.console = ""
        self.messages = ""
        self.connect = None
        self.seen = 0
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.open = {self.process.stdout.fileno(): "console", self.process.stderr.fileno(): "messages"}
        try:
            self._until(lambda: "GRAFT_CONNECT=" in self.messages and self.messages.endswith("\n"), "the control address")
            self.connect = re.search(r"GRAFT_CONNECT=(\S+)", self.messages).group(1)
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def _pump(self, seconds):
        """Takes what has been written; False when both ends are closed."""
        ready, _, _ = select.select(list(self.open), [], [], seconds)
        for fd in ready:
            data = os.read(fd, 65536)
            if not data:
                del self.open[fd]
                continue
            text = data.decode(errors="replace").replace("\r", "")
            setattr(self, self.open[fd], getattr(self, self.open[fd]) + text)
        return bool(self.open)

    def _until(self, condition, what, limit=LIMIT):
        end = time.monotonic() + limit
        while not condition():
            left = end - time.monotonic()
            check(left > 0, f"no {what} within {limit} s")
            if not self._pump(left):
                check(condition(), f"the guest ended before {what}")

    def expect(self, pattern, limit=LIMIT):
        """Waits for the console to match, behind the last match; returns the match."""
        found = None

        def matches():
            nonlocal found
            found = re.search(pattern, self.console[self.seen:])
            return found is not None

        self._until(matches, f"'{pattern}' on the console", limit)
        self.seen += found.end()
        return found

    def skip_console(self):
        """What is on the console by now doesn't count for expect()."""
        while select.select(list(self.open), [], [], 0)[0]:
            if not self._pump(0):
                break
        self.seen = len(self.console)

    def wait_end(self, limit=LIMIT):
        """Waits until the guest has ended by itself; returns the exit code."""
        end = time.monotonic() + limit
        while self.open and self._pump(max(0, end - time.monotonic())):
            check(time.monotonic() < end, f"no end within {limit} s")
        return self.process.wait(limit)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        while self.open and self._pump(1):
            pass
        self.process.stdout.close()
        self.process.stderr.close()

    # -- the host command against this guest

    def environment(self):
        return {**os.environ, "GRAFT_CONNECT": self.connect}

    def graft(self, *arguments, code=DONE, stdin=""):
        """Runs the command and checks its exit code (None: any)."""
        result = run_graft(*arguments, connect=self.connect, stdin=stdin)
        check(code is None or result.code == code, f"expected exit code {code} of {result}")
        return result

    def start_graft(self, *arguments, **options):
        """The command as a process of its own, for those that don't end by themselves."""
        return subprocess.Popen([str(GRAFT), *arguments], env=self.environment(), stdin=subprocess.DEVNULL,
                                text=True, **options)

    def patches(self):
        return {patch["name"]: patch["state"] for patch in self.graft("list", "--json").json()}

    def metrics(self):
        """Prometheus text as {name with labels: number}."""
        rows = (line.rsplit(" ", 1) for line in self.graft("metrics").output.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in rows}


def run_graft(*arguments, connect=None, stdin=""):
    environment = dict(os.environ)
    if connect:
        environment["GRAFT_CONNECT"] = connect
    limited = arguments if "--timeout" in arguments else ("--timeout", str(LIMIT), *arguments)
    process = subprocess.run([str(GRAFT), *limited], env=environment, input=stdin, capture_output=True, text=True,
                             timeout=LIMIT + 30, check=False)
    return Result(arguments, process)


class Tests:
    """Functions run in order, each one result. `tests = Tests(); @tests.add("name")`, and `tests.run()` at the end."""

    def __init__(self):
        self.tests = []

    def add(self, name):
        def register(function):
            self.tests.append((name, function))
            return function
        return register

    def run(self):
        wanted = sys.argv[1:]
        chosen = [test for test in self.tests if not wanted or any(word in test[0] for word in wanted)]
        print(f"1..{len(chosen)}", flush=True)
        failures = 0
        for number, (name, function) in enumerate(chosen, 1):
            start = time.monotonic()
            try:
                function()
                print(f"ok {number} - {name} # {time.monotonic() - start:.1f} s", flush=True)
            except Skipped as reason:
                print(f"ok {number} - {name} # SKIP {reason}", flush=True)
            except (Failed, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as failure:
                failures += 1
                print(f"not ok {number} - {name}", flush=True)
                for line in f"{type(failure).__name__}: {failure}".splitlines():
                    print(f"# {line}", flush=True)
        sys.exit(1 if failures else 0)


def shown(guest, lines=15):
    """The console's last lines, for a failure's report."""
    return "\n".join(guest.console.splitlines()[-lines:])
