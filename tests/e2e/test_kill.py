"""
kill -9 under a service manager that keeps descriptors: no port is closed, no client is
cut, and of what had been accepted little is lost.
"""
import fcntl
import os
import random
import socket
import threading

import pytest

from harness import (Client, Daemon, expect, fill, flush, free_port, pump, section,
                     serial, tcp_server, wait_for)

LOST_AT_MOST = 64 << 10
PLACES = 64


class Manager:
    """What systemd is to a service: takes its messages, and keeps its descriptors."""

    def __init__(self, directory):
        self.path = directory / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.store = []         # (name, descriptor), in the order in which they came
        self.status = ""
        self.deaf = False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self.socket, 4096, 16)
            if data == b"END":
                return
            self.take(dict(line.split("=", 1)
                           for line in data.decode().splitlines()), fds)

    def take(self, said, fds):
        name = said.get("FDNAME", "stored")
        if self.deaf:
            said = {}
        self.status = said.get("STATUS", self.status)
        if "FDSTORE" in said:
            there = [self.same(fd) for _, fd in self.store]
            new = [fd for fd in fds if self.same(fd) not in there]
            self.store += [(name, fd) for fd in new[:PLACES - len(there)]]
        if "FDSTOREREMOVE" in said:
            fds += [fd for n, fd in self.store if n == name]
            self.store = [(n, fd) for n, fd in self.store if n != name]
        kept = [fd for _, fd in self.store]
        for fd in fds:          # also that of a barrier
            if fd not in kept:
                os.close(fd)

    @staticmethod
    def same(fd):
        """Of two that are the same it keeps one."""
        st = os.fstat(fd)
        return st.st_dev, st.st_ino

    def start(self, directory, conf, env=(), **keys):
        """Gives it what is in the store, as systemd does."""
        given, self.store = self.store, list(self.store)

        def preexec():
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3 + len(given))
                    for _, fd in given]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i, inheritable=True)
        env = {"NOTIFY_SOCKET": str(self.path), "FDSTORE": str(PLACES), **dict(env)}
        wrapper = []
        if given:
            env |= {"LISTEN_FDS": str(len(given)),
                    "LISTEN_FDNAMES": ":".join(name for name, _ in given)}
            wrapper = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"]
        return Daemon(directory, conf, env=env, wrapper=wrapper, preexec=preexec,
                      settled=False, **keys)

    def close(self):
        end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        end.sendto(b"END", str(self.path))
        self.thread.join()
        for _, fd in self.store:
            os.close(fd)
        self.socket.close()
        end.close()


def line(n):
    return b"%d %s %d\n" % (n, b"." * (n * 37 % 300), n)


class Story:
    """A device that sends numbered lines, and two that hear them."""

    def __init__(self, pty, directory, queue):
        self.manager = Manager(directory)
        self.directory = directory
        self.a, self.b, port = pty("a"), pty("b"), free_port()
        self.conf = serial("a", self.a, framing="line") + \
            serial("b", self.b, framing="line", queue=queue) + \
            tcp_server("lan", port, framing="line", queue=queue, stall_timeout="1h")
        self.d = self.manager.start(directory, self.conf)
        self.d.settle()
        self.client = Client(("127.0.0.1", port))
        wait_for(lambda: len(self.d.json("peers")) == 1)
        self.streams = [self.a, self.b, self.client]
        self.sent = 0

    def say(self, count):
        for _ in range(count):
            self.sent += 1
            self.a.outgoing += line(self.sent)

    def kill(self):
        assert self.a.opened() and self.b.opened()
        self.d.process.kill()
        self.d.process.wait()
        assert self.a.opened() and self.b.opened(), "a device was closed"
        errors = self.d.stderr()
        self.d = self.manager.start(self.directory, self.conf)
        assert self.a.opened() and self.b.opened(), "a device was closed"
        wait_for(lambda: len(self.d.json("peers")) == 1)
        return self.d.stderr()[len(errors):]

    def heard(self, stream):
        """The numbers of whole lines, and how much of them was broken."""
        numbers, broken = [], 0
        for text in stream.lines():
            number = int(text.split(b" ")[0]) if text[:1].isdigit() else 0
            if text + b"\n" == line(number):
                numbers.append(number)
            else:
                broken += 1
        return numbers, broken

    def end(self, kills):
        """All is read; what is missing, in bytes, of the one that misses most."""
        for s in self.streams:
            s.reading = True
        flush(self.streams)
        self.say(1)
        last = line(self.sent)
        pump(self.streams, lambda: all(s.received.endswith(last)
                                       for s in self.streams[1:]), what="the last line")
        most = 0
        for s in self.streams[1:]:
            assert not s.eof
            numbers, broken = self.heard(s)
            assert numbers == sorted(set(numbers)), "a line came twice, or out of order"
            # The one of which half was read, and the one of which half was written.
            assert broken <= 2 * kills
            missing = set(range(1, self.sent + 1)) - set(numbers)
            most = max(most, sum(len(line(n)) for n in missing))
        return most

    def close(self):
        self.d.stop()
        self.client.close()
        self.manager.close()


@pytest.fixture
def story(pty, directory, request):
    made = []

    def start(queue):
        made.append(Story(pty, directory, queue))
        return made[0]
    yield start
    for s in made:
        if getattr(request.node, "failed_call", False):
            print(s.d.stderr()[-6000:])
            s.d.kill()
        else:
            s.close()


@pytest.mark.parametrize("queue", ["64K", "1M"])
def test_full_queues_of_one_that_is_killed_are_not_lost(queue, story):
    s = story(queue)
    size = int(queue[:-1]) << (10 if queue[-1] == "K" else 20)
    s.b.reading = False
    for kills in range(1, 4):
        s.say(3 * size // 150)
        pump(s.streams, lambda: s.d.number("b/queued_bytes") > size - 4096,
             what="a full queue")
        fill(s.streams)
        waited = s.d.queued("b")
        assert " that waited are taken over" in s.kill()
        assert s.d.queued("b") >= waited - 1
    lost = s.end(kills)
    assert lost <= kills * LOST_AT_MOST, f"{lost} bytes"
    print(f"{lost} bytes lost by {kills} kills")


def test_a_manager_that_does_not_hear_of_it_doubles_nothing(story):
    """It takes no messages from a process that has ended when it looks at them."""
    s = story("256K")
    s.b.reading = False
    s.say(4000)
    fill(s.streams)
    s.manager.deaf = True
    s.kill()
    s.b.reading = True
    fill(s.streams)
    s.manager.deaf = False
    s.kill()
    s.end(2)


def test_killed_at_any_moment_under_traffic(story):
    s, dice = story("256K"), random.Random(5)
    kills = 8
    for n in range(kills):
        s.b.reading, s.client.reading = dice.choice(
            ((True, True), (False, True), (True, False), (False, False)))
        s.say(dice.randrange(500, 4000))
        goal = s.a.written + dice.randrange(100, 100000)
        pump(s.streams, lambda: s.a.written >= goal or not s.a.outgoing
             or s.d.number("a/rx_bytes") > 0 or s.d.tasks()["a.read"]["state"] == "paused")
        s.kill()
    lost = s.end(kills)
    assert lost <= kills * LOST_AT_MOST, f"{lost} bytes"
    print(f"{lost} bytes lost by {kills} kills")


@pytest.fixture
def manager(directory):
    m = Manager(directory)
    yield m
    m.close()


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_control_port_that_is_taken_meanwhile_is_no_end(
        how, manager, pty, directory, connect):
    a, port, control = pty("a"), free_port(), free_port()
    conf = serial("a", a, framing="line") + tcp_server("lan", port, framing="line")
    two = section("control", "two", listen=f"127.0.0.1:{control}")
    d = manager.start(directory, conf)
    d.settle()
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    d.kill() if how == "killed" else d.stop()
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", control))
        holder.listen()
        with manager.start(directory, conf + two) as d:
            assert "[control two]: cannot listen" in d.stderr()
            assert "two" in d.tasks()["daemon.controls"]["label"]
            client.send(b"still here\n")
            expect(a, b"still here\n", [client])
            waits, _, events, _ = d.raw(
                "get daemon/waits\nget daemon/events\n").split()
            assert waits == events
            holder.close()
            wait_for(lambda: "daemon.controls" not in d.tasks())
            assert d.control("version", ("127.0.0.1", control))
            d.kill()
    # With nothing left to lose it says so, and ends.
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        two = section("control", "two", listen=f"127.0.0.1:{holder.getsockname()[1]}")
        with pytest.raises(AssertionError, match="cannot start: .control two.: "):
            Daemon(directory, conf + two, name="cold")


def test_a_socket_that_another_program_has_put_there_is_left_alone(
        manager, directory):
    here = directory / "here"
    conf = section("unix-server", "a", listen=here, framing="line")
    d = manager.start(directory, conf)
    d.settle()
    d.kill()
    assert here.is_socket()
    here.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(here))
        other.listen()
        d = manager.start(directory, conf)
        d.wait_state("a", "lost")
        d.stop()
        assert here.is_socket()
