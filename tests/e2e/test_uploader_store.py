"""The uploader and the store of large bodies, beside an AC that names it."""

import itertools
import json

import pytest

from tool_server import ToolServer, answer
from uploader_stage import DONE, OK, REFUSED, stage, up  # stage and up are fixtures

STORED = b"x" * 2000
TARGETS = {  # of a putUrl, and what of it the store gets: what the library of the old agent makes of it
    "/b/k?X-Amz-Credential=AK%2F20260101%2Fs3&X-Amz-Signature=ab%2Fc%2B%3D&d=a%3B%20f%3D%22a.b%22": None,
    "/b/o~1_2-3.zip?GoogleAccessId=a%40b.c&Expires=1&Signature=x%2By%2Fz%3D%3D": None,
    "/put/a b?x=c d": "/put/a%20b?x=c%20d",
    "/put/é?ü=%c3%a9": "/put/%C3%A9?%C3%BC=%C3%A9",
    "/put/a[1]|{x}?[|]#fragment": "/put/a%5B1%5D%7C%7Bx%7D?%5B%7C%5D",
    "/put/../a/./b": "/a/b",
}


@pytest.fixture
def to_store(up):
    """A function: results whose bodies go to these URLs, claimed and granted; and the store."""
    store = ToolServer()

    def begin(*urls, headers=None):
        (up.directory / "run/spool").mkdir()
        for number in range(1, len(urls) + 1):
            (up.directory / f"run/spool/{number}.body").write_bytes(STORED)
        given = itertools.cycle(urls)
        up.ac.answer = lambda request: (200, {}, json.dumps({"data": {"putUrl": next(given), "getUrl": "g"}}).encode()
                                        ) if "upload-url" in request.target else OK
        result = {"taskId": "t", "statusCode": 200, "responseHeaders": headers or {}}
        for number in range(1, len(urls) + 1):
            up.broker.push_task(up.worker, number, json.dumps(result).encode(), 2, call=4)
            up.broker.expect("CLAIM", number=number)
            up.broker.send(up.worker, "CLAIMED", session=up.worker.session, number=number, attempt=1)
        up.broker.auto_renew = True

    yield begin, store
    store.close()


def stored(up, number=1):
    """UPLOADED of the result; until then the uploader gets a credit as often as it wants one."""
    for credit in itertools.count(10 * number):
        want = up.broker.until(lambda: up.broker.take("UPLOADED", number=number) or up.broker.take("WANT"))
        if want.message == "UPLOADED":
            return want
        while newer := up.broker.take("WANT"):
            want = newer
        up.broker.grant(up.worker, want.seq, credit, stage=2, ttl_ms=600000)
        up.broker.expect("RELEASE", credit=credit)
        while up.broker.take("WANT"):  # of before
            pass


def test_the_store_gets_what_the_old_agent_sends(up, to_store):
    begin, store = to_store
    begin(*map(store.url, TARGETS), headers={"Content-Type": 'text/x; name="\xe9"', "Content-Encoding": "gzip"})
    for number in range(1, len(TARGETS) + 1):
        assert stored(up, number).outcome == DONE
    assert [request.target for request in store.requests] == [seen or url for url, seen in TARGETS.items()]
    for request in store.requests:
        assert request.body == STORED
        assert sorted(request.headers) == [
            ("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate"), ("Connection", "keep-alive"), ("Content-Encoding", "gzip"),
            ("Content-Length", "2000"), ("Content-Type", 'text/x; name="\xe9"'), ("Host", store.at),
            ("User-Agent", "sluice/2.0.0")]


def test_the_store_by_a_proxy(stage):
    """It gets no header of the library's own."""
    url = b'{"data":{"putUrl":"http://store.example/put?a=b","getUrl":"g"}}'
    proxy = ToolServer(default=lambda request: answer(body=url if "upload-url" in request.target else b"{}"))
    stage.start("--outgoingProxyHttp", proxy.url(""))
    worker = stage.broker.welcome()
    (stage.directory / "run/spool").mkdir()
    (stage.directory / "run/spool/1.body").write_bytes(STORED)
    stage.claimed(worker, 1, call=4)
    stage.granted(worker)
    put = stage.broker.until(lambda: [request for request in proxy.requests if request.line.startswith("PUT")])[0]
    assert put.line == "PUT http://store.example/put?a=b HTTP/1.1" and put.body == STORED
    assert "Proxy-Connection" not in dict(put.headers) and dict(put.headers)["Connection"] == "keep-alive"
    proxy.close()


@pytest.mark.parametrize("status", [307, 308])
def test_the_store_sends_the_body_on(up, to_store, status):
    begin, store = to_store
    other = ToolServer({"/moved/on": answer(status, [("Location", "../last one?a=%2F")])})
    store.answers["/put"] = answer(status, [("Location", other.url("/moved/on"))])
    begin(store.url("/put?secret"))
    assert stored(up).outcome == DONE
    assert [request.target for request in other.requests] == ["/moved/on", "/last%20one?a=%2F"]
    assert [request.line.split()[0] for request in (*store.requests, *other.requests)] == ["PUT"] * 3
    assert other.requests[1].body == STORED
    other.close()


@pytest.mark.parametrize("status,location,why", [
    (302, "/elsewhere", "a redirect that does not say where the body is to go"),
    (307, None, "a redirect that does not say where the body is to go"),
    (308, "ftp://h/x", "the URL's scheme is not supported; only http and https are"),
    (307, "/put", "more than 30 redirects"),
])
def test_a_redirect_of_the_store_that_leads_nowhere_is_a_refusal(up, to_store, status, location, why):
    """Five URLs are tried, as with one that has expired."""
    begin, store = to_store
    store.answers["/put"] = answer(status, [("Location", location)] if location else [])
    begin(store.url("/put?secret"))
    uploaded = stored(up)
    assert (uploaded.outcome, uploaded.http_status) == (REFUSED, status)
    assert uploaded.reason == f"the store at {store.at}: answered {status}: {why}"
    assert len(store.requests) == 5 * (31 if why.startswith("more") else 1)


def test_a_store_without_a_host_is_a_refusal(up, to_store):
    to_store[0]("https://?secret")
    uploaded = stored(up)
    assert (uploaded.outcome, uploaded.reason) == (REFUSED, "the store: the URL names no host, or one that cannot be read")
    assert len([r for r in up.ac.requests if "upload-url" in r.target]) == 5
