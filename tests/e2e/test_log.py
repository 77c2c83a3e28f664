"""Where messages go: the journal with its fields, a socket, and when neither takes them."""
import functools
import operator
import os
import signal
import socket

import pytest

from harness import FAULTS, flush, serial, wait_for


class Journal:
    """Hears what is sent to the journal."""

    def __init__(self, directory):
        self.path = directory / "journal"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(self.path))
        self.sock.setblocking(False)
        self.heard = []
        # What the service manager says of the standard error that it gives.
        self.stderr = open(directory / "stderr", "wb+")
        st = os.fstat(self.stderr.fileno())
        self.env = {"JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}",
                    "FAULT_JOURNAL": str(self.path),
                    "LD_PRELOAD": str(FAULTS),
                    "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def messages(self):
        """Each as its fields."""
        try:
            while True:
                text = self.sock.recv(65536).decode()
                self.heard.append(dict(
                    line.split("=", 1) for line in text.splitlines()
                    if "=" in line))
        except BlockingIOError:
            return self.heard

    def of(self, text):
        """The first message that has the text."""
        return next((m for m in self.messages() if text in m["MESSAGE"]), None)

    def printed(self):
        return os.pread(self.stderr.fileno(), 65536, 0).decode()


@pytest.fixture
def journal(directory):
    made = Journal(directory)
    yield made
    made.sock.close()
    made.stderr.close()


def start(journal, pty, daemon):
    a, b = pty("a"), pty("b")
    return daemon(serial("a", a) + serial("b", b), stderr=journal.stderr,
                  env=journal.env), a, b


def test_the_journal_gets_fields(journal, pty, daemon):
    d, a, _ = start(journal, pty, daemon)
    up = wait_for(lambda: journal.of("a: opening -> up"))
    assert (up["ENDPOINT"], up["PRIORITY"]) == ("a", "6")
    control = wait_for(lambda: journal.of("listens on unix:"))
    assert control["CONTROL"] == "unix" and "ENDPOINT" not in control
    version = wait_for(lambda: journal.of("2 of 2 endpoints up"))
    assert not {"ENDPOINT", "CONTROL", "TASK", "ROUTE"} & set(version)
    d.signal(signal.SIGUSR1)
    task = wait_for(lambda: journal.of("daemon.signals"))
    assert task["TASK"] == "daemon.signals"
    a.unplug()
    lost = wait_for(lambda: journal.of("a: up -> lost"))
    assert lost["PRIORITY"] == "4"
    assert journal.printed() == ""


def test_what_the_journal_does_not_take_is_printed(journal, pty, daemon):
    d, a, _ = start(journal, pty, daemon)
    journal.sock.close()
    a.unplug()
    wait_for(lambda: "ttybridged: a: up -> lost" in journal.printed())
    d.wait_state("b", "up")


def test_a_socket_as_standard_error_is_written_to_and_never_waited_for(
        pty, daemon):
    ours, its = socket.socketpair()
    with ours, its:
        its.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        a = pty("a")
        d = daemon(serial("a", a), stderr=its)
        heard = bytearray(ours.recv(65536))
        assert b"ttybridged: a: opening -> up" in heard
        for _ in range(300):        # nobody reads
            d.control("pause a\nresume a")

        def told():
            d.control("set a/label x")
            heard.extend(ours.recv(65536))
            return b" messages lost\n" in heard
        wait_for(told)
        assert heard.count(b"paused by hand") < 300


def test_verbose_tells_the_first_frame_that_is_lost(pty, daemon):
    a, b = pty("a"), pty("b")
    conf = (serial("a", a, framing="nmea") +
            serial("b", b, framing="cobs", queue="16"))
    b.unplug()
    d = daemon(conf, settled=False, options=("-v",))
    d.wait_state("a", "up")
    good = b"$GPGLL,1*%02X\r\n" % functools.reduce(
        operator.xor, b"GPGLL,1")
    a.send(b"garbage\r\n$GPGGA,1*00\r\n$GPGGA,2*00\r\n" + 3 * good)
    flush([a])
    d.wait_number("a/rx_frames", 3)
    told = [line.partition(": ")[2] for line in d.stderr().splitlines()
            if "dropped" in line or "discarded" in line]
    assert told == ["a: 9 bytes discarded: noise",
                    "a: 13 bytes discarded: checksum",
                    "b: a frame of 11 bytes was dropped: down"]
    assert "the end of a minute" in d.tasks()["losses.timer"]["label"]
