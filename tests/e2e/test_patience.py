"""What is waited for at most so long, with a clock that the test sets."""
import itertools

import pytest

from harness import FAULTS, Client, flush, free_port, serial, tcp_server, wait_for


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


def test_one_that_has_ended_and_takes_nothing_is_closed_in_the_end(
        patient, pty):
    a, port = pty("a"), free_port()
    d, a_second_later = patient(
        serial("a", a, framing="line") +
        tcp_server("lan", port, framing="line", stall_timeout="1h"))
    client = Client(("127.0.0.1", port), receive_buffer=4096)
    try:
        wait_for(lambda: d.json("peers"))
        while d.queued("lan") == 0:
            a.send((b"x" * 1000 + b"\n") * 20)
            flush([a])
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
