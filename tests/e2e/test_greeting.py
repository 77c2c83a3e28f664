"""What is written first and last: greeting, on_open and on_close."""
import signal
import socket

import pytest

from harness import (expect, fill, flush, free_port, pump, section, serial, tcp_server,
                     wait_for)
from test_handover import restart


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as s:
        s.settimeout(20)
        yield s


def client_of(server, **keys):
    return section("tcp-client", "out", connect="127.0.0.1:%d" % server.getsockname()[1],
                   framing="line", reopen_min="20ms", reopen_max="20ms", **keys)


def accept(server):
    peer, _ = server.accept()
    peer.settimeout(20)
    return peer


def read_all(peer):
    """Until its end."""
    got = b""
    while piece := peer.recv(4096):
        got += piece
    return got


def rests(stream, data):
    """That is all that is left in it."""
    pump([stream], lambda: stream.received == data)
    stream.take()


# --- servers --------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["tcp-server", "unix-server"])
def test_each_client_is_greeted_first(kind, pty, daemon, connect, directory):
    a = pty("a")
    where = free_port() if kind == "tcp-server" else directory / "lan.sock"
    listen = f"127.0.0.1:{where}" if kind == "tcp-server" else where
    d = daemon(serial("a", a, framing="line") + section(
        kind, "lan", listen=listen, framing="line", greeting=r"hello\r\n\x00"))
    one = connect(where)
    expect(one, b"hello\r\n\0")
    a.send(b"first\n")
    expect(one, b"first\n", [a])
    two = connect(where)
    expect(two, b"hello\r\n\0")
    a.send(b"second\n")
    expect(two, b"second\n", [a])
    expect(one, b"second\n")
    assert d.number("lan/tx_frames") == 3
    assert d.number("lan/tx_bytes") == 2 * 8 + 6 + 2 * 7
    assert d.number("a/tx_bytes") == 0


def test_only_new_clients_are_greeted_after_a_restart(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line", greeting=r"hello\n"))
    one = connect(port)
    expect(one, b"hello\n")
    restart(d, [a, one])
    two = connect(port)
    expect(two, b"hello\n")
    a.send(b"line\n")
    expect(two, b"line\n", [a])
    expect(one, b"line\n")


# --- on_open ----------------------------------------------------------------------

def test_a_device_is_written_to_when_it_was_opened(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", on_open=r"AT\r", on_close="bye"))
    expect(b, b"AT\r")
    b.unplug()
    d.wait_state("b", "lost")
    a.send(b"one\ntwo\n")
    flush([a])
    d.wait_number("b/queued_frames", 2)
    b.plug()
    expect(b, b"AT\rone\ntwo\n", [a])
    restart(d, [a, b])
    a.send(b"three\n")
    expect(b, b"three\n", [a])


def test_a_server_is_written_to_when_it_was_connected_to(pty, daemon, server):
    a = pty("a")
    d = daemon(serial("a", a, framing="line") +
               client_of(server, on_open=r"login\n", on_close=r"logout\n"))
    with accept(server) as peer:
        assert peer.recv(100) == b"login\n"
    d.wait_state("a", "up")
    with accept(server) as peer:
        a.send(b"line\n")
        flush([a])
        d.wait_number("out/tx_frames", 1)
        d.stop()
        assert read_all(peer) == b"login\nline\nlogout\n"


def test_what_does_not_fit_is_written_before_the_frames(pty, daemon, server):
    """Into a pipe that is full: a device that is reopened and does not take anything."""
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", on_open="x" * 100))
    expect(b, b"x" * 100)
    b.reading = False
    a.send(b"y" * 99 + b"\n")
    while not d.queued("b"):
        if not a.outgoing:
            a.send(b"y" * 99 + b"\n")
        flush([a])
    d.control("reopen b")
    d.wait_number("b/opens", 2)
    flush([a])
    sent = d.number("a/rx_frames")
    b.reading = True
    pump([a, b], lambda: d.queued("b") == 0)
    fill([b], quiet=0.2)
    got = b.take()
    assert got.count(b"x") == 100
    lines = got.replace(b"x" * 100, b"").split(b"\n")
    assert lines.pop() == b""
    assert lines == [b"y" * 99] * sent
    d.balance("a", "b")


# --- on_close -----------------------------------------------------------------------

def two(a, b, **keys):
    return serial("a", a, framing="line") + serial("b", b, framing="line",
                                                   on_close=r"bye\r", **keys)


@pytest.mark.parametrize("how", ["stop", "remove", "change", "reopen"])
def test_a_device_is_written_to_before_it_is_closed(how, pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(two(a, b, on_open=r"hi\r"))
    expect(b, b"hi\r")
    a.send(b"line\n")
    expect(b, b"line\n", [a])
    if how == "stop":
        d.stop()
        rests(b, b"bye\r")
    elif how == "remove":
        d.reload(serial("a", a, framing="line"))
        rests(b, b"bye\r")
    elif how == "change":
        d.reload(two(a, b, on_open=r"hi\r", exclusive="no"))
        rests(b, b"bye\rhi\r")
        d.wait_state("b", "up")
    else:
        d.control("reopen b")
        d.wait_number("b/opens", 2)
        rests(b, b"bye\rhi\r")


def test_a_device_that_is_lost_or_handed_over_is_not(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(two(a, b))
    restart(d, [a, b])
    a.send(b"line\n")
    expect(b, b"line\n", [a])
    b.hang_up()
    d.wait_state("b", "lost")
    assert d.number("b/tx_bytes") == 5


def test_what_is_queued_at_a_stop_comes_before_it(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(two(a, b) + section("daemon", "", drain_timeout="20s"))
    b.reading = False
    lines = b"".join(b"%05d\n" % i for i in range(3000))
    a.send(lines)
    flush([a])
    d.wait_number("a/rx_frames", 3000)
    assert d.queued("b") > 0
    d.signal(signal.SIGTERM)
    wait_for(lambda: "stopping" in d.stderr())
    b.reading = True
    expect(b, lines + b"bye\r")
    assert d.exit() == 0


def test_one_that_takes_nothing_does_not_hold_up_a_stop(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(two(a, b) + section("daemon", "", drain_timeout="300ms"))
    b.reading = False
    while not d.queued("b"):
        if not a.outgoing:
            a.send(b"y" * 99 + b"\n")
        flush([a])
    d.stop()
    b.reading = True
    fill([b], quiet=0.2)
    assert b"bye" not in b.take()
