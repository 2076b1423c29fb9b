"""The uploader between a broker and an AC that do what each test wants."""

import json

import pytest

from ac_stage import Stage

DONE, REFUSED, BUSY, LIMITED, DENIED, SERVER, NETWORK, MALFORMED, REDIRECT, ABORTED = 1, 3, 4, 5, 6, 7, 8, 9, 10, 12
ABORTED = 12
OK = (200, {}, b"{}")


class UploaderStage(Stage):
    name = "sluice-uploader"

    def __init__(self, directory):
        super().__init__(directory, lambda _: OK)

    def claimed(self, worker, *numbers, **over):
        """Gives results to the uploader and answers their claims."""
        for number in numbers:
            self.broker.push_task(worker, number, body(number), 2, **over)
        for number in numbers:
            claim = self.broker.expect("CLAIM", number=number)
            self.broker.send(worker, "CLAIMED", session=worker.session, number=number, attempt=claim.attempt)

    def gone(self, worker, number, attempt=1):
        self.broker.send(worker, "GONE", session=worker.session, number=number, attempt=attempt)

    def granted(self, worker, credit=7, **options):
        self.broker.grant(worker, self.broker.expect("WANT", stage=2).seq, credit, stage=2, **options)


def body(number):
    return json.dumps({"taskId": f"task-{number}", "statusCode": 200, "output": "x" * number}).encode()


@pytest.fixture
def stage(tmp_path):
    it = UploaderStage(tmp_path)
    yield it
    it.close()


@pytest.fixture
def up(stage):
    """A stage with an uploader that has a session."""
    stage.program = stage.start()
    stage.worker = stage.broker.welcome()
    return stage
