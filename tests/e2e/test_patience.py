"""What is waited for at most so long, with a clock that the test sets."""
import itertools

import pytest

from harness import (FAULTS, Client, flush, free_port, move, serial,
                     tcp_server, wait_for)


@pytest.fixture
def patient(folder, daemon):
    """Starts a daemon; it, and what makes a second pass for it."""
    file, passed = folder / "uptime", itertools.count(1)
    file.write_text("0")

    def a_second_later():
        file.write_text(str(next(passed)))

    def start(conf):
        return daemon(conf, env={
            "LD_PRELOAD": str(FAULTS), "FAULT_UPTIME": str(file),
            "ASAN_OPTIONS": "verify_asan_link_order=0"}), a_second_later
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
        assert "gone (it had ended, and takes nothing)" in d.stderr()
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
                 "what lan#1 is still owed; it sends no more")
    finally:
        client.close()
