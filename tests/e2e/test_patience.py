"""What is waited for at most so long, with a clock that the test sets."""
import itertools

import pytest

from harness import (Client, expect, flush, free_port, move, pump,
                     section, serial, tcp_server, wait_for)


@pytest.fixture
def patient(daemon, clock):
    """Starts a daemon; it, and what makes a second pass for it."""
    def start(conf):
        d = daemon(conf, env=clock.env)
        return d, lambda: clock.move(d, 1)
    return start


def fill(d, a):
    """Sends until it is held back."""
    while d.tasks()["a.read"]["state"] != "paused":
        if not a.outgoing:
            a.send((b"x" * 1000 + b"\n") * 50)
        move([a])


def test_one_that_has_ended_and_takes_nothing_is_closed_in_the_end(
        patient, pty):
    a, port = pty("a"), free_port()
    d, a_second_later = patient(
        serial("a", a, framing="line") +
        tcp_server("lan", port, framing="line", stall_timeout="1h"))
    client = Client(("127.0.0.1", port), receive_buffer=4096)
    try:
        wait_for(lambda: d.json("peers"))
        fill(d, a)
        client.end()
        seconds = itertools.count()

        def gone():
            a_second_later()
            next(seconds)
            return not d.json("peers")
        wait_for(gone)
        assert "disconnected (it sends no more, and takes nothing)" in d.stderr()
        assert next(seconds) > 5, "it was given no time"
        assert d.dropped("lan", "closed") > 0
    finally:
        client.close()


@pytest.mark.parametrize("keys, label", [
    ({"framing": "idle", "idle": "1h"}, "a silence of a to end a frame"),
    ({"framing": "line", "frame_timeout": "1h"},
     "the rest of a frame from a, before it is too old")])
def test_what_would_end_a_frame_that_is_not_whole_is_said(
        pty, daemon, keys, label):
    a = pty("a")
    d = daemon(serial("a", a, **keys))
    a.send(b"half a fr")
    flush([a])
    wait_for(lambda: "a.timer" in d.tasks())
    assert d.tasks()["a.timer"]["label"] == label


def test_who_does_not_read_is_told_apart_from_who_has_ended(pty, daemon):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line", stall_timeout="1h"))
    client = Client(("127.0.0.1", port), receive_buffer=4096)
    try:
        wait_for(lambda: d.json("peers"))
        fill(d, a)
        wait_for(lambda: "lan#1.timer" in d.tasks())
        assert d.tasks()["lan#1.timer"]["label"] == \
            "lan#1 to take something before it counts as stalled"
        client.end()
        wait_for(lambda: d.tasks()["lan#1.timer"]["label"] ==
                 "the rest to be written to lan#1, which sends no more")
    finally:
        client.close()


def numbered(first, count):
    return b"".join((b"%09d" % i).ljust(199, b".") + b"\n"
                    for i in range(first, first + count))


class Flood:
    """A device that sends numbered lines, as many as are taken."""

    def __init__(self, d, stream):
        self.d, self.stream, self.lines = d, stream, 0

    def fill(self):
        """Until the device is held back by the one that gets its lines."""
        while self.d.tasks()["a.read"]["state"] != "paused":
            if not self.stream.outgoing:
                self.stream.send(numbered(self.lines, 1000))
                self.lines += 1000
            move([self.stream])

    def sent(self):
        return numbered(0, self.lines)


@pytest.fixture(params=["tcp", "unix"])
def slow(request, patient, pty, directory):
    """A daemon, its clock, a device, and a client of a server that gets its lines."""
    a, port, path = pty("a"), free_port(), directory / "lan"
    server = tcp_server("lan", port, framing="line") if request.param == "tcp" \
        else section("unix-server", "lan", listen=path, framing="line")
    d, a_second_later = patient(serial("a", a, framing="line") + server)
    client = Client(("127.0.0.1", port) if request.param == "tcp" else path)
    wait_for(lambda: d.json("peers"))
    yield d, a_second_later, a, client
    client.close()


def looks(d):
    """How often the daemon has looked whether the client takes something."""
    return d.tasks().get("lan#1.timer", {"runs": 0})["runs"]


def pass_seconds(d, a_second_later, seconds, each=lambda: None):
    """Seconds after each of which the daemon has looked at the client."""
    for _ in range(seconds):
        each()
        before = looks(d)
        a_second_later()
        wait_for(lambda: looks(d) > before or not d.json("peers"))


def test_a_client_that_reads_steadily_but_slowly_loses_nothing(slow):
    d, a_second_later, a, client = slow
    flood = Flood(d, a)
    flood.fill()
    pass_seconds(d, a_second_later, 20,
                 lambda: client.received.extend(client.sock.recv(100)))
    assert d.number("lan/stalls") == 0
    assert d.tasks()["a.read"]["state"] == "paused"
    expect(client, flood.sent(), [a])
    assert d.dropped("lan") == 0


def test_a_client_that_reads_one_large_frame_slowly_is_not_stalled(
        patient, directory, connect):
    d, a_second_later = patient(
        section("unix-server", "in", listen=directory / "in", framing="line",
                max_frame="1M") +
        section("unix-server", "lan", listen=directory / "lan", framing="line",
                max_frame="1M", queue="1K"))
    source, client = connect(directory / "in"), connect(directory / "lan")
    wait_for(lambda: len(d.json("peers")) == 2)
    frame, sent = b"x" * 149_999 + b"\n", b""
    while d.tasks()["in#1.read"]["state"] != "paused":
        if not source.outgoing:
            source.send(frame)
            sent += frame
        move([source])
    pass_seconds(d, a_second_later, 20,
                 lambda: client.received.extend(client.sock.recv(100)))
    assert d.number("lan/stalls") == 0
    assert d.tasks()["in#1.read"]["state"] == "paused"
    expect(client, sent, [source])
    assert d.dropped("lan") == 0


def test_a_client_that_reads_nothing_is_stalled_after_its_time(slow):
    d, a_second_later, a, _ = slow
    Flood(d, a).fill()
    pass_seconds(d, a_second_later, 3)
    assert d.number("lan/stalls") == 1
    assert "stalled" in d.tasks()["lan#1.write"]["label"]
    # The device is not held back by it.
    rx = d.number("a/rx_frames")
    a.send(numbered(0, 2000))
    flush([a])
    wait_for(lambda: d.number("a/rx_frames") >= rx + 2000)
    assert d.dropped("lan", "stalled") > 0


def test_a_client_that_reads_no_more_is_stalled_after_its_time(slow):
    d, a_second_later, a, client = slow
    Flood(d, a).fill()
    pass_seconds(d, a_second_later, 5, lambda: client.sock.recv(100))
    assert d.number("lan/stalls") == 0
    pass_seconds(d, a_second_later, 5)
    assert d.number("lan/stalls") == 1


def test_a_stalled_client_that_reads_again_is_waited_for(slow):
    d, a_second_later, a, client = slow
    Flood(d, a).fill()
    pass_seconds(d, a_second_later, 3)
    assert d.number("lan/stalls") == 1
    client.sock.recv(100)
    pass_seconds(d, a_second_later, 1)
    assert "stalled" not in d.tasks()["lan#1.write"]["label"]
    dropped = d.dropped("lan")
    Flood(d, a).fill()
    assert d.dropped("lan") == dropped


def test_a_half_closed_client_that_reads_slowly_gets_what_waits(slow):
    d, a_second_later, a, client = slow
    flood = Flood(d, a)
    flood.fill()
    # Everything is with the daemon, but what the device could not get rid of.
    client.end()
    wait_for(lambda: "which sends no more" in
             d.tasks()["lan#1.timer"]["label"])
    pass_seconds(d, a_second_later, 20,
                 lambda: client.received.extend(client.sock.recv(100)))
    assert d.number("lan/peers") == 1
    tx, waiting = d.number("lan/tx_frames"), d.queued("lan")
    assert waiting > 0
    pump([client, a], lambda: client.eof)
    got = client.take()
    assert flood.sent().startswith(got)
    assert got.count(b"\n") == tx + waiting


def test_a_half_closed_client_is_not_served_for_ever(slow):
    d, a_second_later, a, client = slow
    Flood(d, a).fill()
    client.end()
    wait_for(lambda: "which sends no more" in
             d.tasks()["lan#1.timer"]["label"])
    pass_seconds(d, a_second_later, 70, lambda: client.sock.recv(10))
    assert d.number("lan/peers") == 0
    assert "disconnected (it sends no more, and takes too long)" in d.stderr()


def test_half_closed_clients_are_bounded(patient, pty, connect):
    a, port = pty("a"), free_port()
    d, a_second_later = patient(
        serial("a", a, framing="line") +
        tcp_server("lan", port, framing="line", max_clients=2,
                   stall_timeout="1h"))

    def two_more(before):
        clients = [connect(port, receive_buffer=4096) for _ in range(2)]
        wait_for(lambda: d.number("lan/peers") == before + 2)
        Flood(d, a).fill()
        for client in clients:
            client.end()
        label = d.tasks
        wait_for(lambda: all("which sends no more" in
                             label()[f"lan#{before + i}.timer"]["label"]
                             for i in (1, 2)))
        a_second_later()
        wait_for(lambda: d.tasks()["a.read"]["state"] != "paused")

    def no_more(refused):
        late = connect(port)
        pump([late], lambda: late.eof)
        assert d.number("lan/refused") == refused

    two_more(0)
    d.control("set lan/max_clients 1")
    no_more(1)
    d.control("set lan/max_clients 2")
    two_more(2)
    no_more(2)
    assert d.number("lan/peers") == 4


def test_a_serial_port_whose_driver_reports_room_late_is_not_stalled(
        patient, pty):
    a, b = pty("a"), pty("b")
    d, a_second_later = patient(
        serial("a", a, framing="line") +
        serial("b", b, framing="line", baud=9600, stall_timeout="1s"))
    b.reading = False
    flood = Flood(d, a)
    flood.fill()

    def a_look():
        before = d.tasks()["b.timer"]["runs"]
        a_second_later()
        wait_for(lambda: d.tasks()["b.timer"]["runs"] > before)

    for _ in range(5):
        # 4096 bytes take 4.3 s at 9600 baud; then there is room for as many.
        for _ in range(4):
            a_look()
        before = d.number("b/tx_bytes")
        while d.number("b/tx_bytes") == before:
            b._read()
        flood.fill()
    assert d.number("b/stalls") == 0
    for _ in range(9):
        a_look()
    assert d.number("b/stalls") == 1
