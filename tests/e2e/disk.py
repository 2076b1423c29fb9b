"""A disk that loses what was not synced (tests/fault/bad_disk.c), and disks that fail or are full."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import uuid

from agent import BUILD
from needs import built

LIBRARY = BUILD / "tests/fault/bad_disk.so"
PAGE = 4096


class BadDisk:
    """Under the state directory of an agent that has not been started yet."""

    def __init__(self, agent, folder):
        built(LIBRARY)
        self.state = agent.state
        self.shadow = pathlib.Path(folder) / "shadow"
        for name in ("data", "names", "generations"):
            (self.shadow / name).mkdir(parents=True)
        self.rules, self.boot = self.shadow / "rules", self.shadow / "boot"
        agent.environment |= {"LD_PRELOAD": str(LIBRARY), "BAD_DISK_STATE": str(self.state),
                              "BAD_DISK_SHADOW": str(self.shadow), "BAD_DISK_FAULTS": str(self.rules),
                              "BAD_DISK_BOOT_ID": str(self.boot)}
        self.boot.write_text(f"{uuid.uuid4()}\n")

    def fail(self, *rules):
        """From now on, e.g. fail("sync journal 5"); fail() ends it."""
        made = self.shadow / "rules.new"
        made.write_text("".join(rule + "\n" for rule in rules))
        made.rename(self.rules)

    def _generation(self, inode):
        path = self.shadow / "generations" / str(inode)
        return int.from_bytes(path.read_bytes(), "little") if path.exists() else 0

    def is_durable(self, folder):
        """Whether a file with no suffix is there for good (but for the name of the folder itself)."""
        return any("." not in name for name in self._durable_names(self.state / folder))

    def _durable_names(self, folder):
        path = self.shadow / "names" / str(folder).replace("/", "+")
        lines = path.read_text().splitlines() if path.exists() else []
        return {name: (kind, ident) for name, ident, kind in (line.rsplit(" ", 2) for line in lines)}

    def _live_names(self, folder):
        names = {}
        for entry in os.scandir(folder) if folder.exists() else []:
            inode = entry.inode()
            folder_entry = entry.is_dir(follow_symlinks=False)
            names[entry.name] = ("d" if folder_entry else "f", f"{inode}-{0 if folder_entry else self._generation(inode)}")
        return names

    def cut(self, survives):
        """Power is cut, all processes being dead: what was synced is there, and of all else (a page, a size, a name) what
        survives() says. The state directory and the record of what is durable are what the disk has then."""
        live = {}
        for path in self.state.rglob("*"):
            if path.is_file():
                inode = path.stat().st_ino
                live[f"{inode}-{self._generation(inode)}"] = path
        made = self.state.with_name("state.after")
        contents = self._folder(self.state, made, live, survives)
        shutil.rmtree(self.state)
        made.rename(self.state)
        for name in ("data", "names", "generations"):
            shutil.rmtree(self.shadow / name)
            (self.shadow / name).mkdir()
        self._keep(self.state)
        self.boot.write_text(f"{uuid.uuid4()}\n")
        return contents

    def _keep(self, folder):
        """All that is there is durable."""
        lines = []
        for name, (kind, ident) in self._live_names(folder).items():
            lines.append(f"{name} {ident} {kind}\n")
            if kind == "d":
                self._keep(folder / name)
            else:
                shutil.copyfile(folder / name, self.shadow / "data" / ident)
        (self.shadow / "names" / str(folder).replace("/", "+")).write_text("".join(lines))

    def _folder(self, folder, made, live, survives):
        """Returns what was lost: texts."""
        made.mkdir(mode=0o700)
        durable, now = self._durable_names(folder), self._live_names(folder)
        lost = []
        for name in sorted(durable.keys() | now.keys()):
            entry = durable.get(name)
            if entry != now.get(name):
                if survives():
                    entry = now.get(name)
                else:
                    lost.append(f"name {folder.name}/{name}")
            if not entry:
                continue
            kind, ident = entry
            if kind == "d":
                lost += self._folder(folder / name, made / name, live, survives)
            else:
                lost += self._file(ident, made / name, live.get(ident), survives)
        return lost

    def _file(self, ident, made, live, survives):
        synced = self.shadow / "data" / ident
        old = synced.read_bytes() if synced.exists() else b""
        new = live.read_bytes() if live else old
        size = len(new) if len(new) == len(old) or survives() else len(old)
        pages = []
        lost = 0
        for at in range(0, max(len(old), len(new)), PAGE):
            a, b = old[at:at + PAGE].ljust(PAGE, b"\0"), new[at:at + PAGE].ljust(PAGE, b"\0")
            keep = a == b or survives()
            lost += not keep
            pages.append(b if keep else a)
        made.write_bytes(b"".join(pages)[:size].ljust(size, b"\0"))
        made.chmod(0o600)
        return [f"{lost} pages of {made.name}"] if lost or size != len(new) else []


@contextlib.contextmanager
def small_disk(path, megabytes):
    """A file system of its own at path; None where that is not allowed."""
    path.mkdir(mode=0o700, exist_ok=True)
    options = f"size={megabytes}m,mode=700"
    done = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path],
                                                capture_output=True, check=False).returncode == 0
    try:
        yield path if done else None
    finally:
        if done:
            subprocess.run(["umount", "-l", path], check=False)
