"""What needs.py promises: a test that cannot run here fails, unless SLUICE_TESTS_WITHOUT leaves it out, and none is skipped
without a word."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

TESTS = """
import pathlib
import pytest
from needs import built, inside, refused

def test_mounts():
    refused("mounts", "not permitted")

@pytest.fixture
def no_root():
    refused("root")

def test_root(no_root):
    pass

def test_skips():
    pytest.skip("there is no time")

@pytest.mark.skipif(True, reason="not today")
def test_is_marked():
    pass

def test_library():
    built(pathlib.Path("/no/library.so"))

@inside
def test_in_a_namespace():
    pass
"""


@pytest.mark.parametrize("without, counts", [
    ("", {"failed": 3, "errors": 2, "skipped": 1}),
    ("mounts", {"failed": 2, "errors": 2, "skipped": 2}),
    ("ipv6,root,mounts", {"failed": 2, "error": 1, "skipped": 3}),
])
def test_what_cannot_run_fails(tmp_path, without, counts):
    (tmp_path / "test_these.py").write_text(TESTS)
    here = pathlib.Path(__file__).parent
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "conftest", "test_these.py"],
                          cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
                          env={**os.environ, "PYTHONPATH": str(here), "SLUICE_TESTS_WITHOUT": without})
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert {word: int(count) for count, word in re.findall("([0-9]+) ([a-z]+)", last.partition(" in ")[0])} == counts, done.stdout
    assert ("mounts: refused here (not permitted); SLUICE_TESTS_WITHOUT=mounts leaves" in done.stdout) == \
        ("mounts" not in without)
    assert "there is no time" in done.stdout and "not today" in done.stdout and "/no/library.so is not there" in done.stdout
