import pytest

from mock_client import Mock


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
