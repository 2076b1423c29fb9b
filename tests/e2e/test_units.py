"""The systemd units as they are installed: verified, sandboxed, and every exception explained."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", "build/release")).resolve()
SERVICES = ("sluice-broker.service", "sluice-fetcher.service", "sluice-uploader.service", "sluice-executor@.service")
EXPOSURE_MAX = 1.5


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
    return prefix


@pytest.fixture(scope="module")
def units(installed):
    return installed / "lib/systemd/system"


def analyze(*words):
    tool = shutil.which("systemd-analyze")
    assert tool, "systemd-analyze is missing (package systemd)"
    return subprocess.run([tool, *words], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "SYSTEMD_COLORS": "0", "LC_ALL": "C.UTF-8"})


def test_verified(units, installed):
    done = analyze("verify", "--man=no", *(units / name for name in (*SERVICES, "sluice.target")))
    ours = [line for line in done.stderr.splitlines() if "sluice" in line or str(installed) in line]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.parametrize("name", SERVICES)
def test_exposure(units, name):
    done = analyze("security", "--offline=true", "--no-pager", units / name)
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level[1]) <= EXPOSURE_MAX
    told = " ".join(line for line in (units / name).read_text().splitlines() if line.startswith("#"))
    for line in done.stdout.splitlines():
        if line.startswith("✗"):
            setting = re.split(r"[=/]", line[1:].strip())[0]
            assert setting in told or setting == "SupplementaryGroups" and "no group but its own" in told, \
                f"{setting} is not restricted, and the unit does not say why"


@pytest.mark.parametrize("name", SERVICES)
def test_what_each_may_see(units, name):
    text = (units / name).read_text()
    assert ("LoadCredential=api_key:" in text) == (name in ("sluice-fetcher.service", "sluice-uploader.service"))
    for credential in re.findall("LoadCredential=(.+):", text):  # without the file the program says what is missing
        assert f"SetCredential={credential}:\\n\n" in text
    assert ("LoadCredential=executor_key:" in text) == (name == "sluice-executor@.service")
    assert re.search("\nExecReload=.*/sluice-.* --check-config\nExecReload=kill", text)
    for line in ("Type=notify", "Restart=always", "StartLimitIntervalSec=0", "WatchdogSec=20", "ExecReload=kill -HUP $MAINPID",
                 "RuntimeDirectoryPreserve=yes"):
        assert line in text.splitlines()
    if name == "sluice-executor@.service":
        assert "User=sluice-executor" in text and "StateDirectory=" not in text
        assert "InaccessiblePaths=-/etc/sluice/api_key -/var/lib/sluice " in text
    assert "@" not in re.sub(r"@(system-service|privileged|resources|\.service|\d)", "", text)
