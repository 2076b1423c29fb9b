"""What an executor may call, by rules, and the headers that rules add: the real program, recorded tools."""
import base64
import json
import socket
import subprocess

import pytest

from agent import BUILD, until
from fake_broker import FakeBroker
from tool_server import ToolServer, answer
from workers import Program


class Site:
    def __init__(self, folder):
        self.folder = folder
        (folder / "run").mkdir()
        self.broker, self.programs, self.tools, self.numbers = FakeBroker(folder / "run"), [], [], iter(range(1, 1000))
        self.rules = folder / "policy.conf"

    def start(self, rules, *options):
        if rules is not None:
            self.rules.write_text(rules)
            options = ("--policy.file", self.rules, *options)
        self.program = Program("sluice-executor", self.folder, "--runtimeDir", self.folder / "run", "--stateDir",
                               self.folder / "state", *options)
        self.programs.append(self.program)
        self.worker = self.broker.welcome()

    def tool(self, *args, **more):
        self.tools.append(ToolServer(*args, **more))
        return self.tools[-1]

    def run(self, url, method="GET", **more):
        """The result of a task."""
        number = next(self.numbers)
        task = {"taskId": f"t{number}", "url": url, "method": method, **more}
        self.broker.push_task(self.worker, number, json.dumps(task).encode(), stage=1, flags=int(method != "POST"))
        self.broker.expect("CLAIM", number=number)
        self.broker.send(self.worker, "CLAIMED", session=self.worker.session, number=number, attempt=1)
        result = self.broker.expect("RESULT", number=number)
        self.broker.send(self.worker, "STORED", session=self.worker.session, number=number, attempt=1)
        return json.loads(result.payload)

    def close(self):
        for program in self.programs:
            program.stop()
        for tool in self.tools:
            tool.close()
        self.broker.close()


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


def secret(folder, name, text, mode=0o600):
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def refused(result, *texts):
    assert result["statusCode"] == 500, result
    assert result["output"].startswith("Agent Side Error: Error: "), result["output"]
    for text in texts:
        assert text in result["output"], result["output"]


def test_refused_requests_name_the_rule_and_reach_no_tool(site):
    tool = site.tool()
    site.start(f'deny method=POST name="read only"\ndeny path=/secret\nallow cidr=127.0.0.1 port={tool.port}\ndefault deny\n')
    assert site.run(tool.url("/fine"))["statusCode"] == 200
    refused(site.run(tool.url("/fine"), "POST"), f"127.0.0.1:{tool.port}: refused by", 'rule "read only" (policy.conf, line 1)')
    refused(site.run(tool.url("/x/%2e%2e/secret/a")), "rule (policy.conf, line 2)")
    refused(site.run("http://10.255.255.1/"), "the default (line 4)")
    refused(site.run("http://localhost:1/"), "the default (line 4)")
    assert [request.line for request in tool.requests] == ["GET /fine HTTP/1.1"]
    assert "policy.conf, line 1" in site.program.log


def test_metadata_addresses_are_refused_without_any_rule(site):
    site.start(None)
    for url in ("http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/", "http://0xa9fea9fe/",
                "http://metadata.google.internal/", "http://[fd00:ec2::254]/", "http://100.100.100.200/"):
        refused(site.run(url), "what is built in against")
    tool = site.tool({"/go": answer(302, [("Location", "http://169.254.169.254/latest/")])})
    refused(site.run(tool.url("/go")), "169.254.169.254", "what is built in against")


def test_a_redirect_is_judged_anew(site):
    inner = site.tool(host="127.0.0.2")
    tool = site.tool({"/go": answer(302, [("Location", inner.url("/x"))]), "/in": answer(302, [("Location", "/admin/x")])})
    site.start("deny host=127.0.0.2 name=inner\ndeny path=/admin\ndefault allow\n")
    refused(site.run(tool.url("/go")), 'rule "inner"', f"127.0.0.2:{inner.port}")
    refused(site.run(tool.url("/in")), "line 2")
    assert inner.requests == [] and len(tool.requests) == 2


def test_the_address_connected_to_decides_of_each_request(site):
    """A name is no proof: what it leads to is looked at when curl connects, and again before the request."""
    tool = site.tool()
    url = f"http://localhost:{tool.port}/"
    site.start("deny cidr=127.0.0.0/8,::1 method=DELETE name=ours\ndefault allow\n")
    assert site.run(url)["statusCode"] == 200
    refused(site.run(url, "DELETE"), 'rule "ours"', "for the address")
    assert site.run(url)["statusCode"] == 200
    assert [request.line.split()[0] for request in tool.requests] == ["GET", "GET"]


def test_behind_a_proxy_names_are_judged(site):
    proxy = site.tool()
    site.start("deny cidr=127.0.0.0/8\ndeny host=.forbidden.example\ndefault allow\n", "--inwardProxyHttp", proxy.url(""))
    assert site.run("http://fine.example/")["statusCode"] == 200
    refused(site.run("http://a.forbidden.example/"), "line 2")
    refused(site.run("http://127.0.0.9/"), "line 1")
    refused(site.run("http://169.254.169.254/"), "built in")
    assert [request.line for request in proxy.requests] == ["GET http://fine.example/ HTTP/1.1"]


def test_no_other_spelling_of_a_host_gets_past_its_name(site):
    """libcurl would decode a host, and a proxy look up what nobody has judged."""
    proxy = site.tool()
    site.start("deny host=secret.example\ndefault allow\n", "--inwardProxyHttp", proxy.url(""))
    for host in ("169%2e254%2e169%2e254", "%31%36%39.254.169.254", "metadata%2egoogle.internal", "secr%65t.example",
                 "secret.example%2e", "SECRET.example.", "secret.example..", "\u24c2etadata.google.internal",
                 "169\u3002254\u3002169\u3002254", "[2002:a9fe:a9fe::]", "[64:ff9b:1::a9fe:a9fe]", "secret.example,x"):
        refused(site.run(f"http://{host}/"))
    assert site.run("http://fine.example/", requestHeaders={"Host": "fine.example:80"})["statusCode"] == 200
    refused(site.run("http://fine.example/", requestHeaders={"host": "Secret.example:8080"}), "line 1")
    refused(site.run("http://fine.example/", requestHeaders={"Host": "169.254.169.254"}), "built in")
    refused(site.run("http://fine.example/", requestHeaders={"Host ": "secret.example"}), "a name that cannot be sent")
    assert len(proxy.requests) == 1


def test_what_fails_at_an_allowed_address_is_told_as_it_is(site):
    """localhost has two addresses; one is refused, at the other nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    site.start("deny cidr=::1\ndefault allow\n")
    output = site.run(f"http://localhost:{port}/")["output"]
    assert output.startswith("Agent Side Error: Network error: ") and "refused by" not in output, output


def test_local_credentials(site):
    """Added or replaced, read anew when changed, never told, and for nobody else."""
    token = secret(site.folder, "token", "s3cret-one\n")
    login = secret(site.folder, "login", "jira:pa55word\n")
    other = site.tool(host="127.0.0.2")
    tool = site.tool({"/go": answer(302, [("Location", other.url("/x"))]), "/on": answer(302, [("Location", "/y")])})
    site.start(f'allow host=127.0.0.1 path=/basic header="Authorization: Basic {{base64:{login}}}"\n'
               f'allow host=127.0.0.1,127.0.0.2 header="Authorization: Bearer {{{token}}}" header="X-Key: {{{token}}}"\n'
               "default deny\n", "--debugMode", "true")
    result = site.run(tool.url("/a"), requestHeaders={"authorization": "Bearer from-ac", "X-Other": "stays"})
    seen = dict(tool.requests[-1].headers)
    assert (seen["Authorization"], seen["X-Key"], seen["X-Other"]) == ("Bearer s3cret-one", "s3cret-one", "stays")
    assert "authorization" not in seen
    assert result["requestHeaders"] == {"authorization": "Bearer from-ac", "X-Other": "stays"}
    assert "s3cret" not in json.dumps(result)
    token.write_text("s3cret-two")
    site.run(tool.url("/on"))
    assert [dict(request.headers)["X-Key"] for request in tool.requests[-2:]] == ["s3cret-two"] * 2
    site.run(tool.url("/go"), requestHeaders={"X-Other": "stays"})
    there = dict(other.requests[-1].headers)
    assert "Authorization" not in there and "X-Key" not in there and there["X-Other"] == "stays"
    refused(site.run(tool.url("/a"), "TRACE"), "the answer to TRACE would tell")
    site.run(tool.url("/basic/x"))
    given = dict(tool.requests[-1].headers)["Authorization"]
    assert base64.b64decode(given.split()[1]) == b"jira:pa55word"
    before = len(tool.requests)
    token.chmod(0o644)
    refused(site.run(tool.url("/a")), "header Authorization", "open to everybody")
    token.unlink()
    refused(site.run(tool.url("/a")), "No such file")
    assert len(tool.requests) == before
    for text in ("s3cret", "pa55word", base64.b64encode(b"jira:pa55word").decode()):
        assert text not in site.program.log


def test_a_rule_on_addresses_can_bring_the_headers(site):
    """Which rule it is shows only when curl has connected; nothing was sent until then."""
    token = secret(site.folder, "token", "for-loopback")
    tool = site.tool()
    site.start(f'allow cidr=127.0.0.0/8,::1 header="X-Key: {{{token}}}"\nallow host=localhost\ndefault deny\n')
    for method in ("GET", "POST", "GET"):
        assert site.run(f"http://localhost:{tool.port}/", method)["statusCode"] == 200
    assert [dict(request.headers).get("X-Key") for request in tool.requests] == ["for-loopback"] * 3


def test_rules_are_read_again_when_they_change(site):
    tool = site.tool()
    site.start("default allow\n")
    assert site.run(tool.url("/"))["statusCode"] == 200
    site.rules.write_text("deny port=x\n")
    until(lambda: site.run(tool.url("/"))["statusCode"] == 200 and "event=policy_unchanged" in site.program.log,
          "the mistake is told")
    assert "policy.conf, line 1: port is" in site.program.log
    site.rules.write_text("default deny\n")
    until(lambda: site.run(tool.url("/"))["statusCode"] == 500, "the new rules hold")


def test_learn_mode_lets_pass_and_suggests_rules(site):
    tool = site.tool()
    site.start("default deny\n", "--policy.mode", "learn")
    for path, method in (("/rest/issue/17?key=hidden", "GET"), ("/rest/x", "POST"), ("/login", "GET"), ("/login", "GET")):
        assert site.run(tool.url(path), method)["statusCode"] == 200
    refused(site.run("http://169.254.169.254/"), "built in")
    refused(site.run("http://a,*/,/"))
    learned = (site.folder / "state/policy-seen").read_text()
    assert "hidden" not in learned and "issue" not in learned and "169.254" not in learned and "*" not in learned
    with (site.folder / "state/policy-seen").open("a") as seen:  # by hand, or by somebody
        seen.write("GET http://a,*:80/x\nGET\\x http://b:80/\nGET http://c:80,1-65535/\nget http://d:80/\nGET ://e:80/\n")
    done = subprocess.run([BUILD / "bin/sluice", "policy", "suggest", "--stateDir", site.folder / "state"],
                          capture_output=True, text=True, timeout=30, check=True)
    assert f"allow scheme=http host=127.0.0.1 port={tool.port} method=GET,POST path=/login,/rest\n" in done.stdout
    assert done.stdout.endswith("default deny\n")
    site.program.stop()
    assert done.stdout.count("allow ") == 1, done.stdout
    site.start(done.stdout)  # as suggested
    assert site.run(tool.url("/rest/other"))["statusCode"] == 200
    refused(site.run(tool.url("/elsewhere")), "the default")


def policy(folder, *words, rules="default allow\n", expect=0):
    (folder / "p.conf").write_text(rules)
    done = subprocess.run([BUILD / "bin/sluice", "policy", *words, "--policy.file", folder / "p.conf"], text=True,
                          capture_output=True, timeout=30, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_check_says_which_rule_decides(tmp_path):
    token = secret(tmp_path, "token", "hidden")
    rules = f'allow host=a.invalid name=a header="X: {{{token}}}"\ndeny cidr=127.0.0.0/8,::1\ndefault deny\n'
    out = policy(tmp_path, "check", "get", "https://a.invalid/x", rules=rules)
    assert 'allowed by rule "a" (p.conf, line 1); sends its header X' in out and "hidden" not in out
    assert "refused by rule (p.conf, line 2)" in policy(tmp_path, "check", "GET", "http://localhost/", rules=rules, expect=1)
    assert "built in" in policy(tmp_path, "check", "GET", "http://169.254.169.254/", expect=1)
    assert "p.conf, line 2: there is no \"hots\"" in policy(tmp_path, "check", "GET", "http://a/",
                                                            rules="\nallow hots=x\n", expect=2)


def test_mistakes_in_rules_stop_the_start(tmp_path):
    (tmp_path / "p.conf").write_text("default deny\nallow host=a port=99999\n")
    done = subprocess.run([BUILD / "bin/sluice-executor", "--check-config", "--policy.file", tmp_path / "p.conf"],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2 and "p.conf, line 2: port is" in done.stderr
