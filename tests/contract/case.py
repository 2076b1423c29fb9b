"""What an entry of the table of cases is made of, and how its texts are written.

In every text `{tool}` stands for the first tool's URL without path, `{other}` for the second's, `{tls}` for one with a
certificate nobody trusts, `{private}` for one with a certificate of the authority that the agent is told to trust,
`{six}` for one on [::1], `{dead}` for a URL where nobody listens, `{full}` for one where connections never come about;
`{tool.at}` for host and port of the same, `{tool.port}` for the port alone; `{name}` for the case's own name; `{in1500ms}` and `{in3000ms}` for times in Unix ms.
"""
import base64
import gzip
import json
import re
import urllib.parse

PARTS = ("tool", "other", "tls", "private", "six", "dead", "full")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSE = b"#CLOSE#"  # at the end of an answer: then the connection is closed


def answer(status="200 OK", *headers, body=b"", length=True):
    """An answer's octets; headers are lines."""
    lines = [f"HTTP/1.1 {status}", *headers, *([f"Content-Length: {len(body)}"] if length else [])]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def moved(status, location):
    return answer(f"{status} Moved", f"Location: {location}")


def seen(method="GET", target="/{name}", *headers, host="{tool.at}", body=b"", agent="User-Agent: sluice/2.0.0",
         encoding="Accept-Encoding: gzip, deflate", accept="Accept: */*", connection="Connection: keep-alive"):
    """A request's octets: the headers that every request has, then these lines."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", agent, encoding, accept, connection, *headers]
    text = "\r\n".join(line for line in lines if line) + "\r\n\r\n"
    return text.encode("latin-1") + (body.encode() if isinstance(body, str) else body)


def task(members="", url="{tool}/{name}", method="GET"):
    """A task's JSON; `members` is JSON text that follows the three every task has."""
    more = "," + members if members else ""
    return f'{{"taskId":"{{name}}","url":"{url}","method":"{method}"{more}}}'


INLINE_MAX = 512000  # octets of a body that goes inside the result


class Given:
    """The members of a result with an answer in it: `headers` is the JSON text inside the object, `body` what the tool
    sent, decoded. `stored` are the lines that a store gets of the tool's headers, when the body goes there."""

    def __init__(self, status, headers, body, stored):
        self.status, self.headers, self.body, self.stored = status, headers, body, stored
        self.large = len(body) > INLINE_MAX

    def members(self, url=None):
        """Their JSON text; `url` is where a store has the body."""
        version, answered = '"version":"2.0.0"', f'"statusCode":{self.status},"responseHeaders":{{{self.headers}}}'
        if self.large:
            return f'{answered},{version},"s3Url":"{url}"' if url else f'{version},{answered},"responseZipped":true'
        inside = f',"responseBase64":true,"output":"{base64.b64encode(self.body).decode()}"' if self.body else ""
        return f"{version},{answered}{inside}"


def given(status=200, headers='"Content-Length":"2"', body=b"ok", stored=()):
    return Given(status, headers, body, stored)


class Failed:
    """The members of an error result; the text is a pattern in which placeholders stand for themselves."""

    def __init__(self, pattern, network=False):
        self.pattern = f"Agent Side Error: {'Network error' if network else 'Error'}: {pattern}"


def network(pattern):
    return Failed(pattern, network=True)


class Case:
    """
    name     also the task's taskId and the first part of its path, unless the case says otherwise
    topic    of the AC contract, see topics.py
    task     the task's JSON as AC hands it out
    sees     the requests the tools see, in order, to the byte; () for none
    answers  what the tools answer: bytes, or a list of them, one a request; None: nothing
    gives    what the result adds to the task; a body over 512,000 octets goes the way the agent is told to
    echo     the task as the result begins with, when it is not `task` itself; without its last brace
    """

    def __init__(self, name, topic, *, task=task(), sees=None, answers=OK, gives=given(), echo=None, task_id=None,
                 needs=None):
        self.name, self.topic, self.task, self.answers, self.gives = name, topic, task, answers, gives
        self.sees = [seen()] if sees is None else list(sees)
        self.echo, self.task_id, self.needs = echo, task_id or name, needs

    def __repr__(self):
        return self.name

    def answer(self, index):
        if not isinstance(self.answers, list):
            return self.answers
        return self.answers[min(index, len(self.answers) - 1)]

    def check_result(self, got, fill):
        """Compares what AC received, and the store, to the byte. `got` is a Received."""
        raw = self.echo if self.echo is not None else self.task.removesuffix("}")
        begin = fill(raw).encode() + (b"" if raw.endswith("{") else b",")
        if isinstance(self.gives, Failed):
            self._check_failure(got, begin, fill)
            return
        large = self.gives.large
        assert got.call == ("upload-result" if large and got.to_ac else "put-result")
        same(got.result, begin + fill(self.gives.members(got.get_url)).encode() + b"}")
        if large and got.to_ac:
            assert re.fullmatch(re.escape(urllib.parse.quote(self.task_id, " /=")) + r"_[0-9a-f]{32}\.zip",
                                urllib.parse.quote(got.file_name, "% /=")), got.file_name
            same(gzip.decompress(got.file), self.gives.body)
        puts = [stored(got.put_url, self.gives)] if large and not got.to_ac else []
        assert len(got.puts) == len(puts)
        for found, wanted in zip(got.puts, puts):
            same(found, wanted)

    def _check_failure(self, got, begin, fill):
        assert (got.call, got.puts) == ("put-result", [])
        same(got.result[:len(begin)], begin)
        rest = got.result[len(begin):]
        assert rest.startswith(b'"version":"2.0.0","statusCode":500,"output":"')
        members = json.loads(b"{" + rest)
        assert list(members) == ["version", "statusCode", "output"]
        pattern = re.sub(r"\\\{([a-z.]+)\\\}", lambda m: re.escape(fill("{" + m[1] + "}")),
                         self.gives.pattern.replace("{", "\\{").replace("}", "\\}"))
        assert re.fullmatch(pattern, members["output"]), members["output"]


class Received:
    """What came of one result: the call that brought it, its octets, the file beside it, and what the store got."""

    def __init__(self, call, result, *, to_ac, file=None, file_name=None):
        self.call, self.result, self.to_ac, self.file, self.file_name = call, result, to_ac, file, file_name
        self.put_url = self.get_url = None
        self.puts = []


def stored(url, given_):
    """The octets of a PUT to the store: the body as it was decoded, with the tool's own type and encoding."""
    _, _, at, target = url.split("/", 3)
    lines = [f"PUT /{target} HTTP/1.1", f"Host: {at}", "User-Agent: sluice/2.0.0", "Accept: */*",
             "Accept-Encoding: gzip, deflate", "Connection: keep-alive", *given_.stored, f"Content-Length: {len(given_.body)}"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + given_.body


def same(found, wanted):
    """An assertion that stays readable for megabytes."""
    if found == wanted:
        return
    at = next((i for i, (a, b) in enumerate(zip(found, wanted)) if a != b), min(len(found), len(wanted)))
    begin = max(0, at - 60)
    raise AssertionError(f"{len(found)} octets for {len(wanted)}; from {begin} on they are\n  "
                         f"{found[begin:at + 200]!r}\nand have to be\n  {wanted[begin:at + 200]!r}")
