"""Everything at once, by dice: no crash, no leak, no byte unaccounted for."""
import os
import random
import signal

import pytest

from harness import (Client, ControlError, fill, free_port, move, pump, route,
                     section, serial, tcp_server, wait_for)


SEEDS = int(os.environ.get("TTYBRIDGE_SEEDS", "3"))


class Chaos:
    """Three devices, a pty, a server, and a hand that throws things about."""

    def __init__(self, seed, pty, daemon, directory, open_tty):
        self.dice = random.Random(seed)
        self.ptys = [pty(name) for name in "abc"]
        self.port = free_port()
        self.directory = directory
        self.open_tty = open_tty
        self.clients, self.sessions, self.users = [], [], []
        self.said = 0
        self.d = daemon(self.conf(), tcp=True)

    def conf(self):
        dice = self.dice
        policy = dice.choice(("block", "drop-oldest", "drop-newest",
                              "disconnect"))
        text = "".join(
            serial(p.name, p, framing="line", queue="4K",
                   stall_timeout="50ms", frame_timeout="200ms")
            for p in self.ptys[:2])
        text += serial("c", self.ptys[2], queue="2K", overflow=policy,
                       framing=dice.choice(("line", "slip", "cobs", "nmea")),
                       stall_timeout="50ms")
        text += tcp_server("lan", self.port, framing="line", queue="4K",
                           stall_timeout="50ms", max_clients=4,
                           overflow=policy)
        if dice.random() < 0.7:
            text += section("pty", "p", link=self.directory / "p",
                            framing="line", queue="2K",
                            stall_timeout="50ms")
        if dice.random() < 0.3:
            text += route("r", between="a b") + route(
                "s", from_="a b c", to="lan c", match="[0-4]")
        return text

    def streams(self):
        gone = [c for c in self.clients if c.eof]
        self.clients = [c for c in self.clients if not c.eof]
        for c in gone:
            c.close()
        return [*self.ptys, *self.clients, *self.sessions, *self.users]

    def someone(self):
        return self.dice.choice(self.ptys + self.clients + self.users)

    def talk(self):
        s = self.someone()
        if getattr(s, "master", 0) >= 0 and len(s.outgoing) < 100000:
            self.said += 1
            s.send(b"%d " % self.said + b"x" * self.dice.randrange(300) +
                   self.dice.choice((b"\n", b"\n", b"\n", b"", b"\0\xc0")))

    def shout(self):
        s = self.dice.choice(self.ptys)
        if s.master >= 0 and len(s.outgoing) < 100000:
            s.send(b"shout shout\n" * 2000)

    def stop_reading(self):
        self.someone().reading = False

    def read_again(self):
        for s in self.streams():
            s.reading = True

    def unplug(self):
        p = self.dice.choice(self.ptys)
        if p.master >= 0:
            p.unplug()
        else:
            p.plug()

    def come(self):
        if len(self.clients) < 6:
            self.clients.append(Client(("127.0.0.1", self.port)))

    def go(self):
        if self.clients:
            c = self.clients.pop(self.dice.randrange(len(self.clients)))
            try:
                self.dice.choice((c.close, c.reset, c.end))()
            except OSError:     # the daemon was first
                pass
            c.close()

    def user(self):
        for u in self.users:
            u.close()
        self.users = []
        if (self.directory / "p").is_symlink() and self.dice.random() < 0.6:
            try:
                self.users = [self.open_tty(self.directory / "p")]
            except OSError:     # it went this moment
                pass

    def watch(self):
        while self.sessions:
            self.sessions.pop().close()
        s = self.d.session(tcp=self.dice.random() < 0.5)
        s.send(self.dice.choice((b"watch\n", b"watch a lan\n", b"json watch\n",
                                 b"ps\nendpo", b"list\nwatch b\n")))
        s.reading = self.dice.random() < 0.7
        self.sessions.append(s)

    def command(self):
        name = self.dice.choice(("a", "b", "c", "lan", "p"))
        words = self.dice.choice((
            "pause {}", "resume {}", "reopen {}", "break {} 1ms",
            "send {} hello", "set {}/baud 19200", "set {}/queue 3K",
            "cancel {}.reopen", "cancel {}#1.read", "json ps", "routes",
            "where {}.read", "set log_level debug"))
        try:
            self.d.control(words.format(name))
        except ControlError:
            pass

    def reload(self):
        self.d.write(self.conf())
        self.d.signal(signal.SIGHUP)
        self.d.control("version")

    def turn(self):
        self.dice.choices(
            (self.talk, self.shout, self.stop_reading, self.read_again,
             self.unplug, self.come, self.go, self.user, self.watch,
             self.command, self.reload),
            (40, 6, 3, 3, 4, 4, 3, 2, 2, 5, 1))[0]()
        move(self.streams(), self.dice.choice((0, 0, 2, 10)))

    def calm_down(self):
        """Everything plugged, read and resumed: it works as on the first day."""
        for p in self.ptys:
            if p.master < 0:
                p.plug()
        for c in self.clients + self.sessions + self.users:
            c.close()
        self.clients, self.sessions, self.users = [], [], []
        self.read_again()
        d = self.d
        for name in d.endpoints():
            d.control(f"resume {name}")
            if d.state(name) == "closed":       # its reopening was cancelled
                d.control(f"reopen {name}")
        d.reload("".join(serial(p.name, p, framing="line")
                         for p in self.ptys))
        d.settle()
        wait_for(lambda: all(p.opened() for p in self.ptys))
        fill(self.ptys, quiet=0.2)
        for p in self.ptys:
            p.outgoing.clear()
            p.send(b"\n")
        fill(self.ptys, quiet=0.2)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_breaks_when_everything_happens_at_once(
        seed, pty, daemon, directory, open_tty):
    c = Chaos(seed, pty, daemon, directory, open_tty)
    for _ in range(1000):
        c.turn()
    c.calm_down()
    d, (a, b, third) = c.d, c.ptys
    for name in d.endpoints():
        d.bytes_in(name)
    for p in c.ptys:
        p.take()
    a.send(b"as on the first day\n")
    pump(c.ptys, lambda: bytes(b.received) == bytes(third.received) ==
         b"as on the first day\n")
    words = d.raw("get daemon/waits\nget daemon/events\n").split()
    assert words[0] == words[2], "\n".join(d.control("ps"))
    assert d.rss() < 80 << 20
