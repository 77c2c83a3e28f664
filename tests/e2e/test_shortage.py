"""What the machine runs out of, and a clock that jumps."""
import json
import os
import re
import resource
import select
import time

import pytest

from harness import (FAULTS, Client, expect, free_port, move, pump, section,
                     serial, tcp_server, wait_for)


def two(a, b):
    return serial("a", a, framing="line") + serial("b", b, framing="line")


def alive(a, b, mark=[0]):
    mark[0] += 1
    line = b"alive %d\n" % mark[0]
    a.send(line)
    expect(b, line, [a])


def talkative(d, b):
    """Makes it log, much."""
    d.control("set log_level debug")
    for _ in range(20):
        d.control("pause b")
        d.control("resume b")
    b.unplug()
    d.wait_state("b", "lost")
    b.plug()
    d.wait_state("b", "up")


# --- the log -----------------------------------------------------------------

def test_a_full_disk_under_the_log_stops_nothing(pty, daemon):
    a, b = pty("a"), pty("b")
    with open("/dev/full", "wb") as full:
        d = daemon(two(a, b), stderr=full)
    before = d.cpu()
    talkative(d, b)
    alive(a, b)
    assert d.cpu() - before < 1


def test_a_log_that_nobody_reads_stops_nothing_and_says_what_was_lost(
        pty, daemon):
    a, b = pty("a"), pty("b")
    reader, writer = os.pipe()
    try:
        d = daemon(two(a, b), stderr=writer)
        os.set_blocking(writer, False)
        try:
            while os.write(writer, b"x" * 4096):
                pass
        except BlockingIOError:
            pass
        os.set_blocking(writer, True)
        talkative(d, b)
        alive(a, b)
        os.set_blocking(reader, False)
        text = b""
        while chunk := read_some(reader):
            text += chunk
        d.control("pause b")
        d.control("resume b")
        wait_for(lambda: select.select([reader], [], [], 0)[0])
        text = read_some(reader)
        assert re.search(rb"\d+ messages lost\n", text)
        assert b"b: resumed by hand\n" in text
        alive(a, b)
        d.stop()
    finally:
        os.close(reader)
        os.close(writer)


def read_some(fd):
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return b""


# --- descriptors -------------------------------------------------------------

def test_a_device_that_comes_back_is_opened_when_there_are_descriptors_again(
        pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(two(a, b))
    session = d.session()
    session.ask("version")
    b.unplug()
    wait_for(lambda: session.ask("get b/state") == ["lost"])
    old = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    all_of_them = max(d.descriptors()) + 1
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (all_of_them, old[1]))
    clients = [Client(d.socket)
               for _ in range(all_of_them - len(d.descriptors()))]
    wait_for(lambda: len(d.descriptors()) == all_of_them)
    before = d.cpu()
    b.plug()
    wait_for(lambda: "Too many open files" in session.ask("get b/error")[0])
    a.send(b"held\n")
    wait_for(lambda: session.ask("get a/rx_frames") == ["1"])
    start = time.monotonic()
    pump([], lambda: time.monotonic() - start > 0.3)
    assert d.cpu() - before < 1
    for c in clients:
        c.close()
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, old)
    wait_for(lambda: session.ask("get b/state") == ["up"])
    expect(b, b"held\n", [a])
    alive(a, b)
    session.close()


# --- clients -----------------------------------------------------------------

def test_a_thousand_slow_clients_keep_nobody_waiting(pty, daemon):
    """Each sends a byte, then all of them the next one."""
    a, b, command = pty("a"), pty("b"), b"get a/state\nversion\n"
    port = free_port()
    d = daemon(two(a, b) + section("control", "crowd", max_clients=1000,
                                   listen=f"127.0.0.1:{port}"))
    session = d.session()
    session.ask("version")
    before = d.rss()
    slow = [Client(("127.0.0.1", port)) for _ in range(1000)]
    longest = 0
    for i in range(len(command)):
        for c in slow:
            c.send(command[i:i + 1])
        start = time.monotonic()
        session.ask("version")
        alive(a, b)
        longest = max(longest, time.monotonic() - start)
    deadline = time.monotonic() + 30
    while any(c.received.count(b"OK\n") < 2 for c in slow):
        assert time.monotonic() < deadline
        move(slow)
    assert all(c.received.startswith(b"up\nOK\n") for c in slow)
    assert longest < 1
    assert d.rss() - before < 32 << 20
    for c in slow:
        c.close()
    wait_for(lambda: len(d.tasks()) < 50)
    session.close()


# --- the time of day ---------------------------------------------------------

YEAR = 365 * 86400


@pytest.mark.parametrize("jump", [YEAR, -20 * YEAR])
def test_a_clock_that_jumps_changes_nothing_but_the_times_that_are_shown(
        jump, pty, daemon, directory):
    assert FAULTS.exists(), f"{FAULTS} is not there: make faults"
    a, b, port, clock = pty("a"), pty("b"), free_port(), directory / "clock"
    clock.write_text("0")
    d = daemon(serial("a", a, framing="line", frame_timeout="100ms") +
               serial("b", b, framing="line", queue="1K",
                      stall_timeout="100ms") +
               tcp_server("lan", port, framing="line"),
               env={"LD_PRELOAD": str(FAULTS), "FAULT_CLOCK": str(clock),
                    "ASAN_OPTIONS": "verify_asan_link_order=0"})
    watch = d.session().send(b"json watch\n")

    def shown():
        """The time of the last frame, off ours."""
        alive(a, b)
        move([watch])
        lines = watch.lines()
        return lines and json.loads(lines[-1])["time"] - time.time()
    assert abs(wait_for(shown)) < 60
    uptime = float(d.get("daemon/up"))
    clock.write_text(str(jump))
    wait_for(lambda: abs(shown() - jump) < 60)
    assert 0 <= float(d.get("daemon/up")) - uptime < 60
    # Timeouts take as long as before.
    start = time.monotonic()
    a.send(b"half a line")
    d.wait_number("a/bad_timeout", 1, timeout=5)
    assert time.monotonic() - start > 0.05
    b.reading = False
    a.send((b"x" * 999 + b"\n") * 200)
    wait_for(lambda: move([a]) or d.number("b/stalls") == 1)
    b.reading = True
    b.unplug()
    b.plug()
    d.wait_state("b", "up", timeout=5)
    before = d.cpu()
    start = time.monotonic()
    pump([a, b], lambda: time.monotonic() - start > 0.3)
    assert d.cpu() - before < 0.3
    watch.close()
