"""
Web servers, [http NAME]: metrics for Prometheus, health, the commands as JSON, and who
gets them.
"""
import http.client
import json
import random
import re
import shutil
import socket
import subprocess

import pytest

from certificates import Authority
from harness import (ROOT, Client, expect, flush, free_port, pump, route, run,
                     section, serial, tcp_server, wait_for)

TOKEN = "0123456789abcdef0123456789abcdef"


class Web:
    """A web server's address, and requests to it."""

    def __init__(self, directory, name="web", **keys):
        self.port = free_port()
        self.tls = None
        if keys.get("access") == "full":
            file = directory / "token"
            file.write_text(TOKEN + "\n")
            file.chmod(0o600)
            keys["token_file"] = file
        self.section = section("http", name, listen=f"127.0.0.1:{self.port}", **keys)

    def request(self, path, method="GET", body=None, **fields):
        """(status, fields of the head, body)."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        if self.tls:
            c = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=self.tls)
        c.request(method, path, body=body,
                  headers={k.replace("_", "-"): v for k, v in fields.items()})
        r = c.getresponse()
        got = r.status, r.headers, r.read().decode()
        c.close()
        return got

    def get(self, path, **fields):
        status, _, body = self.request(path, **fields)
        assert status == 200, (status, body)
        return body

    def json(self, path, **fields):
        return json.loads(self.get(f"/api/{path}", **fields))

    def post(self, command, token=TOKEN, **arguments):
        """(status, the JSON of the reply)."""
        status, _, body = self.request(
            f"/api/{command}", "POST", json.dumps(arguments),
            Content_Type="application/json", Authorization=f"Bearer {token}")
        return status, json.loads(body)

    def metrics(self, **fields):
        """(name, labels as text) -> value."""
        found = {}
        for line in self.get("/metrics", **fields).splitlines():
            if not line.startswith("#"):
                name, labels, value = re.fullmatch(
                    r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
                assert (name, labels or "") not in found, line
                found[name, labels or ""] = float(value)
        return found

    def raw(self, data, streams=(), end=False):
        """What the server sends for these bytes until it closes."""
        client = Client(("127.0.0.1", self.port))
        client.send(data)
        if end:
            flush([client])
            client.end()
        pump([client, *streams], lambda: client.eof, what=f"a reply to {data!r:.100}")
        client.close()
        return client.take().decode()


def promtool(*args, **kwargs):
    if not shutil.which("promtool"):
        pytest.skip("needs promtool, of the package prometheus")
    done = subprocess.run(["promtool", *map(str, args)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **kwargs)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def pair(daemon, pty, directory):
    """Two lines and a web server."""
    def make(more="", ping=(), **keys):
        a, b, web = pty("a"), pty("b"), Web(directory, **keys)
        d = daemon(serial("a", a, framing="line", **dict(ping)) +
                   serial("b", b, framing="line", required="yes") +
                   route("there", from_="a", to="b", match="^[^!]") +
                   route("back", from_="b", to="a") + web.section + more)
        return d, web, a, b
    return make


# --- metrics -----------------------------------------------------------------

def test_promtool_accepts_the_metrics(pair):
    d, web, a, b = pair(ping={"label": r'"quoted" \ label'})
    a.send(b"one\n")
    expect(b, b"one\n", [a])
    text = web.get("/metrics")
    assert text.endswith("\n")
    promtool("check", "metrics", input=text)
    # All samples of a metric are together.
    names = [re.match(r"\w+", line)[0] for line in text.splitlines() if line[0] != "#"]
    families = [re.sub("_(bucket|sum|count)$", "", n) for n in names]
    runs = [f for f, before in zip(families, [None] + families) if f != before]
    assert len(runs) == len(set(runs))


def test_metrics_are_the_counters_of_the_control_port(pair):
    d, web, a, b = pair()
    for text in (b"one\n", b"!two\n", b"three\n"):
        a.send(text)
    expect(b, b"one\nthree\n", [a])
    b.send(b"back\n")
    expect(a, b"back\n", [b])
    got = web.metrics()
    for metric, attribute in {"received_bytes_total": "rx_bytes", "sent_bytes_total": "tx_bytes",
                              "received_frames_total": "rx_frames",
                              "sent_frames_total": "tx_frames",
                              "queued_frames": "queued_frames"}.items():
        for name in "ab":
            assert got[f"ttybridge_endpoint_{metric}", f'endpoint="{name}"'] == \
                d.number(f"{name}/{attribute}"), metric
    assert got["ttybridge_route_frames_total", 'route="there"'] == 2
    assert got["ttybridge_route_rejected_frames_total", 'route="there"'] == 1
    assert got["ttybridge_endpoint_state", 'endpoint="a",state="up"'] == 1
    assert got["ttybridge_endpoint_up", 'endpoint="a"'] == 1
    buckets = [v for (name, labels), v in got.items()
               if name == "ttybridge_route_latency_seconds_bucket" and 'route="there"' in labels]
    assert buckets == sorted(buckets) and buckets[-1] == 2
    assert got["ttybridge_route_latency_seconds_count", 'route="there"'] == 2
    assert got["ttybridge_port_clients", 'port="web",type="http"'] == 1


def test_frames_are_accounted_for_after_unplugs(daemon, pty, directory):
    """Offered = delivered + queued + dropped by reason, to the frame."""
    source, sink, web = pty("a"), pty("b"), Web(directory)
    d = daemon(serial("a", source, framing="line") +
               serial("b", sink, framing="line", queue="300", overflow="drop-oldest") +
               route("r", from_="a", to="b", reject="^no") + web.section)
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    for i in range(40):
        source.send(b"".join(chance.choice([b"no %d\n", b"yes %d\n"]) % n for n in range(20)))
        flush([source])
        d.wait_number("a/rx_frames", 20 * (i + 1))
        if i % 8 == 3:
            sink.unplug()
            d.wait_state("b", "lost")
        if i % 8 == 6:
            sink.plug()
            d.wait_state("b", "up")

    def settled():
        got = web.metrics()
        of = lambda name, end="": got[f"ttybridge_{name}_total", end]  # noqa: E731
        offered = of("endpoint_offered_frames", 'endpoint="b"')
        dropped = sum(v for (name, labels), v in got.items() if 'endpoint="b"' in labels and
                      name == "ttybridge_endpoint_dropped_frames_total")
        rejected = of("endpoint_rejected_frames", 'endpoint="b"')
        assert rejected == of("route_rejected_frames", 'route="r"')
        assert offered == of("endpoint_received_frames", 'endpoint="a"')
        sent = of("endpoint_sent_frames", 'endpoint="b"')
        queued = got["ttybridge_endpoint_queued_frames", 'endpoint="b"']
        assert offered == sent + queued + rejected + dropped, (seed, sent, queued, rejected, dropped)
        return offered == 800 and dropped > 0 and rejected > 0
    pump([sink], lambda: d.queued("b") == 0)
    assert settled()


@pytest.fixture
def secure(directory):
    """A web server with TLS, and the keys of a certificate for others."""
    ca = Authority(directory)
    cert, key = ca.make("srv")
    keys = {"tls": "yes", "tls_cert": cert, "tls_key": key}
    web = Web(directory, **keys)
    web.tls = ca.client_context()
    return web, keys


def test_requests_and_events_with_tls(daemon, pty, secure):
    web, _ = secure
    d = daemon(serial("a", pty("a")) + web.section +
               "".join(section("echo", f"e{i}") for i in range(300)))
    assert len(web.json("endpoints")) == 301
    assert web.get("/metrics").count("\n") > 10000
    with socket.create_connection(("127.0.0.1", web.port), timeout=20) as plain, \
            web.tls.wrap_socket(plain) as s:
        s.sendall(b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = b""
        while got.count(b"event: counters") < 3:
            got += s.recv(65536)
        assert got.count(b'"e299"') >= 2
    wait_for(lambda: not any(t.startswith("web.client") for t in d.tasks()), what="its end")


def test_expiry_of_certificates(daemon, pty, secure):
    web, keys = secure
    daemon(serial("a", pty("a")) + web.section + tcp_server("lan", free_port(), **keys))
    got = web.metrics()
    assert got["ttybridge_endpoint_certificate_expiry_timestamp_seconds", 'endpoint="lan"'] > 1.7e9
    assert got["ttybridge_port_certificate_expiry_timestamp_seconds", 'port="web"'] > 1.7e9


def test_warnings(daemon, pty, directory):
    web = Web(directory)
    d = daemon(serial("a", pty("a"), framing="line") + serial("b", pty("b")) + web.section)
    found = wait_for(lambda: web.json("warnings"), what="a warning")
    names = [(w["task"], w["warning"], w["text"]) for w in found]
    assert names == [(w["task"], w["warning"], w["text"]) for w in d.json("warnings")]
    assert names[0][1] == "mixed-framing"
    got = web.metrics()
    assert got["ttybridge_warnings", 'warning="mixed-framing"'] == \
        sum(w["warning"] == "mixed-framing" for w in found)
    assert got["ttybridge_warnings", 'warning="held-loop"'] == 0
    assert web.json("ended") == [] or web.json("ended")[0]["task"]
    assert web.json("stalls") == []


def test_what_ended_is_not_replaced_by_commands_and_requests(pair, connect):
    """Those that have their replies are not in the list."""
    port = free_port()
    d, web, a, b = pair(tcp_server("lan", port))
    visitor = connect(port)
    wait_for(lambda: d.json("peers"), what="the client")
    visitor.close()
    wait_for(lambda: not d.json("peers"), what="its end")
    before = [(e["task"], e["reason"]) for e in d.json("ended")]
    assert {name for name, _ in before} >= {"lan#1.read", "lan#1.write"}
    for _ in range(30):
        d.json("version")
        web.json("version")
    assert [(e["task"], e["reason"]) for e in d.json("ended")] == before


def test_a_connection_that_was_ended_is_listed_with_the_reason(pair):
    d, web, a, b = pair()
    client = Client(("127.0.0.1", web.port))
    name = wait_for(lambda: [n for n in d.tasks() if re.fullmatch(r"web\.client#\d+\.read", n)])[0]
    d.control(f"cancel {name}")
    pump([client], lambda: client.eof)
    row = wait_for(lambda: [e for e in d.json("ended") if e["task"] == name])[0]
    assert row["reason"] == "cancelled on a control port"


# --- health ------------------------------------------------------------------

def test_health_needs_the_required_endpoints(pair):
    d, web, a, b = pair()
    assert web.request("/healthz")[0::2] == (200, "ok\n")
    a.unplug()
    d.wait_state("a", "lost")
    assert web.request("/healthz")[0] == 200
    b.unplug()
    d.wait_state("b", "lost")
    assert web.request("/healthz")[0::2] == (503, "b is lost\n")
    d.control("set b/required no")
    assert web.request("/healthz")[0] == 200
    d.control("set b/required yes")
    b.plug()
    d.wait_state("b", "up")
    assert web.request("/healthz")[0] == 200
    d.control("pause b")
    assert web.request("/healthz")[0::2] == (503, "b is paused\n")


# --- commands ----------------------------------------------------------------

def test_commands_are_those_of_the_control_port(pair):
    d, web, a, b = pair()
    assert [row["name"] for row in web.json("endpoints")] == ["a", "b"]
    assert web.json("routes")[0]["name"] == d.json("routes")[0]["name"]
    assert web.json("get?path=a%2Frx_bytes") == 0
    assert {row["task"] for row in web.json("ps")} >= {"a.read", "web.accept"}
    assert web.json("version")["name"] == "ttybridged"
    status, _, body = web.request("/api/get?path=a/nope")
    assert status == 400 and "unknown attribute 'a/nope'" in json.loads(body)["error"]
    status, _, body = web.request("/api/get")
    assert status == 400 and json.loads(body)["error"] == "'path' is missing"
    status, _, body = web.request("/api/nope")
    assert status == 404 and "endpoints" in json.loads(body)["error"]
    assert web.request("/api/get?path=a%0aversion")[0] == 400
    assert web.request("/nope")[0] == 404


def test_changes(pair):
    d, web, a, b = pair(access="full")
    assert web.post("send", name="a", text=r"x\x21y") == (200, None)
    expect(a, b"x!y\n")
    assert web.post("send", name="a", text="  blanks  ") == (200, None)
    expect(a, b"  blanks  \n")
    status, reply = web.post("send", name="a b", text="x")
    assert status == 400 and "blank" in reply["error"]
    status, reply = web.post("send", name="a", text="x\ny")
    assert status == 400 and "control character" in reply["error"]
    status, reply = web.post("send", name="a", text="x", much="y")
    assert status == 400 and "'much'" in reply["error"]
    status, reply = web.post("send", name="nobody", text="x")
    assert status == 400 and "unknown endpoint" in reply["error"]
    assert web.post("pause", name="a") == (200, None)
    assert d.state("a") == "paused"
    assert web.post("resume", name="a") == (200, None)
    assert web.post("set", path="a/label", value="two words") == (200, None)
    assert d.get("a/label") == "two words"
    assert web.post("reload") == (200, None)
    status, _, body = web.request("/api/send", Authorization=f"Bearer {TOKEN}")
    assert status == 405


def begin(web, command, **arguments):
    """A client that has sent a command, and does not wait for the reply."""
    client = Client(("127.0.0.1", web.port))
    body = json.dumps(arguments).encode()
    client.send(b"POST /api/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Authorization: Bearer %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                % (command.encode(), TOKEN.encode(), len(body), body))
    return client


def reply_to(client, peers=()):
    """The JSON of the reply, which is in chunks."""
    pump([client, *peers], lambda: client.eof)
    return json.loads(b"".join(re.findall(rb"\r\n[0-9a-f]+\r\n([^\r]+)", client.take())))


def test_ask(pair):
    d, web, a, b = pair(access="full", request_timeout="200ms")
    client = begin(web, "ask", name="a", text="how 3s")
    expect(a, b"how 3s\n", [client])
    a.send(b"well \xff\n")
    assert reply_to(client, [a]) == {"from": "a", "size": 6, "text": r"well \xff"}
    status, reply = web.post("ask", name="b", text="how", timeout="300ms")
    assert (status, reply) == (400, {"error": "timed out after 0.3s"})


def test_gather(pair):
    d, web, a, b = pair(access="full")
    client = begin(web, "gather", queries="ask a one ; ask b two 50ms", timeout="10s")
    expect(a, b"one\n", [client])
    a.send(b"1\n")
    first, second = reply_to(client, [a])
    assert (first["number"], first["name"], first["text"]) == (1, "a", "1")
    assert second == {"number": 2, "name": "b", "time": None, "error": "timed out after 50ms"}
    status, reply = web.post("gather", queries="send a x")
    assert status == 400 and "query 1 is not 'ask NAME TEXT'" in reply["error"]
    assert web.post("gather") == (400, {"error": "'queries' is missing"})


def test_race(pair):
    d, web, a, b = pair(access="full")
    client = begin(web, "race", queries="ask a one ; ask b two", timeout="10s")
    expect(b, b"two\n", [client])
    b.send(b"2\n")
    reply = reply_to(client, [b])
    assert (reply["number"], reply["name"], reply["text"]) == (2, "b", "2")
    assert web.post("race", queries="ask a x ; ask b y", timeout="50ms") == \
        (400, {"error": "no answer arrived: 1-2: timed out after 50ms"})
    # Each for a reason of its own.
    queries = ";".join(f"ask a x {n}ms" for n in range(50, 114))
    status, reply = web.post("race", queries=queries)
    assert status == 400 and "; 31 a: timed out after 80ms" in reply["error"]
    status, _, _ = web.request("/api/race?queries=ask", Authorization=f"Bearer {TOKEN}")
    assert status == 405


def test_a_session_may_cancel_itself(pair):
    d, web, a, b = pair(access="full")
    stream = Stream(web, token=TOKEN)
    stream.event("hello")
    task = next(t for t in d.tasks() if t.startswith("web.client") and t.endswith(".read"))
    assert web.post("cancel", task=task) == (200, None)
    stream.wait_closed()
    # The next connection is that of the command itself.
    number = int(re.search(r"#(\d+)", task)[1]) + 2
    assert web.post("cancel", task=f"web.client#{number}.read") == (200, None)


# --- events ------------------------------------------------------------------

class Stream:
    """/api/stream."""

    def __init__(self, web, query="", token=None, **kwargs):
        self.client = Client(("127.0.0.1", web.port), **kwargs)
        self.client.send((f"GET /api/stream{query} HTTP/1.0\r\nHost: localhost\r\n" +
                          (f"Authorization: Bearer {token}\r\n" if token else "") +
                          "\r\n").encode())
        self.events = []

    def event(self, kind, streams=()):
        """The data of the next event of a kind."""
        def take():
            *whole, rest = bytes(self.client.received).split(b"\n\n")
            self.client.received[:] = rest
            for text in whole:
                found = re.fullmatch(rb"(?s)event: (\w+)\ndata: (.*)", text)
                if found:
                    self.events.append((found[1].decode(), json.loads(found[2])))
            while self.events and self.events[0][0] != kind:
                self.events.pop(0)
            return self.events
        pump([self.client, *streams], take, what=f"an event {kind}")
        return self.events.pop(0)[1]

    def wait_closed(self):
        pump([self.client], lambda: self.client.eof)


def test_the_stream_has_counters_and_frames(pair):
    d, web, a, b = pair()
    stream = Stream(web, "?watch=a")
    assert stream.event("hello")["access"] == "read"
    first = stream.event("counters")
    assert [e[0] for e in first["endpoints"]] == ["a", "b"]
    a.send(b"caf\xc3\xa9\n")
    frame = stream.event("frame", [a, b])
    assert (frame["from"], frame["to"], bytes.fromhex(frame["hex"])) == ("a", "b", b"caf\xc3\xa9")
    assert frame["outcome"] == "sent to b"
    d.control(r"send a \x00hi")
    frame = stream.event("frame", [a, b])
    assert (frame["from"], frame["to"], frame["hex"]) == ("control", "a", "006869")
    pump([stream.client, a, b], lambda: stream.event("counters")["endpoints"][0][9] == 1)
    assert d.number("daemon/waits") == d.number("daemon/events")
    status, _, body = web.request("/api/stream?watch=nobody")
    assert status == 404 and "unknown endpoint 'nobody'; /api/endpoints lists them" in body
    stream.client.close()
    wait_for(lambda: "http.frames" not in d.tasks(), what="the end of the stream")


def test_a_page_that_stops_reading_costs_little(daemon, pty, directory):
    a, web = pty("a"), Web(directory, request_timeout="2s")
    d = daemon(serial("a", a, framing="line") + web.section +
               "".join(section("echo", f"e{i}") for i in range(500)) +
               route("r", from_="a", to="e0"))
    reader = Stream(web)
    before, closed = d.rss(), []
    stopped = [Stream(web, "?watch=a", receive_buffer=4096) for _ in range(50)]
    for _ in range(40):
        a.send(b"x" * 200 + b"\n")
        reader.event("counters", [a])
        closed = [t for t in d.tasks() if t.startswith("web.client") and t.endswith(".read")]
        if len(closed) == 1:
            break
    assert len(closed) == 1, "those that take nothing for request_timeout are closed"
    assert d.rss() - before < 64 << 20
    for s in stopped:
        s.client.close()


def test_head_of_the_events_ends(pair):
    d, web, a, b = pair()
    got = web.raw(b"HEAD /api/stream?watch=a HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert got.startswith("HTTP/1.1 200 ") and got.endswith("\r\n\r\n"), got
    assert "text/event-stream" in got and "event:" not in got
    assert web.request("/api/stream?watch=nobody", "HEAD")[0] == 404
    wait_for(lambda: "http.frames" not in d.tasks(), what="the end of the reply")


def test_a_page_that_takes_nothing_is_closed(daemon, pty, directory):
    """Although what it is sent still fits in the buffers of the kernel."""
    web = Web(directory, request_timeout="1s")
    d = daemon(serial("a", pty("a")) + web.section +
               "".join(section("echo", f"e{i}") for i in range(20)))
    reader, stopped = Stream(web), Stream(web, receive_buffer=4096)
    sessions = lambda: [t for t in d.tasks() if re.fullmatch(r"web\.client.*\.read", t)]  # noqa: E731
    wait_for(lambda: len(sessions()) == 2, what="both")
    pump([reader.client], lambda: len(sessions()) == 1, what="the end of one")
    reader.event("counters")
    assert not reader.client.eof
    stopped.client.close()


# --- who gets what -----------------------------------------------------------

def test_strangers_pages_are_refused(pair):
    d, web, a, b = pair(access="full", host="box.example")
    good = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/metrics", "/api/endpoints", "/api/stream", "/healthz", "/"):
        assert web.request(path, Host="evil.example", **good)[0] == 403, path
        assert web.request(path, Origin="http://evil.example", **good)[0] == 403, path
        assert web.request(path, Origin="null", **good)[0] == 403, path
    for path in ("/metrics", "/api/endpoints", "/api/stream", "/nope"):
        for given in ({}, {"Authorization": "Basic " + TOKEN}):
            status, _, body = web.request(path, **given)
            assert status == 403 and "Bearer TOKEN' is missing" in body, (path, body)
        for wrong in (TOKEN[:-1], TOKEN + "0", "x"):
            status, _, body = web.request(path, Authorization="Bearer " + wrong)
            assert status == 403 and "the token is not that of token_file" in body, (path, body)
        assert web.request(path, Sec_Fetch_Site="cross-site", **good)[0] == 403
    assert web.request("/healthz")[0] == 200
    assert web.request("/")[0] == 200
    for host in ("localhost", "LOCALHOST:80", "127.0.0.1:9", "[::1]:80", "box.example", "Box.Example:8"):
        assert web.request("/api/version", Host=host, **good)[0] == 200, host
    for host in ("localhost.evil.example", "127.0.0.1.evil.example", "1.2.3", "[::1", "", "box.example.",
                 "localhost:80@evil"):
        assert web.request("/api/version", Host=host, **good)[0] == 403, host
    assert web.request("/api/version", Host="box.example", Origin="http://box.example", **good)[0] == 200


def test_changes_need_access_token_type_and_origin(pair):
    d, web, a, b = pair(access="full")
    body = json.dumps({"name": "a", "text": "x"})
    good = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}",
            "Host": "localhost", "Origin": "http://localhost"}

    def post(**fields):
        return web.request("/api/send", "POST", body, **{**good, **fields})[0]
    assert post() == 200
    assert post(Origin="http://localhost:1") == 403
    assert post(Origin="http://evil.example") == 403
    assert web.request("/api/send", "POST", body, **{**good, "Content-Type": "text/plain"})[0] == 403
    assert post(Authorization="Bearer x") == 403
    expect(a, b"x\n")


def test_without_access_nothing_is_changed(pair):
    d, web, a, b = pair()
    status, reply = web.post("pause", name="a")
    assert status == 403 and "access = read" in reply["error"]
    assert d.state("a") == "up"


def test_the_policy_of_the_page(pair):
    d, web, a, b = pair()
    status, fields, body = web.request("/")
    policy = fields["Content-Security-Policy"]
    assert status == 200 and "frame-ancestors 'none'" in policy and "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert len(body.encode()) < 60 * 1024
    assert body == (ROOT / "src/http/page.html").read_text()
    assert not re.findall(r"(?:src|href|url\()[\"'=(]*https?:", body)
    assert "frame-ancestors 'none'" in web.request("/metrics")[1]["Content-Security-Policy"]


def test_a_reload_replaces_the_token(pair, directory):
    d, web, a, b = pair(access="full")
    (directory / "token").write_text("f" * 32)
    assert web.post("reload") == (200, None)
    wait_for(lambda: web.post("pause", name="a")[0] == 403, what="the new token")
    assert web.post("pause", token="f" * 32, name="a") == (200, None)


# --- the configuration -------------------------------------------------------

@pytest.mark.parametrize("keys, fault", [
    ({}, "needs 'listen'"),
    ({"listen": "127.0.0.1:9110", "access": "full"}, "access = full needs 'token_file'"),
    ({"listen": "0.0.0.0:9110"}, "'allow' is missing"),
    ({"listen": "unix:/tmp/x"}, "'listen' is a path, and not a TCP address"),
    ({"listen": "127.0.0.1:9110", "token_file": "/nonexistent"}, "No such file"),
    ({"listen": "127.0.0.1:9110", "token_file": "/dev/null"}, "is not one line of 16 to 512"),
    ({"listen": "127.0.0.1:9110", "tokenfile": "x"}, "did you mean 'token_file'?"),
])
def test_faults(directory, keys, fault):
    file = directory / "x.conf"
    file.write_text(section("http", "web", **keys) + section("echo", "a"))
    done = run("--check", "-c", file)
    assert done.returncode == 2 and fault in done.stderr + done.stdout


def test_a_public_token_is_a_warning(directory):
    (directory / "token").write_text(TOKEN)
    (directory / "token").chmod(0o644)
    file = directory / "x.conf"
    file.write_text(section("http", "web", listen="127.0.0.1:9110", token_file=directory / "token") +
                    section("echo", "a"))
    done = run("--check", "-c", file)
    assert "[http web]: other users may read" in done.stderr and done.returncode == 0
    file.write_text(f"[http]\nlisten = 127.0.0.1:9110\ntoken_file = {directory}/token\n" +
                    section("echo", "a"))
    assert "[http]: other users may read" in run("--check", "-c", file).stderr


def test_a_web_server_on_the_command_line(daemon, pty):
    port = free_port()
    d = daemon(words=[f"serial:{pty('a').link}", f"http:127.0.0.1:{port}"])
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert "http.accept" in d.tasks()


def test_a_reload_adds_and_removes_servers(pair, directory):
    d, web, a, b = pair()
    other = Web(directory, "other")
    d.reload(serial("a", a) + web.section + other.section)
    wait_for(lambda: "other.accept" in d.tasks())
    assert other.get("/healthz") == "ok\n"
    d.reload(serial("a", a) + other.section)
    wait_for(lambda: "web.accept" not in d.tasks())
    with pytest.raises(OSError):
        web.get("/healthz")


# --- what is shipped ---------------------------------------------------------

def exported():
    """The names of all metrics in the source."""
    text = "".join(p.read_text() for p in (ROOT / "src/http").glob("metrics_*.c"))
    names = set(re.findall(r'PRINTED\(\s*OF_\w+,\s*"(\w+)"', text))
    names |= {"endpoint_" + n for n in re.findall(r'\bNODE\(\s*"(\w+)"', text)}
    names |= {"route_" + n for n in re.findall(r'\bROUTE\(\s*"(\w+)"', text)}
    assert len(names) > 40
    return {"ttybridge_" + n for n in names}


def used(text):
    return {re.sub("_(bucket|sum|count)$", "", n) for n in re.findall(r"ttybridge_\w+", text)}


def test_the_alert_rules(directory):
    rules = ROOT / "conf/examples/prometheus-alerts.yml"
    assert used(rules.read_text()) <= exported()
    promtool("check", "rules", rules)


def test_the_alerts_fire(directory):
    promtool("test", "rules", ROOT / "tests/config/prometheus-alerts.test.yml")


def test_the_dashboard():
    board = json.loads((ROOT / "conf/examples/grafana-dashboard.json").read_text())
    panels = [p for p in board["panels"] if p["type"] != "row"]
    expressions = [t["expr"] for p in panels for t in p["targets"]]
    assert len(panels) >= 10 and len(expressions) >= len(panels)
    assert used(" ".join(expressions)) <= exported()
    places = [tuple(p["gridPos"].values()) for p in panels]
    assert len(set(places)) == len(places)


def test_the_manual_names_every_metric_and_command():
    page = (ROOT / "man/ttybridge-http.7").read_text()
    assert sorted(re.findall(r"(?m)^\.It Cm (ttybridge_\w+)$", page)) == sorted(exported())
    source = (ROOT / "src/http/api.c").read_text()
    commands = re.findall(r'\b(?:GET|POST)\("(\w+)"', source)
    assert re.findall(r"(?m)^\.It\n\.Ic (\w+)", page) == commands
