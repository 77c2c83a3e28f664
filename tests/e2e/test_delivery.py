"""
The promise of delivery against a model, by dice: reloads, pauses, reopenings,
hand-overs, readers that are slow and readers that are half-closed.

One client, the witness, hears all that any source has offered: it is always read, and
its section never changes.  What it has heard is the model:

    - the witness has heard what was sent, in order, and as many frames as were counted
      at their arrival
    - every other receiver has heard the same, in the same order, whole, and without what
      came from itself; as many frames are missing as were counted as dropped there
    - offered = delivered + queued + dropped, and dropped is the sum of its reasons

As a test it takes half a minute, with a fixed seed.  TTYBRIDGE_DELIVERY=SECONDS makes
it as long as that, with a seed of its own; TTYBRIDGE_DELIVERY=SECONDS:SEED repeats one.
"""
import os
import random
import signal
import time
from collections import Counter

import pytest

from harness import (BROKEN, SANITIZERS, Client, fill, free_port, move, pump, route,
                     section, serial, tcp_server, wait_for)

GIVEN = os.environ.get("TTYBRIDGE_DELIVERY", "")
SECONDS = float(GIVEN.partition(":")[0] or 0)
SEED = int(GIVEN.partition(":")[2] or (random.randrange(1 << 32) if GIVEN else 7))
TURNS = 400
ROUNDS = 3
SINGLE = ("a", "b", "p")
SERVERS = ("lan", "local")
ENDS = (*SINGLE, *SERVERS)
COUNTS = ("rx_frames", "tx_frames", "queued_frames", "dropped")
REASONS = ("overflow", "replaced", "down", "stalled", "unencodable", "cut", "closed",
           "nobody", "memory")
# Why an endpoint may drop frames while it takes them: who blocks drops none.
MAY_DROP = {"a": set(), "p": set(), "b": {"overflow"}, "lan": {"closed", "nobody"},
            "local": {"closed", "nobody", "overflow", "stalled"}}
LINES = dict(framing="line", max_frame="8K")
# The sanitizer keeps each stack that it has seen, which takes memory for long.
SHALLOW = {"ASAN_OPTIONS": SANITIZERS["ASAN_OPTIONS"] + ":malloc_context_size=1"}


class Person:
    """Says numbered lines on a stream, and keeps those that it hears."""

    def __init__(self, name, end, stream):
        self.name, self.end, self.stream = name, end, stream
        self.number = 0
        self.said = []          # since the last reckoning
        self.heard = []
        self.came = False       # since the last reckoning
        self.ended = False      # sends no more
        self.lossy = False      # what it said may have been thrown away
        self.torn = False       # what it heard may begin or end in a line

    def say(self, length):
        self.number += 1
        text = b"%s %d %s" % (self.name.encode(), self.number, b"x" * length)
        self.said.append(text)
        self.stream.send(text + b"\n")

    def listen(self):
        data = self.stream.received
        end = data.rfind(b"\n") + 1
        self.heard += bytes(data[:end]).split(b"\n")[:-1]
        del data[:end]


class Model:
    MOVES = {"talk": 50, "shout": 12, "stop_reading": 4, "read_again": 5, "come": 3,
             "half_close": 2, "pause": 2, "resume": 4, "reopen": 2, "reload": 3,
             "restart": 1, "restart_changed": 1}

    def __init__(self, seed, pty, daemon, directory, open_tty):
        self.dice = random.Random(seed)
        self.directory = directory
        self.port = free_port()
        self.ptys = {name: pty(name) for name in "ab"}
        self.log_end = self.names = 0
        self.paused = set()
        self.away = set()       # paused or reopened since the last reckoning
        self.done = dict.fromkeys(self.MOVES, 0)
        self.totals = {}        # (endpoint, what) -> at the last reckoning
        self.d = daemon(self.conf(), settled=False, env=SHALLOW)
        self.people = [Person(n, n, s) for n, s in self.ptys.items()]
        self.people.append(Person("p", "p", open_tty(directory / "p")))
        self.witness = Person("w", "w", Client(directory / "w"))
        self.mirrored = Person("x", "x", Client(directory / "x"))
        self.people += [self.witness, self.mirrored]
        self.d.settle()
        wait_for(lambda: len(self.d.json("peers")) == 2)
        self.totals = self.counts()
        assert not any(self.totals.values()), self.totals

    # --- the configuration ---------------------------------------------------

    def conf(self):
        """The same endpoints and routes, in any order, in other words."""
        dice = self.dice

        def some(**keys):
            return {k: v for k, v in keys.items() if dice.random() < 0.5}

        def policy(*words):
            return dict(overflow=dice.choice(words))
        blocks = [
            serial("a", self.ptys["a"], queue=dice.choice(("2K", "16K")), **LINES,
                   **some(label="A", reopen_min="10ms")),
            serial("b", self.ptys["b"], queue=dice.choice(("2K", "8K")), **LINES,
                   **policy("block", "block", "drop-oldest", "drop-newest"),
                   **some(label="B", baud=dice.choice((9600, 19200)))),
            section("pty", "p", link=self.directory / "p", queue="8K", **LINES,
                    **some(label="P")),
            tcp_server("lan", self.port, stall_timeout="1h", queue="16K",
                       max_clients=8, **LINES),
            section("unix-server", "local", listen=self.directory / "local", max_clients=8,
                    stall_timeout=dice.choice(("20ms", "50ms", "1h")), queue="8K",
                    **LINES, **policy("block", "drop-oldest")),
        ]
        fixed = [
            section("unix-server", "w", listen=self.directory / "w", stall_timeout="1h",
                    queue="64M", **LINES),
            section("unix-server", "x", listen=self.directory / "x", stall_timeout="1h",
                    **LINES),
            section("echo", "e"),
        ]
        if dice.random() < 0.3:
            blocks.append(tcp_server("z", free_port()))
        blocks += fixed
        dice.shuffle(blocks)
        routes = [route("all", from_=" ".join(ENDS), to="w"),
                  route("ends", between=" ".join(ENDS)), route("mirror", between="x e")]
        if dice.random() < 0.5:
            routes.insert(dice.randrange(4), route(
                "other", from_=" ".join(ENDS), to="b p local", match_hex="ff ff",
                latest="nmea"))
        return "".join(blocks + routes)

    # --- what happens --------------------------------------------------------

    def streams(self):
        return [p.stream for p in self.people]

    def pump(self, until, what):
        def step():
            for p in self.people:
                p.listen()
            return until()
        pump(self.streams(), step, what=what)

    def someone(self, *ends):
        return self.dice.choice([p for p in self.people if p.end in (ends or ENDS)])

    def speaker(self):
        p = self.someone(*ENDS, "x")
        return None if p.ended or len(p.stream.outgoing) > 50000 else p

    def talk(self):
        if p := self.speaker():
            p.say(self.dice.randrange(300))

    def shout(self):
        if p := self.speaker():
            for _ in range(self.dice.randrange(200)):
                p.say(self.dice.choice((0, 10, 100, 1000, 5000)))

    def stop_reading(self):
        self.someone(*ENDS, "x").stream.reading = False

    def read_again(self):
        self.someone(*ENDS, "x").stream.reading = True

    def come(self):
        if len([p for p in self.people if p.end in SERVERS]) >= 5:
            return
        end = self.dice.choice(SERVERS)
        where = ("127.0.0.1", self.port) if end == "lan" else self.directory / end
        self.names += 1
        p = Person(f"{end}{self.names}", end, Client(where, receive_buffer=4096))
        p.came = True
        self.people.append(p)

    def half_close(self):
        there = [p for p in self.people if p.end in SERVERS and not p.ended
                 and not p.stream.outgoing]
        if there:
            p = self.dice.choice(there)
            p.ended = True
            p.stream.end()

    def pause(self):
        name = self.dice.choice(ENDS)
        self.paused.add(name)
        self.away.add(name)
        self.d.control(f"pause {name}")

    def resume(self):
        if self.paused:
            name = self.dice.choice(sorted(self.paused))
            self.paused.remove(name)
            self.d.control(f"resume {name}")

    def may_lose(self, name):
        """The device is closed: what it has sent may be thrown away."""
        self.away.add(name)
        for p in self.people:
            if p.name == name:
                p.lossy = p.torn = True

    def reopen(self):
        name = self.dice.choice("ab")
        self.may_lose(name)
        self.d.control(f"reopen {name}")

    def change(self):
        self.may_lose("a")
        self.may_lose("b")
        self.d.write(self.conf())

    def reload(self):
        self.change()
        self.d.control("reload")

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
        self.pump(again, "the next process")

    def restart_changed(self):
        self.change()
        self.restart()

    def turn(self):
        kind = self.dice.choices(list(self.MOVES), self.MOVES.values())[0]
        getattr(self, kind)()
        self.done[kind] += 1
        move(self.streams(), self.dice.choice((0, 0, 2, 10)))
        for p in self.people:
            p.listen()

    # --- what must be true ---------------------------------------------------

    def counts(self):
        names = (*ENDS, "w", "x", "e")
        what = (*COUNTS, *(f"dropped_{r}" for r in REASONS))
        words = self.d.raw("".join(f"get {n}/{w}\n" for n in names for w in what))
        numbers = iter(int(w) for w in words.split() if w != b"OK")
        return {(n, w): next(numbers) for n in names for w in what}

    def calm_down(self):
        """All is read, resumed and open, nothing waits, and who has ended is closed."""
        d = self.d
        for name in ENDS:
            paused = "yes" if name in self.paused else "no"
            assert d.get(f"{name}/paused") == paused, name
            d.control(f"resume {name}")
        self.paused.clear()
        for p in self.people:
            p.stream.reading = True

        def calm():
            return not any(p.stream.outgoing or (p.ended and not p.stream.eof)
                           for p in self.people) and \
                all(row["state"] == "up" and row["queued"] == 0
                    for row in d.json("endpoints"))
        self.pump(calm, "calm")
        fill(self.streams(), quiet=0.3)
        for p in self.people:
            p.listen()

    def grown(self, now, end, what):
        return now[end, what] - self.totals[end, what]

    def counted(self, now):
        """Whether each number is the sum of its parts."""
        came = {e: self.grown(now, e, "rx_frames") for e in ENDS}
        for end in (*ENDS, "w", "x", "e"):
            assert now[end, "dropped"] == sum(
                now[end, f"dropped_{r}"] for r in REASONS), (end, now)
        for end in ENDS:
            may = MAY_DROP[end] | ({"down"} if end in self.away else set())
            for reason in REASONS:
                assert reason in may or not self.grown(now, end, f"dropped_{reason}"), \
                    f"{end} has dropped frames: {reason}"
        for end in (*SINGLE, "w"):
            offered = sum(n for e, n in came.items() if e != end)
            there = self.grown(now, end, "tx_frames") + self.grown(now, end, "dropped")
            assert offered == there, \
                f"{end}: {offered} offered, {there} delivered or dropped: {now}"
        assert len(self.witness.heard) == sum(came.values()) \
            == self.grown(now, "w", "tx_frames"), now

    def said(self):
        """Whether the witness has heard what was said, of each in its order."""
        heard = {}
        for text in self.witness.heard:
            heard.setdefault(text.split(b" ")[0].decode(), []).append(text)
        for p in self.people:
            if p.end not in ENDS:
                continue
            got = heard.pop(p.name, [])
            if not p.lossy:
                assert got == p.said, \
                    f"of {p.name}: {first_difference(got, p.said)}"
            else:
                place = {text: n for n, text in enumerate(p.said)}
                at = [place[text] for text in got if text in place]
                assert at == sorted(set(at)), f"{p.name} came twice, or in disorder"
        strange = [t for texts in heard.values() for t in texts]
        assert not strange or any(p.lossy for p in self.people), strange[:3]

    def compare(self, p, place, strange):
        """
        How many frames a receiver has heard, how many it has not between its first and
        its last, and how many of those of which it is not known who said them.
        """
        at, pieces = [], Counter()
        for text in p.heard:
            if text in place:
                at.append(place[text])
            else:
                pieces[text] += 1
        broken = list((pieces - strange).elements())
        assert len(broken) <= (p.cuts if p.torn else 0), \
            f"{p.name} heard something broken: {broken[0]!r:.200}"
        assert all(x < y for x, y in zip(at, at[1:])), \
            f"{p.name} heard something twice, or in disorder"
        heard = len(at) + sum((pieces & strange).values())
        if p.came and not at:
            return heard, 0, 0
        first = at[0] if p.came else 0
        last = at[-1] + 1 if at and p.ended else len(place)
        return heard, last - first - len(at), sum((strange - pieces).values())

    def heard(self, now):
        """Whether the others have heard what the witness has."""
        sums = {end: [0, 0, 0] for end in ENDS}
        of = {text: p.end for p in self.people for text in p.said}
        # Of a line of which a part was thrown away at the opening of its device.
        strange = Counter(t for t in self.witness.heard if t not in of)
        for p in self.people:
            if p.end not in ENDS:
                continue
            p.cuts = self.grown(now, p.end, "dropped_cut")
            want = [t for t in self.witness.heard if of.get(t, p.end) != p.end]
            place = {text: n for n, text in enumerate(want)}
            assert len(place) == len(want), "the witness has heard something twice"
            for n, number in enumerate(self.compare(p, place, strange)):
                sums[p.end][n] += number
            left = bytes(p.stream.received)
            assert not left or p.torn or p.stream.eof, \
                f"half a line at {p.name}: {left!r:.200}"
        for end, (heard, missing, unknown) in sums.items():
            went, dropped = (self.grown(now, end, w) for w in ("tx_frames", "dropped"))
            dropped -= self.grown(now, end, "dropped_nobody")
            assert heard == went, f"{end}: {went} frames went out, {heard} were heard"
            most = missing + unknown if end in SINGLE else dropped
            assert missing <= dropped <= most, \
                f"{end}: {missing} frames are missing, and up to {unknown} pieces," \
                f" {dropped} were dropped"

    def mirror(self):
        assert self.mirrored.heard == self.mirrored.said, \
            first_difference(self.mirrored.heard, self.mirrored.said)

    def reckon(self):
        self.calm_down()
        now = self.counts()
        self.counted(now)
        self.said()
        self.heard(now)
        self.mirror()
        self.totals = now
        self.away.clear()
        for p in [p for p in self.people if p.stream.eof]:
            assert p.ended, f"{p.name} was closed"
            p.stream.close()
            self.people.remove(p)
        for p in self.people:
            p.said, p.heard = [], []
            p.came = p.lossy = p.torn = False
            p.stream.received.clear()
        self.log()
        os.truncate(self.d.errors, 0)
        self.log_end = 0

    def run(self, seconds):
        end = time.monotonic() + seconds
        rounds = 0
        while rounds < ROUNDS or time.monotonic() < end:
            for _ in range(TURNS):
                self.turn()
            self.reckon()
            rounds += 1
        print(self.figures(rounds))

    def figures(self, rounds):
        total = {w: sum(self.totals[e, w] for e in ENDS)
                 for w in (*COUNTS, *(f"dropped_{r}" for r in REASONS))}
        return (f"{rounds} times all added up: {total['rx_frames']} frames came, "
                f"{total['tx_frames']} went out, {total['dropped']} were dropped (" +
                ", ".join(f"{total[f'dropped_{r}']} {r}" for r in REASONS
                          if total[f"dropped_{r}"]) + "); " +
                ", ".join(f"{n} {what}" for what, n in self.done.items()))


def first_difference(got, want):
    at = next((n for n, (x, y) in enumerate(zip(got, want)) if x != y),
              min(len(got), len(want)))
    return f"{len(got)} heard, {len(want)} said; at {at}: " \
        f"{got[at:at + 1]!r:.200} for {want[at:at + 1]!r:.200}"


@pytest.mark.parametrize("seed", [SEED])
def test_nothing_is_lost_doubled_torn_or_uncounted(seed, pty, daemon, directory, open_tty):
    model = Model(seed, pty, daemon, directory, open_tty)
    try:
        model.run(SECONDS)
    finally:
        for p in model.people:
            if isinstance(p.stream, Client):
                p.stream.close()
