"""What an entry of the table of cases is made of, and how its texts are written.

In every text `{tool}` stands for the first tool's URL without path, `{other}` for the second's, `{tls}` for one with a
certificate nobody trusts, `{six}` for one on [::1], `{dead}` for a URL where nobody listens; `{tool.at}` for host and
port of the same, `{tool.port}` for the port alone; `{name}` for the case's own name; `{in1500ms}` for a time in Unix ms.
"""
import base64
import json
import re

PARTS = ("tool", "other", "tls", "six", "dead")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSE = b"#CLOSE#"  # at the end of an answer: then the connection is closed


def answer(status="200 OK", *headers, body=b"", length=True):
    """An answer's octets; headers are lines."""
    lines = [f"HTTP/1.1 {status}", *headers, *([f"Content-Length: {len(body)}"] if length else [])]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def moved(status, location):
    return answer(f"{status} Moved", f"Location: {location}")


def seen(method="GET", target="/{name}", *headers, host="{tool.at}", cookie="", body=b"", agent="User-Agent: sluice/2.0.0",
         encoding="Accept-Encoding: gzip, deflate", accept="Accept: */*", connection="Connection: keep-alive"):
    """A request's octets: the headers that every request has, then these lines."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", cookie, agent, encoding, accept, connection, *headers]
    text = "\r\n".join(line for line in lines if line) + "\r\n\r\n"
    return text.encode("latin-1") + (body.encode() if isinstance(body, str) else body)


def task(members="", url="{tool}/{name}", method="GET"):
    """A task's JSON; `members` is JSON text that follows the three every task has."""
    more = "," + members if members else ""
    return f'{{"taskId":"{{name}}","url":"{url}","method":"{method}"{more}}}'


def given(status=200, headers='"Content-Length":"2"', body=b"ok"):
    """The members a result adds to its task: `headers` is the JSON text inside the object."""
    text = f'"version":"2.0.0","statusCode":{status},"responseHeaders":{{{headers}}}'
    if body:
        text += f',"responseBase64":true,"output":"{base64.b64encode(body).decode()}"'
    return text


class Failed:
    """The members of an error result; the text is a pattern in which placeholders stand for themselves."""

    def __init__(self, pattern, network=False):
        self.pattern = f"Agent Side Error: {'Network error' if network else 'Error'}: {pattern}"


def network(pattern):
    return Failed(pattern, network=True)


class Case:
    """
    name     also the task's taskId and the first part of its path, unless the case says otherwise
    section  of the AC contract
    task     the task's JSON as AC hands it out
    sees     the requests the tools see, in order, to the byte; () for none
    answers  what the tools answer: bytes, or a list of them, one a request; None: nothing
    gives    what the result adds to the task
    echo     the task as the result begins with, when it is not `task` itself; without its last brace
    """

    def __init__(self, name, section, *, task=task(), sees=None, answers=OK, gives=given(), echo=None, task_id=None,
                 needs=None):
        self.name, self.section, self.task, self.answers, self.gives = name, section, task, answers, gives
        self.sees = [seen()] if sees is None else list(sees)
        self.echo, self.task_id, self.needs = echo, task_id or name, needs

    def __repr__(self):
        return self.name

    def answer(self, index):
        if not isinstance(self.answers, list):
            return self.answers
        return self.answers[min(index, len(self.answers) - 1)]

    def check_result(self, result, fill):
        """Compares what put-result brought, to the byte."""
        raw = self.echo if self.echo is not None else self.task.removesuffix("}")
        begin = fill(raw).encode() + (b"" if raw.endswith("{") else b",")
        if not isinstance(self.gives, Failed):
            assert result == begin + fill(self.gives).encode() + b"}"
            return
        assert result[:len(begin)] == begin
        members = json.loads(b"{" + result[len(begin):])
        assert result[len(begin):].startswith(b'"version":"2.0.0","statusCode":500,"output":"')
        assert list(members) == ["version", "statusCode", "output"]
        pattern = re.sub(r"\\\{([a-z.]+)\\\}", lambda m: re.escape(fill("{" + m[1] + "}")),
                         self.gives.pattern.replace("{", "\\{").replace("}", "\\}"))
        assert re.fullmatch(pattern, members["output"]), members["output"]
