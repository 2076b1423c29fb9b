"""--ipv4Fallback, with a name server of the test's own: in a network namespace, where it may have port 53."""
import pytest

from name_server import A, AAAA, NameServer
from needs import in_a_namespace, inside, outside
from tool_server import ToolServer
from two_sides import ac, run_tasks, start  # ac and start are fixtures

pytestmark = pytest.mark.contract("3 ipv4Fallback")

RESOLV, SWITCH = "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n", "hosts: dns\n"


@outside
def test_in_a_namespace(tmp_path):
    (tmp_path / "resolv.conf").write_text(RESOLV)
    (tmp_path / "nsswitch.conf").write_text(SWITCH)
    in_a_namespace(__file__, f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf",
                   f"mount --bind {tmp_path}/nsswitch.conf /etc/nsswitch.conf")


@pytest.fixture(scope="module")
def server():
    return NameServer()


@pytest.fixture
def names(server):
    server.asked.clear()
    return server


@inside
def test_without_the_option_the_lookup_fails(ac, start, names):
    tool = ToolServer()
    start()
    results = run_tasks(ac, {"good": f"http://good.test:{tool.port}/a", "broken": f"http://broken.test:{tool.port}/b"})
    assert results["good"]["statusCode"] == 200
    assert results["broken"]["output"] == (f"Agent Side Error: Network error: broken.test:{tool.port}: looking up the name: "
                                           "Could not resolve host: broken.test")


@inside
def test_with_it_the_host_is_looked_up_again_and_remembered(ac, start, names):
    tool = ToolServer(default=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok#CLOSE#")
    start("--ipv4Fallback", "--executorPoolSize", 1)
    url = f"http://broken.test:{tool.port}/"
    assert run_tasks(ac, {"first": url})["first"]["statusCode"] == 200
    assert names.kinds("broken.test") in ([A, AAAA, A], [AAAA, A, A])
    assert run_tasks(ac, {"second": url, "third": url.replace("broken", "BROKEN")})["third"]["statusCode"] == 200
    assert AAAA not in names.kinds("broken.test")[3:] + names.kinds("BROKEN.test")
    assert run_tasks(ac, {"good": url.replace("broken", "good")})["good"]["statusCode"] == 200
    assert AAAA in names.kinds("good.test")  # another host is as before


@inside
def test_a_host_without_an_address_fails_twice_and_is_not_remembered(ac, start, names):
    start("--ipv4Fallback", "--executorPoolSize", 1)
    for name, url in (("one", "http://dead.test/"), ("two", "http://dead.test/"), ("none", "http://none.test/")):
        assert "Could not resolve host" in run_tasks(ac, {name: url})[name]["output"]
    asked = names.kinds("dead.test")
    assert asked.count(AAAA) >= 2 and asked.count(A) >= 4


@inside
def test_ac_and_a_post(ac, start, names):
    """The lookup of AC's name as well; a POST, which is never repeated, may be looked up again: nothing was sent."""
    tool = ToolServer()
    ac.ac = ac.ac.replace("127.0.0.1", "broken.test")
    start("--ipv4Fallback")
    ac.add("post", f"http://broken.test:{tool.port}/", method="POST", input="x")
    assert ac.result("post")["statusCode"] == 200
    assert len(tool.requests) == 1
    assert ac.server.most_in_flight <= 2
