"""Peers that vanish without closing their connection, and those that only seem to."""
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import (LIBC, Client, Daemon, Pty, expect, fill, pump, run_apart, same, section,
                     serial, wait_for)

HERE, THERE, PORT = "192.0.2.1", "192.0.2.2", 5011
CLONE_NEWNET = 0x40000000


def ip(words):
    subprocess.run(["ip", *words.split()], check=True)


class Far:
    """A network namespace of another machine, at the other end of a cable."""

    def __init__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        assert LIBC.unshare(CLONE_NEWNET) == 0
        self.there = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        LIBC.setns(self.home, CLONE_NEWNET)
        ip(f"link add v type veth peer name w netns /proc/{os.getpid()}/fd/{self.there}")
        ip(f"address add {HERE}/24 dev v")
        ip("link set v up")
        with self.inside():
            ip(f"address add {THERE}/24 dev w")
            ip("link set w up")

    @contextmanager
    def inside(self):
        LIBC.setns(self.there, CLONE_NEWNET)
        try:
            yield
        finally:
            LIBC.setns(self.home, CLONE_NEWNET)

    def connect(self, **kwargs):
        with self.inside():
            return Client((HERE, PORT), **kwargs)

    def vanish(self, how):
        """The cable is pulled, or something on the way drops what the other side sends."""
        with self.inside():
            ip("link set w down" if how == "cable" else f"route add blackhole {HERE}/32")

    def come_back(self):
        with self.inside():
            ip(f"route del blackhole {HERE}/32")


def lan(**keys):
    return section("tcp-server", "lan", listen=f"{HERE}:{PORT}", allow="192.0.2.0/24",
                   framing="line", keepalive="2s", stall_timeout="none", **keys)


def joined(d):
    wait_for(lambda: d.json("peers"))


def lost(d):
    wait_for(lambda: not d.json("peers"))
    assert "lan#1: disconnected (acknowledged nothing for 2s)" in d.stderr()


def idle(far, a, d, how):
    client = far.connect()
    joined(d)
    far.vanish(how)
    lost(d)
    client.close()


def data_in_flight(far, a, d, how):
    client = far.connect()
    joined(d)
    a.send(b"first\n")
    expect(client, b"first\n", [a])
    far.vanish(how)
    a.send(b"second\n")
    d.wait_number("lan/tx_frames", 2)
    lost(d)
    client.close()


def window_closed(far, a, d, how):
    """It does not read, so that only probes of its window are sent; then it vanishes."""
    client = far.connect(receive_buffer=2048)
    client.reading = False
    joined(d)
    a.send(b"x" * 999 + b"\n")
    while d.queued("lan") == 0:
        if not a.outgoing:
            a.send(b"x" * 999 + b"\n")
        pump([a], lambda: not a.outgoing)
    far.vanish(how)
    lost(d)
    client.close()


def window_closed_but_alive(far, a, d, how):
    client = far.connect(receive_buffer=2048)
    client.reading = False
    joined(d)
    lines = b"".join(b"%06d".ljust(99, b"x") % i + b"\n" for i in range(60000))
    a.send(lines)
    fill([a])
    assert a.outgoing
    start = time.monotonic()
    pump([a], lambda: time.monotonic() - start > 8)
    assert d.json("peers")[0]["name"] == "lan#1"
    client.reading = True
    pump([a, client], lambda: len(client.received) >= len(lines), timeout=60)
    same(client.take(), lines)
    client.close()


def server_vanishes(far, a, d, how):
    with far.inside():
        server = socket.create_server((THERE, PORT))
    server.settimeout(20)
    d.reload(serial("a", a, framing="line") + section(
        "tcp-client", "out", connect=f"{THERE}:{PORT}", framing="line", keepalive="2s",
        connect_timeout="200ms", reopen_min="20ms", reopen_max="100ms"))
    peer, _ = server.accept()
    d.wait_state("out", "up")
    far.vanish("filter")
    a.send(b"to nobody\n")
    wait_for(lambda: (pump([a], lambda: True), d.state("out") != "up")[1])
    assert "out: up -> lost (acknowledged nothing for 2s)" in d.stderr()
    a.send(b"held\n")
    pump([a], lambda: not a.outgoing)
    d.wait_number("out/queued_frames", 1)
    far.come_back()
    again, _ = server.accept()
    again.settimeout(20)
    assert again.recv(100) == b"held\n"
    for s in (peer, again, server):
        s.close()


STORIES = {f"{story.__name__} {how}": (story, how) for story, how in (
    (idle, "cable"), (idle, "filter"), (data_in_flight, "cable"), (data_in_flight, "filter"),
    (window_closed, "filter"), (window_closed_but_alive, "not"), (server_vanishes, "filter"))}


@pytest.mark.parametrize("story", STORIES)
def test_vanish(story, directory):
    (directory / "story").write_text(story)
    run_apart("ip link set lo up", __file__, directory, "network namespaces")


if __name__ == "__main__":
    where = Path(sys.argv[1])
    tell, manner = STORIES[(where / "story").read_text()]
    tty = Pty(where / "a")
    machine = Far()
    with Daemon(where, serial("a", tty, framing="line") + lan()) as daemon:
        tell(machine, tty, daemon, manner)
    tty.close()
