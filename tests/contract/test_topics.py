"""Each topic of the AC contract has a test that names it, and every name is one of a topic."""
import ast
import pathlib

import pytest

from cases import CASES
from topics import TOPICS

E2E = pathlib.Path(__file__).parents[1] / "e2e"


def marks(path):
    """The topics that the marks of a file name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.contract":
            yield from (argument.value for argument in node.args)


NAMED = {topic for path in E2E.glob("test_*.py") for topic in marks(path)} | {case.topic for case in CASES}


@pytest.mark.parametrize("topic", TOPICS)
def test_has_a_test(topic):
    assert topic in NAMED, f"no test names {topic!r}: {TOPICS[topic]}"


def test_names_are_topics():
    assert NAMED <= set(TOPICS)
