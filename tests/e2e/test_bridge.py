"""Bytes from one serial device to another: whole, in order, once, or counted."""
import os
import random
import re
import signal
import time

import pytest

from harness import (expect, fill, flush, free_port, pump, route, same,
                     section, serial, tcp_server, wait_for)

MB = 1024 * 1024


def numbered(n, size):
    """n lines of that size (newline included), each with its number."""
    return [(b"%07d " % i).ljust(size - 1, b"x") for i in range(n)]


def joined(lines):
    return b"".join(line + b"\n" for line in lines)


def numbers(data):
    """The numbers of whole numbered lines; fails on a line that is not one."""
    lines = bytes(data).split(b"\n")
    assert lines.pop() == b"", "the last line is cut"
    for line in lines:
        assert len(line) > 7 and line[7:8] == b" " and \
            not line[8:].strip(b"x"), f"a broken line: {line!r:.200}"
    return [int(line[:7]) for line in lines]


# --- everything arrives ------------------------------------------------------

def test_twenty_thousand_lines_of_mixed_length_arrive_byte_for_byte(
        pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"))
    dice = random.Random(1)
    lines = [bytes(dice.choices(range(14, 256), k=dice.choice(
        (0, 1, 7, 30, 80, 80, 300, 1500)))) for _ in range(20000)]
    a.send(joined(lines))
    expect(b, joined(lines), [a], timeout=60)
    assert d.number("a/rx_frames") == 20000
    assert d.number("b/tx_frames") == 20000
    assert d.number("b/tx_bytes") == len(joined(lines))
    assert d.dropped("b") == 0
    d.balance("a", "b")


def test_four_megabytes_each_way_at_once_pass_a_raw_bridge(pty, daemon):
    a, b = pty("a"), pty("b")
    daemon(serial("a", a) + serial("b", b))
    there, back = random.Random(2).randbytes(4 * MB), \
        random.Random(3).randbytes(4 * MB)
    a.send(there)
    b.send(back)
    pump([a, b], lambda: len(b.received) >= len(there) and
         len(a.received) >= len(back), timeout=60)
    same(b.take(), there)
    same(a.take(), back)


def test_every_byte_value_passes_a_raw_bridge(pty, daemon):
    a, b = pty("a"), pty("b")
    daemon(serial("a", a) + serial("b", b))
    every = bytes(range(256)) * 8
    a.send(every)
    expect(b, every, [a])
    b.send(every[::-1])
    expect(a, every[::-1], [b])


def test_raw_bytes_are_not_held_back_for_more(pty, daemon):
    a, b = pty("a"), pty("b")
    daemon(serial("a", a) + serial("b", b))
    for byte in b"slowly":
        a.send(bytes([byte]))
        expect(b, bytes([byte]), [a])


def test_a_line_that_comes_byte_by_byte_goes_out_whole(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="cobs"))
    for i, byte in enumerate(b"hello"):
        a.send(bytes([byte]))
        flush([a])
        d.wait_number("a/rx_bytes", i + 1)
    assert d.number("b/tx_bytes") == 0
    a.send(b"\n")
    expect(b, b"\x06hello\x00", [a])


def test_lines_go_out_in_the_other_devices_framing_and_back(pty, daemon):
    a, b = pty("a"), pty("b")
    daemon(serial("a", a, framing="line", eol="crlf") +
           serial("b", b, framing="delimiter", delimiter=r"\x03"))
    a.send(b"one\r\ntwo\n\nfour\n")
    expect(b, b"one\x03two\x03\x03four\x03", [a])
    b.send(b"five\x03\x03seven\x03")
    expect(a, b"five\r\n\r\nseven\r\n", [b])


@pytest.mark.parametrize("keys, written", [
    (dict(framing="slip"), b"\xc0a\xdb\xdcb\xdb\xdd\xc0"),
    (dict(framing="cobs"), b"\x05a\xc0b\xdb\x00"),
    (dict(framing="length", length_size=2), b"\x00\x04a\xc0b\xdb"),
    (dict(framing="length", length_size=1, length_includes_header="yes"),
     b"\x05a\xc0b\xdb"),
    (dict(framing="fixed", frame_size=4), b"a\xc0b\xdb"),
    (dict(framing="stx"), b"\x02a\xc0b\xdb\x03"),
    (dict(framing="line", eol="cr"), b"a\xc0b\xdb\r"),
    (dict(framing="line", checksum="xor8"), b"a\xc0b\xdb\x18\n"),
    (dict(framing="delimiter", delimiter=r"\r\n\x3b"),
     b"a\xc0b\xdb\r\n;"),
], ids=lambda v: "-".join(map(str, v.values())) if isinstance(v, dict)
    else None)
def test_a_frame_is_written_by_the_rule_of_its_destination(
        pty, daemon, keys, written):
    a, b = pty("a"), pty("b")
    daemon(serial("a", a, framing="line") + serial("b", b, **keys))
    a.send(b"a\xc0b\xdb\n" * 3)
    expect(b, written * 3, [a])
    b.send(written * 3)
    if keys != dict(framing="line", eol="cr"):
        expect(a, b"a\xc0b\xdb\n" * 3, [b])


@pytest.mark.parametrize("framing, message", [
    ("nmea", b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,"
             b"*47\r\n"),
    ("modbus-ascii", b":01030000000AF2\r\n"),
    ("modbus-tcp", bytes.fromhex("0102000000060103006b000a")),
    ("mavlink", bytes.fromhex("fd0900004e010100000000000000020351040372e4")),
    ("mavlink", bytes.fromhex("fe094e0101000000000002035104031c7f")),
    ("ubx", bytes.fromhex("b5620a0400000e34")),
    ("hdlc", bytes.fromhex("7e3132333435363738396e907e")),
    ("slip", b"\xc0hello\xc0"),
    ("cobs", b"\x06hello\x00"),
], ids=lambda v: v if isinstance(v, str) else f"{len(v)} bytes")
def test_between_two_of_the_same_framing_bytes_are_the_same(
        pty, daemon, framing, message):
    a, b = pty("a"), pty("b")
    daemon(serial("a", a, framing=framing) + serial("b", b, framing=framing))
    a.send(message * 5)
    if framing == "hdlc":       # a flag between two frames may be shared
        pump([a, b], lambda: b.received.count(message[1:-1]) == 5)
        assert set(b.take().replace(message[1:-1], b"")) == {0x7E}
    else:
        expect(b, message * 5, [a])


def test_the_end_in_front_of_a_slip_frame_is_added_where_it_is_missing(pty, daemon):
    a, b = pty("a"), pty("b")
    daemon(serial("a", a, framing="slip") + serial("b", b, framing="slip"))
    a.send(b"one\xc0")
    expect(b, b"\xc0one\xc0", [a])


def test_a_silence_ends_a_frame_of_the_idle_framing(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="idle", idle="150ms") +
               serial("b", b, framing="line"))
    a.send(b"first")
    expect(b, b"first\n", [a])
    a.send(b"second")
    expect(b, b"second\n", [a])
    assert d.number("a/rx_frames") == 2


def test_modbus_rtu_passes_from_port_to_port(pty, daemon):
    a, b = pty("a"), pty("b")
    daemon(serial("a", a, framing="modbus-rtu") +
           serial("b", b, framing="modbus-rtu"))
    for message in ("01030000000ac5cd", "1103006b00037687"):
        a.send(bytes.fromhex(message))
        expect(b, bytes.fromhex(message), [a])


# --- what cannot be delivered is counted -------------------------------------

def test_a_line_of_max_frame_passes_and_one_byte_more_does_not(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line", max_frame=64) +
               serial("b", b, framing="line"))
    a.send(b"x" * 64 + b"\n" + b"y" * 65 + b"\n" + b"z" * 5000 + b"\n" +
           b"good\n")
    expect(b, b"x" * 64 + b"\ngood\n", [a])
    assert d.bad("a", "oversize") == 2
    assert d.number("a/rx_frames") == 2


@pytest.mark.parametrize("framing, filler, end, good, out", [
    ("line", b"x", b"\n", b"ok\n", b"ok\n"),
    ("cobs", b"\xff", b"\x00", b"\x03ok\x00", b"ok\n"),
    ("slip", b"x", b"\xc0", b"\xc0ok\xc0", b"ok\n"),
    ("delimiter", b"x", b"\x03", b"ok\x03", b"ok\n"),
    ("stx", b"\x02x", b"\x03", b"\x02ok\x03", b"ok\n"),
    ("hdlc", b"x", b"\x7e", bytes.fromhex("7e3132333435363738396e907e"),
     b"123456789\n"),
], ids=["line", "cobs", "slip", "delimiter", "stx", "hdlc"])
def test_ten_megabytes_without_a_delimiter_cost_no_memory(
        pty, daemon, framing, filler, end, good, out):
    a, b = pty("a"), pty("b")
    keys = dict(delimiter=r"\x03") if framing == "delimiter" else {}
    d = daemon(serial("a", a, framing=framing, **keys) +
               serial("b", b, framing="line"))
    before = d.rss()
    a.send(filler[:1] + filler[-1:] * (10 * MB - 1))
    flush([a], timeout=60)
    d.wait_number("a/rx_bytes", 10 * MB)
    assert d.rss() - before < 6 * MB
    assert d.number("a/rx_frames") == 0
    a.send(end + good)
    expect(b, out, [a])
    assert d.bad("a", "oversize") + d.bad("a", "malformed") + \
        d.bad("a", "noise") >= 1


@pytest.mark.parametrize("framing, end, good", [
    ("cobs", b"\x00", b"\x06hello\x00"),
    ("slip", b"\xc0", b"\xc0hello\xc0"),
    ("hdlc", b"\x7e", bytes.fromhex("7e3132333435363738396e907e")),
    ("nmea", b"\r\n", b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,"
                      b"46.9,M,,*47\r\n"),
    ("modbus-ascii", b"\r\n", b":01030000000AF2\r\n"),
    ("modbus-tcp", b"", bytes.fromhex("0102000000060103006b000a")),
    ("ubx", b"", bytes.fromhex("b5620a0400000e34")),
    ("mavlink", b"",
     bytes.fromhex("fd0900004e010100000000000000020351040372e4")),
], ids=lambda v: v if isinstance(v, str) else "")
def test_after_garbage_the_next_good_frames_come_through(
        pty, daemon, framing, end, good):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing=framing) +
               serial("b", b, framing=framing))
    garbage = random.Random(4).randbytes(20000)
    # At most what a false head may claim is lost behind the garbage.
    a.send(garbage + end + good * 400)
    flush([a, b])
    d.wait_number("a/rx_bytes", len(garbage + end + good * 400))
    pump([b], lambda: d.queued("b") == 0)
    fill([b], quiet=0.1)
    assert b.received.endswith(good[1:])
    assert sum(d.bad("a", reason) for reason in
               ("noise", "checksum", "malformed", "oversize")) > 0
    assert b.received.count(good[1:]) >= (1 if framing == "ubx" else 395)
    d.balance("a", "b")


def test_a_wrong_checksum_costs_one_frame_and_is_counted(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="nmea") + serial("b", b, framing="line"))
    a.send(b"$GPTXT,one*40\r\n$GPTXT,two*00\r\n")
    good = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,," \
           b"*47\r\n"
    a.send(good)
    pump([a, b], lambda: b"*47" in b.received and b.received.endswith(b"\n"))
    assert b"two" not in b.received
    assert d.bad("a", "checksum") >= 1


def test_a_frame_that_the_destination_cannot_express_is_counted(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="cobs") + serial("b", b, framing="line"))
    a.send(b"\x06one\n2\x00" + b"\x04two\x00")
    expect(b, b"two\n", [a])
    assert d.dropped("b", "unencodable") == 1
    d.balance("a", "b")


def test_a_frame_longer_than_the_destination_takes_is_counted(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", max_frame=16))
    a.send(b"x" * 17 + b"\nshort\n")
    expect(b, b"short\n", [a])
    assert d.dropped("b") == 1
    d.balance("a", "b")


def test_a_device_that_hangs_up_mid_frame_leaves_no_half_frame(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"))
    a.send(b"half a li")
    flush([a])
    d.wait_number("a/rx_bytes", 9)
    a.unplug()
    d.wait_state("a", "lost")
    a.plug()
    d.wait_state("a", "up")
    a.send(b"whole\n")
    expect(b, b"whole\n", [a])
    assert d.bad("a", "malformed") == 1


def test_what_came_just_before_the_hangup_is_delivered(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"))
    for i in range(5):
        a.send(b"last words %d\n" % i)
        flush([a])
        # The kernel throws away what was not read when the master closes.
        d.wait_number("a/rx_bytes", 13 * (i + 1))
        a.unplug()
        expect(b, b"last words %d\n" % i)
        a.plug()
        wait_for(lambda: d.state("a") == "up" and a.opened())


def test_a_partial_frame_older_than_frame_timeout_is_dropped(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line", frame_timeout="100ms") +
               serial("b", b, framing="line"))
    a.send(b"never end")
    flush([a])
    wait_for(lambda: d.bad("a", "timeout") == 1)
    a.send(b"whole\n")
    expect(b, b"whole\n", [a])
    a.send(b"quick")
    a.send(b" enough\n")
    expect(b, b"quick enough\n", [a])
    assert d.bad("a", "timeout") == 1


# --- devices that come and go ------------------------------------------------

def test_frames_for_an_unplugged_device_wait_for_it(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon("".join(serial(p.name, p, framing="line") for p in (a, b, c)))
    opens = d.opens("a", "b", "c")
    b.unplug()
    d.wait_state("b", "lost")
    lines = joined(numbered(50, 20))
    a.send(lines)
    expect(c, lines, [a])
    d.wait_number("b/queued_frames", 50)
    b.plug()
    expect(b, lines, [a])
    c.send(b"and from c\n")
    expect(b, b"and from c\n", [c])
    after = d.opens("a", "b", "c")
    assert (after["a"], after["c"]) == (opens["a"], opens["c"])
    assert after["b"] == opens["b"] + 1
    assert d.dropped("b") == 0


def test_beyond_the_queue_the_oldest_frames_for_a_lost_device_go(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon(serial("a", a, framing="line") + serial("c", c, framing="line") +
               serial("b", b, framing="line", queue="1K"))
    b.unplug()
    d.wait_state("b", "lost")
    lines = numbered(300, 33)
    a.send(joined(lines))
    expect(c, joined(lines), [a])
    assert d.number("b/queued_bytes") <= 1024
    b.plug()
    pump([b], lambda: b.received.endswith(joined(lines[-1:])))
    got = numbers(b.take())
    assert got == list(range(300 - len(got), 300))
    assert len(got) == 1024 // 32
    assert d.dropped("b") == 300 - len(got)
    assert d.dropped("b", "down") == 300 - len(got)


def test_a_device_unplugged_under_load_loses_no_other_frames(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon("".join(serial(p.name, p, framing="line") for p in (a, b, c)))
    opens = d.opens("a", "c")
    lines = numbered(30000, 40)
    a.send(joined(lines))
    for round in range(1, 6):
        pump([a, b, c], lambda: len(c.received) >= round * 200000)
        b.unplug()
        b.received.clear()
        d.wait_state("b", "lost")
        b.plug()
    expect(c, joined(lines), [a, b])
    assert d.opens("a", "c") == opens
    pump([b], lambda: d.queued("b") == 0)
    fill([b], quiet=0.1)
    d.balance("a", "b")
    d.balance("a", "c")
    # Whatever was cut off, b reads whole lines in order from the last plug on.
    got = numbers(b.take())
    assert got == sorted(set(got))


def test_a_device_missing_at_the_start_is_taken_when_it_appears(
        pty, daemon, directory):
    a = pty("a")
    late = directory / "late"
    d = daemon(serial("a", a, framing="line") +
               serial("b", late, framing="line", reopen_min="60s",
                      reopen_max="60s"), settled=False)
    d.wait_state("a", "up")
    d.wait_state("b", "lost")
    a.send(b"early\n")
    d.wait_number("b/queued_frames", 1)
    b = pty("late")
    expect(b, b"early\n", [a], timeout=10)


def test_a_device_comes_back_by_its_name_before_the_next_try(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a) +
               serial("b", b, reopen_min="60s", reopen_max="60s"))
    for _ in range(3):
        b.unplug()
        d.wait_state("b", "lost")
        b.plug()
        d.wait_state("b", "up", timeout=10)
    a.send(b"here again")
    expect(b, b"here again", [a])


def test_after_each_loss_the_first_wait_is_reopen_min(pty, daemon):
    a = pty("a")
    d = daemon(serial("a", a, reopen_min="10m", reopen_max="60m"))
    for n in range(1, 5):
        a.unplug()
        d.wait_state("a", "lost")
        said = d.tasks()["a.reopen"]["label"]
        assert re.search(r"next try in (9m|10m|5\d\d)", said), said
        assert d.number("a/losses") == n
        a.plug()
        d.wait_state("a", "up")
    assert d.number("a/opens") == 5


def test_the_device_may_come_back_where_it_was_before_the_hangup_is_seen(
        pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"))
    for i in range(20):
        opens = d.number("b/opens")
        b.unplug()
        b.plug()
        wait_for(lambda: d.number("b/opens") > opens and
                 d.state("b") == "up" and b.opened())
        a.send(b"turn %d\n" % i)
        expect(b, b"turn %d\n" % i, [a])


# --- slow readers ------------------------------------------------------------

def test_a_reader_that_stops_loses_nothing_and_holds_the_source_back(
        pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", queue="16K"))
    lines = numbered(40000, 50)
    a.send(joined(lines))
    b.reading = False
    before = d.rss()
    fill([a])
    assert a.outgoing, "2 MB were swallowed though nobody read"
    assert a.written < 400 * 1024
    assert d.rss() - before < 2 * MB
    d.balance("a", "b")
    b.reading = True
    expect(b, joined(lines), [a])
    assert d.dropped("b") == 0
    d.balance("a", "b")


def test_a_raw_reader_that_stops_loses_nothing(pty, daemon):
    a, b = pty("a"), pty("b")
    daemon(serial("a", a) + serial("b", b))
    data = random.Random(5).randbytes(2 * MB)
    a.send(data)
    for stop in (100_000, 700_000, 1_500_000):
        b.reading = True
        pump([a, b], lambda: len(b.received) >= stop)
        b.reading = False
        fill([a], quiet=0.1)
    b.reading = True
    expect(b, data, [a])


def test_one_reader_that_stops_holds_the_other_back_and_both_get_all(
        pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    daemon("".join(serial(p.name, p, framing="line", queue="8K")
                   for p in (a, b, c)))
    lines = joined(numbered(20000, 50))
    a.send(lines)
    b.reading = False
    fill([a, b, c])
    assert a.outgoing
    b.reading = True
    pump([a, b, c], lambda: len(b.received) >= len(lines) and
         len(c.received) >= len(lines))
    same(b.take(), lines)
    same(c.take(), lines)


@pytest.mark.parametrize("how", ["unplug", "pause", "reopen", "removed",
                                 "changed", "rerouted",
                                 "set b/overflow drop-oldest",
                                 "set b/stall_timeout 50ms",
                                 "set b/queue 64M"])
def test_whatever_ends_a_full_queue_lets_its_source_go_on(how, pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    others = serial("a", a, framing="line") + serial("c", c, framing="line")
    d = daemon(others + serial("b", b, framing="line", queue="4K"))
    b.reading = False
    lines = joined(numbered(10000, 100))
    a.send(lines)
    fill([a, c])
    assert a.outgoing
    if how == "unplug":
        b.unplug()
    elif how == "pause":
        d.control("pause b")
    elif how == "reopen":
        b.reading = True
        d.control("reopen b")
    elif how == "removed":
        d.reload(others)
    elif how == "changed":
        d.reload(others + serial("b", b, framing="line", queue="4K",
                                 overflow="drop-oldest"))
    elif how == "rerouted":
        d.reload(others + serial("b", b, framing="line", queue="4K") +
                 route("r", between="a c"))
    else:
        d.control(how)
    expect(c, lines, [a, b])
    if how != "removed" and how != "rerouted":
        d.balance("a", "b")


def test_frames_for_a_paused_device_wait_up_to_its_queue(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon(serial("a", a, framing="line") + serial("c", c, framing="line") +
               serial("b", b, framing="line", queue="2K"))
    d.control("pause b")
    lines = numbered(500, 65)
    a.send(joined(lines))
    expect(c, joined(lines), [a])
    assert d.queued("b") == 32
    assert d.dropped("b") == 468
    d.control("resume b")
    expect(b, joined(lines[-32:]))
    d.balance("a", "b")


def test_a_frame_of_a_whole_megabyte_passes(pty, daemon):
    a, b = pty("a"), pty("b")
    keys = dict(max_frame="1M", queue="2M")
    daemon(serial("a", a, framing="line", **keys) +
           serial("b", b, framing="cobs", **keys))
    big = b"x" * MB
    a.send(big + b"\n")
    blocks = b"".join(b"\xff" + b"x" * 254 for _ in range(MB // 254))
    rest = MB % 254
    expect(b, blocks + bytes([rest + 1]) + b"x" * rest + b"\0", [a])
    b.send(blocks + b"\x02y\0")
    expect(a, b"x" * (MB - rest) + b"y\n", [b])


def test_a_lost_device_costs_no_time(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a) +
               serial("b", b, reopen_min="60s", reopen_max="60s"))
    d.control("pause a")
    a.hang_up()
    b.unplug()
    wait_for(lambda: d.state("a") == d.state("b") == "lost")
    before, start = d.cpu(), time.monotonic()
    pump([], lambda: time.monotonic() - start > 0.7)
    assert d.cpu() - before < 0.15


def test_both_sides_stopped_and_resumed_do_not_lock_up(pty, daemon):
    a, b = pty("a"), pty("b")
    daemon(serial("a", a, framing="line", queue="4K") +
           serial("b", b, framing="line", queue="4K"))
    lines = joined(numbered(20000, 50))
    a.send(lines)
    b.send(lines)
    a.reading = b.reading = False
    fill([a, b])
    a.reading = b.reading = True
    pump([a, b], lambda: len(a.received) >= len(lines) and
         len(b.received) >= len(lines))
    same(a.take(), lines)
    same(b.take(), lines)


def overflow(pty, daemon, policy):
    """Sends 10,000 lines of 100 to a reader that stopped; what it got."""
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon(serial("a", a, framing="line") + serial("c", c, framing="line") +
               serial("b", b, framing="line", queue="8K", overflow=policy))
    lines = numbered(10000, 100)
    a.send(joined(lines))
    b.reading = False
    expect(c, joined(lines), [a])       # the others get all of it
    assert d.number("b/queued_bytes") <= 8192 + 100
    d.balance("a", "b")
    b.reading = True
    pump([b], lambda: d.queued("b") == 0)
    fill([b], quiet=0.1)
    got = numbers(b.take())
    assert got == sorted(set(got)), "out of order, or twice"
    assert d.dropped("b") == d.dropped("b", "overflow") == 10000 - len(got)
    assert 0 < len(got) < 5000
    d.balance("a", "b")
    return got


def test_drop_oldest_keeps_the_newest_lines(pty, daemon):
    got = overflow(pty, daemon, "drop-oldest")
    assert got[-1] == 9999
    assert got[-70:] == list(range(9930, 10000))


def test_drop_newest_keeps_the_oldest_lines(pty, daemon):
    got = overflow(pty, daemon, "drop-newest")
    assert got == list(range(len(got)))


def test_disconnect_closes_a_client_that_does_not_read(
        pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line", queue="8K",
                          overflow="disconnect"))
    slow = connect(port, receive_buffer=4096)
    quick = connect(port)
    wait_for(lambda: len(d.json("peers")) == 2)
    slow.reading = False
    lines = joined(numbered(200000, 100))
    a.send(lines)
    pump([a, quick], lambda: len(d.json("peers")) == 1, timeout=60)
    pump([a, quick], lambda: not a.outgoing and
         len(quick.received) == len(lines), timeout=60)
    same(quick.take(), lines)
    slow.reading = True
    pump([slow], lambda: slow.eof)
    assert d.state("lan") == "up"


def test_disconnect_reopens_a_device_that_does_not_take_its_frames(
        pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", queue="4K",
                      overflow="disconnect"))
    b.reading = False
    a.send(joined(numbered(5000, 100)))
    pump([a], lambda: d.number("b/opens") > 1)
    b.reading = True
    pump([a, b], lambda: not a.outgoing and d.state("b") == "up" and
         d.queued("b") == 0)
    d.balance("a", "b")


def test_a_stalled_device_gives_the_bus_free_after_stall_timeout(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon(serial("a", a, framing="line") + serial("c", c, framing="line") +
               serial("b", b, framing="line", queue="8K",
                      stall_timeout="100ms"))
    b.reading = False
    lines = numbered(10000, 100)
    a.send(joined(lines))
    expect(c, joined(lines), [a])
    assert d.dropped("b") > 0
    assert d.dropped("b") == d.dropped("b", "stalled")
    b.reading = True
    pump([b], lambda: b.received.endswith(joined(lines[-1:])))
    got = numbers(b.take())
    assert got == sorted(set(got)) and got[-1] == 9999
    assert len(got) + d.dropped("b") == 10000
    # It reads again, so nothing is dropped any more.
    dropped = d.dropped("b")
    more = joined(numbered(3000, 100))
    a.send(more)
    expect(b, more, [a, c])
    assert d.dropped("b") == dropped


def test_a_slow_reader_is_not_a_stalled_one(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", queue="8K",
                      stall_timeout="600ms"))
    lines = joined(numbered(4000, 100))
    a.send(lines)
    b.reading = False
    while len(b.received) < len(lines):
        fill([a], quiet=0.1)
        b.reading = True
        b_had = len(b.received)
        pump([a, b], lambda: len(b.received) > b_had + 20000 or
             len(b.received) >= len(lines))
        b.reading = False
    same(b.take(), lines)
    assert d.dropped("b") == 0


def until_full(d, source, name):
    """Sends lines one by one until the endpoint's device takes no more of them."""
    while d.queued(name) == 0:
        before = d.number("a/rx_frames")
        source.send(b"x" * 999 + b"\n")
        flush([source])
        d.wait_number("a/rx_frames", before + 1)


def test_a_burst_of_the_shortest_lines_fills_a_queue_and_no_more(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", queue="4K", stall_timeout="none"))
    b.reading = False
    until_full(d, a, "b")
    first = b"x" * 999 + b"\n"
    written = first * d.number("a/rx_frames")
    # Each takes up 16 bytes of the queue.
    a.send(b".\n" * 1599)
    pump([a], lambda: d.tasks()["a.read"]["state"] == "paused")
    assert (d.queued("b") - 1) * 16 <= 4096 + 16
    b.reading = True
    expect(b, written + b".\n" * 1599, [a])
    assert d.dropped("b") == 0


def read_and_leave(d, client):
    """It reads all that it was sent while the daemon cannot write more, and closes."""
    os.kill(d.pid, signal.SIGSTOP)
    try:
        while client._read():
            pass
        client.close()
    finally:
        os.kill(d.pid, signal.SIGCONT)
    wait_for(lambda: len(d.json("peers")) == 1)


def test_what_was_not_written_is_not_counted_as_written(daemon, directory, connect):
    d = daemon(section("unix-server", "a", listen=directory / "a", framing="line") +
               section("unix-server", "b", listen=directory / "b", framing="line",
                       stall_timeout="none"))
    a, b = connect(directory / "a"), connect(directory / "b")
    wait_for(lambda: len(d.json("peers")) == 2)
    b.reading = False
    sent = 0
    while d.queued("b") == 0:
        sent += 1
        a.send(b"x" * 999 + b"\n")
        flush([a])
        d.wait_number("a/rx_frames", sent)
    read_and_leave(d, b)
    # The socket takes a small frame whole, or nothing of it.
    assert len(b.received) == 1000 * (sent - 1)
    assert d.number("b/tx_bytes") == len(b.received)
    assert d.number("b/tx_frames") == sent - 1
    assert d.dropped("b") == d.dropped("b", "closed") == 1


def test_what_was_written_of_a_frame_is_counted_and_the_frame_as_cut(daemon, directory, connect):
    d = daemon(section("unix-server", "a", listen=directory / "a", framing="line",
                       max_frame="1M") +
               section("unix-server", "b", listen=directory / "b", framing="line",
                       max_frame="1M", stall_timeout="none"))
    a, b = connect(directory / "a"), connect(directory / "b")
    wait_for(lambda: len(d.json("peers")) == 2)
    b.reading = False
    a.send(b"x" * 1000000 + b"\n")
    pump([a], lambda: d.queued("b") == 1)
    read_and_leave(d, b)
    assert 0 < len(b.received) < 1000000
    assert d.number("b/tx_bytes") == len(b.received)
    assert d.number("b/tx_frames") == 0
    assert d.dropped("b") == d.dropped("b", "cut") == 1


def test_a_frame_larger_than_the_queue_passes_all_the_same(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line", max_frame="64K") +
               serial("b", b, framing="line", max_frame="64K", queue="1K"))
    big = b"x" * 60000 + b"\n"
    a.send(big * 8 + b"small\n")
    expect(b, big * 8 + b"small\n", [a])
    assert d.dropped("b") == 0


def test_an_echo_sends_each_frame_back(pty, daemon):
    a = pty("a")
    daemon(serial("a", a, framing="line") + section("echo", "mirror"))
    lines = joined(numbered(2000, 60))
    a.send(lines)
    expect(a, lines)
