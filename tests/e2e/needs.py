"""What a test needs of the machine: it fails where that is refused, unless it was said that it may be left out."""
import os
import subprocess
import sys

import pytest

INSIDE = "SLUICE_TEST_NAMESPACE"  # set in the namespace


def may_be_left_out(what):
    """SLUICE_TESTS_WITHOUT=namespaces,mounts,ipv6 says that it may."""
    return what in os.environ.get("SLUICE_TESTS_WITHOUT", "").split(",")


def refused(what):
    """Of a test that cannot run."""
    if may_be_left_out(what):
        pytest.skip(f"without {what}, as SLUICE_TESTS_WITHOUT says")
    pytest.fail(f"{what} are refused here; SLUICE_TESTS_WITHOUT={what} leaves the test out")


def in_a_namespace(file, *before, timeout=120):
    """Runs the tests of a file that are marked with `inside`, as root of a network and mount namespace of their own:
    every port is free there. `before` are shell commands to run first."""
    namespace = ["unshare", "--map-root-user", "--net", "--mount"]
    if subprocess.run([*namespace, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode != 0:
        refused("namespaces")
    script = " && ".join(["ip link set lo up", *before,
                          f"exec {sys.executable} -m pytest -q --durations=5 -p no:cacheprovider {file}"])
    done = subprocess.run([*namespace, "sh", "-c", script], env={**os.environ, INSIDE: "1"}, capture_output=True, text=True,
                          timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


inside = pytest.mark.skipif(INSIDE not in os.environ, reason="runs inside the namespace")
outside = pytest.mark.skipif(INSIDE in os.environ, reason="starts what runs inside the namespace")
