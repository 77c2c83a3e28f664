"""
For a long time, by dice: traffic, unplugs, reloads, restarts, slow and dying clients.
From time to time all is calmed down, and then everything must add up:

    - a receiver has got each frame whole, in order, once at most
    - in = out + queued + dropped, and what went out to a device has arrived there
    - frames pass again, every one of them
    - no descriptor more than at the beginning, as many waits as events, and memory
      is flat; when nothing happens the daemon does nothing

The first half of the time it is one process, in the other half it starts again and
again (kill -USR2).  As a test it takes some seconds, with a fixed seed; as

    tests/e2e/test_soak.py SECONDS [SEED]

(`make soak T=1800`) it takes as long as it is told, and says the figures.
"""
import binascii
import os
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

from harness import (BINARY, BROKEN, SANITIZERS, Client, ControlError, Daemon, Pty,
                     Slave, fill, move, pump, section, serial, tcp_server, wait_for)
from test_chaos import Chaos

SENTENCE = re.compile(rb"\$T(\w+),(\d+),(x*)\*([0-9A-F]{2})\r\n")


def sentence(who, number, length):
    body = b"T%s,%d,%s" % (who.encode(), number, b"x" * length)
    check = 0
    for byte in body:
        check ^= byte
    return b"$%s*%02X\r\n" % (body, check)


# --- framings, as the devices speak them -------------------------------------

class Nmea:
    """Sentences as they are."""

    conf = {"framing": "nmea"}

    @staticmethod
    def encode(text):
        return text

    @staticmethod
    def take(data):
        """Takes the frames out; bytes that are none are one, too."""
        end = data.rfind(b"\n") + 1
        found = bytes(data[:end]).splitlines(keepends=True)
        del data[:end]
        return found


class Cobs:
    """Sentences without their CR LF, with a checksum."""

    conf = {"framing": "cobs", "checksum": "crc32"}

    @staticmethod
    def encode(text):
        """They have no zeros in them."""
        plain = text[:-2] + binascii.crc32(text[:-2]).to_bytes(4, "big")
        out = bytearray()
        for block in plain.split(b"\0"):
            while len(block) >= 254:
                out += b"\xff" + block[:254]
                block = block[254:]
            out += bytes([len(block) + 1]) + block
        return bytes(out) + b"\0"

    @staticmethod
    def decode(frame):
        out, at = bytearray(), 0
        while at < len(frame):
            code = frame[at]
            out += frame[at + 1:at + code]
            at += code
            if code < 255 and at < len(frame):
                out.append(0)
        check = binascii.crc32(out[:-4]).to_bytes(4, "big")
        return bytes(out[:-4]) + b"\r\n" if out[-4:] == check else frame

    @classmethod
    def take(cls, data):
        end = data.rfind(b"\0") + 1
        found = bytes(data[:end]).split(b"\0")[:-1]
        del data[:end]
        return [cls.decode(frame) for frame in found]


# --- who talks and hears -----------------------------------------------------

class Person:
    """Sends numbered sentences on a stream, and knows what it has heard on it."""

    def __init__(self, name, stream, code=Nmea):
        self.name, self.stream, self.code = name, stream, code
        self.sent = 0
        self.heard = 0
        self.heard_then = self.went = self.cut = 0     # at the last reckoning
        self.broken = []
        self.may_break = 0
        self.last = {}          # who -> the number heard last

    def say(self, length):
        self.sent += 1
        self.stream.send(self.code.encode(sentence(self.name, self.sent, length)))

    def listen(self):
        for text in self.code.take(self.stream.received):
            m = SENTENCE.fullmatch(text)
            if not m or text != sentence(m[1].decode(), int(m[2]), len(m[3])):
                self.broken.append(text)
                continue
            who, number = m[1].decode(), int(m[2])
            assert who != self.name, f"{self.name} got its own {text!r:.100}"
            assert number > self.last.get(who, 0), \
                f"{self.name} got number {number} of {who} after {self.last[who]}"
            self.last[who] = number
            self.heard += 1


class Soak(Chaos):
    """Chaos in which each frame can be told from all others."""

    MOVES = {"talk": 60, "shout": 4, "stop_reading": 3, "read_again": 4, "unplug": 2,
             "come": 4, "go": 3, "user": 2, "watch": 3, "command": 5, "crowd": 1,
             "reload": 1, "restart": 0}

    def __init__(self, seed, pty, daemon, directory, open_tty, restarts):
        self.moves = {**self.MOVES, "restart": restarts}
        self.done = dict.fromkeys(self.moves, 0)
        self.people = {}        # stream -> person
        self.names = 0
        self.hurt = set()       # devices that may have missed something
        self.log_end = 0
        self.rss = []
        self.gone_sent = self.gone_heard = 0
        super().__init__(seed, pty, daemon, directory, open_tty)
        for p in self.ptys:
            self.people[p] = Person(p.name, p, Cobs if p.name == "c" else Nmea)
            self.people[p].may_break = 1 << 30      # until the reckoning
        self.calm_down()
        fill(self.ptys, quiet=0.3)
        self.base = len(self.d.descriptors())

    def conf(self, calm=False):
        dice = self.dice
        policy = "block" if calm else dice.choice(
            ("block", "drop-oldest", "drop-newest", "disconnect"))
        text = "".join(serial(p.name, p, queue="8K", stall_timeout="50ms", **Nmea.conf)
                       for p in self.ptys[:2])
        text += serial("c", self.ptys[2], queue="4K", overflow=policy,
                       stall_timeout="50ms", **Cobs.conf)
        text += tcp_server("lan", self.port, queue="8K", stall_timeout="50ms",
                           max_clients=6, **Nmea.conf)
        if not calm and dice.random() < 0.7:
            text += section("pty", "p", link=self.directory / "p", queue="2K",
                            stall_timeout="50ms", **Nmea.conf)
        return text

    def streams(self):
        found = super().streams()
        for stream in [s for s in self.people if s not in found]:
            person = self.people.pop(stream)
            self.gone_sent += person.sent
            self.gone_heard += person.heard
        return found

    # --- what happens --------------------------------------------------------

    def speaker(self):
        """One who may say something now."""
        s = self.dice.choice(self.ptys + self.clients)
        there = getattr(s, "master", 0) >= 0 and len(s.outgoing) < 50000
        return self.people[s] if there else None

    def talk(self):
        if person := self.speaker():
            person.say(self.dice.randrange(300))

    def shout(self):
        if person := self.speaker():
            for _ in range(self.dice.randrange(300)):
                person.say(self.dice.randrange(100))

    def unplug(self):
        p = self.dice.choice(self.ptys)
        if p.master >= 0:
            self.people[p].listen()
            p.received.clear()
            self.hurt.add(p.name)
            p.unplug()
        else:
            p.plug()

    def come(self):
        before = len(self.clients)
        super().come()
        for client in self.clients[before:]:
            self.names += 1
            self.people[client] = Person(f"L{self.names}", client)

    def user(self):
        super().user()
        for u in self.users:
            self.people[u] = Person("p", u)
            # What the one before left, who has left this moment.
            self.people[u].may_break = 1

    def crowd(self):
        """Many control clients that ask, and do not wait for all of the answer."""
        crowd = [Client(self.d.socket) for _ in range(10)]
        for c in crowd:
            c.send(self.dice.choice((b"p", b"list\n" * 5, b"\0\n", b"x" * 5000,
                                     b"json ps\nwatch\n", b"get a/st")))
        move(crowd, 0)
        for c in crowd:
            self.dice.choice((c.close, c.reset))()
        wait_for(self.room, what="the crowd to leave")

    def room(self):
        """Whether a control client would be let in."""
        try:
            return self.d.control("version")
        except ControlError:
            return False

    def command(self):
        words = self.dice.choice((
            "pause {}", "resume {}", "reopen {}", "set {}/queue 3K", "set {}/baud 19200",
            "cancel {}.reopen", "cancel {}#1.read", "json ps", "routes",
            "where {}.read"))
        name = self.dice.choice(("a", "b", "c", "lan", "p"))
        try:
            self.d.control(words.format(name))
        except ControlError:
            pass

    def reload(self):
        if self.dice.random() < 0.2:
            try:
                self.d.reload(self.conf() + "[serial a]\nbuad = 1\n")
                assert False, "a faulty file was taken"
            except ControlError:
                pass
        super().reload()

    def log(self):
        """What it has said since the last time."""
        with open(self.d.errors, errors="replace") as f:
            f.seek(self.log_end)
            text = f.read()
            self.log_end = f.tell()
        assert not BROKEN.search(text), text[-8000:]
        return text

    def restart(self):
        self.log()
        seen = ""
        self.d.signal(signal.SIGUSR2)

        def again():
            nonlocal seen
            seen += self.log()
            return " endpoints up" in seen
        pump(self.streams(), again, what="the next process")

    def turn(self):
        kinds = list(self.moves)
        kind = self.dice.choices(kinds, self.moves.values())[0]
        getattr(self, kind)()
        self.done[kind] += 1
        move(self.streams(), self.dice.choice((0, 0, 2, 10)))
        for person in self.people.values():
            person.listen()
            assert len(person.broken) <= person.may_break, \
                f"{person.name} got something broken: {person.broken!r:.600}"

    # --- what must be true ---------------------------------------------------

    def counts(self):
        """Of each endpoint: in, out, queued, dropped; all of the same moment."""
        what = ("rx_frames", "tx_frames", "queued_frames", "dropped",
                "dropped_cut")
        names = ("a", "b", "c", "lan")
        words = self.d.raw("".join(f"get {n}/{w}\n" for n in names for w in what))
        numbers = [int(w) for w in words.split() if w != b"OK"]
        return {n: dict(zip(what, numbers[i * 5:i * 5 + 5]))
                for i, n in enumerate(names)}

    def calm_down(self):
        """All is plugged, nobody else is there, and nothing waits."""
        d = self.d
        for p in self.ptys:
            if p.master < 0:
                p.plug()
        self.read_again()
        for c in self.clients + self.sessions + self.users:
            c.close()
        self.clients, self.sessions, self.users = [], [], []
        for name in d.endpoints():
            d.control(f"resume {name}")
            if d.state(name) == "closed":
                d.control(f"reopen {name}")
        d.reload(self.conf(calm=True))

        def settled():
            move(self.streams(), 2)
            return all(row["state"] == "up" and row["queued"] == 0
                       for row in d.json("endpoints"))
        wait_for(settled, what="calm")
        fill(self.ptys, quiet=0.2)
        for person in self.people.values():
            person.listen()
            left = person.stream.received
            assert not left, f"half a frame at {person.name}: {bytes(left)!r:.300}"

    def everything_passes(self):
        before = {p: dict(self.people[p].last) for p in self.ptys}
        for _ in range(20):
            for p in self.ptys:
                self.people[p].say(30)
        want = {p.name: self.people[p].sent for p in self.ptys}

        def all_there():
            for p in self.ptys:
                self.people[p].listen()
            return all(self.people[p].last.get(n, 0) == want[n]
                       for p in self.ptys for n in want if n != p.name)
        heard = sum(self.people[p].heard for p in self.ptys)
        pump(self.ptys, all_there, what=f"all frames; they were at {before}")
        got = sum(self.people[p].heard for p in self.ptys) - heard
        assert got == 3 * 2 * 20, f"{got} of 120 frames"

    def arrives(self, person, now):
        """
        What went out since the last time has arrived.  A device that was closed in the
        middle of a frame has the beginning of that, and may take the next for its end.
        """
        went, cut = now["tx_frames"] - person.went, now["dropped_cut"] - person.cut
        heard = person.heard - person.heard_then
        least = 0 if person.name in self.hurt else went - cut
        assert least <= heard <= went, \
            f"{person.name}: {went} frames went out, {heard} arrived ({cut} cut)"
        assert len(person.broken) <= cut, \
            f"{person.name} got something broken: {person.broken[0]!r:.300}"
        person.went, person.cut = now["tx_frames"], now["dropped_cut"]
        person.heard_then = person.heard
        person.broken.clear()

    def adds_up(self):
        now, d = self.counts(), self.d
        for to, n in now.items():
            came = sum(row["rx_frames"] for s, row in now.items() if s != to)
            there = n["tx_frames"] + n["queued_frames"] + n["dropped"]
            # Of lan one for each client, or one that was for nobody.
            right = came == there if to != "lan" else came <= there
            assert right, f"{to}: {came} in, {there} out, queued or dropped: {now}"
        for p in self.ptys:
            self.arrives(self.people[p], now[p.name])
        self.hurt.clear()
        waits, _, events, _ = d.raw("get daemon/waits\nget daemon/events\n").split()
        assert waits == events, "\n".join(d.control("ps"))
        wait_for(lambda: len(d.descriptors()) <= self.base,
                 what=f"{self.base} descriptors, not {d.descriptors()}")

    def does_nothing(self):
        for _ in range(5):
            before, start = self.d.cpu(), time.monotonic()
            fill(self.ptys, quiet=0.2)
            if self.d.cpu() - before < 0.3 * (time.monotonic() - start):
                return
        assert False, "\n".join(self.d.control("ps"))

    def check(self):
        self.calm_down()
        self.adds_up()
        self.everything_passes()
        self.does_nothing()
        self.adds_up()
        self.rss.append(self.d.rss())
        self.log()
        os.truncate(self.d.errors, 0)
        self.log_end = 0

    def run(self, seconds, turns):
        """That many turns at a time, until the time is over."""
        end = time.monotonic() + seconds
        while not self.rss or time.monotonic() < end:
            for _ in range(turns):
                self.turn()
            self.check()

    def flat(self):
        """Whether memory was in the last third what it had been in the first."""
        third = max(1, len(self.rss) // 3)
        return max(self.rss[-third:]) <= 1.1 * max(self.rss[:third]) + (2 << 20)

    def figures(self):
        sent = sum(p.sent for p in self.people.values()) + self.gone_sent
        heard = sum(p.heard for p in self.people.values()) + self.gone_heard
        k = [r >> 10 for r in self.rss]
        some = [k[i * (len(k) - 1) // 9] for i in range(10)]
        return (f"{sent} frames sent, {heard} heard; "
                f"{', '.join(f'{n} {what}' for what, n in self.done.items())}; "
                f"{len(k)} times all added up; resident {' '.join(map(str, some))} K; "
                f"{self.base} descriptors")


# The sanitizer keeps each stack that it has seen, which takes memory for long.
SHALLOW = {"ASAN_OPTIONS": SANITIZERS["ASAN_OPTIONS"] + ":malloc_context_size=1"}
# A restart makes memory new: so one phase without, for what leaks, and one with.
PHASES = (0, 1)


@pytest.mark.parametrize("restarts", PHASES)
def test_a_short_soak(restarts, pty, daemon, directory, open_tty):
    s = Soak(7, pty, daemon, directory, open_tty, restarts)
    s.run(0, 600)


def soak(seconds, seed, restarts, directory):
    made = []

    def make(kind):
        def do(*args, **kwargs):
            made.append(kind(*args, **kwargs))
            return made[-1]
        return do
    try:
        s = Soak(seed, lambda name: make(Pty)(directory / name),
                 lambda conf, **keys: make(Daemon)(directory, conf, env=SHALLOW, **keys),
                 directory, make(Slave), restarts)
        s.run(seconds, 1500)
        s.d.stop()
        print(f"{'with' if restarts else 'without'} restarts: {s.figures()}", flush=True)
        assert s.flat(), f"memory grows: {[r >> 10 for r in s.rss]}"
    finally:
        for thing in made:
            getattr(thing, "kill", getattr(thing, "close", None))()


def main():
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"soak: {BINARY}, {seconds:g} s, seed {seed}", flush=True)
    for restarts in PHASES:
        with tempfile.TemporaryDirectory() as directory:
            soak(seconds / len(PHASES), seed, restarts, Path(directory))


if __name__ == "__main__":
    main()
