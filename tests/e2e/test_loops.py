"""Copies of frames that come by another way, rings of daemons, and MAVLink systems."""
import pytest

from harness import (Daemon, expect, free_port, move, pump, route, run, section, serial,
                     tcp_server, wait_for)

QUIET = dict(framing="line", silence_warning="none")


def heard(d, stream, data):
    """The stream sends one frame; after that the daemon has forwarded it."""
    path = f"{stream.name}/rx_frames"
    before = d.number(path)
    stream.send(data)
    wait_for(lambda: stream.turn(4) or d.number(path) == before + 1)


def test_a_copy_from_another_source_is_dropped(pty, daemon, clock):
    a, b, out = pty("a"), pty("b"), pty("out")
    d = daemon(serial("a", a, **QUIET) + serial("b", b, **QUIET) +
               serial("out", out, **QUIET) +
               route("r", **{"from": "a b", "to": "out"}, duplicates="10m"),
               env=clock.env)
    heard(d, a, b"one\n")
    heard(d, b, b"one\n")
    # Its own source may repeat it, and what differs is no copy.
    heard(d, a, b"one\n")
    heard(d, b, b"One\n")
    heard(d, b, b"one\n")
    expect(out, b"one\none\nOne\n")
    assert d.number("routes/r/duplicate_frames") == 2
    assert d.number("routes/r/forgotten_frames") == 0
    assert d.number("routes/r/rejected") == 0
    clock.move(d, 599)
    heard(d, b, b"one\n")
    assert d.number("routes/r/duplicate_frames") == 3
    clock.move(d, 1)
    heard(d, b, b"one\n")
    heard(d, a, b"one\n")
    expect(out, b"one\n")
    # What was seen, and its count, stay at a reload.
    d.reload(serial("c", pty("c"), **QUIET) + d.file.read_text().split("[control unix]\n")
             [1].split("\n", 1)[1])
    heard(d, a, b"one\n")
    assert d.number("routes/r/duplicate_frames") == 5
    table = d.json("list out")
    assert int(table["out/offered"]) == sum(int(table[f"out/{what}"]) for what in (
        "tx_frames", "rejected", "dropped", "queued_frames"))


def test_peers_of_a_server_are_different_sources(daemon, connect):
    port = free_port()
    d = daemon(tcp_server("lan", port, framing="line") +
               route("r", **{"from": "lan", "to": "lan"}, duplicates="10m"))
    one, two, three = connect(port), connect(port), connect(port)
    wait_for(lambda: len(d.json("peers")) == 3)
    one.send(b"x\n")
    pump([one, two, three], lambda: two.received and three.received)
    two.send(b"x\n")
    wait_for(lambda: d.number("routes/r/duplicate_frames") == 1)
    three.send(b"y\n")
    pump([one, two, three], lambda: one.received and two.received.count(b"\n") == 2)
    assert bytes(one.received) == b"y\n" and bytes(two.received) == b"x\ny\n"


def test_a_watch_shows_why(pty, daemon):
    a, b, out = pty("a"), pty("b"), pty("out")
    d = daemon(serial("a", a, **QUIET) + serial("b", b, **QUIET) +
               serial("out", out, **QUIET) +
               route("r", **{"from": "a b", "to": "out"}, duplicates="10m"))
    with_watch = d.session()
    with_watch.send(b"watch\n")
    wait_for(lambda: any(n.endswith("watch") or "watch" in t["label"]
                         for n, t in d.tasks().items()))
    heard(d, a, b"one\n")
    heard(d, b, b"one\n")
    pump([with_watch], lambda: b"rejected by route r (duplicate)" in with_watch.received)


class Ring:
    """Daemons that each have a device and a connection to the next and the previous."""

    def __init__(self, pty, directory, duplicates="5s"):
        ports = [free_port() for _ in range(3)]
        self.device = [pty(f"device{i}") for i in range(3)]
        self.d = []
        for i in range(3):
            self.d.append(Daemon(
                directory,
                serial("device", self.device[i], **QUIET) +
                tcp_server("next", ports[i], **QUIET) +
                section("tcp-client", "previous", connect=f"127.0.0.1:{ports[i - 1]}",
                        reopen_min="20ms", reopen_max="100ms", **QUIET) +
                route("ring", between="device next previous", duplicates=duplicates),
                name=f"daemon{i}", settled=False))
        for d in self.d:
            wait_for(lambda d=d: d.state("previous") == "up" and d.json("peers"))

    def sent(self):
        return [d.number(f"{name}/tx_frames") for d in self.d
                for name in ("next", "previous")]

    def stop(self):
        for d in self.d:
            d.stop()


@pytest.fixture
def ring(pty, directory):
    made = []

    def make(**keys):
        made.append(Ring(pty, directory, **keys))
        return made[-1]
    yield make
    for r in made:
        for d in r.d:
            d.kill()


def test_a_ring_of_three_delivers_each_frame_once(ring):
    r = ring()
    n, window = 1500, 100
    lines = [[b"%d from %d" % (k, i) for k in range(n)] for i in range(3)]
    sent = [0, 0, 0]

    def progress():
        """Sends more, as long as not too much is on its way."""
        got = [d.received.count(b"\n") for d in r.device]
        for i, device in enumerate(r.device):
            while sent[i] < n and not device.outgoing and \
                    sum(sent) - got[(i + 1) % 3] - sent[(i + 1) % 3] < window:
                device.send(lines[i][sent[i]] + b"\n")
                sent[i] += 1
                if sent[i] % 20 == 0:
                    break
        return got == [2 * n] * 3 and sent == [n] * 3

    pump(r.device, progress, 60)
    for i, device in enumerate(r.device):
        got = device.take().split(b"\n")[:-1]
        for j in range(3):
            # Those of one source by one way are in order; by two they may overtake.
            assert sorted(x for x in got if x.endswith(b"from %d" % j)) == \
                (sorted(lines[j]) if i != j else [])
    # No frame goes round more than once: each link has carried it at most once.
    wait_for(lambda: sum(d.number("routes/ring/duplicate_frames") for d in r.d) >= 3 * n)
    assert all(count <= 3 * n for count in r.sent())
    before = r.sent()
    for _ in range(20):
        move(r.device)
    assert r.sent() == before
    assert not any(device.received for device in r.device)
    r.stop()


def test_a_ring_that_is_cut_still_delivers(ring):
    r = ring()
    r.d[0].control("pause next")
    r.device[0].send(b"one\n")
    for i in (1, 2):
        pump(r.device, lambda i=i: bytes(r.device[i].received) == b"one\n")
    r.device[1].send(b"two\n")
    for i in (0, 2):
        pump(r.device, lambda i=i: r.device[i].received.endswith(b"two\n"))
    r.stop()


# --- MAVLink ------------------------------------------------------------------

def crc(data, extra):
    c = 0xFFFF
    for byte in data + bytes([extra]):
        t = (byte ^ c) & 0xFF
        t ^= (t << 4) & 0xFF
        c = (c >> 8) ^ (t << 8) ^ (t << 3) ^ (t >> 4)
        c &= 0xFFFF
    return c.to_bytes(2, "little")


def message(number, extra, payload, system, sequence=0, component=1):
    body = bytes([len(payload), 0, 0, sequence, system, component]) + \
        number.to_bytes(3, "little") + payload
    return b"\xfd" + body + crc(body, extra)


def heartbeat(system, sequence=0, **keys):
    return message(0, 50, bytes([0, 0, 0, 0, 2, 3, 81, 4, 3]), system, sequence, **keys)


def command(system, target, **keys):
    """COMMAND_LONG; a target of 0 need not be sent as the end of the payload."""
    payload = bytes(28) + b"\x90\x01" + bytes([target, 1, 1])
    return message(76, 152, payload, system, **keys)


@pytest.fixture
def vehicles(pty, daemon, clock):
    streams = {name: pty(name) for name in ("gcs", "one", "two")}
    keys = dict(framing="mavlink", silence_warning="none")
    d = daemon("".join(serial(name, s, **keys) for name, s in streams.items()) +
               route("r", between="gcs one two", routing="target"), env=clock.env)
    return d, streams["gcs"], streams["one"], streams["two"]


def test_an_addressed_message_goes_where_its_system_was_heard(vehicles, clock):
    d, gcs, one, two = vehicles
    for stream, system in ((gcs, 255), (one, 1), (two, 2)):
        heard(d, stream, heartbeat(system))
    everyone = [gcs, one, two]
    pump(everyone, lambda: all(len(s.received) == 42 for s in everyone))
    for s in everyone:
        s.take()
    heard(d, gcs, command(255, 1))
    expect(one, command(255, 1))
    heard(d, gcs, command(255, 2))
    expect(two, command(255, 2))
    # Broadcasts go everywhere; those for a system that nobody knows, nowhere.
    heard(d, gcs, command(255, 0))
    expect(one, command(255, 0))
    expect(two, command(255, 0))
    heard(d, gcs, command(255, 9))
    assert d.number("routes/r/not_heard") == 4
    heard(d, one, command(1, 255))
    expect(gcs, command(1, 255))
    # What was not heard of for a while is forgotten.
    clock.move(d, 61)
    heard(d, one, heartbeat(1, 1))
    heard(d, gcs, command(255, 2))
    heard(d, gcs, command(255, 1))
    expect(one, command(255, 1))
    assert d.number("routes/r/not_heard") == 8
    expect(two, heartbeat(1, 1))


def test_a_system_is_heard_whichever_way_its_messages_go(pty, daemon, clock):
    s = {name: pty(name) for name in ("gcs", "one", "log")}
    keys = dict(framing="mavlink", silence_warning="none")
    d = daemon("".join(serial(name, stream, **keys) for name, stream in s.items()) +
               route("down", **{"from": "gcs", "to": "one log"}, routing="target") +
               route("up", **{"from": "one", "to": "gcs"}, match_mavlink="30"),
               env=clock.env)
    # Its heartbeat is rejected, and the route with routing = target has other sources.
    heard(d, s["one"], heartbeat(1))
    # This one has no route at all.
    heard(d, s["log"], heartbeat(7))
    assert d.number("routes/up/rejected") == 1
    heard(d, s["gcs"], command(255, 1))
    expect(s["one"], command(255, 1))
    heard(d, s["gcs"], command(255, 7))
    expect(s["log"], command(255, 7))
    assert float(d.get("log/system_7_heard")) >= 0
    assert d.number("routes/down/not_heard") == 2


def test_losses_are_counted_for_each_system(vehicles, clock):
    d, gcs, one, two = vehicles
    # Of two components, with their own numbers; 255 is followed by 0.
    for system, component, sequence in ((1, 1, 254), (1, 1, 255), (1, 2, 7), (1, 1, 0),
                                        (1, 1, 3), (1, 2, 8), (7, 1, 5), (7, 1, 4),
                                        (7, 1, 5), (7, 1, 16)):
        heard(d, one, heartbeat(system, sequence, component=component))
    assert d.number("one/system_1_lost") == 2
    assert d.number("one/system_7_lost") == 10
    assert float(d.get("one/system_7_heard")) >= 0
    assert "two/system_1_lost" not in d.json("list two")
    # It was off for a while.
    clock.move(d, 20)
    heard(d, one, heartbeat(1, 100))
    assert d.number("one/system_1_lost") == 2


def test_faults(directory):
    file = directory / "x.conf"
    file.write_text("".join(section("serial", n, device=f"/dev/{n}") for n in "abc") +
                    route("r", **{"from": "a b", "to": "c"}, exchange="any",
                          duplicates="1s") +
                    route("s", between="a b", routing="system"))
    done = run("-c", file, "--check")
    assert done.returncode == 2
    assert "'duplicates' does not go with 'exchange'" in done.stderr
    assert "'system'" in done.stderr and "target" in done.stderr
