"""A tcp-client and those who do not answer it."""
import re
import select
import socket

from harness import PATIENCE, expect, flush, section, serial, wait_for


class Deaf:
    """A server whose queue of connections is full: it answers nobody."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.address = self.listener.getsockname()
        self.waiting = []

    def fill(self):
        while True:
            s = socket.socket()
            s.settimeout(0.2)
            self.waiting.append(s)
            try:
                s.connect(self.address)
            except TimeoutError:
                return self

    def hear(self):
        """Becomes a server that answers."""
        self.close()
        self.listener = socket.create_server(self.address)
        self.listener.settimeout(PATIENCE)

    def close(self):
        for s in (*self.waiting, self.listener):
            s.close()
        self.waiting.clear()


def test_a_server_that_does_not_answer_is_given_up_and_tried_again(
        pty, daemon):
    deaf, a = Deaf().fill(), pty("a")
    host = "%s:%d" % deaf.address
    try:
        d = daemon(serial("a", a, framing="line") +
                   section("tcp-client", "out", connect=host, framing="line",
                           connect_timeout="300ms", reopen_min="20ms",
                           reopen_max="50ms"), settled=False)
        labels = {}

        def waits():
            labels.update({name: row["label"]
                           for name, row in d.tasks().items()
                           if row["state"] == "waiting"})
            return "out.connect" in labels and "out.timeout" in labels
        wait_for(waits)
        assert labels["out.connect"] == f"an answer from {host}"
        assert labels["out.timeout"].endswith(f" to pass, for {host} to answer")
        wait_for(lambda: "out: opening -> lost" in d.stderr())
        assert f"({host}: Connection timed out)" in d.stderr()
        deaf.hear()
        with deaf.listener.accept()[0] as server:
            server.settimeout(PATIENCE)
            d.wait_state("out", "up")
            a.send(b"hello\n")
            flush([a])
            assert server.recv(100) == b"hello\n"
            server.sendall(b"answer\n")
            expect(a, b"answer\n", [a])
    finally:
        deaf.close()


def test_a_server_that_closes_at_once_is_tried_less_and_less_often(pty, daemon):
    a = pty("a")
    with socket.create_server(("127.0.0.1", 0)) as server:
        d = daemon(serial("a", a) + section(
            "tcp-client", "out", connect="127.0.0.1:%d" % server.getsockname()[1],
            reopen_min="50ms", reopen_max="30s"), settled=False)

        def waits_long():
            ready = select.select([server], [], [], 0)[0]
            if ready:
                server.accept()[0].close()
            return float(d.get("out/next_try")) > 0.5
        wait_for(waits_long)
        row = d.endpoints()["out"]
        assert (row["state"], row["reason"]) == ("lost", "closed by the peer")
        assert row["next_try"] > 0
        line, = (line for line in d.control("endpoints") if line.startswith("out "))
        assert re.search(r"  closed by the peer; next try in \S+$", line)
        assert d.endpoints()["a"]["reason"] is d.endpoints()["a"]["next_try"] is None
        line, = (line for line in d.control("endpoints") if line.startswith("a "))
        assert line.endswith("  -")


def test_a_name_that_there_is_not_is_told(pty, daemon):
    a = pty("a")
    d = daemon(serial("a", a) +
               section("tcp-client", "out", connect="nowhere.invalid:5011",
                       connect_timeout="1s", reopen_min="20ms",
                       reopen_max="50ms"), settled=False)
    wait_for(lambda: d.state("out") == "lost" and d.get("out/error"))
    assert d.get("out/error") != ""
    d.wait_state("a", "up")
