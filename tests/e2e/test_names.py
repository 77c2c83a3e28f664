"""Names of hosts, which are looked up as nsswitch.conf says, and do not stop the daemon."""
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness import (FAULTS, Daemon, Pty, expect, run_apart, section, serial,
                     wait_for)

# Of tests/fault/nss.c.
NAME = "known-to-the-module.example"
MODULE = FAULTS.parent / "libnss_ttybridge.so.2"


class Server:
    def __init__(self, host="127.0.0.1"):
        self.listener = socket.create_server((host, 0))
        self.listener.settimeout(20)
        self.port = self.listener.getsockname()[1]

    def accept(self):
        peer, _ = self.listener.accept()
        peer.settimeout(20)
        return peer


def far(port, host=NAME, **keys):
    return section("tcp-client", "far", connect=f"{host}:{port}", framing="line",
                   reopen_min="20ms", reopen_max="20ms", **keys)


def threads(d):
    return len(os.listdir(f"/proc/{d.pid}/task"))


class Gate:
    """What the module waits for before it answers."""

    def __init__(self, directory):
        self.path = directory / "gate"
        os.mkfifo(self.path)
        self.env = {"NSS_GATE": str(self.path)}

    def open(self):
        """Lets all go on that wait; false if nobody does."""
        try:
            os.close(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as e:
            assert e.errno == errno.ENXIO
            return False
        return True

    def free(self, d):
        """Until no lookup is left."""
        wait_for(lambda: (self.open(), threads(d) == 1)[1])


def passes(a, b, text):
    a.send(text)
    expect(b, text, [a])


# --- in a network and with an nsswitch.conf of their own ------------------------

def a_module_is_asked(directory):
    server = Server()
    with Daemon(directory, far(server.port)), server.accept() as peer:
        peer.sendall(b"found\n")


def frames_pass_while_a_name_is_looked_up(directory):
    server, gate = Server(), Gate(directory)
    a, b = Pty(directory / "a"), Pty(directory / "b")
    conf = serial("a", a, framing="line") + serial("b", b, framing="line")
    with Daemon(directory, conf + far(server.port), settled=False, env=gate.env) as d:
        wait_for(lambda: "the address of" in d.tasks()["far.connect"]["label"])
        wait_for(lambda: threads(d) > 1)
        for i in range(10):
            passes(a, b, b"line %d\n" % i)
        assert d.state("far") == "opening"
        wait_for(gate.open)
        with server.accept() as peer:
            passes(a, b, b"last\n")
            got = b""
            while not got.endswith(b"last\n"):
                got += peer.recv(4096)
            assert got == b"".join(b"line %d\n" % i for i in range(10)) + b"last\n"
    a.close()
    b.close()


def a_lookup_that_is_no_longer_wanted_may_end_late(directory):
    server, gate = Server(), Gate(directory)
    a = Pty(directory / "a")
    conf = serial("a", a, framing="line")
    with Daemon(directory, conf + far(server.port), settled=False, env=gate.env) as d:
        wait_for(lambda: threads(d) > 1)
        d.reload(conf)
        assert "far" not in d.endpoints() and threads(d) > 1
        gate.free(d)
        d.reload(conf + far(server.port))
        wait_for(lambda: threads(d) > 1)
        for _ in range(3):
            d.control("reopen far")
        gate.free(d)
        d.reload(conf + far(server.port, connect_timeout="50ms"))
        d.control("reopen far")
        wait_for(lambda: "no answer from the name service" in d.stderr())
        wait_for(lambda: threads(d) > 3)
    a.close()


def a_name_of_this_machine_has_all_its_addresses(directory):
    """Even if its only other address is one of IPv6."""
    server = Server()
    with Daemon(directory, far(server.port, "localhost")), server.accept():
        pass


def each_address_of_a_name_is_tried(directory):
    """Whichever of them comes first."""
    (directory / "hosts").write_text("127.0.0.1 two\n127.0.0.2 two\n")
    subprocess.run(["mount", "--bind", directory / "hosts", "/etc/hosts"], check=True)
    for good, bad in ("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "127.0.0.1"):
        server = Server(good)
        with Daemon(directory, far(server.port, "two")), server.accept():
            pass
        # It may also give no answer at all.
        with socket.create_server((bad, server.port), backlog=0):
            waiting = [socket.socket() for _ in range(8)]
            for s in waiting:
                s.setblocking(False)
                s.connect_ex((bad, server.port))
            with Daemon(directory, far(server.port, "two", connect_timeout="1s")), \
                    server.accept():
                pass
            for s in waiting:
                s.close()


def no_client_connects_to_itself(directory):
    """Even if there is no server on the port, which the system also gives to clients."""
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40003")
    with Daemon(directory, far(40000, "127.0.0.1"), settled=False) as d:
        wait_for(lambda: d.tasks()["far.reopen"]["runs"] > 50)
        assert d.number("far/opens") == 0


STORIES = (a_module_is_asked, frames_pass_while_a_name_is_looked_up,
           a_lookup_that_is_no_longer_wanted_may_end_late,
           a_name_of_this_machine_has_all_its_addresses, each_address_of_a_name_is_tried,
           no_client_connects_to_itself)


@pytest.mark.parametrize("story", [story.__name__ for story in STORIES])
def test_names(story, directory):
    assert MODULE.exists(), f"{MODULE} is not there: make faults"
    (directory / "nsswitch.conf").write_text("hosts: files ttybridge\n")
    (directory / "story").write_text(story)
    run_apart(f"mount --bind {directory}/nsswitch.conf /etc/nsswitch.conf && "
              "ip link set lo up && ip link add v type veth peer name w && "
              "ip link set v up && ip link set w up && "
              f"export LD_LIBRARY_PATH={MODULE.parent}", __file__, directory, "an /etc")


if __name__ == "__main__":
    where = Path(sys.argv[1])
    next(s for s in STORIES if s.__name__ == (where / "story").read_text())(where)
