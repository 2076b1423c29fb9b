"""Certificates of AC and of tools: verified by default, with private authorities, and refused in words that say why."""
import re
import ssl
import subprocess

import pytest

from agent import BUILD, check_books
from certificates import Authority
from tool_server import ToolServer, answer
from two_sides import ac, run_tasks, start  # ac and start are fixtures

pytestmark = pytest.mark.contract("3 certificates")

REASONS = {
    "expired": "certificate has expired",
    "wrong-name": "no alternative certificate subject name matches target host name '127.0.0.1'",
    "self-signed": "self-signed certificate",
    "other-authority": "unable to get local issuer certificate",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def bad(authority, tmp_path_factory):
    """Certificates that are to be refused, by the reason's name."""
    other = Authority(tmp_path_factory.mktemp("other"), "Other CA")
    return {"expired": authority.issue("expired", days=-1), "wrong-name": authority.issue("named", "DNS:tool.example"),
            "self-signed": authority.self_signed("alone"), "other-authority": other.issue("theirs")}


@pytest.mark.parametrize("how", ["--toolCaBundle", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_tools(ac, start, authority, bad, how):
    good = ToolServer(certificate=authority.issue("tool"))
    others = {name: ToolServer(certificate=certificate) for name, certificate in bad.items()}
    bundle = str(authority.certificate)
    agent = start(how, bundle) if how.startswith("--") else start(**{how: bundle})
    results = run_tasks(ac, {"good": good.url("/x"), **{name: tool.url("/x?secret") for name, tool in others.items()}})
    assert results["good"]["statusCode"] == 200
    for name, tool in others.items():
        start_of_text = f"Agent Side Error: Network error: 127.0.0.1:{tool.port}: TLS handshake: SSL"
        assert results[name]["output"].startswith(start_of_text) and REASONS[name] in results[name]["output"]
        assert tool.requests == []
    assert "event=certificates_unverified" not in agent.log_text()


def test_tools_by_default_trust_the_system_only(ac, start, authority):
    tool = ToolServer(certificate=authority.issue("tool"))
    start()
    assert REASONS["other-authority"] in run_tasks(ac, {"t": tool.url("/x")})["t"]["output"]


def test_a_bundle_is_all_that_is_trusted(ac, start, authority, bad, tmp_path):
    """The option goes before the environment, and what is named stands for the system's own store."""
    tool = ToolServer(certificate=authority.issue("tool"))
    start("--toolCaBundle", bad["self-signed"][0], REQUESTS_CA_BUNDLE=str(authority.certificate),
          SSL_CERT_FILE=str(authority.certificate))
    assert REASONS["other-authority"] in run_tasks(ac, {"t": tool.url("/x")})["t"]["output"]


def test_unverified(ac, start, bad):
    tools = {name: ToolServer(certificate=certificate) for name, certificate in bad.items()}
    agent = start("--verify", "false")
    results = run_tasks(ac, {name: tool.url("/x") for name, tool in tools.items()})
    assert [result["statusCode"] for result in results.values()] == [200] * 4
    log = agent.log_text()
    assert log.count("event=certificates_unverified") == 3  # fetcher, executor, uploader


def test_client_certificate(ac, start, authority):
    certificate, key = authority.issue("client", "DNS:client")
    tool = ToolServer(certificate=(*authority.issue("tool"), authority.certificate))
    start("--toolCaBundle", authority.certificate, "--clientCert", certificate, "--clientKey", key)
    assert run_tasks(ac, {"t": tool.url("/x")})["t"]["statusCode"] == 200


def test_no_client_certificate(ac, start, authority):
    tool = ToolServer(certificate=(*authority.issue("tool"), authority.certificate))
    tool.tls.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 refuses behind the handshake, and may reset the connection
    start("--toolCaBundle", authority.certificate)
    output = run_tasks(ac, {"t": tool.url("/x")})["t"]["output"]
    assert output.startswith(f"Agent Side Error: Network error: 127.0.0.1:{tool.port}: TLS handshake: ")
    assert "handshake failure" in output
    assert tool.requests == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("which", ["absent", "other-authority"])
def test_a_client_certificate_that_is_not_accepted(ac, start, authority, tmp_path_factory, version, which):
    """The error names the tool and the reason; 1.3 refuses behind the handshake, and may reset the connection then."""
    options = []
    if which != "absent":
        certificate, key = Authority(tmp_path_factory.mktemp("theirs"), "Their CA").issue("client", "DNS:client")
        options = ["--clientCert", certificate, "--clientKey", key]
    tool = ToolServer(certificate=(*authority.issue("tool"), authority.certificate))
    tool.tls.minimum_version = tool.tls.maximum_version = version
    start("--toolCaBundle", authority.certificate, *options)
    output = run_tasks(ac, {"t": tool.url("/x?secret")})["t"]["output"]
    assert output.startswith(f"Agent Side Error: Network error: 127.0.0.1:{tool.port}: "), output
    if version == ssl.TLSVersion.TLSv1_2:
        assert ": TLS handshake: " in output and re.search("unknown ca|handshake failure", output), output
    else:
        assert re.search(": (sending the request|waiting for the answer): ", output), output
    assert tool.requests == [] and "secret" not in output


@pytest.mark.parametrize("case", ["another's key", "no key", "no certificate"])
def test_client_files_that_cannot_be_used(ac, start, authority, tmp_path, case):
    """The error names the file."""
    certificate, key = authority.issue("client", "DNS:client")
    text = tmp_path / "text.pem"
    text.write_text("hello")
    other = authority.issue("another", "DNS:client")[1]
    options, words = {
        "another's key": (["--clientCert", certificate, "--clientKey", other], f"unable to set private key file: '{other}'"),
        "no key": (["--clientCert", certificate], f"unable to set private key file: '{certificate}'"),
        "no certificate": (["--clientCert", text, "--clientKey", key], f"could not load PEM client certificate from {text}"),
    }[case]
    tool = ToolServer(certificate=(*authority.issue("tool"), authority.certificate))
    start("--toolCaBundle", authority.certificate, *options)
    output = run_tasks(ac, {"t": tool.url("/x")})["t"]["output"]
    assert output.startswith(f"Agent Side Error: Error: 127.0.0.1:{tool.port}: TLS handshake: {words}"), output
    assert tool.requests == []


@pytest.mark.parametrize("name", REASONS)
def test_ac_is_refused(world, authority, bad, name):
    certificate, key = bad[name]
    mock = world.start_mock("--tasks", 5, "--tlsCert", certificate, "--tlsKey", key)
    agent = world.make_agent("--caBundle", authority.certificate).start()
    status = agent.status_until(lambda s: s["ac"]["last_error"], "an error of AC")
    port = mock.ac.rpartition(":")[2]
    assert re.match(rf"get-task at 127\.0\.0\.1:{port}: TLS handshake: SSL", status["ac"]["last_error"])
    assert REASONS[name] in status["ac"]["last_error"]
    assert REASONS[name].replace("'", "") in agent.log_text().replace("'", "")
    assert mock.books()["ac_requests"] == 0


@pytest.mark.parametrize("how", ["--caBundle", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_ac_with_a_private_authority(world, authority, how):
    certificate, key = authority.issue("ac")
    mock = world.start_mock("--tasks", 50, "--tlsCert", certificate, "--tlsKey", key)
    agent = world.make_agent(*([how, authority.certificate] if how.startswith("--") else []))
    agent.environment = {} if how.startswith("--") else {how: str(authority.certificate)}
    agent.start()
    check_books(mock.wait("delivered>=50"), 50)


@pytest.mark.parametrize("to_ac", ["true", "false"])
def test_large_bodies_over_tls(world, authority, to_ac):
    """The store's certificate is verified as AC's is."""
    certificate, key = authority.issue("ac")
    mock = world.start_mock("--tasks", 4, "--bodyBytes", "2000000-2000000", "--tlsCert", certificate, "--tlsKey", key)
    world.make_agent("--caBundle", authority.certificate, "--uploadToAc", to_ac).start()
    books = mock.wait("delivered>=4")
    check_books(books, 4)
    assert books["ac_upload_result" if to_ac == "true" else "store_requests"] == 4


@pytest.mark.parametrize("name", REASONS)
def test_a_store_that_is_not_trusted(ac, start, authority, bad, name):
    """AC is well, and the store is somebody else: the body stays here, and the log names the store and the reason."""
    ac.store = store = ToolServer(certificate=bad[name])
    tool = ToolServer(default=answer(body=bytes(600000)))
    agent = start("--caBundle", authority.certificate, "--uploadToAc", "false")
    ac.add("t", tool.url("/x"))
    agent.status_until(lambda s: s["counters"]["upload_retries"] >= 1, "a failed upload")
    line = next(line for line in agent.log_text().splitlines() if "event=store_failed" in line)
    assert f"the store at 127.0.0.1:{store.port}: TLS handshake: SSL" in line and REASONS[name] in line, line
    assert store.requests == []


def test_ac_unverified(world, bad):
    certificate, key = bad["self-signed"]
    mock = world.start_mock("--tasks", 5, "--tlsCert", certificate, "--tlsKey", key)
    world.make_agent("--verify", "false").start()
    check_books(mock.wait("delivered>=5"), 5)


@pytest.mark.parametrize("program,option", [("sluice-fetcher", "caBundle"), ("sluice-executor", "toolCaBundle"),
                                            ("sluice-executor", "clientCert"), ("sluice-executor", "clientKey")])
def test_a_file_that_is_not_there_stops_the_start(tmp_path, program, option):
    missing = tmp_path / "missing.pem"
    both = ["--clientCert", __file__] if option == "clientKey" else []
    to_ac = ["--serverUrl", "https://ac.invalid", "--apiKey", "k"] if program == "sluice-fetcher" else []
    done = subprocess.run([BUILD / "bin" / program, f"--{option}", missing, "--check-config", *both, *to_ac],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert f'{option}: cannot read {missing}: No such file or directory' in done.stderr
