"""Who can see what on a machine with an installed agent."""
import os
import pathlib
import subprocess

from machine import Failure

PROGRAM_UNITS = {"broker": "sluice-broker.service", "fetcher": "sluice-fetcher.service",
                 "executor": "sluice-executor@1.service", "uploader": "sluice-uploader.service"}


def must(condition, text):
    if not condition:
        raise Failure(text)


def machine_pids(machine):
    """The host's numbers of all processes in the machine."""
    space = os.readlink(f"/proc/{machine.leader()}/ns/pid")
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "ns/pid") == space:
                found.append(int(process.name))
        except OSError:
            pass
    return found


def no_key(run):
    """Neither ps nor the journal nor any file shows the key, but its own file and what systemd hands out of it."""
    machine, key = run.machine, run.key.encode()
    must(len(machine_pids(machine)) >= 8, "the machine's processes are not found")
    for pid in machine_pids(machine):
        for name in ("cmdline", "environ"):
            try:
                must(key not in pathlib.Path(f"/proc/{pid}/{name}").read_bytes(), f"/proc/{pid}/{name} shows the key")
            except OSError:
                pass
    must(run.key not in machine.run("ps", "axewww").stdout, "ps shows the key")
    must(run.key not in machine.run("journalctl", "--no-pager", "-o", "export").stdout, "the journal shows the key")
    done = machine.run("grep", "-rlaF", "--devices=skip", "-e", run.key, "/etc", "/var", "/run", "/tmp", "/root", "/usr", "/opt", "/home",
                       "/srv", check=False)
    must(done.returncode == 0, "grep does not find the key's own file")
    shown = sorted(set(done.stdout.split()) - {"/etc/sluice/api_key"})
    for path in shown:
        must(path in ("/run/credentials/sluice-fetcher.service/api_key", "/run/credentials/sluice-uploader.service/api_key"),
             f"{path} shows the key")
    for core in ("/var/lib/systemd/coredump", "/var/crash"):
        must(machine.run("find", core, "-type", "f", check=False).stdout == "", "there are core dumps")


def groups_of(pid):
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return fields["Uid"].split()[0], fields["Gid"].split()[0], ",".join(fields["Groups"].split())


def as_unit(run, unit, *words, root=False):
    """Runs a command where the unit's process is, as its user, or as root of the same place."""
    pid = run.machine.host_pid(run.machine.main_pid(unit))
    uid, gid, groups = groups_of(pid)
    drop = [] if root else ["setpriv", "--reuid", uid, "--regid", gid, "--groups", groups or gid, "--bounding-set=-all",
                            "--inh-caps=-all", "--no-new-privs"]
    return subprocess.run(["nsenter", "-t", str(pid), "-m", "-p", *drop, *words], capture_output=True, timeout=60)


def step(run):
    no_key(run)
    machine = run.machine
    executor, uploader = PROGRAM_UNITS["executor"], PROGRAM_UNITS["uploader"]
    pids = {name: machine.main_pid(unit) for name, unit in PROGRAM_UNITS.items()}
    users = {name: groups_of(machine.host_pid(pid))[0] for name, pid in pids.items()}
    must("0" not in users.values() and users["executor"] not in (users["broker"], users["fetcher"], users["uploader"]),
         f"users: {users}")
    files = [path for path in (machine.root / "var/lib/sluice").rglob("*") if path.is_file()]
    secrets = ["/etc/sluice/api_key", "/run/credentials/sluice-fetcher.service/api_key",
               "/run/credentials/sluice-uploader.service/api_key", "/run/sluice/spool/.", "/var/lib/sluice/.",
               "/var/log/sluice/.", f"/proc/{pids['fetcher']}/environ", f"/proc/{pids['broker']}/fd/.",
               *("/" + str(path.relative_to(machine.root)) for path in files)]
    must(any("journal" in path for path in secrets), f"no journal among {secrets}")
    must(as_unit(run, executor, "cat", "/etc/sluice/sluice.conf").returncode == 0, "the executor cannot read its configuration")
    for path in secrets:
        read = ["ls", path] if path.endswith("/.") else ["cat", path]
        done = as_unit(run, executor, *read)
        must(done.returncode != 0 or done.stdout == b"", f"the executor's unit reads {path}")
    for path in ("/var/lib/sluice/journal.db", "/etc/sluice/api_key"):
        done = as_unit(run, executor, "cat", path, root=True)
        must(done.returncode != 0 or done.stdout == b"", f"{path} is in the executor's sandbox")
    for path in ("/usr", "/etc/sluice", "/var/lib", "/home", "/boot"):
        must(as_unit(run, executor, "touch", f"{path}/x", root=True).returncode != 0, f"{path} can be written in the sandbox")
    must(b"sluice-executor" in as_unit(run, uploader, "ls", "/var/log/sluice/executors").stdout,
         "the uploader does not find the executors' logs")
    log = as_unit(run, uploader, "cat", "/var/log/sluice/executors/sluice-executor_prod.log")
    must(log.returncode == 0 and b"event=" in log.stdout, "the uploader cannot read the executors' log")
