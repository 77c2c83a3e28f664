"""Frames as messages of a broker: each once, whatever ends; and what is said when it fails."""
import itertools
import json
import re
import signal
import subprocess

import pytest

from broker import Mosquitto, Nats
from certificates import Authority
from harness import (expect, flush, free_port, pump, route, same, section,
                     serial, tcp_server, wait_for)
from test_handover import restart
from test_unix_client import accept, serve


@pytest.fixture
def broker(directory):
    made = []

    def make(kind=Mosquitto, **kwargs):
        made.append(kind(directory, **kwargs))
        return made[-1].start()
    yield make
    for b in made:
        b.close()


def site(directory, name):
    """The section of a daemon with that name for the others."""
    state = directory / f"{name}.state"
    state.mkdir(exist_ok=True)
    return section("daemon", "", name_=name, state_dir=state)


def subscriber(broker, *topics, user=()):
    args = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(broker.port), "-q",
            "1", "-F", "%j", *user]
    for t in topics:
        args += ["-t", t]
    p = subprocess.Popen(args, stdout=subprocess.PIPE)
    wait_for(lambda: "Sending SUBACK" in broker.log(),
             what="the subscription")
    return p


def publish(broker, topic, text, *args):
    subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p",
                    str(broker.port), "-t", topic, "-m", text, "-q", "1",
                    *args], check=True, timeout=20)


def message(p):
    return json.loads(p.stdout.readline())


def lines_of(prefix, first, n):
    return b"".join(b"%s %06d %s\n" % (prefix, i, b"x" * (i % 40))
                    for i in range(first, first + n))


# --- one daemon -----------------------------------------------------------------


def test_a_frame_is_a_message_with_its_origin(pty, daemon, broker, directory):
    b = broker()
    sub = subscriber(b, "#")
    gps = pty("gps")
    d = daemon(site(directory, "boat1") +
               serial("gps", gps, framing="line") +
               section("mqtt", "up", broker=b.address,
                       publish="site/%h/%e", subscribe="cmd/%h/#"))
    d.wait_state("up", "up")
    gps.send(b"hello\n")
    flush([gps])
    m = message(sub)
    assert (m["topic"], m["payload"], m["qos"]) == ("site/boat1/gps", "hello",
                                                    1)
    d.wait_number("up/tx_frames", 1)
    publish(b, "cmd/boat1/x", "do it")
    expect(gps, b"do it\n", [gps])
    assert d.number("up/unconfirmed") == 0
    assert d.number("up/queued_frames") == 0
    sub.kill()


@pytest.mark.parametrize("encoding, payload", [
    ("hex", "7e2400"), ("base64", "fiQA"), ("json", None)])
def test_encodings(pty, daemon, broker, directory, encoding, payload):
    b = broker()
    sub = subscriber(b, "out/#")
    a = pty("a")
    d = daemon(site(directory, "boat1") +
               serial("a", a, framing="cobs") +
               section("mqtt", "m", broker=b.address, encoding=encoding,
                       publish="out/%e", subscribe="in/+"))
    d.wait_state("m", "up")
    a.send(b"\x03\x7e\x24\x01\x00")
    flush([a])
    got = message(sub)["payload"]
    if encoding == "json":
        got = json.loads(got)
        assert got["base64"] == "fiQA"
        assert (got["host"], got["endpoint"], got["sequence"]) == (
            "boat1", "a", 1)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z", got["time"])
        back = json.dumps({"base64": "fiQA"})
    else:
        assert got == payload
        back = payload
    publish(b, "in/x", back)
    expect(a, b"\x03\x7e\x24\x01\x00", [a])
    publish(b, "in/x", "{neither")
    d.wait_number("m/refused", 1)
    assert "a message with the topic 'in/x' is dropped" in d.stderr()
    sub.kill()


def test_a_relay_keeps_the_topic(daemon, broker, directory):
    b = broker()
    sub = subscriber(b, "copy/#")
    d = daemon(site(directory, "relay") +
               section("mqtt", "one", broker=b.address, subscribe="from/#") +
               section("mqtt", "two", broker=b.address, publish="copy/%t") +
               route("r", **{"from": "one", "to": "two"}))
    d.wait_state("one", "up")
    d.wait_state("two", "up")
    publish(b, "from/boat/gps", "text")
    m = message(sub)
    assert (m["topic"], m["payload"]) == ("copy/from/boat/gps", "text")
    sub.kill()


def test_own_messages_do_not_come_back(pty, daemon, broker, directory):
    for version, encoding in (("5", "raw"), ("3.1.1", "json")):
        b = broker()
        a = pty(f"a{version}")
        d = daemon(site(directory, "boat" + version) +
                   serial("a", a, framing="line") +
                   section("mqtt", "m", broker=b.address, version=version,
                           encoding=encoding, publish="x", subscribe="#"))
        d.wait_state("m", "up")
        a.send(b"mine\n")
        flush([a])
        d.wait_number("m/tx_frames", 1)
        publish(b, "y", '{"frame": "yours"}' if encoding == "json"
                else "yours")
        expect(a, b"yours\n", [a])
        d.stop()
        b.close()


# --- two daemons and a broker that ends -------------------------------------------


class Pair:
    """A boat with a line of text and one of COBS, and the shore, which has both, too."""

    def __init__(self, pty, daemon, directory, broker, qos=1, **keys):
        self.boat_line, self.boat_cobs = pty("boatline"), pty("boatcobs")
        self.shore_line, self.shore_cobs = pty("shoreline"), pty("shorecobs")
        self.streams = [self.boat_line, self.boat_cobs, self.shore_line,
                        self.shore_cobs]
        keys = dict(broker=broker.address, qos=qos, reopen_max="500ms", queue="1M", **keys)

        def end(name, other, line, cobs):
            return daemon(
                site(directory, name) +
                serial("text", line, framing="line") +
                serial("data", cobs, framing="cobs") +
                section("mqtt", "up1", client_id=name + "1",
                        publish=f"{name}/text", subscribe=f"{other}/text", **keys) +
                section("mqtt", "up2", client_id=name + "2",
                        publish=f"{name}/data", subscribe=f"{other}/data", **keys) +
                route("t", between="text up1") + route("d", between="data up2"),
                name=name)
        self.boat = end("boat", "shore", self.boat_line, self.boat_cobs)
        self.shore = end("shore", "boat", self.shore_line, self.shore_cobs)
        self.ups = [(d, m) for d in (self.boat, self.shore)
                    for m in ("up1", "up2")]
        for d, m in self.ups:
            d.wait_state(m, "up")
        self.sent = {s: b"" for s in self.streams}
        self.numbers = itertools.count()

    def traffic(self, n):
        first = next(self.numbers) * 1000
        for s in self.streams:
            data = lines_of(s.name.encode(), first, n)
            if s in (self.boat_cobs, self.shore_cobs):
                data = b"".join(cobs(x) for x in data.split(b"\n")[:-1])
            self.sent[s] += data
            s.send(data)

    def arrived(self):
        return [(self.boat_line, self.shore_line), (self.boat_cobs, self.shore_cobs),
                (self.shore_line, self.boat_line), (self.shore_cobs, self.boat_cobs)]


def cobs(frame):
    """Of a frame of less than 254 bytes without a zero."""
    return bytes([len(frame) + 1]) + frame + b"\0"


def test_ten_stops_of_the_broker_under_traffic(pty, daemon, broker, directory):
    """Each frame arrives once, in both directions."""
    b = broker()
    p = Pair(pty, daemon, directory, b)
    for turn in range(10):
        p.traffic(100)
        pump(p.streams, lambda: p.shore_line.received.count(b"\n") > turn * 100,
             what="some frames")
        b.end()
        p.traffic(20)
        pump(p.streams, lambda: not any(s.outgoing for s in p.streams))
        b.start()
    for source, to in p.arrived():
        pump(p.streams, lambda: len(to.received) >= len(p.sent[source]),
             timeout=60, what="all frames")
        same(to.received, p.sent[source])
    for d, m in p.ups:
        assert d.number(f"{m}/missing") == 0
        assert d.number(f"{m}/dropped") == 0
        d.wait_number(f"{m}/tx_frames", 1200)
        assert d.number(f"{m}/queued_frames") == 0


def test_stops_of_the_broker_with_qos_2(pty, daemon, broker, directory):
    b = broker()
    a, out = pty("a"), pty("out")
    keys = dict(broker=b.address, qos=2, reopen_max="300ms")
    boat = daemon(site(directory, "boat") + serial("a", a, framing="line") +
                  section("mqtt", "m", publish="boat/%e", **keys))
    shore = daemon(site(directory, "shore") + serial("out", out, framing="line") +
                   section("mqtt", "m", subscribe="boat/#", **keys))
    for d in (boat, shore):
        d.wait_state("m", "up")
    for turn in range(5):
        a.send(lines_of(b"a", turn * 120, 100))
        pump([a, out], lambda: out.received.count(b"\n") > turn * 120)
        b.end()
        a.send(lines_of(b"a", turn * 120 + 100, 20))
        flush([a])
        b.start()
    pump([a, out], lambda: out.received.count(b"\n") >= 600, timeout=60)
    same(out.received, lines_of(b"a", 0, 600))
    assert shore.number("m/missing") == 0


def test_ten_kills_of_the_broker_under_traffic(pty, daemon, broker, directory):
    """A broker that saves only when it stops: arrived and missing are what was offered, in
    order."""
    b = broker()
    p = Pair(pty, daemon, directory, b)
    for turn in range(10):
        p.traffic(100)
        # What came before the first message of an origin is not counted.
        pump(p.streams, lambda: all(s.received for s in p.streams))
        b.end(signal.SIGKILL)
        p.traffic(20)
        pump(p.streams, lambda: not any(s.outgoing for s in p.streams))
        b.start()
    p.traffic(1)
    last = [p.sent[s].split(b"\0" if b"\0" in p.sent[s] else b"\n")[-2]
            for s in p.streams]
    for (source, to), text in zip(p.arrived(), [last[0], last[1], last[2], last[3]]):
        pump(p.streams, lambda: text in to.received, timeout=60,
             what="the last frame")
        end = b"\0" if b"\0" in p.sent[source] else b"\n"
        sent = p.sent[source].split(end)[:-1]
        got = bytes(to.received).split(end)[:-1]
        where = {x: i for i, x in enumerate(sent)}
        places = [where[x] for x in got]
        assert places == sorted(set(places))
        d, m = {p.shore_line: (p.shore, "up1"), p.shore_cobs: (p.shore, "up2"),
                p.boat_line: (p.boat, "up1"), p.boat_cobs: (p.boat, "up2")}[to]
        assert len(got) + d.number(f"{m}/missing") == len(sent)


def test_losses_with_qos_0_are_counted(pty, daemon, broker, directory):
    b = broker()
    p = Pair(pty, daemon, directory, b, qos=0)
    for turn in range(3):
        p.traffic(200)
        pump(p.streams, lambda: len(p.shore_line.received) > turn * 100)
        b.end(signal.SIGKILL)
        p.traffic(20)
        pump(p.streams, lambda: not any(s.outgoing for s in p.streams))
        b.start()
        for d, m in p.ups:
            d.wait_state(m, "up")
    p.traffic(1)
    last = p.sent[p.boat_line].split(b"\n")[-2] + b"\n"
    pump(p.streams, lambda: last in p.shore_line.received, timeout=60)
    assert p.shore_line.received.count(b"\n") + \
        p.shore.number("up1/missing") == p.sent[p.boat_line].count(b"\n")


# --- two runs of a daemon -----------------------------------------------------------


def test_a_subscriber_that_was_away_gets_what_it_missed(pty, daemon, broker,
                                                        directory):
    b = broker()
    a, out = pty("a"), pty("out")
    boat = daemon(site(directory, "boat") + serial("a", a, framing="line") +
                  section("mqtt", "m", broker=b.address, publish="boat/%e"))
    conf = site(directory, "shore") + serial("out", out, framing="line") + \
        section("mqtt", "m", broker=b.address, subscribe="boat/#")
    shore = daemon(conf)
    for d in (boat, shore):
        d.wait_state("m", "up")
    a.send(lines_of(b"a", 0, 50))
    pump([a, out], lambda: out.received.count(b"\n") == 50)
    shore.stop()
    a.send(lines_of(b"a", 50, 50))
    flush([a])
    boat.wait_number("m/tx_frames", 100)
    shore = daemon(conf)
    pump([a, out], lambda: out.received.count(b"\n") >= 100)
    same(out.received, lines_of(b"a", 0, 100))
    assert shore.number("m/missing") == 0


def read_from(server, enough=b""):
    """What the next connection brings, until that or to its end."""
    data = b""
    with accept(server) as peer:
        while not (enough and enough in data) and (more := peer.recv(65536)):
            data += more
    return data


def test_a_stop_while_the_broker_returns(pty, daemon, broker, directory, connect):
    """Nothing more is received when the destinations are closed already."""
    b = broker()
    a, fill = pty("a"), pty("fill")
    soon = dict(reopen_min="50ms", reopen_max="100ms")
    boat = daemon(site(directory, "boat") + serial("a", a, framing="line") +
                  section("mqtt", "m", broker=b.address, publish="boat/%e", **soon))
    port, path = free_port(), directory / "out"
    conf = site(directory, "shore") + "drain_timeout = 3s\n" + \
        serial("fill", fill, framing="raw") + tcp_server("slow", port) + \
        section("unix-client", "out", connect=path, framing="line", **soon) + \
        section("mqtt", "sub", broker=b.address, subscribe="boat/#", reopen_min="1s",
                reopen_max="1s") + \
        route("r", **{"from": "sub", "to": "out"}) + \
        route("s", **{"from": "fill", "to": "slow"})
    with serve(path) as server:
        shore = daemon(conf)
        for d, m in ((boat, "m"), (shore, "sub")):
            d.wait_state(m, "up")
        slow = connect(port, receive_buffer=4096)
        slow.reading = False
        # What the kernel cannot send keeps the daemon from ending at once.
        fill.send(b"x" * 200000)
        flush([fill])
        shore.wait_number("slow/queued_frames", 0)
        b.end()
        shore.wait_state("sub", "lost")
        shore.signal(signal.SIGTERM)
        assert read_from(server) == b""
        b.start()
        a.send(lines_of(b"a", 0, 10))
        flush([a])
        boat.wait_number("m/tx_frames", 10)
        assert shore.exit() == 0
        daemon(conf)
        same(read_from(server, lines_of(b"a", 9, 1)), lines_of(b"a", 0, 10))


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGKILL])
def test_a_sender_that_starts_again_goes_on(pty, daemon, broker, directory, number):
    """The sequence goes on, and what was queued is sent, once."""
    b = broker()
    a, out = pty("a"), pty("out")
    conf = site(directory, "boat") + serial("a", a, framing="line") + \
        section("mqtt", "m", broker=b.address, publish="boat/%e", reopen_max="300ms")
    boat = daemon(conf)
    shore = daemon(site(directory, "shore") +
                   serial("out", out, framing="line") +
                   section("mqtt", "m", broker=b.address, subscribe="boat/#",
                           reopen_max="300ms"))
    for d in (boat, shore):
        d.wait_state("m", "up")
    a.send(lines_of(b"a", 0, 30))
    pump([a, out], lambda: out.received.count(b"\n") == 30)
    if number == signal.SIGUSR2:
        b.end()
        boat.wait_state("m", "lost")
        a.send(lines_of(b"a", 30, 30))
        flush([a])
        boat.wait_number("m/queued_frames", 30)
        boat.signal(number)
        b.start()
    else:
        boat.kill()
        boat = daemon(conf, settled=False)
        boat.wait_state("m", "up")
        a.send(lines_of(b"a", 30, 30))
    pump([a, out], lambda: out.received.count(b"\n") >= 60)
    same(out.received, lines_of(b"a", 0, 60))
    assert shore.number("m/missing") == 0


def test_repeated_messages_are_dropped_and_gaps_counted(pty, daemon, broker,
                                                        directory):
    b = broker()
    out = pty("out")
    d = daemon(site(directory, "shore") + serial("out", out, framing="line") +
               section("mqtt", "m", broker=b.address, subscribe="in"))
    d.wait_state("m", "up")
    for n in (1, 2, 2, 5, 3):
        publish(b, "in", f"n{n}", "-V", "5", "-D", "publish", "user-property",
                "origin", f"boat/gps/0123456789abcdef/{n}")
    publish(b, "in", "last")
    pump([out], lambda: b"last\n" in out.received)
    assert out.lines() == [b"n1", b"n2", b"n5", b"last"]
    assert d.number("m/duplicate") == 2
    assert d.number("m/missing") == 2


# --- a full destination ---------------------------------------------------------------


def test_a_full_destination_pauses_the_broker(daemon, broker, directory, connect):
    b = broker()
    port = free_port()
    d = daemon(site(directory, "shore") +
               tcp_server("lan", port, framing="line", queue="8K",
                          stall_timeout="none") +
               section("mqtt", "m", broker=b.address, subscribe="in") +
               route("r", **{"from": "m", "to": "lan"}))
    d.wait_state("m", "up")
    c = connect(port)
    c.reading = False
    text = "".join(f"{i:05d} {'x' * 1000}\n" for i in range(8000))
    subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(b.port), "-t",
                    "in", "-l", "-q", "1"], input=text.encode(), check=True,
                   timeout=60)
    wait_for(lambda: d.tasks()["m.broker"]["state"] == "paused",
             what="the pause")
    c.reading = True
    pump([c], lambda: len(c.received) >= len(text), timeout=60)
    same(c.received, text.encode())


# --- what it says ------------------------------------------------------------------------


def test_no_broker(daemon, directory):
    port = free_port()
    d = daemon(site(directory, "boat") +
               section("mqtt", "m", broker=f"127.0.0.1:{port}", publish="x"),
               settled=False)
    d.wait_state("m", "lost")
    assert d.get("m/error") == "Connection refused"
    assert f"127.0.0.1:{port}: Connection refused" in d.stderr()


def test_no_such_host(daemon, directory):
    d = daemon(site(directory, "boat") +
               section("mqtt", "m", broker="no-such.invalid:1883", publish="x"),
               settled=False)
    d.wait_state("m", "lost")
    assert "no host of that name" in d.get("m/error") or \
        "name resolution" in d.get("m/error")


def test_another_broker_is_tried(daemon, broker, directory):
    b = broker()
    d = daemon(site(directory, "boat") +
               section("mqtt", "m", broker=f"127.0.0.1:{free_port()} {b.address}",
                       publish="x"))
    d.wait_state("m", "up")
    assert d.get("m/address") == b.address


def passwords(directory):
    file = directory / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(file), "boat",
                    "right"], check=True, capture_output=True)
    return [f"password_file {file}"]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_wrong_password(daemon, broker, directory, version):
    b = broker(lines=passwords(directory), anonymous=False)
    file = directory / "secret"
    file.write_text("wrong\n")
    file.chmod(0o600)
    d = daemon(site(directory, "boat") +
               section("mqtt", "m", broker=b.address, publish="x", user="boat",
                       password_file=file, version=version, reopen_max="250ms"),
               settled=False)
    d.wait_state("m", "lost")
    why = d.get("m/error")
    assert why.startswith("the broker has refused it: ") and "password" in why
    file.write_text("right\n")
    d.wait_state("m", "up")


def test_a_topic_that_is_not_allowed(pty, daemon, broker, directory):
    acl = directory / "acl"
    acl.write_text("topic write good/#\ntopic read in/#\n")
    b = broker(lines=[f"acl_file {acl}"])
    a = pty("a")
    d = daemon(site(directory, "boat") + serial("a", a, framing="line") +
               section("mqtt", "m", broker=b.address, publish="bad/%e",
                       subscribe="in/x secret/#"))
    d.wait_state("m", "up")
    a.send(b"hello\n")
    flush([a])
    d.wait_number("m/dropped_refused", 1)
    assert "refuses a message with the topic 'bad/%e': Not authorized" in d.stderr()


def test_an_unknown_ca(daemon, broker, directory):
    ca = Authority(directory, "ca")
    other = Authority(directory, "other")
    cert, key = ca.make("localhost", dns=["localhost"])
    b = broker(listener=[f"certfile {cert}", f"keyfile {key}"])
    d = daemon(site(directory, "boat") +
               section("mqtt", "m", broker=f"localhost:{b.port}", publish="x",
                       tls="yes", tls_ca=other.file),
               settled=False)
    d.wait_state("m", "lost")
    assert "its certificate is not accepted: " in d.get("m/error")


def test_a_broker_with_tls(daemon, broker, directory):
    ca = Authority(directory, "ca")
    cert, key = ca.make("localhost", dns=["localhost"])
    b = broker(listener=[f"certfile {cert}", f"keyfile {key}"])
    d = daemon(site(directory, "boat") +
               section("mqtt", "m", broker=f"localhost:{b.port}", publish="x",
                       tls="yes", tls_ca=ca.file) +
               section("mqtt", "n", broker=f"127.0.0.1:{b.port}", publish="x",
                       tls="yes", tls_ca=ca.file) +
               section("mqtt", "plain", broker=b.address, publish="x"),
               settled=False)
    d.wait_state("m", "up")
    d.wait_state("n", "lost")
    assert "its certificate is not accepted: IP address mismatch" in d.get("n/error")
    d.wait_state("plain", "lost")
    assert "without TLS?" in d.get("plain/error")


def test_two_clients_with_one_name(daemon, broker, directory):
    b = broker()
    d = daemon(site(directory, "boat") +
               section("mqtt", "m", broker=b.address, publish="x", client_id="same",
                       subscribe="y", reopen_min="1h", reopen_max="1h"))
    d.wait_state("m", "up")
    other = daemon(site(directory, "other") +
                   section("mqtt", "m", broker=b.address, publish="x",
                           client_id="same", reopen_min="1h", reopen_max="1h"))
    other.wait_state("m", "up")
    d.wait_state("m", "lost")
    assert "another client has connected with the same client_id" in d.get("m/error")


def test_nats_with_version_3(pty, daemon, broker, directory):
    b = broker(Nats)
    a, out = pty("a"), pty("out")
    keys = dict(broker=b.address, encoding="json", reopen_max="300ms")
    boat = daemon(site(directory, "boat") + serial("a", a, framing="line") +
                  section("mqtt", "m", publish="boat/%e", **keys))
    shore = daemon(site(directory, "shore") + serial("out", out, framing="line") +
                   section("mqtt", "m", subscribe="boat/#", **keys))
    for d in (boat, shore):
        d.wait_state("m", "up")
        assert "only speaks MQTT 3.1.1" in d.stderr()
    a.send(lines_of(b"a", 0, 100))
    pump([a, out], lambda: out.received.count(b"\n") >= 50)
    b.end()
    a.send(lines_of(b"a", 100, 100))
    flush([a])
    b.start()
    # It sends what was not confirmed again after half a minute, behind what came later.
    last = lines_of(b"a", 199, 1)
    pump([a, out], lambda: last in out.received, timeout=60)
    got = out.lines()
    sent = lines_of(b"a", 0, 200).split(b"\n")
    places = [sent.index(x) for x in got]
    assert places == sorted(set(places))
    assert len(got) + shore.number("m/missing") == 200


# --- with a spool -----------------------------------------------------------------

@pytest.mark.parametrize("how", ["stop", "restart"])
def test_what_waits_in_a_spool_keeps_its_origin(pty, daemon, broker, directory, how):
    """The topic as well.  An outage outlives the daemon, and each frame arrives once."""
    b = broker()
    gps, far = pty("gps"), pty("far")
    receiver = daemon(site(directory, "shore") + serial("far", far, framing="line") +
                      section("mqtt", "m", broker=b.address, subscribe="site/#"))
    conf = site(directory, "boat") + serial("gps", gps, framing="line") + section(
        "mqtt", "m", broker=b.address, publish="site/%h/%e", queue="4K", spool="1M",
        spool_sync="always")
    boat = daemon(conf)
    boat.wait_state("m", "up")
    receiver.wait_state("m", "up")
    gps.send(lines_of(b"a", 1, 10))
    expect(far, lines_of(b"a", 1, 10), [gps])
    b.end()
    boat.wait_state("m", "lost")
    gps.send(lines_of(b"a", 11, 1000))
    pump([gps], lambda: boat.number("m/offered") == 1010, what="the frames")
    wait_for(lambda: "0 frames" not in boat.control("spool m"))
    if how == "restart":
        restart(boat, [gps])
    else:
        boat.stop()
        boat = daemon(conf, settled=False)
    gps.send(lines_of(b"a", 1011, 10))
    b.start()
    expect(far, lines_of(b"a", 11, 1010), [gps])
    pump([gps], lambda: boat.number("m/queued_frames") == 0, what="confirmations")
    assert receiver.number("m/missing") == 0
    assert boat.dropped("m") == 0
