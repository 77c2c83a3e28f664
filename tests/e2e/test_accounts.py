"""
The accounts of frames: what was offered to an endpoint was sent, waits, was rejected or was
dropped, to the frame, at any moment.

    offered = tx_frames + queued_frames + rejected + dropped
    dropped = the sum of dropped_REASON

The attributes of one endpoint are shown at one moment, so both hold during traffic, too.
What is offered is compared with what came in, and what was sent with what the other side
has received.
"""
import random

import pytest

from harness import (Client, ControlError, free_port, move, pump, route, section, serial,
                     tcp_server, wait_for)
from test_handover import restart
from test_modbus import RTU, holds, read
from test_modbus_tcp import mbap

SINGLE = ("a", "b", "c")
# Who sends to whom, by the routes below; each frame is offered once for a pair.
SOURCES = {"a": ("b", "c"), "b": ("a", "c"), "c": ("b",)}


def values_of(d, name):
    return {k.partition("/")[2]: v for k, v in d.json(f"list {name}/").items()}


def account(d, name):
    """The counters of the endpoint, whose sums are right."""
    v = values_of(d, name)
    reasons = {k: n for k, n in v.items()
               if k.startswith("dropped_") and k != "dropped_bytes"}
    assert v["dropped"] == sum(reasons.values()), (name, v)
    there = v["tx_frames"] + v["queued_frames"] + v["rejected"] + v["dropped"]
    assert v["offered"] == there, (name, v)
    return v


class Place:
    """Endpoints of different framings, with each policy, with filters and a shared bus."""

    def __init__(self, pty, daemon, connect, directory):
        self.dice = random.Random(15)
        self.ports = {name: free_port() for name in ("lan", "gw")}
        self.ptys = {name: pty(name) for name in (*SINGLE, "bus")}
        self.directory, self.connect = directory, connect
        self.number, self.sent = 0, dict.fromkeys(SINGLE, 0)
        self.clients, self.masters, self.paused = [], [], set()
        self.d = daemon(self.conf(), settled=False)
        self.d.settle()

    def conf(self):
        p, dice = self.ptys, self.dice
        return "".join((
            serial("a", p["a"], framing="line", queue="2K", overflow="drop-newest",
                   reopen_min="10ms", label=dice.choice("AB")),
            serial("b", p["b"], framing="slip", queue="1K", overflow="drop-oldest",
                   reopen_min="10ms", baud=dice.choice((9600, 19200))),
            serial("c", p["c"], framing="cobs", queue="2K", overflow="drop-oldest",
                   reopen_min="10ms"),
            serial("bus", p["bus"], reopen_min="10ms", **RTU),
            tcp_server("lan", self.ports["lan"], framing="line", queue="2K",
                       overflow=dice.choice(("drop-oldest", "drop-newest")),
                       max_clients=4),
            tcp_server("gw", self.ports["gw"], framing="modbus-tcp", max_clients=4),
            route("pick", from_="a", to="b", match="^x"),
            route("first", from_="b", to="a", reject="5"),
            route("second", from_="b", to="a", match="7$"),
            route("all", from_="b", to="c"),
            route("few", from_="c", to="a", rate="20/s"),
            route("newest", from_="c", to="b", latest="nmea"),
            route("listen", from_="a b c", to="lan"),
            route("shared", from_="gw", to="bus", exchange="modbus", functions="read",
                  match_unit="1-9", answer_timeout="20ms", request_timeout="100ms"),
            ))

    # what happens

    def streams(self):
        return [*self.ptys.values(), *self.clients, *self.masters]

    def say(self, name, n=1):
        for _ in range(n if self.ptys[name].master >= 0 else 0):
            self.number += 1
            text = b"%c%d" % (self.dice.choice(b"xyz"), self.number)
            text += b"-" * self.dice.choice((0, 0, 20, 300))
            if name == "a":
                data = text + b"\n"
            elif name == "b":       # some of them are no lines
                data = text + self.dice.choice((b"", b"\n!")) + b"\xc0"
            else:                   # and some are messages of NMEA
                text = self.dice.choice((text, b"$GPGGA,%d" % self.number))[:250]
                data = bytes([len(text) + 1]) + text + b"\0"
            self.ptys[name].send(data)

    def talk(self):
        self.say(self.dice.choice(SINGLE), self.dice.randrange(30))

    def command(self):
        name = self.dice.choice(SINGLE)
        try:
            self.d.control(f"send {name} by hand")
            self.sent[name] += 1
        except ControlError:        # no room
            pass

    def ask(self):
        for master in self.masters:
            unit = self.dice.choice((1, 2, 3, 30))
            self.number += 1
            message = read(unit) if self.dice.random() < 0.8 else \
                bytes([unit, 6]) + read(unit)[2:]
            master.send(mbap(message, self.number & 0xffff))

    def answer(self):
        bus = self.ptys["bus"]
        data = bus.take()
        if len(data) >= 8 and bus.master >= 0:
            bus.send(holds(data[-8], 7))

    def unplug(self):
        pty = self.ptys[self.dice.choice((*SINGLE, "bus"))]
        if pty.master >= 0:
            pty.unplug()
        else:
            pty.plug()

    def stop_reading(self):
        stream = self.dice.choice(self.streams())
        stream.reading = not stream.reading

    def come_and_leave(self):
        where, there = self.dice.choice((("lan", self.clients), ("gw", self.masters)))
        if len(there) < 3 and self.dice.random() < 0.6:
            there.append(Client(("127.0.0.1", self.ports[where]), receive_buffer=4096))
        elif there:
            there.pop(self.dice.randrange(len(there))).close()

    def pause(self):
        name = self.dice.choice(SINGLE)
        self.d.control(f"{'resume' if name in self.paused else 'pause'} {name}")
        self.paused ^= {name}

    def reopen(self):
        self.d.control(f"reopen {self.dice.choice((*SINGLE, 'bus'))}")

    def reload(self):
        self.d.write(self.conf())
        self.d.control("reload")

    def restart(self):
        restart(self.d, self.live())

    MOVES = {"talk": 50, "command": 5, "ask": 12, "answer": 8, "unplug": 4, "stop_reading": 6,
             "come_and_leave": 8, "pause": 4, "reopen": 2, "reload": 1, "restart": 1}

    def live(self):
        return [s for s in self.streams() if getattr(s, "master", 0) >= 0]

    def turn(self):
        kind = self.dice.choices(list(self.MOVES), self.MOVES.values())[0]
        getattr(self, kind)()
        move(self.live(), self.dice.choice((0, 0, 2)))

    # what must be true

    def check(self):
        return {name: account(self.d, name)
                for name in (*SINGLE, "bus", "lan", "gw")}

    def calm_down(self):
        for pty in self.ptys.values():
            if pty.master < 0:
                pty.plug()
        for name in sorted(self.paused):
            self.d.control(f"resume {name}")
        for stream in self.streams():
            stream.reading = True
        pump(self.live(), lambda: not any(s.outgoing for s in self.live()) and all(
            row["state"] == "up" and row["queued"] == 0 for row in self.d.json("endpoints")),
             what="calm")


def test_each_frame_that_was_offered_is_accounted_for(pty, daemon, connect, directory):
    place = Place(pty, daemon, connect, directory)
    try:
        for n in range(600):
            place.turn()
            if n % 10 == 0:
                place.check()
        place.calm_down()
        now = place.check()
        for name, sources in SOURCES.items():
            came = sum(now[s]["rx_frames"] for s in sources) + place.sent[name]
            assert now[name]["offered"] == came, (name, came, now)
        total = {k: sum(v.get(k, 0) for v in now.values())
                 for k in ("rejected", "dropped_down", "dropped_unencodable",
                           "dropped_nobody")}
        assert all(total.values()), total
    finally:
        for stream in place.clients + place.masters:
            stream.close()


@pytest.fixture
def two(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="slip") +
               serial("b", b, framing="line", queue="64") +
               route("one", from_="a", to="b", match="^[a-m]") +
               route("two", from_="a", to="b", match="^[0-9]"))
    return d, a, b


def has(d, name, **want):
    values = account(d, name)
    assert {k: values[k] for k in want} == want


def test_a_frame_is_rejected_once_whatever_the_number_of_routes(two):
    d, a, b = two
    a.send(b"hello\xc0zulu\xc07\xc0\xc0zz\xc0")
    pump([a, b], lambda: b.received == b"hello\n7\n")
    d.wait_number("a/rx_frames", 4)
    has(d, "b", offered=4, tx_frames=2, rejected=2)
    assert (d.number("routes/one/rejected"), d.number("routes/two/rejected")) == (3, 2)


def test_what_waits_is_sent_later_and_what_is_lost_is_dropped(two):
    d, a, b = two
    b.unplug()
    d.wait_state("b", "lost")
    a.send(b"a\xc0b\xc0c\xc0d\xc0e\xc0f\xc0x\n\xc0a\n\xc0")
    d.wait_number("a/rx_frames", 8)
    has(d, "b", offered=8, tx_frames=0, queued_frames=4, dropped_down=3, rejected=1)
    b.plug()
    pump([a, b], lambda: b.received == b"d\ne\nf\n")
    # The last one has a newline in it.
    has(d, "b", offered=8, tx_frames=3, queued_frames=0, dropped_down=3,
        dropped_unencodable=1, rejected=1)


def test_each_peer_counts(daemon, connect, directory):
    d = daemon(section("unix-server", "s", listen=directory / "s", framing="line") +
               section("unix-server", "t", listen=directory / "t", framing="line") +
               route("r", from_="s", to="t s"))
    one = connect(directory / "s")
    wait_for(lambda: len(d.json("peers")) == 1)
    one.send(b"to nobody\n")
    d.wait_number("s/rx_frames", 1)
    has(d, "t", offered=1, dropped_nobody=1)
    has(d, "s", offered=1, dropped_nobody=1)
    others = [connect(directory / "t") for _ in range(3)] + [connect(directory / "s")]
    wait_for(lambda: len(d.json("peers")) == 5)
    one.send(b"to four\n")
    pump([one, *others], lambda: all(o.received == b"to four\n" for o in others))
    has(d, "t", offered=4, tx_frames=3)
    has(d, "s", offered=2, tx_frames=1)
    others[0].close()
    wait_for(lambda: len(d.json("peers")) == 4)
    has(d, "t", offered=4, tx_frames=3)


def test_requests_are_offered_to_the_bus(pty, daemon, connect):
    bus, port = pty("bus"), free_port()
    d = daemon(tcp_server("lan", port, framing="modbus-tcp") + serial("bus", bus, **RTU) +
               route("shared", from_="lan", to="bus", exchange="modbus", retries=1,
                     match_unit="1-9", functions="read", answer_timeout="20s"))
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    client.send(b"".join(mbap(read(unit), unit) for unit in (1, 2, 3, 40)))
    pump([bus, client], lambda: bus.received == read(1) and client.received)
    has(d, "bus", offered=4, tx_frames=1, queued_frames=2, rejected=1)
    has(d, "lan", offered=1, tx_frames=1)       # the exception for unit 40
    bus.send(holds(1, 5))
    pump([bus, client], lambda: bus.received == read(1) + read(2))
    client.close()
    wait_for(lambda: not d.json("peers"))
    d.wait_number("bus/queued_frames", 0)
    has(d, "bus", offered=4, tx_frames=2, dropped_closed=1, rejected=1)
    has(d, "lan", offered=2)
