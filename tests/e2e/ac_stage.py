"""A broker and an AC that do what a test wants, around one of the programs between them."""

from fake_ac import FakeAC
from fake_broker import FakeBroker
from workers import Program


class Stage:
    """A broker, an AC, and the programs a test starts."""

    name = None  # of the program

    def __init__(self, directory, answer=None):
        self.directory = directory
        (directory / "run").mkdir()
        self.broker = FakeBroker(directory / "run")
        self.ac = FakeAC(answer) if answer else FakeAC()
        self.programs = []

    def start(self, *options, url=None, env=None):
        program = Program(self.name, self.directory, "--serverUrl", url or self.ac.url, "--runtimeDir",
                          self.directory / "run", "--stateDir", self.directory / "state", *options, env=env)
        self.programs.append(program)
        return program

    def restart_broker(self, start):
        self.broker.close()
        self.broker = FakeBroker(self.directory / "run", start=start)
        return self.broker

    def close(self):
        for program in self.programs:
            program.stop()
        self.ac.close()
        self.broker.close()
