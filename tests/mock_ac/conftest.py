import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))  # for its ports

from mock_client import Mock  # noqa: E402


@pytest.fixture
def start():
    """Starts mocks and ends them all; each has to end cleanly."""
    mocks = []

    def run(*options):
        mocks.append(Mock(*options))
        return mocks[-1]

    yield run
    for mock in mocks:
        mock.close()
