"""http to https on the standard ports, which a redirect may take with the Authorization: in a network namespace, where both
ports are free."""
import pytest

from agent import Agent
from certificates import Authority
from needs import in_a_namespace, inside, outside
from tool_server import ToolServer, answer
from two_sides import AC

pytestmark = pytest.mark.contract("3 redirects")


@outside
def test_in_a_namespace():
    in_a_namespace(__file__)


def headers(request):
    return dict(request.headers)


@inside
def test_authorization_is_kept_from_http_to_https_only(tmp_path):
    authority = Authority(tmp_path)

    def moved(place):
        return answer(307, [("Location", place)])

    plain = ToolServer({"/up": moved("https://127.0.0.1/there")}, port=80)
    tls = ToolServer({"/down": moved("http://127.0.0.1/there")}, certificate=authority.issue("tool"), port=443)
    ac = AC()
    agent = Agent(tmp_path, ac, "--toolCaBundle", authority.certificate).start()
    secret = {"requestHeaders": {"Authorization": "Bearer secret"}, "input": "body"}
    try:
        ac.add("up", "http://127.0.0.1/up", method="POST", **secret)
        ac.add("down", "https://127.0.0.1/down", method="POST", **secret)
        assert ac.result("up")["statusCode"] == ac.result("down")["statusCode"] == 200
        arrived = next(request for request in tls.requests if request.target == "/there")
        assert headers(arrived)["Authorization"] == "Bearer secret" and arrived.body == b"body"
        assert headers(arrived)["Host"] == "127.0.0.1"
        arrived = next(request for request in plain.requests if request.target == "/there")
        assert "Authorization" not in headers(arrived) and arrived.body == b"body"
    finally:
        ac.end()
        agent.close()
        ac.close()
