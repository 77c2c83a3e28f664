"""What a machine may do to a daemon, beside what it may run out of (test_shortage)."""
import resource
import signal
import socket
import sys
from pathlib import Path

import pytest

from harness import BINARY, Daemon, Pty, expect, run_apart, section, serial, wait_for


def two(a, b):
    return serial("a", a, framing="line") + serial("b", b, framing="line")


def passes(a, b, text):
    a.send(text)
    expect(b, text, [a])


# --- files that may not grow -------------------------------------------------

def test_a_log_that_may_not_grow_stops_nothing(pty, daemon):
    """The kernel sends SIGXFSZ, which ends who does not expect it."""
    a, b = pty("a"), pty("b")
    d = daemon(two(a, b))
    size = d.errors.stat().st_size
    resource.prlimit(d.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    for n in range(3):
        b.unplug()
        d.wait_state("b", "lost")
        b.plug()
        d.wait_state("b", "up")
        passes(a, b, b"%d\n" % n)
    assert d.errors.stat().st_size == size
    resource.prlimit(d.pid, resource.RLIMIT_FSIZE,
                     (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    d.control("pause b")
    wait_for(lambda: "messages lost" in d.stderr() or "paused" in d.stderr())


@pytest.mark.skipif("/cov/" in BINARY, reason="libgcov writes files of its own")
def test_a_hand_over_that_cannot_be_written_changes_nothing(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(two(a, b))
    d.control("pause b")
    a.send(b"x" * 999 + b"\n")
    d.wait_number("b/queued_frames", 1)
    limit = (d.errors.stat().st_size + 500, resource.RLIM_INFINITY)
    resource.prlimit(d.pid, resource.RLIMIT_FSIZE, limit)
    d.signal(signal.SIGUSR2)
    wait_for(lambda: "goes on" in d.stderr())
    d.control("resume b")
    expect(b, b"x" * 999 + b"\n", [a])
    passes(a, b, b"on\n")


# --- a name server that says nothing -----------------------------------------

def deaf_name_server(directory):
    """In a network of its own, with a name server that takes questions and is silent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        server.settimeout(20)
        a = Pty(directory / "a")
        for timeout in ("20s", "200ms"):
            conf = serial("a", a, framing="line") + section(
                "tcp-client", "far", connect="far.example:5011", connect_timeout=timeout,
                reopen_min="20ms", reopen_max="20ms")
            with Daemon(directory, conf, settled=False) as d:
                for _ in range(1 if timeout == "20s" else 6):
                    server.recv(4096)
                if timeout == "20s":
                    assert "the address of" in d.tasks()["far.connect"]["label"]
                if timeout == "200ms":
                    wait_for(lambda: "no answer from the name service" in d.stderr())
        a.close()


def test_a_stop_while_a_name_is_asked_for_leaves_nothing(directory):
    (directory / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    run_apart(f"mount --bind {directory}/resolv.conf /etc/resolv.conf && "
              "ip link set lo up", __file__, directory, "an /etc")


if __name__ == "__main__":
    deaf_name_server(Path(sys.argv[1]))
