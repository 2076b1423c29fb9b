"""Hosts as network namespaces, joined by wires that take their time and can be cut. Needs root and /dev/net/tun."""
import contextlib
import ctypes
import fcntl
import heapq
import os
import select
import signal
import struct
import subprocess
import time

_libc = ctypes.CDLL(None, use_errno=True)
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI, _CLONE_NEWNET = 0x400454CA, 1, 0x1000, 0x40000000
_PR_SET_PDEATHSIG = 1


def why_not():
    """What is missing for hosts, or an empty text."""
    if os.geteuid() != 0:
        return "hosts of one's own need root"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return probe.stderr.decode().strip() if probe.returncode != 0 else ""


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _enter(path):
    with open(path, "rb") as file:
        if _libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


class Host:
    """A namespace, kept by a process that sleeps in it."""

    def __init__(self):
        self.keeper = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], preexec_fn=_die_with_parent,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        here = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.keeper.pid}/ns/net") == here:
            time.sleep(0.005)
        self.path = f"/proc/{self.keeper.pid}/ns/net"
        self.run("ip", "link", "set", "lo", "up")

    def command(self, *words):
        return ["nsenter", f"--net={self.path}", *map(str, words)]

    def run(self, *words):
        subprocess.run(self.command(*words), check=True, capture_output=True)

    @contextlib.contextmanager
    def inside(self):
        """This process, and what it starts meanwhile, is on the host."""
        with open("/proc/self/ns/net", "rb") as back:
            _enter(self.path)
            try:
                yield
            finally:
                _libc.setns(back.fileno(), _CLONE_NEWNET)

    def close(self):
        self.keeper.kill()
        self.keeper.wait()


class Wire:
    """Joins two hosts: each packet takes `delay_s` on its way. cut() loses all, mend() none."""

    def __init__(self, one, other, address_one, address_other, delay_s):
        self.ends = [(one, address_one, address_other), (other, address_other, address_one)]
        fds = [self._tun(*end) for end in self.ends]
        self.pid = os.fork()
        if self.pid == 0:
            _die_with_parent()
            nowhere = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(nowhere, fd)
            with contextlib.suppress(KeyboardInterrupt):
                _carry(fds, delay_s)
            os._exit(0)
        for fd in fds:
            os.close(fd)

    @staticmethod
    def _tun(host, address, peer):
        name = "w" + peer.replace(".", "")[-8:]
        with host.inside():
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
        host.run("ip", "address", "add", address, "peer", peer, "dev", name)
        host.run("ip", "link", "set", name, "txqueuelen", "5000", "up")
        return fd

    def cut(self):
        os.kill(self.pid, signal.SIGUSR1)

    def mend(self):
        os.kill(self.pid, signal.SIGUSR2)

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _carry(fds, delay_s):
    state = {"cut": False}
    signal.signal(signal.SIGUSR1, lambda *_: state.update(cut=True))
    signal.signal(signal.SIGUSR2, lambda *_: state.update(cut=False))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    under_way, count = [], 0
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for fd in select.select(fds, [], [], wait)[0]:
            with contextlib.suppress(BlockingIOError):
                for _ in range(64):
                    packet = os.read(fd, 65536)
                    count += 1
                    if not state["cut"]:
                        heapq.heappush(under_way, (time.monotonic() + delay_s, count, fds[fd == fds[0]], packet))
        now = time.monotonic()
        while under_way and under_way[0][0] <= now:
            _, _, to, packet = heapq.heappop(under_way)
            if not state["cut"]:
                with contextlib.suppress(OSError):
                    os.write(to, packet)
