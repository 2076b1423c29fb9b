"""An installed agent on real systemd: what scripts/test-system runs. usage: run.py BUILD PACKAGES CACHE"""
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.dont_write_bytecode = True
from machine import Failure, Machine, Skip, base_tree, probe, until

UNITS = ["sluice-broker.service", "sluice-fetcher.service", "sluice-executor@1.service", "sluice-uploader.service"]
OLDER = "1.9.9"
EXECUTOR_SLOTS = 10
STEP_DEADLINE = 120.0


def must(condition, text):
    if not condition:
        raise Failure(text)


class Mock:
    """The mock AC, on the host, whose network the machine shares."""

    def __init__(self, build, folder, key):
        ready = folder / "ready"
        self.process = subprocess.Popen(
            [build / "tests/mock_ac/mock-ac", "--apiKey", key, "--readyFile", ready, "--acDelayMs", "3", "--longPollMs",
             "500-1000"],
            stdout=open(folder / "mock.out", "w"), stderr=open(folder / "mock.err", "w"))
        urls = json.loads(until(lambda: ready.exists() and ready.read_text().endswith("\n") and ready.read_text(), "the mock AC"))
        self.ac, self.control = urls["ac"], urls["tool"] + "/_control/"

    def post(self, path, **body):
        data = json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.control + path, data), timeout=30) as answer:
            answer.read()

    def books(self):
        with urllib.request.urlopen(self.control + "books", timeout=30) as answer:
            return json.load(answer)

    def add(self, count):
        self.post("tasks", generate={"count": count, "methods": "GET,POST,PUT", "toolDelayMs": "100-400",
                                    "bodyBytes": "100-5000"})

    def wait(self, count):
        """Until so many are delivered, or have gone to a fetcher that was killed while it polled."""
        latest = {}

        def look():
            latest.update(self.books())
            return latest["delivered"] + latest["handed_to_dead"] >= count
        try:
            until(look, "", STEP_DEADLINE)
        except Failure:
            raise Failure(f"not {count} tasks delivered in {STEP_DEADLINE:.0f} s: {json.dumps(latest)}") from None
        return latest


class Run:
    def __init__(self, build, packages, cache):
        base = base_tree(pathlib.Path(cache))
        probe(base)
        self.build, self.packages = pathlib.Path(build), pathlib.Path(packages)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-system."))
        self.key = "key-" + secrets.token_hex(16)
        self.mock = Mock(self.build, self.folder, self.key)
        self.machine = Machine(base, self.folder)
        self.total, self.kills = 0, {"fetcher": 0, "uploader": 0, "executor": 0}

    def add(self, count):
        self.total += count
        self.mock.add(count)

    # --- packages ---

    def older(self):
        """The same packages with a lower version."""
        folder = self.folder / "older"
        folder.mkdir()
        for name in ("sluice", "sluice-executor"):
            deb = next(self.packages.glob(f"{name}_*.deb"))
            subprocess.run(["dpkg-deb", "-R", deb, folder / name], check=True)
            control = folder / name / "DEBIAN/control"
            text = re.sub(r"(?m)^Version: .*", f"Version: {OLDER}", control.read_text())
            control.write_text(re.sub(r"(sluice(?:-executor)? \((?:=|<=)) [^)]*\)", rf"\1 {OLDER})", text))
            subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", folder / name, folder / f"{name}.deb"],
                           check=True, stdout=subprocess.DEVNULL)
        return [folder / "sluice-executor.deb", folder / "sluice.deb"]

    def install(self, *debs):
        for deb in debs:
            shutil.copy(deb, self.machine.root / "root")
        self.machine.run("dpkg", "-i", *(f"/root/{deb.name}" for deb in debs))

    def newest(self):
        return [next(self.packages.glob("sluice-executor_*.deb")), next(self.packages.glob("sluice_*.deb"))]

    def step_install(self):
        self.machine.boot()
        executor, rest = self.older()
        self.install(executor)
        programs = sorted(path.name for path in (self.machine.root / "usr/bin").glob("sluice*"))
        must(programs == ["sluice", "sluice-executor"], f"sluice-executor brings {programs}")
        self.machine.run("sluice", "config", "check")
        must("multi-user.target" not in self.machine.show("sluice-executor@1.service", "Before"), "the boot waits for a broker elsewhere")
        self.install(rest)
        for unit in UNITS:
            must(not self.machine.active(unit), f"{unit} runs before it is configured")
        self.machine.run("systemd-analyze", "verify", *UNITS, "sluice.target")
        done = self.machine.run("sluice", "config", "check", check=False)
        must(done.returncode == 2 and "no server URL" in done.stderr, f"an empty configuration passes: {done}")

    def step_configure(self):
        root = self.machine.root
        (root / "etc/sluice/api_key").write_text(self.key + "\n")
        (root / "etc/sluice/api_key").chmod(0o600)
        with open(root / "etc/sluice/sluice.conf", "a") as conf:
            conf.write(f"serverUrl = {self.mock.ac}\nrateLimitPerMin = 1000000\ndrainTimeout = 5\n")
        self.machine.run("sluice", "config", "check")
        shown = self.machine.run("sluice", "config", "show").stdout
        must(re.search(r"serverUrl = \S+ +/etc/sluice/sluice.conf:\d+", shown) and "apiKey = set" in shown, shown)
        self.machine.systemctl("enable", "--now", "sluice.target")
        self.machine.wait_active(*UNITS)

    # --- under load ---

    def step_load(self):
        """500 tasks, and meanwhile each unit restarted and each main process killed."""
        machine, restarts = self.machine, 0
        self.add(500)
        for unit in UNITS:
            self.mock.wait(restarts * 40)
            former = machine.main_pid(unit)
            machine.systemctl("restart", unit)
            must(machine.main_pid(unit) not in (0, former), f"{unit} was not restarted")
            restarts += 1
        for unit in UNITS:
            self.mock.wait(restarts * 50)
            self.kill(unit)
            restarts += 1
        must(self.mock.books()["delivered"] < self.total, "the tasks were done before the last kill")
        self.delivered()

    def kill(self, unit):
        machine = self.machine
        former, count = machine.main_pid(unit), int(machine.show(unit, "NRestarts"))
        machine.systemctl("kill", "-s", "KILL", "--kill-whom=main", unit)
        for name in self.kills:
            self.kills[name] += name in unit
        until(lambda: machine.active(unit) and machine.main_pid(unit) not in (0, former), f"the restart of {unit}")
        must(int(machine.show(unit, "NRestarts")) > count, f"{unit} was not restarted by systemd")

    def delivered(self):
        books = self.mock.wait(self.total)
        for name in ("lost", "wrong", "reexecuted_unsafe", "ac_too_many", "protocol_errors"):
            must(books.get(name, 0) == 0, f"{name}: {json.dumps(books)}")
        must(books["ac_max_in_flight"] <= 2, f"{books['ac_max_in_flight']} AC requests in flight")
        must(books["handed_to_dead"] <= self.kills["fetcher"], f"{books['handed_to_dead']} tasks handed to dead connections")
        must(books["duplicates"] <= self.kills["uploader"], f"{books['duplicates']} results delivered twice")
        for name in ("reexecuted_safe", "outcome_unknown"):
            must(books[name] <= EXECUTOR_SLOTS * self.kills["executor"], f"{books[name]} {name}")
        return books

    def step_reload(self):
        conf = self.machine.root / "etc/sluice/sluice.conf"
        conf.write_text(conf.read_text().replace("rateLimitPerMin = 1000000", "rateLimitPerMin = 900000"))
        self.machine.systemctl("reload", *UNITS)
        until(lambda: self.status()["config"]["rate_per_min"] == 900000, "the new rate limit")
        must("rateLimitPerMin=900000" in self.machine.journal("-u", "sluice-broker"), "the reload is not in the journal")
        self.machine.wait_active(*UNITS)

    def status(self):
        """The broker's answer; it may be away for a moment."""
        return until(lambda: (done := self.machine.run("sluice", "status", "--json", check=False)).returncode == 0
                     and json.loads(done.stdout), "an answer of the broker")

    def held(self):
        """Tasks and results in the journal."""
        status = self.status()
        return sum(status["tasks"][name] for name in ("ready", "running")) + sum(status["results"][name] for name in ("waiting", "uploading"))

    def executors(self):
        return sum(w["role"] == "executor" for w in self.status()["workers"])

    def step_scale(self):
        self.machine.systemctl("enable", "--now", "sluice-executor@2", "sluice-executor@3")
        until(lambda: self.executors() == 3, "three executors")
        self.add(60)
        self.delivered()
        self.machine.systemctl("disable", "--now", "sluice-executor@2", "sluice-executor@3")
        until(lambda: self.executors() == 1, "one executor")
        must(self.machine.systemctl("list-units", "--plain", "--no-legend", "sluice-executor@*").count("\n") == 0,
             "an executor is left")

    def step_remote(self):
        """The executor's service with a broker that it reaches by tcp: its key is a credential, or what is missing is told."""
        root, machine, unit = self.machine.root, self.machine, "sluice-executor@1.service"
        conf = root / "etc/sluice/sluice.conf"
        former = conf.read_text()
        word = machine.run("sluice", "key", "new", "main", "--role", "broker").stdout.split()[-1]
        conf.write_text(f"{former}[broker]\nbind = tcp://127.0.0.1:5670\n[executor]\nbroker = tcp://127.0.0.1:5670\nbrokerKey = {word}\n")
        machine.systemctl("restart", "sluice-broker.service")
        machine.systemctl("restart", "--no-block", unit)
        until(lambda: "put it into /etc/sluice/executor_key" in machine.show(unit, "StatusText"), "what is missing, in the status")
        new = machine.run("sluice", "key", "new", "w1", "--role", "executor", "--keysDir", "/etc/sluice/new").stdout.split()[-1]
        machine.run("install", "-m", "0600", "/etc/sluice/new/w1.key", "/etc/sluice/executor_key")
        shutil.rmtree(root / "etc/sluice/new")
        machine.run("sluice", "key", "allow", new)
        listed = machine.run("sluice", "key", "list").stdout.split()
        must(listed == ["own", word, "allowed", new], f"the keys are {listed}")
        machine.systemctl("restart", unit)
        until(lambda: self.executors() == 1, "the executor with a key")
        machine.systemctl("reload", *UNITS)
        self.add(20)
        self.delivered()
        conf.write_text(former)
        machine.systemctl("restart", "sluice-broker.service", unit)
        until(lambda: self.executors() == 1, "the executor without")

    def step_faults(self):
        """A file with a fault: a reload fails and changes nothing, a start waits, and says why in the status."""
        machine, conf, unit = self.machine, self.machine.root / "etc/sluice/sluice.conf", "sluice-fetcher.service"
        former = conf.read_text()
        conf.write_text(former + "serverUrl = nowhere\n")
        line = len(former.splitlines()) + 1
        must(machine.run("systemctl", "reload", unit, check=False).returncode != 0, "a reload with a faulty file succeeds")
        must(machine.active(unit), "a faulty reload has ended the program")
        machine.systemctl("restart", "--no-block", unit)
        until(lambda: f'sluice.conf, line {line}: serverUrl is "nowhere"' in machine.show(unit, "StatusText"), "the fault in the status")
        conf.write_text(former + "index = _prod2\n")
        machine.systemctl("restart", unit)
        conf.write_text(former)
        machine.systemctl("reload", unit)
        until(lambda: "restart needed for: index" in machine.show(unit, "StatusText"), "what needs a restart, in the status")
        machine.systemctl("restart", unit)
        machine.wait_active(*UNITS)

    def step_watchdog(self):
        """Two processes that stand still: systemd ends them, and the work goes on."""
        stopped = {}
        # Sooner than as installed, for the test's sake.
        for unit in ("sluice-executor@1.service", "sluice-uploader.service"):
            folder = self.machine.root / f"etc/systemd/system/{unit}.d"
            folder.mkdir()
            (folder / "test.conf").write_text("[Service]\nWatchdogSec=8\n")
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("restart", "sluice-executor@1.service", "sluice-uploader.service")
        for unit in ("sluice-executor@1.service", "sluice-uploader.service"):
            stopped[unit] = self.machine.main_pid(unit)
            self.machine.systemctl("kill", "-s", "STOP", "--kill-whom=main", unit)
            self.kills["executor" if "executor" in unit else "uploader"] += 1
        for unit, former in stopped.items():
            until(lambda: self.machine.main_pid(unit) not in (0, former), f"the end of the stopped {unit}", 60)
        text = self.machine.run("journalctl", "--no-pager", "-o", "cat", "_PID=1").stdout
        for unit in stopped:
            must(f"{unit}: Watchdog timeout" in text, f"{unit} was not ended by the watchdog")
            shutil.rmtree(self.machine.root / f"etc/systemd/system/{unit}.d")
        self.machine.systemctl("daemon-reload")
        self.machine.wait_active(*UNITS)
        self.add(40)
        self.delivered()

    # --- upgrade, reboot, removal ---

    def step_upgrade(self):
        former = {unit: self.machine.main_pid(unit) for unit in UNITS}
        conf = (self.machine.root / "etc/sluice/sluice.conf").read_bytes()
        self.add(150)
        self.mock.wait(self.total - 140)
        must(self.held() > 0, "no task is in the journal at the upgrade")
        self.install(*self.newest())
        for unit in UNITS:
            until(lambda: self.machine.main_pid(unit) not in (0, former[unit]), f"the restart of {unit} by the upgrade")
        self.machine.wait_active(*UNITS)
        version = self.machine.run("dpkg-query", "-W", "-f", "${Version}", "sluice").stdout
        must(version != OLDER, "the upgrade did not happen")
        must((self.machine.root / "etc/sluice/sluice.conf").read_bytes() == conf, "the upgrade changed the configuration")
        self.delivered()

    def step_reboot(self):
        self.machine.systemctl("stop", "sluice-uploader.service")
        self.add(30)
        until(lambda: self.status()["counters"]["results"] > 0 and self.held() >= 5, "results in the journal")
        before = self.mock.books()["delivered"]
        self.machine.reboot(lambda: must(self.mock.books()["delivered"] == before, "results were delivered without an uploader"))
        self.machine.wait_active(*UNITS)
        self.delivered()

    def step_remove(self):
        root, machine = self.machine.root, self.machine
        machine.run("dpkg", "-r", "sluice", "sluice-executor")
        must(machine.run("pgrep", "-f", "/usr/bin/sluice-", check=False).stdout == "", "programs run after the removal")
        must((root / "var/lib/sluice").is_dir() and (root / "etc/sluice/api_key").exists(), "the removal took the state")
        machine.run("dpkg", "-P", "sluice", "sluice-executor")
        left = machine.run("find", "/", "/run", "-xdev", "-name", "*sluice*", "-not", "-path", "/root/*", "-not", "-path", "/proc/*", "-not", "-path", "/sys/*", "-not", "-path", "/var/cache/man/*").stdout.split()
        must(left == [], f"the purge has left {left}")
        failed = machine.systemctl("list-units", "--failed", "--plain", "--no-legend")
        must("sluice" not in failed, failed)


def steps(run):
    import sandbox
    return [("packages installed: the executor's alone, then all", run.step_install),
            ("configured, checked, the target enabled", run.step_configure),
            ("nobody sees the key; an executor sees nothing", lambda: sandbox.step(run)),
            ("500 tasks; each unit restarted, each process killed", run.step_load),
            ("reload", run.step_reload),
            ("two executors added and removed", run.step_scale),
            ("an executor with a key", run.step_remote),
            ("faults in the configuration", run.step_faults),
            ("watchdog", run.step_watchdog),
            ("upgrade with tasks in the journal", run.step_upgrade),
            ("reboot with results in the journal", run.step_reboot),
            ("still nobody sees the key", lambda: sandbox.no_key(run)),
            ("removed and purged", run.step_remove)]


def main():
    try:
        run = Run(*sys.argv[1:4])
    except Skip as why:
        print(f"{'#' * 64}\nSKIPPED: the test of an installed agent did not run: {why}\n{'#' * 64}", flush=True)
        return 77
    name, code = "", 1
    try:
        for name, step in steps(run):
            began = time.monotonic()
            step()
            print(f"ok    {time.monotonic() - began:6.1f} s  {name}", flush=True)
        code = 0
    except (Failure, subprocess.SubprocessError, OSError, StopIteration) as error:
        print(f"FAIL  {name}: {error}", flush=True)
        if run.machine.nspawn and run.machine.leader():
            print(run.machine.run("journalctl", "--no-pager", "-n", "150", check=False).stdout[-12000:], flush=True)
    finally:
        run.machine.close()
        run.mock.process.terminate()
        run.mock.process.wait(20)
        shutil.rmtree(run.folder, ignore_errors=True)
    print("1 passed, 0 failed" if code == 0 else "0 passed, 1 failed", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
