"""
Good and bad frames by chance, to targets of different framings that stop and go, against
a model of what each has to get, and of what is counted.
"""
import random
import socket
from collections import Counter

import pytest

from harness import Stream, pump, route, same, section, serial
from test_capture import read_capture

ODD = b"\n\r\x03;\xc0\xdb\xdc\0xy"


def delimited(end):
    return lambda p: p + end if (p + end).find(end) == len(p) else None


# The keys of a framing, and a frame as it writes it; None: it cannot.
FRAMINGS = {
    "line": (dict(framing="line"), lambda p: None
             if b"\n" in p or p.endswith(b"\r") else p + b"\n"),
    "crlf": (dict(framing="line", eol="crlf"), lambda p: None
             if b"\n" in p else p + b"\r\n"),
    "slip": (dict(framing="slip"), lambda p: b"\xc0" + p.replace(
        b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0" if p else None),
    "delimiter": (dict(framing="delimiter", delimiter=r"\r\n;"), delimited(b"\r\n;")),
    "length": (dict(framing="length", length_size=4),
               lambda p: len(p).to_bytes(4, "big") + p),
    "short": (dict(framing="length", length_size=1),
              lambda p: bytes([len(p)]) + p if len(p) < 256 else None),
    "fixed": (dict(framing="fixed", frame_size=16),
              lambda p: p if len(p) == 16 else None),
    "raw": (dict(), lambda p: p or None),
}


class Datagrams(Stream):
    """What comes to a UDP port, one behind the other."""

    def __init__(self):
        super().__init__()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.port = self.sock.getsockname()[1]

    def fileno(self):
        return self.sock.fileno()

    def close(self):
        self.sock.close()


class Target:
    def __init__(self, framing, stream=None, most=1 << 30, begins=(b"",)):
        self.framing, self.stream, self.most = framing, stream, most
        self.begins = begins            # of the frames that its routes let through
        self.wanted = bytearray()
        self.counts = Counter(tx_frames=0, tx_payload=0, dropped_unencodable=0)

    def takes(self, payload):
        return payload.startswith(self.begins)

    def give(self, payload, came):
        """came: the frame as it was read, if its framing is the same."""
        wire = FRAMINGS[self.framing][1](payload)
        if came is not None and len(came) <= self.most:
            wire = came
        if wire is None or len(wire) > self.most:
            self.counts["dropped_unencodable"] += 1
            return
        self.wanted += wire
        self.counts.update(tx_frames=1, tx_payload=len(payload))


def payload(dice, sizes, odd):
    size = dice.choice(sizes)
    p = bytearray(dice.choices(b"abcxyz", k=size))
    for _ in range(dice.choice((0, 0, 0, 1, 3)) if odd and size else 0):
        p[dice.randrange(size)] = dice.choice(ODD)
    return bytes(p)


def piece(dice, framing, sizes, most, odd):
    """Bytes, and the frame in them, or None; if not odd, as it would be written."""
    p = payload(dice, sizes, odd)
    wire = FRAMINGS[framing][1](p)
    kind = dice.randrange(40) if odd else 40
    if kind == 0 and framing != "raw":
        return FRAMINGS[framing][1](bytes(dice.choices(b"ab", k=most + 40))), None
    if wire is None:
        return b"", None
    if kind < 4 and framing == "line":
        return p + b"\r\n", p
    if kind < 4 and framing == "crlf" and not p.endswith(b"\r"):
        return p + b"\n", p
    if kind == 1 and framing == "slip":
        return b"\xc0ab\xdbz\xc0", None
    if kind < 4 and framing == "slip":
        return b"\xc0\xc0" + wire, p
    return wire, p


def paths(d, name, words):
    return {w: d.number(f"{name}/{w}") for w in words}


class Story:
    """One source, its targets, and what they have to get."""

    def __init__(self, seed, framing, targets, sizes, most):
        self.dice, self.framing, self.targets = random.Random(seed), framing, targets
        self.sizes, self.most = sizes, most
        self.frames, self.came, self.overhead = [], 0, 0

    def conf(self, directory):
        def keys(framing):
            return FRAMINGS[framing][0] | dict(max_frame=self.most, queue="8M")
        text = section("daemon", "", state_dir=directory) + section(
            "unix-server", "from", listen=directory / "from", **keys(self.framing))
        for name, t in self.targets.items():
            if t.most < 1 << 30:
                text += section("udp", name, send_to=f"127.0.0.1:{t.stream.port}",
                                **keys(t.framing))
            elif name.startswith("s"):
                text += section("unix-server", name, listen=directory / name,
                                stall_timeout="10m", **keys(t.framing))
            else:
                text += serial(name, t.stream, **keys(t.framing))
            for i, begin in enumerate(t.begins):
                only = dict(match_hex=begin.hex()) if begin else {}
                text += route(f"{name}-{i}", from_="from", to=name, **only)
        return text

    def make(self, n):
        """The bytes of some more pieces, and what becomes of them."""
        made, odd = bytearray(), self.dice.random() < 0.5
        for _ in range(n):
            wire, p = piece(self.dice, self.framing, self.sizes, self.most, odd)
            made += wire
            if p is None:
                continue
            self.frames.append(p)
            self.overhead += len(wire) - len(p)
            for t in self.targets.values():
                same_keys = t.framing == self.framing and t.framing != "crlf"
                if t.takes(p):
                    t.give(p, wire if same_keys else None)
        self.came += len(made)
        return bytes(made)

    def play(self, d, source, turns):
        targets = self.targets.values()
        streams = [source, *(t.stream for t in targets)]
        for n in turns:
            for t in targets:
                t.stream.reading = t.most < 1 << 30 or self.dice.random() < 0.5
            source.send(self.make(n))
            pump(streams, lambda: not source.outgoing)
            d.wait_number("from/rx_bytes", self.came)
            for t in targets:
                t.stream.reading = True
            pump(streams, lambda: all(
                len(t.stream.received) >= len(t.wanted) for t in targets))

    def judge(self, d):
        for t in self.targets.values():
            same(t.stream.take(), t.wanted)
        assert paths(d, "from", ("rx_frames", "rx_payload")) == dict(
            rx_frames=len(self.frames), rx_payload=sum(map(len, self.frames)))
        terms = d.bytes_in("from")
        if self.framing != "slip":
            assert terms["rx_overhead"] == self.overhead and terms["rx_held"] == 0
        routes = d.routes()
        for name, t in self.targets.items():
            assert paths(d, name, t.counts) == t.counts, name
            assert d.number(f"{name}/tx_bytes") == len(t.wanted)
            self.judge_routes(routes, name, t)

    def judge_routes(self, routes, name, t):
        rest = list(self.frames)
        for i, begin in enumerate(t.begins):
            through = [p for p in rest if p.startswith(begin)]
            row = routes[f"{name}-{i}"]
            assert (row["frames"], row["bytes"], row["rejected"]) == (
                len(through), sum(map(len, through)), len(rest) - len(through))
            rest = [p for p in rest if not p.startswith(begin)]


@pytest.mark.parametrize("tapped", [False, True], ids=["alone", "tapped"])
@pytest.mark.parametrize("seed, framing, alike", [
    (0, "line", False), (1, "crlf", False), (2, "slip", False),
    (3, "delimiter", False), (4, "short", False), (5, "line", True), (6, "slip", True)])
def test_each_target_gets_what_it_can_be_told(
        pty, daemon, connect, directory, seed, framing, alike, tapped):
    others = [framing] * 4 if alike else [f for f in FRAMINGS if f != framing]
    random.Random(seed).shuffle(others)
    targets = {
        "a": Target(others[0], pty("a"), begins=(b"a", b"")),
        "b": Target(framing, pty("b"), begins=(b"x", b"y")),
        "c": Target(framing, pty("c")), "d": Target(others[1], pty("d")),
        "e": Target(framing, pty("e")), "f": Target(others[2], pty("f")),
        "s": Target(framing), "sb": Target(others[3])}
    story = Story(seed, framing, targets, (0, 1, 7, 16, 16, 40, 200), 200)
    d = daemon(story.conf(directory), settled=False)
    for name in "s", "sb":
        targets[name].stream = connect(directory / name)
    d.wait_number("s/peers", 1)
    if tapped:
        d.control("capture start x.pcap")
    story.play(d, connect(directory / "from"), [1, 5, 5, 20, 2500] * 4)
    story.judge(d)
    if tapped:
        d.control("capture stop")
        assert [(way, p) for _, _, way, p in read_capture(directory / "x.pcap")] == [
            ("from#1 > " + ",".join(n for n, t in targets.items() if t.takes(p)), p)
            for p in story.frames]


@pytest.mark.parametrize("seed, framing", enumerate(
    ["line", "delimiter", "slip"]), ids=lambda v: str(v))
def test_what_a_datagram_cannot_hold_is_not_cut(
        pty, daemon, connect, directory, seed, framing):
    most = 65507
    targets = {"a": Target(framing, pty("a")), "u": Target(framing, Datagrams(), most),
               "v": Target("length", Datagrams(), most), "w": Target(framing, pty("w"))}
    story = Story(seed, framing, targets, (1, 7, 16, 40, 65400, *range(65498, 65512)),
                  70000)
    d = daemon(story.conf(directory))
    try:
        story.play(d, connect(directory / "from"), [1, 2] * 30)
        story.judge(d)
    finally:
        targets["u"].stream.close()
        targets["v"].stream.close()
