"""Where frames end in datagrams: the key datagram."""
import socket

import pytest

from harness import expect, free_port, route, section, serial, wait_for

GGA = b"$GPGGA,1*4B"
RMC = b"$GPRMC,2*55"


@pytest.fixture
def air(pty, daemon):
    """air(keys of the framing): a serial line of COBS frames, and how to send datagrams."""
    socks = []

    def start(a_keys=(), **keys):
        a, port = pty("a"), free_port()
        d = daemon(serial("a", a, **dict({"framing": "slip"}, **dict(a_keys))) +
                   section("udp", "air", listen=f"127.0.0.1:{port}", **keys) +
                   route("r", from_="air", to="a"))
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        socks.append(s)
        s.connect(("127.0.0.1", port))

        def say(*datagrams):
            for datagram in datagrams:
                s.send(datagram)
        return d, a, say
    yield start
    for s in socks:
        s.close()


def slip(*payloads):
    return b"".join(b"\xc0" + p + b"\xc0" for p in payloads)


def test_a_frame_is_never_made_of_two_datagrams(air):
    d, a, say = air(framing="cobs")
    assert d.get("air/datagram") == "frame"
    say(b"\x09raw", b"\x05good\x00")
    expect(a, slip(b"good"))
    assert d.bad("air", "malformed") == 1
    assert d.number("air/rx_held") == 0


def test_unless_the_datagrams_are_a_stream(air):
    d, a, say = air(framing="cobs", datagram="stream")
    say(b"\x09raw", b"\x05good\x00")
    expect(a, slip(b"raw\x05good"))
    assert d.number("air/errors") == 0


@pytest.mark.parametrize("keys, ends", [
    ({"framing": "line"}, b"\n"),
    ({"framing": "line", "flush": "100ms"}, b"\n"),
    ({"framing": "delimiter", "delimiter": r"\x03"}, b"\x03"),
    ({"framing": "idle", "idle": "1h"}, b""),
    ({"framing": "raw"}, b"")])
def test_what_is_left_of_a_datagram_is_a_frame(air, keys, ends):
    d, a, say = air(**keys)
    say(b"one", b"two", b"three" + ends)
    expect(a, slip(b"one", b"two", b"three"))
    if ends:
        say(b"four" + ends + b"five" + ends + b"six")
        expect(a, slip(b"four", b"five", b"six"))
    assert d.number("air/errors") == 0
    assert d.number("air/rx_held") == 0


def test_the_end_of_a_datagram_ends_what_is_too_long(air):
    d, a, say = air(framing="line", max_frame="8")
    say(b"much too long", b"short", b"much too long\nand so is this", b"good\n")
    expect(a, slip(b"short", b"good"))
    assert d.bad("air", "oversize") == 3


@pytest.mark.parametrize("keys, cut, good, payload", [
    ({"framing": "slip"}, b"\xc0cut", b"\xc0good\xc0", b"good"),
    ({"framing": "stx"}, b"\x02cut", b"\x02good\x03", b"good"),
    ({"framing": "length", "length_size": "1"}, b"\x09cut", b"\x04good", b"good"),
    ({"framing": "fixed", "frame_size": "4"}, b"cut", b"good", b"good"),
    ({"framing": "modbus-ascii"}, b":0103", b":010300000001FB\r\n",
     b":010300000001FB"),
    ({"framing": "modbus-tcp"}, bytes.fromhex("0001 0000 0006 01"),
     bytes.fromhex("0002 0000 0006 010300000001"), bytes.fromhex("0002 0000 0006 010300000001"))])
def test_the_rest_of_a_datagram_is_dropped(air, keys, cut, good, payload):
    d, a, say = air(**keys)
    say(cut, good, cut, good)
    expect(a, slip(payload, payload))
    assert d.bad("air", "malformed") == 2


def test_a_request_of_modbus_is_a_datagram(air):
    request = bytes.fromhex("010300000001840a")
    d, a, say = air(framing="modbus-rtu")
    say(request[:5], request, request + request)
    expect(a, slip(request, request, request))
    assert d.number("air/rx_held") == 0
    assert d.number("air/rx_frames") == 3


# --- framings that check themselves ------------------------------------------

def test_messages_may_be_spread_over_datagrams(air):
    d, a, say = air(framing="nmea")
    assert d.get("air/datagram") == "stream"
    say(GGA[:4], GGA[4:] + b"\r\n" + RMC[:7], RMC[7:] + b"\r\n")
    expect(a, slip(GGA, RMC))
    assert d.number("air/errors") == 0


@pytest.mark.parametrize("framing", ["nmea", "gnss"])
@pytest.mark.parametrize("datagram", ["stream", "frame"])
@pytest.mark.parametrize("end", [b"", b"\r", b"\r\n"])
def test_a_sentence_at_the_end_of_a_datagram_needs_no_line_end(air, framing, datagram, end):
    d, a, say = air(framing=framing, datagram=datagram)
    say(GGA + end)
    expect(a, slip(GGA))
    say(RMC + b"\r\n" + GGA + end)
    expect(a, slip(RMC, GGA))
    tagged = rb"\s:r1*0A" + b"\\" + GGA
    say(tagged + end)
    expect(a, slip(tagged))
    assert d.number("air/errors") == 0
    assert d.number("air/rx_held") == 0


def test_a_line_end_may_come_in_the_next_datagram(air):
    d, a, say = air(framing="nmea")
    say(GGA, b"\r\n" + RMC, b"\r\n", GGA + b"\r", b"\n" + RMC)
    expect(a, slip(GGA, RMC, GGA, RMC))
    assert d.number("air/errors") == 0


def test_a_sentence_whose_checksum_is_cut_waits_for_the_rest(air):
    d, a, say = air(framing="nmea")
    say(GGA[:-1], GGA[-1:])
    expect(a, slip(GGA))
    assert d.number("air/errors") == 0


def test_with_frame_a_sentence_that_is_cut_is_dropped(air):
    d, a, say = air(framing="nmea", datagram="frame")
    say(GGA[:-1], GGA[-1:], RMC)
    expect(a, slip(RMC))
    assert d.bad("air", "malformed") == 1


@pytest.mark.parametrize("keys, default", [
    ({"framing": "nmea"}, "stream"), ({"framing": "mavlink"}, "stream"),
    ({"framing": "ubx"}, "stream"), ({"framing": "min"}, "stream"),
    ({"framing": "rtcm3"}, "stream"), ({"framing": "gnss"}, "stream"),
    ({"framing": "hdlc"}, "stream"), ({"framing": "hdlc", "fcs": "none"}, "frame"),
    ({"framing": "cobsr"}, "frame"), ({"framing": "slip"}, "frame"),
    ({"framing": "modbus-rtu"}, "frame"), ({"framing": "modbus-ascii"}, "frame"),
    ({"framing": "modbus-tcp"}, "frame"), ({}, "frame")])
def test_the_framing_decides_unless_it_is_given(air, keys, default):
    d, _, _ = air(**keys)
    assert d.get("air/datagram") == default


# --- with everything else ----------------------------------------------------

def test_no_rest_is_lost_or_joined_while_a_queue_is_full(air):
    d, a, say = air({"queue": "2K", "framing": "line"}, framing="line")
    a.reading = False
    sent = []

    def held():
        for _ in range(10):
            n = len(sent)
            sent.append([b"%d.%d " % (n, part) + b"x" * 100 for part in range(5)])
            say(b"\n".join(sent[-1]))
        return "room for a datagram from" in d.tasks()["air.receive"]["label"]
    wait_for(held)
    a.reading = True
    expect(a, b"".join(part + b"\n" for datagram in sent for part in datagram))
    assert d.dropped("a") == 0
    assert d.number("air/errors") == 0
