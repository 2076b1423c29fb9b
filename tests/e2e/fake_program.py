#!/usr/bin/python3 -SE
"""Stands in for a program of `sluice run`: writes what happens to it into a file beside it, and behaves as told by
NAME.json there: {"exit": status at once, "term_s": seconds from SIGTERM to the end, "deaf": true}."""
import json
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
NAME = os.path.basename(sys.argv[0]).replace("sluice-", "")


def tell(event, **more):
    line = json.dumps({"name": NAME, "pid": os.getpid(), "event": event, "at": time.monotonic(), **more}) + "\n"
    fd = os.open(os.path.join(HERE, "events"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)


def content(option):
    for word in sys.argv[1:]:
        if word.startswith(option + "="):
            with open(word.split("=", 1)[1]) as file:
                return file.read()
    return None


def main():
    mode = {}
    try:
        with open(os.path.join(HERE, NAME + ".json")) as file:
            mode = json.load(file)
    except FileNotFoundError:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode.get("deaf") else lambda *_: None)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM} if not mode.get("deaf") else set())
    links = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            links[fd] = os.readlink("/proc/self/fd/" + fd)
        except OSError:
            pass
    tell("start", argv=sys.argv[1:], config=content("--config"), key=content("--apiKeyFile"), fds=links,
         env=dict(os.environ), blocked=[int(s) for s in blocked], group=os.getpgrp())
    if "exit" in mode:
        sys.exit(mode["exit"])
    if "SLUICE_READY_FD" in os.environ:
        os.write(int(os.environ["SLUICE_READY_FD"]), b"1")
    if mode.get("deaf"):
        while True:
            time.sleep(60)
    signal.sigwait({signal.SIGTERM})
    tell("term")
    time.sleep(mode.get("term_s", 0))
    tell("end")


main()
