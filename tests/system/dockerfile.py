"""Carries out a Dockerfile without an engine: each stage in a Debian tree, RUN in a chroot. Then starts what it
has made as its user, against the mock AC: what scripts/test-container runs. usage: dockerfile.py BUILD CACHE"""
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from machine import Failure, Skip, base_tree, until
from run import Mock, must

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEY = "key-of-the-container"


def instructions(path):
    """(instruction, rest) of each, with continued lines joined."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            word, rest = line.split(None, 1)
            yield word, rest.strip()


class Stage:
    def __init__(self, folder, base, name):
        self.root, self.env, self.user, self.entrypoint = folder / name / "root", {}, "0:0", []
        for part in ("upper", "work", "root"):
            (folder / name / part).mkdir(parents=True)
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                        f"lowerdir={base},upperdir={folder / name / 'upper'},workdir={folder / name / 'work'}", self.root], check=True)

    def words(self, *command, binds=()):
        """A command in the tree, with processes and mounts of its own and the host's network."""
        mounts = ['mount -t proc proc "$0/proc"', 'mount --bind /dev "$0/dev"',
                  *(f'mkdir -p "$0{target}" && mount --bind {source} "$0{target}"' for source, target in binds)]
        script = " && ".join([*mounts, 'exec chroot "$0" "$@"'])
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", script, self.root, "env", "-i",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *(f"{k}={v}" for k, v in self.env.items()),
                *command]

    def run(self, text):
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        done = subprocess.run(self.words("DEBIAN_FRONTEND=noninteractive", "/bin/sh", "-c", text), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        must(done.returncode == 0, f"RUN {text}\nended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def copy(self, source, target):
        end = self.root / target.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, end, symlinks=True, dirs_exist_ok=True,
                            ignore=lambda folder, names: [n for n in names if pathlib.Path(folder) == ROOT and n in (".git", "build")])
        else:
            end.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, end)

    def close(self):
        subprocess.run(["umount", "-l", self.root], check=False)


def build(path, folder, base):
    stages, last = {}, None
    for word, rest in instructions(path):
        print(f"{word} {' '.join(rest.split())[:100]}", flush=True)
        parts = shlex.split(rest)
        if word == "FROM":
            must(parts[0] == "debian:12", f"the base is {parts[0]}")
            name = parts[2] if len(parts) == 3 else f"stage{len(stages)}"
            last = stages[name] = Stage(folder, base, name)
        elif word == "RUN":
            last.run(rest)
        elif word == "COPY":
            origin = ROOT
            if parts[0].startswith("--from="):
                origin = stages[parts.pop(0)[len("--from="):]].root
            for source in parts[:-1]:
                last.copy(origin / source.lstrip("/"), parts[-1])
        elif word == "ENV":
            last.env |= dict(part.split("=", 1) for part in parts)
        elif word == "USER":
            last.user = rest
        elif word == "ENTRYPOINT":
            last.entrypoint = json.loads(rest)
        else:
            must(word in ("VOLUME", "STOPSIGNAL"), f"unknown instruction {word}")
    return stages, last


def start(image, folder, words):
    """As an engine would: as the user, with a key mounted, and the journal on a volume."""
    uid, gid = image.user.split(":")
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o755)
    (secrets / "api_key").write_text(KEY + "\n")
    (secrets / "api_key").chmod(0o644)
    return subprocess.Popen(image.words("setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "--no-new-privs",
                                        "--bounding-set=-all", *image.entrypoint, *words, binds=[(secrets, "/run/secrets")]),
                            stdin=subprocess.DEVNULL, stdout=open(folder / "agent.log", "w"), stderr=subprocess.STDOUT)


def leader(process):
    """The host's pid of `sluice run`."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else None


def main():
    build_dir, cache = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-container."))
    stages, agent, mock, code = {}, None, None, 1
    try:
        stages, image = build(ROOT / "deploy/Dockerfile", folder, base_tree(cache, "debian", []))
        must(image.user.split(":")[0] not in ("0", "root"), "the image runs as root")
        must(not (image.root / "usr/bin/cc").exists() and not (image.root / "src").exists(), "the image has the build's tools")
        mock = Mock(build_dir, folder, KEY)
        mock.add(200)
        agent = start(image, folder, ["--serverUrl", mock.ac, "--rateLimitPerMin", "1000000", "--executors", "2"])
        books = mock.wait(200)
        for name in ("lost", "wrong", "reexecuted_unsafe", "duplicates"):
            must(books[name] == 0, f"{name}: {books[name]}")
        pid = until(lambda: leader(agent), "sluice run")
        must(pathlib.Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[0] == image.user.split(":")[0], "another user")
        os.kill(pid, signal.SIGTERM)
        must(agent.wait(60) == 0, f"the agent ended with {agent.returncode}")
        must(KEY not in (folder / "agent.log").read_text(), "the log shows the key")
        print("200 tasks delivered by the image; 1 passed, 0 failed", flush=True)
        code = 0
    except Skip as why:
        print(f"{'#' * 64}\nSKIPPED: the Dockerfile was not carried out: {why}\n{'#' * 64}")
        code = 77
    except Failure as error:
        print(f"FAIL  {error}")
        if (folder / "agent.log").exists():
            print((folder / "agent.log").read_text()[-4000:])
    finally:
        if agent and agent.poll() is None:
            agent.kill()
            agent.wait()
        if mock:
            mock.process.terminate()
        for stage in stages.values():
            stage.close()
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
