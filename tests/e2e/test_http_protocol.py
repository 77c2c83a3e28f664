"""
Web servers, [http NAME]: requests and replies as HTTP 1.1 and 1.0 have them, and clients
that are slow, incomplete or too many.
"""
import http.client
import json

import pytest

from harness import Client, flush, pump, section, serial, wait_for
from test_http import TOKEN, Stream, Web, pair  # noqa: F401


@pytest.mark.parametrize("data, status", [
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
    (b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    (b"GET x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"hello\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: local\x00host\r\n\r\n", 400),
    (b"GET /\x80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"POST /api/send HTTP/1.1\r\nHost: localhost\r\n\r\n", 411),
    (b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
    (b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x10\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", 417),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
])
def test_what_is_no_request_is_refused(pair, data, status):
    d, web, a, b = pair()
    assert web.raw(data).startswith(f"HTTP/1.1 {status} ")
    assert web.get("/healthz") == "ok\n"


def test_several_requests_on_a_connection(pair):
    d, web, a, b = pair()
    c = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
    for path in ("/healthz", "/metrics", "/api/endpoints", "/nope", "/healthz"):
        c.request("GET", path)
        r = c.getresponse()
        assert r.read() and r.status == (404 if path == "/nope" else 200)
        sock = c.sock
    assert c.sock is sock
    c.request("HEAD", "/metrics")
    r = c.getresponse()
    assert r.status == 200 and r.read() == b""
    # Sent together, with the end of the input right behind.
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert web.raw(one * 3, end=True).count("\r\n\r\nok\n") == 3
    # As old programs, and people with netcat, do.
    assert web.raw(b"GET /healthz HTTP/1.0\n\n").endswith("\r\n\r\nok\n")
    assert "chunked" not in web.raw(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert d.number("daemon/waits") == d.number("daemon/events")


def test_a_host_in_the_target_is_that_of_the_request(pair):
    d, web, a, b = pair()
    text = "GET http://%s/healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
    for target, field, status in (("localhost", "evil.example", 200), ("evil.example", "localhost", 403),
                                  ("127.0.0.1:80", "localhost", 200), ("", "localhost", 400)):
        assert web.raw((text % (target, field)).encode()).startswith(f"HTTP/1.1 {status} "), target


def test_a_query_that_is_no_query_is_refused(pair):
    d, web, a, b = pair()
    for path, why in (("list?prefix=" + "x" * 300, "'prefix' is longer than 255 bytes"),
                      ("list?prefix=%zz", "'prefix' has a '%' without two hexadecimal digits"),
                      ("list?prefix", "'prefix' is empty"),
                      ("get?path=%", "'path' has a '%' without")):
        status, _, body = web.request(f"/api/{path}")
        assert status == 400 and json.loads(body)["error"].startswith(why), (path, body)
    for names, why in (("a," * 256, "'watch' is longer than 511 bytes"),
                       ("%0a", "'watch' has a control character in it")):
        got = web.raw(f"GET /api/stream?watch={names} HTTP/1.0\r\n\r\n".encode())
        assert got.startswith("HTTP/1.1 400 ") and why in got
    assert list(web.json("list?prefix=a/state")) == ["a/state"]


def test_what_is_not_in_the_api_is_refused(pair):
    """As JSON, as all its replies."""
    d, web, a, b = pair(access="full")
    token = {"Authorization": f"Bearer {TOKEN}"}
    for path, status, why in (
            ("ps?pattern=a", 400, "ps has no argument 'pattern'"),
            ("get?path=a/state&x", 400, "get has no argument 'x'; it has 'path'"),
            ("get?path=a/state&path=b/state", 400, "'path' is given twice"),
            ("stream?watched=a", 400, "stream has no argument 'watched'; it has 'watch'"),
            ("nosuch", 404, "there is no command 'nosuch'; the commands are endpoints, "),
            ("reload", 405, "this is given by POST")):
        got, head, body = web.request(f"/api/{path}", **token)
        assert got == status and json.loads(body)["error"].startswith(why), (path, body)
    got, _, body = web.request("/api/pause?name=a", "POST", "", Content_Type="application/json", **token)
    assert got == 400 and "not in the query" in json.loads(body)["error"]
    for start, status, why in ((b"DELETE /api/ps", 405, "the methods here are"),
                               (b"POST /api/pause", 411, "a POST needs a Content-Length")):
        head, body = web.raw(start + b" HTTP/1.1\r\nHost: localhost\r\n\r\n").split("\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status} ") and "application/json" in head
        assert json.loads(body)["error"].startswith(why)
    assert d.state("a") == "up"


def test_all_requests_before_the_end_of_the_input_get_replies(daemon, pty, directory):
    """Also to a client that reads slowly."""
    web = Web(directory)
    daemon(serial("a", pty("a")) + web.section +
           "".join(section("echo", f"e{i}") for i in range(300)))
    ask = "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
    size = len(web.get("/metrics"))
    for tail in ("", "GET /healthz HT"):
        client = Client(("127.0.0.1", web.port), receive_buffer=4096)
        client.send((ask % "/metrics" * 3 + tail).encode())
        flush([client])
        client.end()
        pump([client], lambda: client.eof, what="three replies")
        got = client.take()
        assert got.count(b"\r\n0\r\n\r\n") == 3 and len(got) > 2.9 * size, (tail, len(got))
        client.close()


def test_requests_wait_for_a_busy_daemon(pair):
    d, web, a, b = pair()
    busy = [Client(d.socket) for _ in range(6)]
    for c in busy:
        c.send(b"list\n" * 2000)
    pump(busy, lambda: all(c.received for c in busy), what="busy clients")
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    got = web.raw(one * 3, streams=busy, end=True)
    assert got.count("\r\n\r\nok\n") == 3
    for c in busy:
        c.close()


def test_a_request_has_to_arrive_in_time(pair):
    d, web, a, b = pair(request_timeout="300ms")
    assert web.raw(b"GET /healthz HT").startswith("HTTP/1.1 408 ")
    assert web.raw(b"") == ""


def test_a_scraper_that_stops_is_closed(daemon, pty, directory):
    web = Web(directory, request_timeout="500ms")
    d = daemon(serial("a", pty("a")) + web.section +
               "".join(section("echo", f"e{i}") for i in range(300)))
    client = Client(("127.0.0.1", web.port), receive_buffer=4096)
    client.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    wait_for(lambda: any(t.startswith("web.client") for t in d.tasks()), what="the connection")
    wait_for(lambda: not any(t.startswith("web.client") for t in d.tasks()), what="its end")
    client.close()


def test_idle_clients_leave_their_places(pair, connect):
    d, web, a, b = pair(max_clients="3")
    idle = [connect(web.port) for _ in range(3)]
    for c in idle:
        c.send(b"GET /heal")
    wait_for(lambda: sum(t.startswith("web.client") for t in d.tasks()) == 9)
    assert web.get("/healthz") == "ok\n"
    streams = [Stream(web) for _ in range(3)]
    for s in streams:
        s.event("hello")
    assert "503 Service Unavailable" in web.raw(b"")
