"""
Between two endpoints with the same framing and keys a good frame's bytes go on as they
came, whatever its spelling, on every way that a frame can take.
"""
import pytest

from harness import expect, pump, route, section, serial
from test_handover import restart


def fcs16(data):
    crc = 0xffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8408 if crc & 1 else crc >> 1
    return (crc ^ 0xffff).to_bytes(2, "little")


def hdlc(data, escaped):
    """Between flags; the bytes in escaped are."""
    return b"".join(
        bytes([0x7d, b ^ 0x20]) if b in escaped or b in (0x7d, 0x7e) else bytes([b])
        for b in data + fcs16(data))


def nmea(text, end=b"\r\n", case="%02X"):
    total = 0
    for byte in text:
        total ^= byte
    return b"$" + text + b"*" + (case % total).encode() + end


CONTROLS = bytes(range(0x20))
FULL = bytes(range(1, 255))
GLL = b"GPGLL,4916.45,N,12311.12,W,225444,A"

SPELLINGS = {
    "line: CR LF, and LF": (dict(framing="line"), b"a\r\nb\n\r\n\nc\r\n"),
    "line: CR CR LF": (dict(framing="line"), b"AT\r\r\nOK\r\n"),
    "delimiter": (dict(framing="delimiter", delimiter=r"\x03"), b"\x03\x03a\r\n\x03"),
    "slip: doubled END": (dict(framing="slip"),
                          b"\xc0\xc0a\xdb\xdc\xc0\xc0\xc0\xc0b\xdb\xdd\xc0"),
    "hdlc: controls escaped": (dict(framing="hdlc"), b"".join(
        b"\x7e%b\x7e" % hdlc(b"\x00\x11\x7d\x13" + bytes([n]), CONTROLS)
        for n in range(20))),
    "hdlc: some escaped": (dict(framing="hdlc"), b"".join(
        b"\x7e%b\x7e" % hdlc(b"abc\x11\x13\x00", which)
        for which in (b"\x11", b"a", b"bc\x00", b"\x7e"))),
    "hdlc: shared flags": (dict(framing="hdlc"), b"\x7e" + b"".join(
        hdlc(b"frame %d\x7d" % n, b"") + b"\x7e" for n in range(9))),
    "hdlc: many flags": (dict(framing="hdlc", fcs="none"),
                         b"\x7e\x7e\x7eab\x7d\x31\x7e\x7e\x7ecd\x7e"),
    "hdlc: escaped check sequence": (dict(framing="hdlc"), b"".join(
        b"\x7e%b\x7e" % hdlc(b"%d" % n, CONTROLS) for n in range(200, 300))),
    "cobs: an empty block behind a full one": (
        dict(framing="cobs"), b"\xff" + FULL + b"\x01\x00\xff" + FULL + b"\x00"),
    "cobs: doubled zeros": (dict(framing="cobs"), b"\x00\x00\x02a\x01\x00\x00\x03bc\x00"),
    "cobsr: not reduced": (dict(framing="cobsr"), b"\x03az\x00\x05abcd\x00zabc\x00"),
    "length: bits beside the length": (
        dict(framing="length", length_mask="0x0fff"), b"\xf0\x02hi\x00\x02ho\xa0\x00"),
    "length: bytes before it": (
        dict(framing="length", length_offset=2, sync=r"\xaa\x55", checksum="sum8"),
        b"\xaa\x55xy\x00\x01\xf1"),
    "stx: doubled DLE": (dict(framing="stx", dle="yes", bcc="yes"),
                         b"\x10\x02a\x10\x10b\x10\x03\x10\x10\x02\x10\x10\x10\x03\x13"),
    "nmea: LF": (dict(framing="nmea"), nmea(GLL, b"\n") + nmea(b"X", b"\n")),
    "nmea: lower case": (dict(framing="nmea"), nmea(b"ZZ,o", case="%02x")),
    "nmea: inner": (dict(framing="nmea", payload="inner"),
                    nmea(b"ZZ,o", b"\n", "%02x") + nmea(b"GP,a*b") + b"!A*41\r\r\n"),
    "nmea: blanks": (dict(framing="nmea"), nmea(GLL, b" \r\n") + nmea(b"X", b"  \n")),
    "nmea: LF CR": (dict(framing="nmea"), nmea(GLL, b"\n\r") + nmea(b"X", b"\n")),
    "nmea: CR": (dict(framing="nmea"), nmea(GLL, b"\r") + nmea(b"X", b"\n")),
    "nmea: no checksum": (dict(framing="nmea", nmea_checksum="keep"), b"$X\n$Y \r\n"),
    "modbus-ascii: lower case": (dict(framing="modbus-ascii"),
                                 b":01030000000Af2\n:01030000000aF2\r\n"),
    "modbus-ascii: inner": (dict(framing="modbus-ascii", payload="inner"),
                            b":01030000000aF2\n:01030000000AF2\r\n"),
    "min: inner": (dict(framing="min", payload="inner"),
                   bytes.fromhex("aaaaaa010268690336544455")),
    "ubx: inner": (dict(framing="ubx", payload="inner"),
                   bytes.fromhex("b5620a0400000e34")),
}
both = pytest.mark.parametrize("keys, data", SPELLINGS.values(), ids=SPELLINGS)


@both
def test_at_once(pty, daemon, keys, data):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, **keys) + serial("b", b, **keys))
    a.send(data)
    expect(b, data, [a])
    for byte in data:
        a.send(bytes([byte]))
        pump([a, b], lambda: not a.outgoing)
    expect(b, data, [a])
    assert d.number("a/rx_frames") == d.number("b/tx_frames")


@both
def test_to_several_with_filters_and_a_tap(pty, daemon, directory, keys, data):
    """Some of it goes to a framing of its own, and what is between it is left out."""
    a, b, c, e = pty("a"), pty("b"), pty("c"), pty("e")
    d = daemon(section("daemon", "", state_dir=directory)
               + serial("a", a, **keys) + serial("b", b, **keys) + serial("c", c, **keys)
               + serial("e", e, framing="length")
               + route("all", from_="a", to="b e")
               + route("some", from_="a", to="c", reject="^$")
               + route("rest", from_="a", to="c"))
    a.send(data)
    expect(b, data, [a, e])
    expect(c, data, [a, e])
    d.control("capture start x.pcap")
    a.send(data * 2)
    expect(b, data * 2, [a, e])
    expect(c, data * 2, [a, e])


@both
def test_through_the_queue_and_a_hand_over(pty, daemon, keys, data):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, **keys) + serial("b", b, queue="1M", **keys))
    d.control("pause b")
    a.send(data * 3)
    pump([a, b], lambda: not a.outgoing)
    d.wait_number("a/rx_bytes", 3 * len(data))
    restart(d, [a])
    d.control("resume b")
    expect(b, data * 3, [a])
    assert d.number("b/dropped") == 0


@both
def test_to_the_other_clients_of_a_server(daemon, connect, directory, keys, data):
    d = daemon(section("unix-server", "s", listen=directory / "s", **keys)
               + route("r", from_="s", to="s"))
    one, two = connect(directory / "s"), connect(directory / "s")
    d.wait_number("s/peers", 2)
    one.send(data)
    expect(two, data, [one])
    assert not one.received


def test_what_waits_is_written_anew_for_another_framing(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="slip") + serial("b", b, framing="slip"))
    d.control("pause b")
    a.send(b"\xc0\xc0a\xdb\xdc\xc0")
    d.wait_number("a/rx_frames", 1)
    d.reload(serial("a", a, framing="slip") + serial("b", b, framing="line"))
    d.control("resume b")
    expect(b, b"a\xc0\n", [a])


@pytest.mark.parametrize("keys, data, wanted", [
    (dict(framing="line", eol="crlf"), b"a\nb\r\n", b"a\r\nb\r\n"),
    (dict(framing="line", eol="lf"), b"a\nb\r\n", b"a\nb\n"),
    (dict(framing="line", eol="cr"), b"a\nb\r\n", b"a\rb\r"),
    (dict(framing="hdlc", accm="yes"),
     b"\x7e%b\x7e" % hdlc(b"ab\x11c", b"a"), b"\x7e%b\x7e" % hdlc(b"ab\x11c", CONTROLS)),
    (dict(framing="hdlc", accm="yes"),
     b"\x7e\x7e%b\x7e" % hdlc(b"ab\x11c", CONTROLS + b"a"),
     b"\x7e\x7e%b\x7e" % hdlc(b"ab\x11c", CONTROLS + b"a")),
    (dict(framing="hdlc", accm="no"),
     b"\x7e%b\x7e" % hdlc(b"ab\x11c", CONTROLS), b"\x7e%b\x7e" % hdlc(b"ab\x11c", b"")),
    (dict(framing="nmea", nmea_checksum="add"),
     b"$X\n" + nmea(b"ZZ,o", b"\n", "%02x") + nmea(b"X", b" \r\n") + b"$Y\r\n",
     nmea(b"X") + nmea(b"ZZ,o", b"\n", "%02x") + nmea(b"X", b" \r\n") + nmea(b"Y")),
    (dict(framing="min", payload="inner", min_id=1),
     bytes.fromhex("aaaaaa010268690336544455"), bytes.fromhex("aaaaaa010268690336544455")),
], ids=lambda v: None if isinstance(v, bytes) else " ".join(map(str, v.values())))
def test_a_key_for_writing_is_obeyed(pty, daemon, keys, data, wanted):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, **keys) + serial("b", b, **keys))
    a.send(data)
    expect(b, wanted, [a])
    d.control("pause b")
    a.send(data * 2)
    pump([a, b], lambda: not a.outgoing)
    d.wait_number("a/rx_bytes", 3 * len(data))
    d.control("resume b")
    expect(b, wanted * 2, [a])


def test_a_key_for_writing_at_one_side_counts_for_that_side(pty, daemon):
    """Its default is not obeyed: the other side's lines stay what they are."""
    a, b = pty("a"), pty("b")
    daemon(serial("a", a, framing="line") + serial("b", b, framing="line", eol="lf"))
    a.send(b"x\r\n")
    expect(b, b"x\n", [a])
    b.send(b"y\r\n")
    expect(a, b"y\r\n", [b])


def test_an_exchange_keeps_the_spelling_both_ways(pty, daemon, connect, directory):
    bus = pty("bus")
    d = daemon(serial("bus", bus, framing="modbus-ascii")
               + section("unix-server", "m", listen=directory / "m", framing="modbus-ascii")
               + route("r", from_="m", to="bus", exchange="modbus"))
    master = connect(directory / "m")
    d.wait_number("m/peers", 1)
    master.send(b":010300000001fb\n")
    expect(bus, b":010300000001fb\n", [master])
    bus.send(b":010302000af0\n")
    expect(master, b":010302000af0\n", [bus])


def test_a_slip_frame_that_shares_its_end_gets_one_of_its_own(pty, daemon):
    """It is told from noise before it by that."""
    a, b = pty("a"), pty("b")
    daemon(serial("a", a, framing="slip") + serial("b", b, framing="slip"))
    a.send(b"a\xc0b\xc0\xc0\xc0c\xc0")
    expect(b, b"\xc0a\xc0\xc0b\xc0\xc0\xc0c\xc0", [a])
