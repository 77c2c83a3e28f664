"""
Every framing against somebody else's: what the daemon writes they read, and what they
write the daemon reads.  Where Debian has a program or a library that speaks the
framing it is asked (gpsdecode, tshark, slirp, pymodbus, pynmea2, pyserial, crcmod); else
a few lines after the RFC or the paper stand here.
"""
import json
import os
import random
import re
import shutil
import struct
import subprocess
import zlib

import crcmod.predefined
import pynmea2
import pytest
from serial.threaded import FramedPacket, LineReader, Packetizer

from harness import (ROOT, free_port, pump, route, run, section, serial, tcp_server,
                     wait_for)

try:
    from pymodbus import (bit_read_message, bit_write_message, factory,
                          register_read_message, register_write_message)
    from pymodbus.framer.ascii_framer import ModbusAsciiFramer
    from pymodbus.framer.rtu_framer import ModbusRtuFramer
    from pymodbus.framer.socket_framer import ModbusSocketFramer
    MODBUS = {"modbus-rtu": ModbusRtuFramer, "modbus-ascii": ModbusAsciiFramer,
              "modbus-tcp": ModbusSocketFramer}
except ImportError:             # 3.0.0 has them, later ones moved them about
    MODBUS = {}

pymodbus = pytest.mark.skipif(not MODBUS, reason="another pymodbus")
crc = {name: crcmod.predefined.mkCrcFun(name) for name in
       ("x-25", "xmodem", "modbus", "crc-ccitt-false", "crc-32",
        "crc-16-mcrf4xx")}


def little(size, value):
    return value.to_bytes(size, "little")


def cut(text, size):
    return [text[i:i + size] for i in range(0, len(text), size)]


# --- the daemon between a plain side and the framing in question -------------

class Bench:
    """
    Payloads go in and out at one side, each with its length before it; the other side
    speaks the framing.
    """

    def __init__(self, daemon, pty, keys):
        self.plain, self.wire = pty("plain"), pty("wire")
        # Frames that a silence ends come one by one.
        self.single = keys["framing"] == "idle"
        self.d = daemon(
            serial("plain", self.plain, framing="length", length_size=4) +
            serial("wire", self.wire, **({"baud": 115200} | keys)))
        self.taken = {"plain": 0, "wire": 0}

    def pass_on(self, source, to, data):
        """What comes out at the other side for this, when all of it has passed."""
        source.send(data)
        paths = [f"{source.name}/rx_bytes", f"{source.name}/rx_held",
                 f"{to.name}/queued_frames", f"{to.name}/tx_bytes"]
        asked = "".join(f"get {path}\n" for path in paths)

        def done():
            words = self.d.raw(asked).split()
            return [int(w) for w in words if w != b"OK"] == [
                source.written, 0, 0, self.taken[to.name] + len(to.received)]
        pump([source, to], done, what=", ".join(paths))
        self.taken[to.name] += len(to.received)
        return to.take()

    def written(self, payloads):
        """What the daemon writes on the wire for these payloads."""
        data = [struct.pack(">I", len(p)) + p for p in payloads]
        return b"".join(self.pass_on(self.plain, self.wire, part) for part in
                        (data if self.single else [b"".join(data)]))

    def read(self, frames):
        """The payloads that the daemon finds in these frames."""
        return unpack(b"".join(
            self.pass_on(self.wire, self.plain, part) for part in
            (frames if self.single else [b"".join(frames)])))


def unpack(data):
    """The payloads behind their lengths, all of them whole."""
    got = []
    while data:
        n = int.from_bytes(data[:4], "big")
        got.append(data[4:4 + n])
        assert len(got[-1]) == n
        data = data[4 + n:]
    return got


@pytest.fixture
def bench(daemon, pty):
    return lambda **keys: Bench(daemon, pty, keys)


def samples(special=b"", lengths=(0, 1, 2, 253, 254, 255, 256, 1000)):
    """All values at all lengths, and the special bytes of the framing in any order."""
    dice = random.Random(len(special))
    every = bytes(range(256)) * 4
    found = [every[shift:][:n] for n in lengths for shift in (0, 1, 77)]
    found += [bytes([b]) * n for b in special for n in (1, 2, 3, 254)]
    found += [bytes(dice.choices(special + b"xy", k=dice.randrange(1, 60)))
              for _ in range(40) if special]
    return found + [dice.randbytes(dice.randrange(2, 900)) for _ in range(20)]


def lacking(values, special):
    """The same, and all of them without these values."""
    found = samples(special)
    return found + [p.translate(None, values) for p in found]


# --- RFC 1055 ----------------------------------------------------------------

END, ESC, ESC_END, ESC_ESC = 0o300, 0o333, 0o334, 0o335


def slip_send(packet):
    out = [END]
    for c in packet:
        out += {END: [ESC, ESC_END], ESC: [ESC, ESC_ESC]}.get(c, [c])
    return bytes(out + [END])


def slip_receive(stream):
    packets, packet, stream = [], bytearray(), iter(stream)
    for c in stream:
        if c == END:
            if packet:
                packets.append(bytes(packet))
            packet = bytearray()
            continue
        if c == ESC:
            c = {ESC_END: END, ESC_ESC: ESC}[next(stream)]
        packet.append(c)
    assert not packet
    return packets


# --- Cheshire and Baker, "Consistent Overhead Byte Stuffing", 1999; COBS/R ---

def cobs_blocks(packet):
    """Codes and what follows them; a full block at the end has an empty one behind."""
    blocks = [[1, b""]]
    for c in packet:
        block = blocks[-1]
        if c != 0:
            block[0] += 1
            block[1] += bytes([c])
        if c == 0 or block[0] == 0xff:
            blocks.append([1, b""])
    return blocks


def cobs_stuff(packet):
    return b"".join(bytes([code]) + rest
                    for code, rest in cobs_blocks(packet)) + b"\0"


def cobsr_stuff(packet):
    blocks = cobs_blocks(packet)
    if len(blocks) > 1 and blocks[-1][0] == 1 and blocks[-2][0] == 0xff:
        blocks.pop()                    # nothing is left to be said
    code, rest = blocks[-1]
    if rest and rest[-1] >= code:
        blocks[-1] = [rest[-1], rest[:-1]]
    return b"".join(bytes([code]) + rest for code, rest in blocks) + b"\0"


def unstuff(frame, reduced):
    out, at = bytearray(), 0
    while at < len(frame):
        code = frame[at]
        block = frame[at + 1:at + code]
        out += block
        at += code
        if reduced and len(block) < code - 1:
            return bytes(out) + bytes([code])
        assert len(block) == code - 1
        if code < 0xff and at < len(frame):
            out.append(0)
    return bytes(out)


def unstuff_all(stream, reduced=False):
    *frames, rest = stream.split(b"\0")
    assert rest == b""
    return [unstuff(f, reduced) for f in frames]


# --- RFC 1662 ----------------------------------------------------------------

def hdlc_codec(fcs, mapped):
    def sum_of(packet):
        return {16: little(2, crc["x-25"](packet)),
                32: little(4, crc["crc-32"](packet)), "none": b""}[fcs]

    def send(packet):
        out = bytearray(b"~")
        for c in packet + sum_of(packet):
            out += bytes([0x7d, c ^ 0x20]) if c in mapped else bytes([c])
        return bytes(out + b"~")

    def receive(stream):
        packets = []
        for part in filter(None, stream.split(b"~")):
            octets = iter(part)
            frame = bytes(next(octets) ^ 0x20 if c == 0x7d else c
                          for c in octets)
            size = len(sum_of(b""))
            packet = frame[:len(frame) - size]
            assert frame == packet + sum_of(packet)
            packets.append(packet)
        return packets
    return send, receive


# --- lengths, sizes, characters ----------------------------------------------

def length_codec(form, offset=0, adjust=0, sync=b""):
    """Netty's LengthFieldBasedFrameDecoder; frame - length field - adjustment."""
    def send(packet):
        field = struct.pack(form, len(packet) - offset - adjust)
        return sync + packet[:offset] + field + packet[offset:]

    def receive(stream):
        packets, size = [], struct.calcsize(form)
        while stream:
            assert stream.startswith(sync)
            stream = stream[len(sync):]
            n = struct.unpack_from(form, stream, offset)[0] + adjust
            packets.append(stream[:offset] + stream[offset + size:][:n])
            stream = stream[offset + size + n:]
        return packets
    return send, receive


def stx_codec(dle, bcc):
    def send(packet):
        body = packet.replace(b"\x10", b"\x10\x10") if dle else packet
        body = b"\2" + body + (b"\x10\3" if dle else b"\3")
        sum_ = 0
        for c in body[1:]:
            sum_ ^= c
        return (b"\x10" if dle else b"") + body + (bytes([sum_]) if bcc else b"")

    def receive(stream):
        packets, at = [], 0
        while at < len(stream):
            start = at
            at += 2 if dle else 1
            packet = bytearray()
            while stream[at] != (0x10 if dle else 3) or \
                    (dle and stream[at + 1] == 0x10):
                packet.append(stream[at])
                at += 2 if dle and stream[at] == 0x10 else 1
            at += (2 if dle else 1) + (1 if bcc else 0)
            packets.append(bytes(packet))
            assert stream[start:at] == send(packets[-1])
        return packets
    return send, receive


def pyserial_codec(protocol, before, after):
    """pyserial's protocols write nothing, but they read."""
    def receive(stream):
        packets = []

        class Reader(protocol):
            TERMINATOR = after
            START, STOP = before, after

            def handle_packet(self, packet):
                packets.append(bytes(packet))

            def handle_out_of_packet(self, data):
                raise AssertionError(data)
        reader = Reader()
        for part in cut(stream, 97):
            reader.data_received(part)
        return packets
    return lambda packet: before + packet + after, receive


class Lines(LineReader):
    def handle_packet(self, packet):
        raise NotImplementedError


def has_none(values):
    return lambda packet: not set(packet) & set(values)


def some(packet):
    return len(packet) > 0


# Name, keys, (send, receive), payloads, which of them it can carry.
HDLC = dict(framing="hdlc")
STX = dict(framing="stx")
LENGTH = dict(framing="length")
FOREIGN = {
    "raw": (dict(framing="raw"), (bytes, None), samples(), some),
    "line": (dict(framing="line", eol="crlf"),
             pyserial_codec(Lines, b"", b"\r\n"),
             lacking(b"\n", b"\t\r \0\xff"), has_none(b"\n")),
    "delimiter": (dict(framing="delimiter", delimiter=r"\x00"),
                  pyserial_codec(Packetizer, b"", b"\0"),
                  lacking(b"\0", b"\r\n\1"),
                  has_none(b"\0")),
    "delimiter-long": (dict(framing="delimiter", delimiter="ababc"),
                       pyserial_codec(Packetizer, b"", b"ababc"),
                       samples(b"abd"), lambda p: b"ababc" not in p + b"abab"),
    "slip": (dict(framing="slip"), (slip_send, slip_receive),
             samples(b"\xc0\xdb\xdc\xdd"), some),
    "cobs": (dict(framing="cobs"), (cobs_stuff, unstuff_all),
             samples(b"\0\1\xfe\xff"), None),
    "cobsr": (dict(framing="cobsr"),
              (cobsr_stuff, lambda s: unstuff_all(s, True)),
              samples(b"\0\1\2\3\xfe\xff"), None),
    "hdlc-16": (HDLC, hdlc_codec(16, b"~\x7d"), samples(b"~\x7d\x5e\x5d\0"),
                lambda p: len(p) >= 2),
    "hdlc-32": (HDLC | dict(fcs=32, accm="yes"),
                hdlc_codec(32, b"~\x7d" + bytes(range(32))),
                samples(b"~\x7d\x5e\x5d\0"), some),
    "hdlc-none": (HDLC | dict(fcs="none"), hdlc_codec("none", b"~\x7d"),
                  samples(b"~\x7d\x5e\x5d\0"), some),
    "length-1": (LENGTH | dict(length_size=1), length_codec(">B"),
                 samples(b"\0\xff"), lambda p: len(p) < 256),
    "length-2": (LENGTH | dict(length_endian="little", length_offset=3,
                               sync=r"\xaa\x55"),
                 length_codec("<H", offset=3, sync=b"\xaa\x55"),
                 samples(b"\xaa\x55\0"), lambda p: len(p) >= 3),
    "length-4": (LENGTH | dict(length_size=4, length_includes_header="yes"),
                 length_codec(">I", adjust=-4), samples(b"\0\1"), None),
    "length-adjust": (LENGTH | dict(length_size=4, length_endian="little",
                                    length_adjust=2),
                      length_codec("<I", adjust=2), samples(b"\0\1"),
                      lambda p: len(p) >= 2),
    "fixed": (dict(framing="fixed", frame_size=16),
              (bytes, lambda s: cut(s, 16)),
              cut(b"".join(samples())[:6400], 16), None),
    "idle": (dict(framing="idle", idle="5ms"), (bytes, None),
             samples(lengths=(0, 1, 256, 1000))[:20], some),
    "stx": (STX, pyserial_codec(FramedPacket, b"\2", b"\3"),
            lacking(b"\2\3", b"\1\4\x10\x12"), has_none(b"\2\3")),
    "stx-bcc": (STX | dict(bcc="yes"), stx_codec(False, True),
                lacking(b"\2\3", b"\1\4\x10\x12"), has_none(b"\2\3")),
    "stx-dle": (STX | dict(dle="yes"), stx_codec(True, False),
                samples(b"\x10\2\3"), None),
    "stx-dle-bcc": (STX | dict(dle="yes", bcc="yes"), stx_codec(True, True),
                    samples(b"\x10\2\3"), None),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_framing(bench, name):
    keys, (send, receive), payloads, can = FOREIGN[name]
    b = bench(**keys)
    payloads = [p for p in payloads if can is None or can(p)]
    assert len(payloads) >= 15 and len(b"".join(payloads)) > 5000
    wire = b.written(payloads)
    if receive is not None:     # else there are no boundaries in the bytes
        assert receive(wire) == payloads
    if name != "cobs":          # which may leave out the last 01
        assert wire == b"".join(map(send, payloads))
    got = b.read([send(p) for p in payloads])
    if name == "raw":
        assert b"".join(got) == b"".join(payloads)
    else:
        assert got == payloads
    assert b.d.number("wire/errors") == 0


def readable(receive, part):
    """What the other decoder makes of it, or None when it cannot."""
    try:
        return receive(part)
    except (AssertionError, KeyError, RuntimeError, StopIteration):
        return None


@pytest.mark.parametrize("name, end, alphabet", (
    ("slip", b"\xc0", b"\xdb\xdc\xddab"), ("cobs", b"\0", b"\1\2\3\4\5\xff"),
    ("cobsr", b"\0", b"\1\2\3\4\5\xff"), ("hdlc-none", b"~", b"\x7d\x5eab")))
def test_foreign_refusals(bench, name, end, alphabet):
    """Of any bytes the daemon reads what the other one can read, and no more."""
    keys, (_, receive), _, _ = FOREIGN[name]
    dice = random.Random(name)
    b = bench(**keys)
    parts = [bytes(dice.choices(alphabet, k=dice.randrange(4, 14)))
             for _ in range(2000)]
    both = [readable(receive, part + end) for part in parts]
    good = [packets[0] for packets in both if packets is not None]
    assert 100 < len(good)
    got = b.read([part + end for part in parts])
    assert got == good
    bad = sum(len(part) + 1 for part, packets in zip(parts, both)
              if packets is None)
    assert sum(n for term, n in b.d.bytes_in("wire").items()
               if term.startswith("bad_")) == bad


def test_what_cannot_be_carried_is_counted(bench):
    """Of the samples exactly those that the other side could not read back."""
    keys, (_, receive), payloads, can = FOREIGN["stx"]
    b = bench(**keys)
    able = [p for p in payloads if can(p)]
    assert 0 < len(able) < len(payloads)
    assert receive(b.written(payloads)) == able
    assert b.d.dropped("wire", "unencodable") == len(payloads) - len(able)


# --- checksums ---------------------------------------------------------------

def xor8(data):
    sum_ = 0
    for c in data:
        sum_ ^= c
    return sum_


def fletcher8(data):
    """RFC 1145, with additions modulo 256: A, then B."""
    a = b = 0
    for c in data:
        a = (a + c) % 256
        b = (b + a) % 256
    return a << 8 | b


SUMS = {
    "crc16-ccitt": (2, crc["crc-ccitt-false"]),
    "crc16-xmodem": (2, crc["xmodem"]),
    "crc16-modbus": (2, crc["modbus"]),
    "crc16-x25": (2, crc["x-25"]),
    "crc32": (4, crc["crc-32"]),
    "xor8": (1, xor8),
    "sum8": (1, lambda data: sum(data) % 256),
    "fletcher8": (2, fletcher8),
}


@pytest.mark.parametrize("endian", ("big", "little"))
@pytest.mark.parametrize("kind", SUMS)
def test_foreign_checksum(bench, kind, endian):
    size, sum_of = SUMS[kind]
    b = bench(framing="cobs", checksum=kind, checksum_endian=endian)
    payloads = [p for p in samples(b"\0\xff") if p]
    whole = [p + sum_of(p).to_bytes(size, endian) for p in payloads]
    assert unstuff_all(b.written(payloads)) == whole
    damaged = [bytes([w[0] ^ 1]) + w[1:] for w in whole]
    both = [cobs_stuff(w) for pair in zip(damaged, whole) for w in pair]
    assert b.read(both) == payloads
    assert b.d.bad("wire", "checksum") == len(damaged)


# --- NMEA, with pynmea2 and gpsd ---------------------------------------------

def gpsdecode(data, *options):
    """What gpsd's decoder prints; `make deps` puts it there."""
    binary = shutil.which("gpsdecode") or ROOT / "build/gpsd/usr/bin/gpsdecode"
    if not os.access(binary, os.X_OK) and not shutil.which("apt-get"):
        pytest.skip("no gpsdecode")
    done = subprocess.run([binary, "-j", *options], input=data, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          timeout=60)
    return done.stdout.decode("latin-1").splitlines()


def sentences():
    found = [
        pynmea2.RMC("GP", "RMC", (f"1235{n}", "A", "4807.038", "N", "01131.000",
                                  "E", "022.4", "084.4", "230394", "003.1",
                                  "W")) for n in range(10, 40)]
    found += [
        pynmea2.GGA("GP", "GGA", (f"1235{n}", "4807.038", "N", "01131.000", "E",
                                  "1", "08", "0.9", "545.4", "M", "46.9", "M",
                                  "", "")) for n in range(10, 40)]
    return [str(s) for pair in zip(found[:30], found[30:]) for s in pair]


AIS = "!AIVDM,1,1,,A,15RTgt0PAso;90TKcjM8h6g208CQ,0*4A"


def test_nmea_of_others(bench):
    """pynmea2 made the sentences; it and gpsd accept what the daemon writes."""
    b = bench(framing="nmea")
    texts = sentences() + [AIS]
    inner = [t.encode() for t in texts]
    wire = b.written(inner)
    lines = wire.decode().split("\r\n")
    assert lines.pop() == ""
    assert [pynmea2.parse(line, check=True).render() for line in lines[:-1]] == \
        texts[:-1]
    accepted = gpsdecode(wire, "-v")
    assert [a for a in accepted if a[0] in "$!"] == texts
    reports = [json.loads(a) for a in accepted if a[0] == "{"]
    assert sum(r["class"] == "TPV" and r["lat"] == 48.1173
               for r in reports) >= 25
    assert [r["mmsi"] for r in reports if r["class"] == "AIS"] == [371798000]
    assert b.read([t + b"\r\n" for t in inner]) == inner


def damaged(dice, frames):
    """The frames, every other one changed, longer, shorter or cut."""
    for frame in map(bytearray, frames):
        at = dice.randrange(len(frame))
        kind = dice.randrange(8)
        if kind == 0:
            frame[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            del frame[at]
        elif kind == 2:
            frame[at:at] = dice.randbytes(dice.randrange(1, 4))
        elif kind == 3:
            del frame[at:at + dice.randrange(40)]
        yield bytes(frame)


def has_right_sum(text):
    body, star, sum_ = text[1:].rpartition(b"*")
    return star == b"*" and sum_ == b"%02X" % xor8(body)


@pytest.mark.parametrize("seed", range(3))
def test_nmea_damaged(bench, seed):
    """What gpsd finds of damaged sentences, but those without a checksum (which gpsd
    accepts before version 3.25)."""
    b = bench(framing="nmea")
    stream = list(damaged(random.Random(seed), [t.encode() + b"\r\n"
                                                for t in sentences() * 3]))
    stream += [AIS.encode() + b"\r\n"] * 3
    accepted = [a.encode("latin-1") for a in gpsdecode(b"".join(stream), "-v")
                if a[0] in "$!"]
    good = [a for a in accepted if has_right_sum(a)]
    assert 50 < len(good) <= len(accepted) < len(stream)
    # gpsd passes over whole sentences behind damaged ones, which come through here.
    whole = re.findall(rb"[$!][ -~]*?\*[0-9A-F]{2}(?= ?[\r\n]|[$!])",
                       re.sub(rb"(?=[$!])", b"\n", b"".join(stream)))
    whole = [sentence for sentence in whole if has_right_sum(sentence)]
    assert set(good) <= set(whole)
    assert b.read(stream) == whole


def test_nmea_checksum_is_added(bench):
    """The checksum that the daemon puts on is what pynmea2 and gpsd want."""
    b = bench(framing="nmea", nmea_checksum="add", payload="inner")
    texts = sentences()
    wire = b.written([t[1:-3].encode() for t in texts])
    assert wire.decode().split("\r\n")[:-1] == texts
    assert [a for a in gpsdecode(wire, "-v") if a[0] == "$"] == texts


# --- u-blox, with gpsd -------------------------------------------------------

def ubx(kind, packet):
    body = bytes(kind) + struct.pack("<H", len(packet)) + packet
    return b"\xb5\x62" + body + fletcher8(body).to_bytes(2, "big")


def pvt(second, latitude):
    """UBX-NAV-PVT: the second, and where the antenna is."""
    return struct.pack(
        "<IHBBBBBBIiBBBBiiiiIIiiiiiIIH6xi4x", 100000 + second * 1000, 2026, 11,
        21, 12, 0, second, 7, 50, 0, 3, 1, 0, 10, 135000000,
        int(latitude * 1e7), 100000, 90000, 1000, 1000, 0, 0, 0, 0, 0, 100,
        100, 150, 0)


def test_ubx_of_others(bench):
    b = bench(framing="ubx", payload="inner")
    where = [48.5 + n / 4 for n in range(40)]
    inner = [b"\1\7" + pvt(n, lat) for n, lat in enumerate(where)]
    wire = b.written(inner)
    assert wire == b"".join(ubx(p[:2], p[2:]) for p in inner)
    # Since version 3.25 gpsd reports no position before it knows the receiver.
    seen = [json.loads(r)["lat"] for r in gpsdecode(wire)]
    assert len(seen) > 30 and seen == where[-len(seen):]
    assert b.read([ubx(p[:2], p[2:]) for p in inner]) == inner


@pytest.mark.parametrize("seed", range(3))
def test_ubx_damaged(bench, seed):
    """All that is whole comes through; gpsd, which goes on later, finds no more."""
    b = bench(framing="ubx", payload="inner")
    where = [n / 8 for n in range(8, 300)]
    frames = [ubx(b"\1\7", pvt(n % 60, lat)) for n, lat in enumerate(where)]
    stream = list(damaged(random.Random(seed), frames))
    # Any length that is believed is over in the end.
    stream += [ubx(b"\1\7", pvt(1, 1))] * 30
    found = [struct.unpack_from("<i", p, 30)[0] / 1e7 for p in b.read(stream)]
    whole = [lat for lat, f, s in zip(where, frames, stream) if f in s]
    assert found == whole + [1] * 30
    seen = [json.loads(r)["lat"] for r in gpsdecode(b"".join(stream))]
    assert len(seen) > 100 and set(seen) <= set(found)


def test_ubx_of_any_length(bench):
    b = bench(framing="ubx", payload="inner")
    payloads = [b"\x0a\x04" + p for p in samples(b"\xb5\x62")]
    frames = [ubx(p[:2], p[2:]) for p in payloads]
    assert b.written(payloads) == b"".join(frames)
    assert b.read(frames) == payloads


# --- RTCM 3, with gpsd, and the three on one line ---------------------------

crc24q = crcmod.mkCrcFun(0x1864cfb, initCrc=0, rev=False, xorOut=0)


def rtcm3(packet):
    frame = struct.pack(">BH", 0xd3, len(packet)) + packet
    return frame + crc24q(frame).to_bytes(3, "big")


def station(number):
    """RTCM 3 message 1005: a reference station, at no particular place."""
    bits = f"{1005:012b}{number:012b}{0:06b}1110" + 3 * f"{123456:040b}"
    return int(bits[:152].ljust(152, "0"), 2).to_bytes(19, "big")


def stations(data):
    return [r["station_id"] for r in map(json.loads, gpsdecode(data))
            if r["class"] == "RTCM3" and r["type"] == 1005]


def test_rtcm3_of_others(bench):
    b = bench(framing="rtcm3", payload="inner")
    inner = [station(n) for n in range(40)]
    wire = b.written(inner)
    assert wire == b"".join(map(rtcm3, inner))
    assert stations(wire) == list(range(40))
    assert b.read([rtcm3(p) for p in inner]) == inner


def test_rtcm3_of_any_length(bench):
    b = bench(framing="rtcm3", payload="inner")
    payloads = samples(b"\xd3\0") + [bytes(1023)]
    assert b.written(payloads) == b"".join(map(rtcm3, payloads))
    assert b.read([rtcm3(p) for p in payloads]) == payloads


@pytest.mark.parametrize("seed", range(3))
def test_gnss_mixed_and_damaged(bench, seed):
    """Each whole message of a receiver that sends all three, and what gpsd finds."""
    b = bench(framing="gnss")
    dice = random.Random(seed)
    frames = [rtcm3(station(n)) for n in range(60)] + \
        [ubx(b"\1\7", pvt(n % 60, n / 8)) for n in range(60)] + \
        [t.encode() + b"\r\n" for t in sentences()]
    dice.shuffle(frames)
    whole = b.read(frames)
    assert whole == [f.removesuffix(b"\r\n") for f in frames]
    assert stations(b"".join(frames)) == stations(b"".join(whole))
    stream = list(damaged(dice, frames)) + [frames[0]] * 30
    found = b.read(stream)
    kept = [f.removesuffix(b"\r\n") for f, s in zip(frames, stream) if f == s]
    missing = [f for f in kept if f not in found]
    assert len(kept) > 30 and missing == []
    assert set(found) <= set(whole)


# --- Modbus, with pymodbus and tshark ----------------------------------------

def tshark(directory, dissector, frames, fields, *options):
    """Fields of frames that are given to one of its dissectors, a row each."""
    capture = directory / "frames.pcap"
    records = b"".join(struct.pack("<IIII", 0, 0, len(f), len(f)) + f
                       for f in frames)
    capture.write_bytes(struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535,
                                    147) + records)
    argv = ["tshark", "-r", capture, "-T", "fields", "-o",
            f'uat:user_dlts:"User 0 (DLT=147)","{dissector}","0","","0",""']
    for option in options:
        argv += ["-o", option]
    for field in fields:
        argv += ["-e", field]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True,
                          stderr=subprocess.DEVNULL, timeout=120,
                          env={**os.environ, "HOME": str(directory)})
    return [line.split("\t") for line in done.stdout.splitlines()]


def requests():
    read, write = register_read_message, register_write_message
    for unit in (1, 17, 247):
        yield read.ReadHoldingRegistersRequest(0, 10, unit)
        yield read.ReadInputRegistersRequest(0x6b, 3, unit)
        yield bit_read_message.ReadCoilsRequest(0x13, 0x25, unit)
        yield bit_read_message.ReadDiscreteInputsRequest(0xc4, 0x16, unit)
        yield bit_write_message.WriteSingleCoilRequest(0xac, True, unit)
        yield write.WriteSingleRegisterRequest(1, 3, unit)
        yield write.WriteMultipleRegistersRequest(1, [10, 0x102], unit)
        yield bit_write_message.WriteMultipleCoilsRequest(
            0x13, [True, False] * 5, unit)
        yield read.ReadWriteMultipleRegistersRequest(
            read_address=3, read_count=6, write_address=14,
            write_registers=[255] * 3, unit=unit)


def responses():
    read, write = register_read_message, register_write_message
    for unit in (1, 17, 247):
        yield read.ReadHoldingRegistersResponse(list(range(unit % 120)) + [1],
                                                unit=unit)
        yield bit_read_message.ReadCoilsResponse([True] * 40, unit=unit)
        yield write.WriteSingleRegisterResponse(1, 3, unit=unit)
        yield write.WriteMultipleRegistersResponse(1, 2, unit=unit)


def messages(made):
    found = []
    for m in made:
        if not m.unit_id:
            m.unit_id = 1
        found.append(m)
    return found


@pymodbus
@pytest.mark.parametrize("side", (requests, responses))
@pytest.mark.parametrize("framing", ("modbus-rtu", "modbus-ascii", "modbus-tcp"))
def test_modbus_of_pymodbus(bench, framing, side):
    decoder = factory.ServerDecoder if side is requests else \
        factory.ClientDecoder
    b = bench(framing=framing, payload="inner")
    made = messages(side())
    inner = [bytes([m.unit_id, m.function_code]) + m.encode() for m in made]
    frames = [MODBUS[framing](decoder()).buildPacket(m) for m in made]
    assert b.written(inner) == b"".join(frames)
    assert b.read(frames) == inner
    # Each of them as pymodbus reads what the daemon writes.
    for m, payload in zip(made, inner):
        got = []
        MODBUS[framing](decoder()).processIncomingPacket(
            b.written([payload]), got.append, [m.unit_id])
        assert [(type(g), g.unit_id, g.encode()) for g in got] == \
            [(type(m), m.unit_id, m.encode())]


@pymodbus
def test_modbus_rtu_of_tshark(bench, directory):
    """tshark calls good what the daemon writes, and bad what it does not read."""
    b = bench(framing="modbus-rtu", payload="inner")
    inner = [bytes([m.unit_id, m.function_code]) + m.encode()
             for m in messages(requests())]
    frames = [b.written([p]) for p in inner]
    damaged = [f[:3] + bytes([f[3] ^ 1]) + f[4:] for f in frames]
    rows = tshark(directory, "mbrtu", frames + damaged,
                  ("mbrtu.unit_id", "modbus.func_code", "mbrtu.crc16.status"),
                  "mbrtu.crc_verification:TRUE")
    good, bad = rows[:len(frames)], rows[len(frames):]
    assert good == [[str(p[0]), str(p[1]), "1"] for p in inner]
    assert {row[2] for row in bad} == {"0"}
    assert b.read(frames) == inner
    assert b.d.number("wire/errors") == 0
    for f in damaged:
        before = b.d.number("wire/bad_checksum_bytes")
        b.wire.send(f)
        pump([b.wire, b.plain], lambda: b.d.number("wire/bad_checksum_bytes") ==
             before + len(f))
    assert b.read(frames) == inner


# --- PPP, with tshark and slirp ----------------------------------------------

def echo_request(number, data):
    """LCP, in the frame of RFC 1662."""
    return b"\xff\3\xc0\x21" + struct.pack(">BBHI", 9, number, 8 + len(data),
                                           number) + data


@pytest.mark.parametrize("fcs", (16, 32))
def test_hdlc_of_tshark(bench, directory, fcs):
    b = bench(framing="hdlc", fcs=fcs, accm="yes" if fcs == 32 else "no")
    inner = [echo_request(n, bytes(range(n)) + b"~\x7d") for n in range(200)]
    send, receive = hdlc_codec(fcs, b"~\x7d")
    frames = [b"~" + part + b"~" for part in
              b.written(inner).split(b"~") if part]
    assert len(frames) == len(inner)
    damaged = [f[:7] + bytes([f[7] ^ 0x40]) + f[8:] for f in map(send, inner)]
    rows = tshark(directory, "ppp_raw_hdlc", frames + damaged,
                  ("ppp.protocol", "lcp.magic_number", "ppp.fcs.status"),
                  f"ppp.fcs_type:{fcs}-Bit")
    assert [[int(r[0], 16), int(r[1], 16), r[2]] for r in rows[:200]] == \
        [[0xc021, n, "1"] for n in range(200)]
    assert {row[2] for row in rows[200:]} == {"0"}
    both = [f for pair in zip(damaged, frames) for f in pair]
    assert b.read(both) == inner
    assert b.d.bad("wire", "checksum") == len(damaged)


@pytest.fixture
def slirp(daemon, directory, connect):
    """A modem whose other end speaks SLIP or PPP: (daemon, the plain side)."""
    made = []

    def start(framing, *options):
        port = free_port()
        d = daemon(
            section("pty", "line", link=directory / "line", **framing) +
            tcp_server("plain", port, framing="length", length_size=4),
            settled=False)
        line = os.open(directory / "line", os.O_RDWR | os.O_NOCTTY)
        try:
            made.append(subprocess.Popen(
                ["slirp-fullbolt", *options], stdin=line, stdout=line,
                stderr=line, cwd=directory, start_new_session=True,
                env={"PATH": os.environ["PATH"], "HOME": str(directory)}))
        finally:
            os.close(line)
        # Its greeting, which is no frame.
        wait_for(lambda: d.number("line/rx_bytes") > 400, what="slirp")
        return d, connect(port)
    yield start
    for p in made:
        p.kill()
        p.wait()


def plain_frames(client, count):
    def got():
        frames, data = [], bytes(client.received)
        while len(data) >= 4:
            n = int.from_bytes(data[:4], "big")
            if len(data) < 4 + n:
                break
            frames.append(data[4:4 + n])
            data = data[4 + n:]
        return frames
    pump([client], lambda: len(got()) >= count, what=f"{count} frames")
    frames = got()
    client.take()
    return frames


def internet_sum(data):
    data += b"\0" * (len(data) % 2)
    sum_ = sum(struct.unpack(f">{len(data) // 2}H", data))
    while sum_ >> 16:
        sum_ = (sum_ & 0xffff) + (sum_ >> 16)
    return ~sum_ & 0xffff


def ping(number, data):
    """An ICMP echo request to the host that slirp plays."""
    icmp = struct.pack(">BBHHH", 8, 0, 0, 1, number) + data
    icmp = icmp[:2] + struct.pack(">H", internet_sum(icmp)) + icmp[4:]
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), number, 0, 64, 1,
                     0, bytes((10, 0, 2, 15)), bytes((10, 0, 2, 2)))
    return ip[:10] + struct.pack(">H", internet_sum(ip)) + ip[12:] + icmp


def test_slip_of_slirp(slirp):
    """Pings through the daemon's SLIP to slirp's, and their answers back."""
    d, client = slirp(dict(framing="slip"), "nozeros")
    # The first answer still has the greeting before it.
    client.send(struct.pack(">I", len(ping(0, b"hi"))) + ping(0, b"hi"))
    first, = plain_frames(client, 1)
    assert first.endswith(b"hi") and b"Slirp" in first
    data = [p[:700] for p in samples(b"\xc0\xdb\xdc\xdd")]
    for n, p in enumerate(data):
        packet = ping(n, p)
        client.send(struct.pack(">I", len(packet)) + packet)
        answer, = plain_frames(client, 1)
        assert answer[12:20] == bytes((10, 0, 2, 2, 10, 0, 2, 15))
        assert answer[20:22] == b"\0\0" and answer[24:] == packet[24:]
    assert d.number("line/errors") == 0


def test_hdlc_of_slirp(slirp):
    """slirp's PPP acknowledges what the daemon's HDLC carries to it."""
    d, client = slirp(dict(framing="hdlc", accm="yes"), "ppp", "nozeros")
    thrown = 0
    for n in range(40):
        magic = bytes((0x7e, 0x7d, n, 0x5e))
        ask = b"\xff\3\xc0\x21" + struct.pack(">BBHBB", 1, n, 10, 5, 6) + magic
        client.send(struct.pack(">I", len(ask)) + ask)
        answers = plain_frames(client, 1)
        while not any(a[4] == 2 for a in answers):     # its own requests
            assert all(a.startswith(b"\xff\3\xc0\x21") for a in answers)
            answers = plain_frames(client, 1)
        ack, = [a for a in answers if a[4] == 2]
        assert ack == ask[:4] + b"\2" + ask[5:]
        # What was thrown away is its greeting, which may have flags in it.
        thrown = thrown or d.number("line/errors")
        assert d.number("line/errors") == thrown
    assert thrown > 0


# --- MAVLink, by its public definition ---------------------------------------

# Fields in the order on the wire, as `type name` or `type name[length]`.
MAVLINK = {
    (0, "HEARTBEAT"): "uint32_t custom_mode, uint8_t type, uint8_t autopilot, "
    "uint8_t base_mode, uint8_t system_status, uint8_t mavlink_version",
    (2, "SYSTEM_TIME"): "uint64_t time_unix_usec, uint32_t time_boot_ms",
    (4, "PING"): "uint64_t time_usec, uint32_t seq, uint8_t target_system, "
    "uint8_t target_component",
    (22, "PARAM_VALUE"): "float param_value, uint16_t param_count, "
    "uint16_t param_index, char param_id[16], uint8_t param_type",
    (24, "GPS_RAW_INT"): "uint64_t time_usec, int32_t lat, int32_t lon, "
    "int32_t alt, uint16_t eph, uint16_t epv, uint16_t vel, uint16_t cog, "
    "uint8_t fix_type, uint8_t satellites_visible",
    (30, "ATTITUDE"): "uint32_t time_boot_ms, float roll, float pitch, "
    "float yaw, float rollspeed, float pitchspeed, float yawspeed",
    (33, "GLOBAL_POSITION_INT"): "uint32_t time_boot_ms, int32_t lat, "
    "int32_t lon, int32_t alt, int32_t relative_alt, int16_t vx, int16_t vy, "
    "int16_t vz, uint16_t hdg",
    (74, "VFR_HUD"): "float airspeed, float groundspeed, float alt, "
    "float climb, int16_t heading, uint16_t throttle",
    (76, "COMMAND_LONG"): "float param1, float param2, float param3, "
    "float param4, float param5, float param6, float param7, uint16_t command, "
    "uint8_t target_system, uint8_t target_component, uint8_t confirmation",
    (77, "COMMAND_ACK"): "uint16_t command, uint8_t result",
    (253, "STATUSTEXT"): "uint8_t severity, char text[50]",
}
SIZES = {"uint64_t": 8, "uint32_t": 4, "int32_t": 4, "float": 4, "uint16_t": 2,
         "int16_t": 2, "uint8_t": 1, "char": 1}


def mavlink_fields(text):
    """(type, name, elements or 0) of each."""
    for field in text.split(", "):
        kind, name = field.split()
        name, _, length = name.rstrip("]").partition("[")
        yield kind, name, int(length or 0)


def mavlink_extra(name, text):
    """CRC_EXTRA is made of the names, as the guide to serialization says."""
    data = f"{name} ".encode()
    for kind, field, length in mavlink_fields(text):
        data += f"{kind} {field} ".encode() + bytes([length] if length else [])
    sum_ = crc["crc-16-mcrf4xx"](data)
    return (sum_ & 0xff) ^ (sum_ >> 8)


def mavlink_frames(version, dice, signed=False):
    for seq, ((ident, name), text) in enumerate(MAVLINK.items()):
        size = sum(SIZES[kind] * max(1, n)
                   for kind, _, n in mavlink_fields(text))
        packet = dice.randbytes(size - 1) + b"\1"
        if version == 1:
            body = bytes((size, seq, 7, 9, ident)) + packet
            magic = b"\xfe"
        else:
            body = bytes((size, int(signed), 0, seq, 7, 9)) + \
                little(3, ident) + packet
            magic = b"\xfd"
        extra = mavlink_extra(name, text)
        yield magic + body + \
            little(2, crc["crc-16-mcrf4xx"](body + bytes([extra]))) + \
            (dice.randbytes(13) if signed else b"")


def test_mavlink_by_its_definition(bench):
    dice = random.Random(3)
    frames = [f for _ in range(5) for f in
              [*mavlink_frames(1, dice), *mavlink_frames(2, dice),
               *mavlink_frames(2, dice, signed=True)]]
    b = bench(framing="mavlink", mavlink_strict="yes")
    assert b.written(frames) == b"".join(frames)
    assert b.read(frames) == frames
    damaged = [f[:4] + bytes([f[4] ^ 4]) + f[5:] for f in frames]
    wire = [x for pair in zip(damaged, frames) for x in pair]
    got = b.read(wire)
    assert got == frames
    assert b.d.number("wire/unchecked") == 0


def test_mavlink_inner_by_its_definition(bench):
    dice = random.Random(4)
    frames = [*mavlink_frames(1, dice), *mavlink_frames(2, dice)]
    inner = [f[1:-2] for f in frames]
    b = bench(framing="mavlink", payload="inner")
    assert b.written(inner) == b"".join(frames)
    assert b.read(frames) == inner


# --- MIN 2.0 -----------------------------------------------------------------

def min_frame(ident, packet):
    body = bytes((ident, len(packet))) + packet
    body += zlib.crc32(body).to_bytes(4, "big")
    out, run = bytearray(b"\xaa\xaa\xaa"), 0
    for c in body:
        out.append(c)
        run = run + 1 if c == 0xaa else 0
        if run == 2:
            out.append(0x55)
            run = 0
    return bytes(out) + b"\x55"


def test_min_by_its_definition(bench):
    payloads = [p for p in samples(b"\xaa\x55") if len(p) <= 255]
    frames = [min_frame(33, p) for p in payloads]
    b = bench(framing="min", min_id=33, payload="inner")
    assert b.written(payloads) == b"".join(frames)
    damaged = [f[:3] + bytes([f[3] ^ 1]) + f[4:] for f in frames]
    wire = [x for pair in zip(damaged, frames) for x in pair]
    assert b.read(wire) == payloads
    assert b.d.bad("wire", "checksum") == len(frames)


# --- every framing to every other --------------------------------------------

def modbus_rtu(packet):
    return packet + little(2, crc["modbus"](packet))


def modbus_ascii(packet):
    packet += bytes([-sum(packet) % 256])
    return b":" + packet.hex().upper().encode() + b"\r\n"


def modbus_tcp(packet):
    return bytes(4) + struct.pack(">H", len(packet)) + packet


ONE_DICE = random.Random(5)
SENTENCES = [t.encode() for t in sentences()[:3] + [AIS]]
HEARTBEATS = [*mavlink_frames(1, ONE_DICE), *mavlink_frames(2, ONE_DICE)]
# All that is there for every framing to carry, and what is for some.
CARGO = samples(lengths=(0, 1, 2, 64, 253, 254, 255, 256, 1000))[:27] + \
    [p[::-1].translate(None, b"\0\2\3\n") for p in samples()[9:24:4]] + \
    SENTENCES + HEARTBEATS


def sides():
    """Name -> keys, (send, receive), what it can carry: all framings."""
    found = {name.partition("-")[0] if name != "stx-dle" else name:
             (keys, codec, can)
             for name, (keys, codec, _, can) in FOREIGN.items()
             if name in ("raw", "line", "delimiter", "slip", "cobs", "cobsr",
                         "hdlc-16", "length-2", "idle", "stx", "stx-dle")}
    inner = dict(payload="inner")
    found["fixed"] = (dict(framing="fixed", frame_size=254),
                      (bytes, lambda s: cut(s, 254)), lambda p: len(p) == 254)
    found["nmea"] = (dict(framing="nmea"), (lambda p: p + b"\r\n", None),
                     lambda p: p in SENTENCES)
    found["rtu"] = (inner | dict(framing="modbus-rtu"), (modbus_rtu, None),
                    lambda p: 2 <= len(p) <= 254)
    found["ascii"] = (inner | dict(framing="modbus-ascii"),
                      (modbus_ascii, None), lambda p: 2 <= len(p) <= 254)
    found["tcp"] = (inner | dict(framing="modbus-tcp"), (modbus_tcp, None),
                    lambda p: 2 <= len(p) <= 254)
    found["mavlink"] = (dict(framing="mavlink"), (bytes, None),
                        lambda p: p in HEARTBEATS)
    found["ubx"] = (inner | dict(framing="ubx"),
                    (lambda p: ubx(p[:2], p[2:]), None),
                    lambda p: len(p) >= 2)
    found["rtcm3"] = (inner | dict(framing="rtcm3"), (rtcm3, None),
                      lambda p: len(p) <= 1023)
    found["gnss"] = (dict(framing="gnss"), (lambda p: p + b"\r\n", None),
                     lambda p: p in SENTENCES)
    found["min"] = (inner | dict(framing="min", min_id=9),
                    (lambda p: min_frame(9, p), None), lambda p: len(p) <= 255)
    return found


class Hub:
    """All framings at once; what comes from one goes to all others."""

    def __init__(self, daemon, pty):
        self.sides = sides()
        self.pty = {name: pty(name) for name in self.sides}
        self.d = daemon("".join(
            serial(name, self.pty[name], **({"baud": 1000000} | keys))
            for name, (keys, _, _) in self.sides.items()) +
            route("all", between=" ".join(self.sides)))
        self.taken = dict.fromkeys(self.sides, 0)

    def numbers(self, attribute):
        words = self.d.raw("".join(f"get {name}/{attribute}\n"
                                   for name in self.sides)).split()
        return dict(zip(self.sides, (int(w) for w in words if w != b"OK")))

    def settled(self, source):
        p = self.pty[source]
        return not p.outgoing and \
            self.d.number(f"{source}/rx_bytes") == p.written and \
            self.d.number(f"{source}/rx_held") == 0 and \
            not any(self.numbers("queued_frames").values()) and \
            all(n == self.taken[name] + len(self.pty[name].received)
                for name, n in self.numbers("tx_bytes").items())

    def send(self, source, frames):
        """What comes out everywhere else."""
        for frame in frames:
            self.pty[source].send(frame)
            pump(list(self.pty.values()), lambda: self.settled(source),
                 what=f"what {source} sent")
        out = {name: p.take() for name, p in self.pty.items()}
        for name, data in out.items():
            self.taken[name] += len(data)
        return out


def test_every_framing_to_every_other(daemon, pty):
    """
    What a framing can carry arrives as what another one makes of it; what that one
    cannot is counted, exactly, and leaves no byte.
    """
    hub = Hub(daemon, pty)
    assert {keys["framing"] for keys, _, _ in hub.sides.values()} == {
        row.split()[0] for row in run("--list-framings").stdout.splitlines()}
    refused = dict.fromkeys(hub.sides, 0)
    for source, (keys, (send, _), can) in hub.sides.items():
        cargo = [p for p in CARGO if can is None or can(p)]
        assert len(cargo) >= 3
        frames = [send(p) for p in cargo]
        if keys["framing"] not in ("idle", "modbus-rtu", "raw"):
            frames = [b"".join(frames)]
        for name, data in hub.send(source, frames).items():
            if name == source:
                assert data == b""
                continue
            _, (write, read), able = hub.sides[name]
            arrives = [p for p in cargo if able is None or able(p)]
            refused[name] += len(cargo) - len(arrives)
            if read:
                assert (source, name, read(data)) == (source, name, arrives)
            else:
                assert (source, name, data) == \
                    (source, name, b"".join(map(write, arrives)))
    assert hub.numbers("dropped_unencodable") == refused
    assert hub.numbers("dropped") == refused
    assert not any(hub.numbers("errors").values())
    assert sum(refused.values()) > 1000
