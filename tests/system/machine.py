"""A Debian tree that systemd boots in a container of its own (systemd-nspawn), with the host's network."""
import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import time

PACKAGES = ["systemd", "systemd-sysv", "dbus", "ca-certificates", "procps", "man-db", "bash-completion", "libzmq5",
            "libczmq4", "libcurl4", "libmsgpackc2", "libyajl2", "libarchive13", "libsqlite3-0", "libssl3", "zlib1g"]
SUITE = "bookworm"
DEADLINE = 60.0
REBOOTS = 133  # the exit status of a systemd-nspawn with --keep-unit that is to be started again


class Failure(AssertionError):
    pass


class Skip(Exception):
    """What the test needs is not to be had here."""


def until(condition, what, deadline=DEADLINE):
    end = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > end:
            raise Failure(f"{what} did not come about in {deadline:.0f} s")
        time.sleep(0.1)
    return value


def base_tree(cache, name="base", packages=tuple(PACKAGES)):
    """A tree with these packages, made once; returns its path."""
    cache.mkdir(parents=True, exist_ok=True)
    base, stamp, wanted = cache / name, cache / f"{name}.packages", " ".join([SUITE, *packages])
    with open(cache / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if base.is_dir() and stamp.is_file() and stamp.read_text() == wanted:
            return base
        print(f"making the tree {base} (once)", flush=True)
        shutil.rmtree(base, ignore_errors=True)
        fresh = cache / f"{name}.part"
        shutil.rmtree(fresh, ignore_errors=True)
        include = ["--include=" + ",".join(packages)] if packages else []
        done = subprocess.run(["debootstrap", "--variant=minbase", *include, SUITE, fresh], capture_output=True, text=True)
        if done.returncode != 0:
            raise Skip(f"debootstrap cannot make the tree:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
        shutil.rmtree(fresh / "var/cache/apt", ignore_errors=True)
        fresh.rename(base)
        stamp.write_text(wanted)
    return base


def probe(base):
    """Whether this machine lets systemd-nspawn do its work at all."""
    done = subprocess.run(["systemd-nspawn", "-q", "-D", base, "--register=no", "--keep-unit", "--volatile=overlay", "--pipe",
                           f"--machine=sluice-probe-{os.getpid()}", "/bin/true"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)
    if done.returncode != 0:
        raise Skip(f"systemd-nspawn does not work here: {done.stdout[-1000:]}{done.stderr[-1000:]}")


class Machine:
    """A copy of the tree (what is written goes to an overlay), booted."""

    def __init__(self, base, folder):
        self.folder, self.root = folder, folder / "root"
        self.nspawn, self.cgroups = None, []
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                        f"lowerdir={base},upperdir={folder / 'upper'},workdir={folder / 'work'}", self.root], check=True)
        (self.root / "etc/hostname").write_text("sluice-test\n")
        # Packages are installed as they are, but for syncs and an index of manual pages that nobody needs here.
        (self.root / "etc/dpkg/dpkg.cfg.d/test").write_text("force-unsafe-io\n")
        (self.root / "var/lib/man-db/auto-update").unlink(missing_ok=True)
        (self.root / "etc/systemd/journald.conf.d").mkdir(parents=True)
        (self.root / "etc/systemd/journald.conf.d/test.conf").write_text("[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\n")

    # --- power ---

    def own_cgroup(self):
        """So that two machines at a time do not meet in one: called in the child."""
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "name=systemd"):
                continue
            for top in ("/sys/fs/cgroup/systemd",) if controllers else ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
                group = pathlib.Path(top + path) / f"sluice-test-{os.getppid()}"
                if (pathlib.Path(top + path) / "cgroup.procs").exists():
                    with contextlib.suppress(OSError):
                        group.mkdir(exist_ok=True)
                        (group / "cgroup.procs").write_text(str(os.getpid()))
                    break

    def boot(self):
        log = open(self.folder / "console", "ab")
        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", "-q", "-D", self.root, "--register=no", "--keep-unit", "--boot", "--console=pipe",
             "--link-journal=no", f"--machine=sluice-test-{os.getpid()}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self.own_cgroup)
        self.wait_up()

    def wait_up(self):
        until(self.is_up, "the machine's start")

    def is_up(self):
        if self.nspawn.poll() is not None:
            raise Failure(f"systemd-nspawn ended with {self.nspawn.returncode}:\n{(self.folder / 'console').read_text()[-2000:]}")
        done = self.run("systemctl", "is-system-running", check=False) if self.leader() else None
        return done is not None and done.stdout.strip() in ("running", "degraded")

    def leader(self):
        """The pid of the machine's systemd."""
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split()
            return int(text[0]) if text else None
        return None

    def reboot(self, while_off):
        self.run("systemctl", "reboot", check=False)
        until(lambda: self.nspawn.poll() is not None, "the shutdown")
        if self.nspawn.returncode != REBOOTS:
            raise Failure(f"systemd-nspawn ended with {self.nspawn.returncode}, where a reboot was asked for")
        while_off()
        self.boot()

    def close(self):
        if self.nspawn and self.nspawn.poll() is None:
            if leader := self.leader():
                os.kill(leader, signal.SIGRTMIN + 4)  # poweroff
            try:
                self.nspawn.wait(60)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()
        subprocess.run(["umount", "-l", self.root], check=False)

    # --- within ---

    def run(self, *words, check=True, input=None):
        """Runs a command as root in the machine."""
        done = subprocess.run(["nsenter", "-t", str(self.leader()), "-a", "env", "-i", "LC_ALL=C.UTF-8",
                               "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", *map(str, words)],
                              capture_output=True, text=True, input=input, timeout=120)
        if check and done.returncode != 0:
            raise Failure(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done

    def systemctl(self, *words, check=True):
        return self.run("systemctl", *words, check=check).stdout.strip()

    def show(self, unit, name):
        return self.systemctl("show", "--value", "-p", name, unit)

    def active(self, unit):
        return self.show(unit, "ActiveState") == "active"

    def wait_active(self, *units):
        for unit in units:
            until(lambda: self.active(unit), f"{unit} active")

    def main_pid(self, unit):
        return int(self.show(unit, "MainPID"))

    def host_pid(self, pid):
        """The host's number of a process of the machine."""
        for status in pathlib.Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                for line in status.read_text().splitlines():
                    if line.startswith("NSpid:") and len(parts := line.split()) == 3 and parts[2] == str(pid):
                        if os.readlink(status.parent / "ns/pid") == os.readlink(f"/proc/{self.leader()}/ns/pid"):
                            return int(parts[1])
        raise Failure(f"no process {pid} in the machine")

    def journal(self, *words):
        return self.run("journalctl", "--no-pager", "-o", "cat", *words).stdout
