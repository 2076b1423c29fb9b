"""What a test needs of the machine: it fails where that is refused, unless it was said that it may be left out."""
import os
import subprocess
import sys

import pytest

INSIDE = "SLUICE_TEST_NAMESPACE"  # set in the namespace


LEFT_OUT = "as SLUICE_TESTS_WITHOUT says"


def may_be_left_out(what):
    """SLUICE_TESTS_WITHOUT=namespaces,mounts,ipv6,root says that it may."""
    return what in os.environ.get("SLUICE_TESTS_WITHOUT", "").split(",")


def refused(what, why=""):
    """Of a test that cannot run."""
    if may_be_left_out(what):
        pytest.skip(f"without {what}, {LEFT_OUT}")
    pytest.fail(f"{what}: refused here{why and f' ({why})'}; SLUICE_TESTS_WITHOUT={what} leaves the test out")


def built(path):
    """What is left out of a build on purpose has no test there (CMakeLists.txt): here it is missing."""
    if not path.exists():
        pytest.fail(f"{path} is not there: build it, or take another build")


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


THERE, HERE = "runs inside the namespace", "starts what runs inside the namespace"
inside = pytest.mark.skipif(INSIDE not in os.environ, reason=THERE)
outside = pytest.mark.skipif(INSIDE in os.environ, reason=HERE)


def forbid_skip(report):
    """Makes a failure of a skip that nobody has asked for: it would pass for a test that was run."""
    if report.skipped and not str(report.longrepr[2]).endswith((LEFT_OUT, THERE, HERE)):
        report.outcome = "failed"
