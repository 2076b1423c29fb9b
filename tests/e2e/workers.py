"""Starts the real programs for tests, and ends what was started."""

import os
import pathlib
import signal
import subprocess
import time

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", "build/release")).resolve()


class Program:
    """One process of the build, with its log lines in a file."""

    def __init__(self, name, directory, *options, env=None):
        self.name = name
        self.log_path = pathlib.Path(directory) / f"{name}-{time.monotonic_ns()}.log"
        key = pathlib.Path(directory) / "key"
        if not key.exists():
            key.write_text("the-secret-key\n")
            key.chmod(0o600)
        arguments = [str(BUILD / "bin" / name), "--logDir", str(directory / "logs"), "--enableStdoutLogging",
                     *map(str, options)]
        if name in ("sluice-fetcher", "sluice-uploader"):
            arguments += ["--apiKeyFile", str(key)]
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        environment.update(env or {})
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(arguments, stderr=log, stdout=log, env=environment)

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def events(self, event):
        return [line for line in self.log.splitlines() if f"event={event}" in line]

    def dead(self):
        return self.process.poll() is not None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """At once, and for good."""
        if not self.dead():
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def term(self):
        self.process.send_signal(signal.SIGTERM)
