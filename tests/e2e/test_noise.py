"""
Noise on a line of every framing: no byte unaccounted for, no memory that grows.
TTYBRIDGE_NOISE=SECONDS for as long as that; else a little of it, always the same.
"""
import os
import random
import re
import time

from harness import Pty, move, pump, route, serial

SECONDS = float(os.environ.get("TTYBRIDGE_NOISE", "0"))
MEGABYTE = 1 << 20
SOME = 2 * MEGABYTE

# Name -> keys, the bytes that mean something to it, a good frame.
NOISE = {
    "raw": ({}, b"x", b"hi"),
    "line": (dict(max_frame=500), b"\r\na", b"hi\n"),
    "delimiter": (dict(delimiter="ababc", max_frame=500), b"abc", b"hiababc"),
    "slip": ({}, b"\xc0\xdb\xdc\xdd", b"\xc0hi\xc0"),
    "cobs": ({}, b"\0\1\2\xff", b"\3hi\0"),
    "cobsr": (dict(max_frame=300), b"\0\1\2\xff", b"ih\0"),
    "hdlc": ({}, b"\x7e\x7d\x5e\x5d", b"~123456789\x6e\x90~"),
    "length": (dict(sync=r"\xaa\x55", checksum="xor8"), b"\xaa\x55\0\1\3",
               b"\xaa\x55\0\3hi\1"),
    "fixed": (dict(frame_size=7, idle="5ms", checksum="sum8"), b"\0\1", b""),
    "idle": (dict(idle="2ms", max_frame=200), b"x", b"hi"),
    "stx": (dict(dle="yes", bcc="yes"), b"\x10\2\3",
            b"\x10\2hi\x10\3\x12"),
    "nmea": ({}, b"$!*\\\r\n0AF", b"$GPTXT,hi*62\r\n"),
    "modbus-rtu": ({}, b"\1\3\0", b"\1\3\0\0\0\x0a\xc5\xcd"),
    "modbus-ascii": ({}, b":\r\n0123456789ABCDEFabcdef",
                     b":01030000000AF2\r\n"),
    "modbus-tcp": ({}, b"\0\1\2\3\6", b"\1\2\0\0\0\6\1\3\0\x6b\0\x0a"),
    "mavlink": ({}, b"\xfe\xfd\0\1\x09",
                b"\xfe\x09\x4e\1\1\0\0\0\0\0\2\3\x51\4\3\x1c\x7f"),
    "ubx": ({}, b"\xb5\x62\0\1", b"\xb5\x62\x0a\4\0\0\x0e\x34"),
    "rtcm3": ({}, b"\xd3\0\1\2\3", b"\xd3\0\2hi\x98\x0c\x6a"),
    "gnss": ({}, b"\xd3\xb5\x62\0\1$!*\\\r\n",
             b"\xb5\x62\x0a\4\0\0\x0e\x34"),
    "min": ({}, b"\xaa\x55\0\1", b"\xaa\xaa\xaa\1\2hi\3\x36TDU"),
}


class Line(Pty):
    """A device from which noise comes, as much as the daemon takes."""

    def __init__(self, directory, name):
        super().__init__(directory / name)
        self.keys, self.alphabet, self.good = NOISE[name]
        self.dice = random.Random(name)
        self.on = True

    def want(self):
        if self.on and len(self.outgoing) < 4096:
            self.outgoing += self.some_noise()
        return super().want()

    def some_noise(self):
        dice = self.dice
        kind = dice.randrange(4)
        size = dice.randrange(1, 3000)
        if kind == 0:
            return bytes(dice.choices(self.alphabet, k=size))
        if kind == 1:
            return bytes(dice.choices(self.alphabet + b"ab", k=size))
        if kind == 2:
            # Good frames, and one that is damaged or cut.
            last = bytearray(self.good or b"x")
            last[dice.randrange(len(last))] ^= 1 << dice.randrange(8)
            return self.good * (size % 20) + last[:size % 40 + 1]
        return dice.randbytes(size)

    def enough(self):
        return not SECONDS and self.written >= SOME


class Sink(Pty):
    """Takes the frames that there were, and counts them: a delimiter may be doubled."""

    frames = taken = last = 0

    def _read(self):
        moved = super()._read()
        self.taken += len(self.received)
        data = bytes([self.last]) + self.received
        self.frames += len(re.findall(rb"[^\0]\0", data))
        self.last = data[-1]
        self.received.clear()
        return moved


def test_noise(daemon, directory, capsys):
    lines = {name: Line(directory, name) for name in NOISE}
    sink = Sink(directory / "sink")
    everybody = [sink, *lines.values()]
    try:
        noise(daemon, lines, sink, everybody, capsys)
    finally:
        for p in everybody:
            p.close()


def noise(daemon, lines, sink, everybody, capsys):
    d = daemon("".join(serial(name, p, framing=name, baud=4000000, **p.keys)
                       for name, p in lines.items()) +
               serial("sink", sink, framing="cobs", queue="1M") +
               route("all", from_=" ".join(lines), to="sink"))
    began = time.monotonic()
    sizes = []
    while any(p.on for p in lines.values()):
        move(everybody)
        for p in lines.values():
            p.on = p.on and not p.enough() and not (
                SECONDS and time.monotonic() > began + SECONDS)
        part = (time.monotonic() - began) / SECONDS if SECONDS else \
            min(p.written for p in lines.values()) / SOME
        if part > (len(sizes) + 1) / 10:
            sizes.append(d.rss())
    sizes.append(d.rss())

    def drained():
        return all(not p.outgoing and
                   d.number(f"{name}/rx_bytes") == p.written
                   for name, p in lines.items()) and \
            d.number("sink/queued_frames") == 0 and \
            d.number("sink/tx_bytes") == sink.taken
    pump(everybody, drained, what="the lines to be read")
    counted = {name: d.bytes_in(name) for name in lines}
    frames = {name: d.number(f"{name}/rx_frames") for name in lines}
    with capsys.disabled():
        if SECONDS:
            report(counted, sizes, time.monotonic() - began)
    for name, c in counted.items():
        assert sum(c.values()) == lines[name].written, (name, c)
        assert frames[name] > 100 or name == "idle", (name, c)
        # Whatever comes is a frame of raw.
        bad = sum(n for term, n in c.items() if term.startswith("bad"))
        assert (bad > 0) == (name != "raw"), (name, c)
    assert sum(frames.values()) == d.number("sink/tx_frames") == sink.frames
    assert sum(c["rx_payload"] for c in counted.values()) == \
        d.number("sink/tx_payload")
    assert d.dropped("sink") == 0
    assert sizes[-1] < sizes[len(sizes) // 2] + 6 * MEGABYTE


def report(counted, sizes, seconds):
    print(f"\n{seconds:.0f}s, resident KB at each tenth and at the end:",
          *(size >> 10 for size in sizes))
    columns = [term.removeprefix("bad_").removesuffix("_bytes")
               for term in counted["raw"]]
    print(f"{'':12}", *(f"{c:>11}" for c in columns), f"{'sum':>11}")
    for name, c in counted.items():
        print(f"{name:12}", *(f"{n:>11}" for n in (*c.values(),
                                                  sum(c.values()))))
