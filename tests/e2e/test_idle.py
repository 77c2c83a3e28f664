"""Clients that are connected and do nothing."""
import time

import pytest

from harness import expect, free_port, pump, section, serial, tcp_server, wait_for


@pytest.mark.parametrize("kind", ["tcp-server", "unix-server"])
def test_a_client_that_does_nothing_is_closed(kind, pty, daemon, connect, directory):
    a, port, path = pty("a"), free_port(), directory / "lan.sock"
    where = port if kind == "tcp-server" else path
    d = daemon(serial("a", a, framing="line") + section(
        kind, "lan", listen=f"127.0.0.1:{port}" if kind == "tcp-server" else path,
        framing="line", idle_timeout="2s"))
    silent, talker = connect(where), connect(where)
    while not silent.eof:
        talker.send(b"line\n")
        expect(a, b"line\n", [talker])
        pump([silent], lambda: True)
        silent.turn(1)
    assert not talker.eof
    assert [row["name"] for row in d.json("peers")] == ["lan#2"]
    assert d.number("lan/idle_closed") == 1
    assert "lan#1: disconnected (idle for 2s)" in d.stderr()
    pump([talker], lambda: talker.eof)
    assert d.number("lan/idle_closed") == 2
    wait_for(lambda: d.tasks()["lan.idle"]["state"] == "idle")
    again = connect(where)
    pump([again], lambda: again.eof)
    assert d.number("lan/idle_closed") == 3


def test_a_client_that_only_receives_is_not_idle(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line", idle_timeout="1s"))
    client = connect(port)
    wait_for(lambda: d.json("peers"))
    start = time.monotonic()
    while time.monotonic() - start < 3:
        a.send(b"line\n")
        expect(client, b"line\n", [a])
    assert not client.eof and d.number("lan/idle_closed") == 0
    pump([client], lambda: client.eof)


def test_a_client_that_only_sends_commands_is_not_idle(pty, daemon, connect):
    port = free_port()
    d = daemon(serial("a", pty("a")) +
               tcp_server("lan", port, protocol="telnet", idle_timeout="1s"))
    client = connect(port)
    wait_for(lambda: d.json("peers"))
    start = time.monotonic()
    while time.monotonic() - start < 3:
        client.send(b"\xff\xf1")
        pump([client], lambda: not client.outgoing)
        assert d.number("lan/idle_closed") == 0
    pump([client], lambda: client.eof)


def test_one_that_takes_nothing_is_idle(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") + tcp_server(
        "lan", port, framing="line", idle_timeout="1s", stall_timeout="none"))
    client = connect(port, receive_buffer=2048)
    client.reading = False
    wait_for(lambda: d.json("peers"))
    while d.json("peers"):
        if not a.outgoing:
            a.send(b"x" * 999 + b"\n")
        pump([a], lambda: True)
        a.turn(4)
    assert d.number("lan/idle_closed") == 1
    d.balance("a", "lan")
