"""Masters that share a Modbus bus, and the masters and servers of others."""
import os
import random
import re
import select
import shutil
import signal
import subprocess
import threading
import time

import pytest

from harness import (ControlError, PATIENCE, ROOT, expect, flush, free_port, pump, route,
                     serial, tcp_server, wait_for)
from test_handover import restart

RTU = dict(framing="modbus-rtu", baud=115200)


def rtu(unit, function, data):
    """A message with its CRC; data in hexadecimal."""
    body = bytes([unit, function]) + bytes.fromhex(data)
    crc = 0xFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return body + crc.to_bytes(2, "little")


def read(unit, address=0, count=1):
    return rtu(unit, 3, f"{address:04x}{count:04x}")


def holds(unit, *values):
    """The answer to read()."""
    return rtu(unit, 3, f"{2 * len(values):02x}" +
               "".join(f"{v:04x}" for v in values))


@pytest.fixture
def masters(pty):
    return pty("m1"), pty("m2"), pty("bus")


def shared(m1, m2, bus, more="", from_="m1 m2", **keys):
    keys = dict(answer_timeout="10s") | keys
    return (serial("m1", m1, **RTU) + serial("m2", m2, **RTU) +
            serial("bus", bus, **RTU) + more +
            route("shared", from_=from_, to="bus", exchange="modbus", **keys))


def count(d, name):
    return d.number(f"routes/shared/{name}")


def wait_count(d, name, number):
    d.wait_number(f"routes/shared/{name}", number)


def asks(d, n):
    """Until so many requests have come in."""
    wait_for(lambda: d.routes()["shared"]["frames"] == n)


def every_wait_is_told(d):
    def numbers():
        return d.raw("get daemon/waits\nget daemon/events\n").split()[::2]
    # One that is due is no event any more, until its task has run.
    wait_for(lambda: len(set(numbers())) == 1)


# --- one at a time -----------------------------------------------------------

def test_a_request_waits_until_the_one_before_is_answered(masters, daemon):
    m1, m2, bus = masters
    d = daemon(shared(*masters))
    m1.send(read(3, 100))
    expect(bus, read(3, 100), masters)
    m2.send(read(3, 200))
    flush([m2])
    asks(d, 2)
    assert d.queued("bus") == 1
    assert bytes(bus.received) == b""
    bus.send(holds(3, 1111))
    expect(m1, holds(3, 1111), masters)
    expect(bus, read(3, 200), masters)
    bus.send(holds(3, 2222))
    expect(m2, holds(3, 2222), masters)
    assert bytes(m1.received) == b""
    assert (count(d, "answers"), count(d, "timeouts")) == (2, 0)
    assert (count(d, "late"), count(d, "foreign")) == (0, 0)
    d.balance("m1", "m1")


@pytest.mark.parametrize("noise", [b"\xff", b"\0\0\0", b"\x03\x03"])
def test_a_request_behind_noise_gets_through_at_the_silence(masters, daemon, noise):
    m1, _, bus = masters
    d = daemon(serial("m1", m1, **RTU) + serial("bus", bus, **RTU))
    m1.send(noise + read(3, 100))
    expect(bus, read(3, 100), [m1])
    assert d.number("m1/rx_frames") == 1
    assert d.number("m1/bad_noise_bytes") == len(noise)


# --- pauses in a frame -------------------------------------------------------

LONG = holds(11, *range(0, 320, 10))        # 69 bytes


@pytest.fixture
def slow(pty, daemon):
    """A bus at 9600 baud, where a silence of 4ms ends a frame, and where its frames go."""
    bus, log = pty("bus"), pty("log")
    return daemon(serial("bus", bus, framing="modbus-rtu", baud=9600) +
                  serial("log", log, **RTU)), bus, log


def is_used(d, name, stream, total):
    """Until all that was sent has been received, and none of it is held."""
    flush([stream])
    d.wait_number(f"{name}/rx_bytes", total)
    d.wait_number(f"{name}/rx_held", 0)


def arrives_whole(d, name, stream, data, size, pause):
    """In pieces; again if the test itself has paused for too long."""
    for n in range(1, 21):
        for at in range(0, len(data), size):
            stream.send(data[at:at + size])
            flush([stream])
            time.sleep(pause)
        is_used(d, name, stream, n * len(data))
        if d.number(f"{name}/rx_frames") == 1:
            return
    raise AssertionError("no frame has arrived whole")


@pytest.mark.parametrize("size,pause", [(15, 0.016), (1, 0.006), (68, 0.03), (2, 0.01)])
def test_a_pause_does_not_cut_a_frame_whose_length_is_known(slow, size, pause):
    d, bus, log = slow
    arrives_whole(d, "bus", bus, LONG, size, pause)
    expect(log, LONG, [bus])


def test_a_frame_may_come_in_several_segments(pty, daemon, connect):
    port, log = free_port(), pty("log")
    d = daemon(tcp_server("lan", port, framing="modbus-rtu") + serial("log", log, **RTU))
    lan = connect(port)
    arrives_whole(d, "lan", lan, LONG, 30, 0.02)
    expect(log, LONG, [lan])


@pytest.mark.parametrize("behind", [b"", b"\0", b"\xff"])
@pytest.mark.parametrize("before", [b"\0", b"\xff", b"\xff\0\xff"])
def test_stray_bytes_around_an_answer_in_pieces_are_noise(slow, before, behind):
    d, bus, log = slow
    arrives_whole(d, "bus", bus, before + LONG + behind, 15, 0.016)
    expect(log, LONG, [bus])


@pytest.mark.parametrize("waits", [True, False])
def test_a_frame_after_a_part_of_one_gets_through(slow, waits):
    d, bus, log = slow
    bus.send(LONG[:20])
    if waits:
        is_used(d, "bus", bus, 20)
        assert d.number("bus/bad_checksum_bytes") == 20
    bus.send(holds(3, 5))
    expect(log, holds(3, 5), [bus])
    is_used(d, "bus", bus, 27)
    assert d.number("bus/rx_frames") == 1
    bus.send(read(3, 7) + holds(3, 7))
    expect(log, read(3, 7) + holds(3, 7), [bus])


# --- awaiting answers --------------------------------------------------------

def test_the_task_says_whose_answer_is_awaited(masters, daemon):
    m1, m2, bus = masters
    d = daemon(shared(*masters))

    def task():
        return d.tasks()["shared.exchange"]
    assert task()["state"] == "idle"
    assert task()["label"] == "nothing: no request for bus"
    m1.send(read(3))
    expect(bus, read(3), masters)
    assert task()["state"] == "waiting"
    assert re.fullmatch(r"unit 3's answer to m1, [\d.]+\w+ of 10s",
                        task()["label"])
    m2.send(read(4) + read(5))
    flush([m2])
    asks(d, 3)
    assert re.fullmatch(r"unit 3's answer to m1, [\d.]+\w+ of 10s "
                        r"\(2 requests more\)", task()["label"])
    every_wait_is_told(d)
    bus.send(holds(3, 1))
    expect(bus, read(4), masters)
    assert task()["label"].startswith("unit 4's answer to m2, ")


def test_a_unit_that_does_not_answer_holds_the_others_no_longer(
        masters, daemon):
    m1, m2, bus = masters
    d = daemon(shared(*masters, answer_timeout="400ms"))
    m1.send(read(9))
    expect(bus, read(9), masters)
    m2.send(read(3))
    expect(bus, read(3), masters)
    wait_count(d, "timeouts", 2)
    bus.send(holds(9, 99))
    flush([bus])
    wait_count(d, "late", 1)
    m1.send(read(3, 7))
    expect(bus, read(3, 7), masters)
    bus.send(holds(3, 77))
    expect(m1, holds(3, 77), masters)
    assert bytes(m2.received) == b""
    assert count(d, "answers") == 1
    assert "unit 9 did not answer m1" in d.stderr()


def test_what_does_not_fit_the_request_is_given_to_nobody(masters, daemon):
    m1, m2, bus = masters
    d = daemon(shared(*masters))
    m1.send(read(3, 0, 2))
    expect(bus, read(3, 0, 2), masters)
    # Another unit, another function, another number of registers.
    bus.send(holds(4, 1, 2) + rtu(3, 4, "0400010002") + holds(3, 1))
    flush([bus])
    wait_count(d, "foreign", 3)
    bus.send(holds(3, 5, 6))
    expect(m1, holds(3, 5, 6), masters)
    # Nobody has asked for this.
    bus.send(holds(3, 5, 6))
    flush([bus])
    wait_count(d, "late", 1)
    m2.send(rtu(3, 6, "00100001"))
    expect(bus, rtu(3, 6, "00100001"), masters)
    bus.send(rtu(3, 6, "00110001"))
    flush([bus])
    wait_count(d, "foreign", 4)
    bus.send(rtu(3, 0x86, "02"))
    expect(m2, rtu(3, 0x86, "02"), masters)
    assert bytes(m1.received) == b""


def test_a_late_answer_is_not_taken_for_that_to_the_next_request(
        masters, daemon):
    m1, m2, bus = masters
    conf = shared(*masters, answer_timeout="200ms", late_guard="20s")
    d = daemon(conf)

    def label():
        return d.tasks()["shared.exchange"]["label"]
    m1.send(read(3, 100))
    expect(bus, read(3, 100), masters)
    wait_count(d, "timeouts", 1)
    # The same unit and function, whatever is asked; others do not wait.
    m2.send(read(3, 200))
    flush([m2])
    asks(d, 2)
    wait_for(lambda: label() == "a late answer, before the unit is asked"
             " again (1 request more)")
    every_wait_is_told(d)
    for other in read(4, 300), rtu(3, 4, "01900001"):
        m1.send(other)
        expect(bus, other, masters)
        # It is late, too, while another answer is awaited.
        if other == read(4, 300):
            bus.send(holds(3, 1111))
            flush([bus])
            wait_count(d, "late", 1)
            bus.send(holds(4, 4444))
            expect(m1, holds(4, 4444), masters)
        else:
            bus.send(rtu(3, 4, "020005"))
            expect(m1, rtu(3, 4, "020005"), masters)
    bus.send(rtu(3, 0x83, "0b") + holds(3, 1111, 2222))
    flush([bus])
    wait_count(d, "late", 3)
    assert count(d, "foreign") == 0
    assert bytes(m2.received) == b""
    assert bytes(bus.received) == b""
    assert d.queued("bus") == 1
    # A reload that leaves the route alone changes none of this.
    d.reload("[echo other]\n" + conf)
    assert "late answer" in label()
    assert bytes(bus.received) == b""


def test_a_unit_is_asked_again_when_its_answer_can_come_no_more(
        masters, daemon):
    m1, m2, bus = masters
    d = daemon(shared(*masters, answer_timeout="300ms"))
    m1.send(read(3, 100))
    expect(bus, read(3, 100), masters)
    m2.send(read(3, 200))
    flush([m2])
    asks(d, 2)
    wait_count(d, "timeouts", 1)
    expect(bus, read(3, 200), masters)
    bus.send(holds(3, 2222))
    expect(m2, holds(3, 2222), masters)
    assert bytes(m1.received) == b""
    assert (count(d, "late"), count(d, "answers")) == (0, 1)


def test_more_late_answers_than_can_be_told_apart_hold_all_requests(
        masters, daemon):
    m1, _, bus = masters
    d = daemon(shared(*masters, answer_timeout="5ms", late_guard="3s"))
    m1.send(b"".join(read(unit) for unit in range(1, 17)))
    expect(bus, b"".join(read(unit) for unit in range(1, 17)), masters)
    wait_count(d, "timeouts", 16)
    m1.send(read(99))
    flush([m1])
    asks(d, 17)
    assert d.queued("bus") == 1
    expect(bus, read(99), masters)


# --- requests that the bus does not take -------------------------------------

def xonxoff(conf):
    return conf.replace("[serial bus]\n", "[serial bus]\nflow = xonxoff\n")


def stopped(d, masters):
    """m1 has asked something that the bus does not take."""
    m1, _, bus = masters
    bus.send(b"\x13")
    flush([bus])
    m1.send(read(3, 1))
    flush([m1])
    asks(d, 1)
    wait_for(lambda: d.queued("bus") == 1)


def test_a_request_is_not_sent_after_the_bus_was_away(masters, daemon):
    m1, m2, bus = masters
    d = daemon(xonxoff(shared(*masters, answer_timeout="500ms")))
    stopped(d, masters)
    bus.unplug()
    d.wait_state("bus", "lost")
    assert d.dropped("bus", "down") == 1
    assert d.queued("bus") == 0
    bus.plug()
    d.wait_state("bus", "up")
    m2.send(read(4, 2))
    expect(bus, read(4, 2), masters)
    bus.send(holds(4, 2))
    expect(m2, holds(4, 2), masters)
    assert count(d, "timeouts") == 0


@pytest.mark.parametrize("how", ["timeout", "again", "paused"])
def test_a_request_is_not_sent_when_its_master_has_given_up(
        masters, daemon, how):
    m1, m2, bus = masters
    d = daemon(xonxoff(shared(*masters, answer_timeout="500ms"
                              if how != "again" else "5s")))
    stopped(d, masters)
    if how == "paused":
        d.control("pause bus")
    if how == "again":
        time.sleep(0.1)     # longer than it takes to ask two things at once
        m1.send(read(3, 5))
        flush([m1])
        d.wait_number("bus/dropped_replaced", 1)
        assert d.queued("bus") == 1
    else:
        wait_count(d, "timeouts", 1)
        d.wait_number("bus/dropped_stalled", 1)
        assert d.queued("bus") == 0
    if how == "paused":
        d.control("resume bus")
    bus.send(b"\x11")
    m2.send(read(4, 2))
    if how == "again":
        expect(bus, read(3, 5), masters)
        bus.send(holds(3, 5))
        expect(m1, holds(3, 5), masters)
    expect(bus, read(4, 2), masters)
    bus.send(holds(4, 2))
    expect(m2, holds(4, 2), masters)


# --- the control port --------------------------------------------------------

def escaped(data):
    return "".join(f"\\x{byte:02x}" for byte in data)


def answer(session):
    (line,), last = session.reply()
    assert last == "OK"
    return line.encode().decode("unicode_escape").encode("latin-1")


def test_what_the_control_port_sends_waits_for_its_turn(masters, daemon):
    m1, m2, bus = masters
    d = daemon(shared(*masters))
    m1.send(read(3, 100))
    expect(bus, read(3, 100), masters)
    d.control("send bus " + escaped(rtu(4, 6, "00010002")))
    d.control("send bus " + escaped(rtu(4, 6, "00020002")))
    m2.send(read(3, 200))
    flush([m2])
    asks(d, 2)
    assert d.queued("bus") == 3
    assert bytes(bus.received) == b""
    bus.send(holds(3, 1111))
    expect(m1, holds(3, 1111), masters)
    # The masters take turns; what is sent is answered, and given to none of them.
    expect(bus, rtu(4, 6, "00010002"), masters)
    assert d.tasks()["shared.exchange"]["label"].startswith(
        "unit 4's answer to the control port, ")
    bus.send(rtu(4, 6, "00010002"))
    expect(bus, read(3, 200), masters)
    bus.send(holds(3, 2222))
    expect(m2, holds(3, 2222), masters)
    expect(bus, rtu(4, 6, "00020002"), masters)
    bus.send(rtu(4, 6, "00020002"))
    wait_count(d, "answers", 4)
    assert (count(d, "late"), count(d, "foreign")) == (0, 0)
    assert bytes(m1.received) == bytes(m2.received) == b""


def asks_bus(d, request, more=""):
    s = d.session()
    s.send(b"ask bus " + escaped(request).encode() + more.encode() + b"\n")
    return s


def test_a_unit_that_does_not_answer_is_told_at_once(masters, daemon):
    _, _, bus = masters
    d = daemon(shared(*masters, answer_timeout="50ms"))
    s = asks_bus(d, read(5), " 1m")
    assert s.reply() == ([], "ERR unit 5 did not answer within 50ms")
    expect(bus, read(5))
    s.send(b"json ask bus " + escaped(read(6)).encode() + b" 1m\n")
    assert s.reply() == ([], "ERR unit 6 did not answer within 50ms")
    s = asks_bus(d, read(7), " 1ms")
    assert s.reply()[1] in ("ERR timed out after 1ms", "ERR unit 7 did not answer within 50ms")
    assert s.ask("version")
    every_wait_is_told(d)


def test_a_bus_without_units_that_does_not_answer_is_told_at_once(masters, daemon):
    m1, _, bus = masters
    d = daemon(serial("m1", m1, **RTU) + serial("bus", bus, **RTU) +
               route("shared", from_="m1", to="bus", exchange="any", answer_timeout="50ms"))
    s = asks_bus(d, read(5), " 1m")
    assert s.reply() == ([], "ERR bus did not answer within 50ms")
    with pytest.raises(ControlError, match="it is not the bus of a route with exchange = modbus"):
        d.control("scan bus")


def test_asking_a_bus_that_is_lost(masters, daemon):
    m1, m2, bus = masters
    d = daemon(shared(*masters))
    s = asks_bus(d, read(5), " 1m")
    expect(bus, read(5), [s])
    s.client.end()
    (label,) = [row["label"] for row in d.tasks().values()
                if row["label"].startswith("an answer of bus")]
    d.control("reopen bus")
    assert s.reply() == ([], "ERR bus went down before it answered")
    d.wait_state("bus", "up")
    s = asks_bus(d, read(6), " 1m")
    expect(bus, read(6), [s])
    d.reload(serial("m1", m1, **RTU) + serial("m2", m2, **RTU))
    assert s.reply() == ([], "ERR bus was removed before it answered")


def test_asking_a_bus_whose_route_changes(masters, daemon):
    _, _, bus = masters
    d = daemon(shared(*masters))
    s = asks_bus(d, read(5), " 1m")
    expect(bus, read(5), [s])
    d.reload(shared(*masters, answer_timeout="9s"))
    assert s.reply() == ([], "ERR the request to unit 5 was dropped before it was answered")


def test_asking_a_bus_uses_its_own_units(masters, daemon):
    m1, _, bus = masters
    d = daemon(shared(*masters, unit_offset="10"))
    m1.send(read(5))
    expect(bus, read(15), [m1])
    bus.send(holds(15, 1))
    expect(m1, holds(5, 1), [bus])
    s = asks_bus(d, read(5), " 1m")
    expect(bus, read(5), [s])
    bus.send(holds(5, 2))
    assert answer(s) == holds(5, 2)


def test_asking_a_bus_is_one_request_among_others(masters, daemon):
    m1, _, bus = masters
    d = daemon(shared(*masters))
    m1.send(read(3, 100))
    expect(bus, read(3, 100), masters)
    one, gone, two = (d.session() for _ in range(3))
    one.send(b"ask bus " + escaped(read(3, 200)).encode() + b" 20s\n")
    wait_for(lambda: d.queued("bus") == 1)
    gone.send(b"ask bus " + escaped(read(3, 300)).encode() + b" 20s\n")
    wait_for(lambda: d.queued("bus") == 2)
    two.send(b"ask bus " + escaped(read(3, 400)).encode() + b" 20s\n")
    wait_for(lambda: d.queued("bus") == 3)
    with pytest.raises(ControlError, match="timed out after 50ms"):
        d.control("ask bus " + escaped(read(3, 500)) + " 50ms")
    assert d.queued("bus") == 3
    # The next frame that comes from the bus is not the answer to theirs.
    bus.send(holds(3, 1))
    expect(m1, holds(3, 1), masters)
    expect(bus, read(3, 200), masters)
    waiting = [name for name, row in d.tasks().items()
               if row["label"].startswith("an answer of bus")]
    d.control(f"cancel {waiting[1]}")
    assert d.queued("bus") == 1
    bus.send(holds(4, 9) + holds(3, 2))
    assert answer(one) == holds(3, 2)
    expect(bus, read(3, 400), masters)
    bus.send(holds(3, 4))
    assert answer(two) == holds(3, 4)
    assert bytes(m1.received) == b""
    assert (count(d, "answers"), count(d, "foreign")) == (3, 1)
    for s in one, two, gone:
        s.close()


def test_what_cannot_be_asked_is_refused_at_once(masters, daemon):
    m1, _, bus = masters
    d = daemon(shared(*masters).replace("[serial bus]\n",
                                        "[serial bus]\nqueue = 64\n"))
    m1.send(read(3))
    expect(bus, read(3), masters)
    request = escaped(read(3))
    for _ in range(4):
        d.control(f"send bus {request}")
    with pytest.raises(ControlError, match="queue of bus is full"):
        d.control(f"send bus {request}")
    with pytest.raises(ControlError, match="cannot express"):
        d.control("send bus x")
    bus.unplug()
    d.wait_state("bus", "lost")
    with pytest.raises(ControlError, match="bus is lost: requests do not wait"):
        d.control(f"send bus {request}")


def test_nobody_answers_a_broadcast(masters, daemon):
    m1, m2, bus = masters
    d = daemon(shared(*masters))
    m1.send(rtu(0, 6, "00010002") + read(3))
    expect(bus, rtu(0, 6, "00010002"), masters)
    expect(bus, read(3), masters)
    bus.send(holds(3, 8))
    expect(m1, holds(3, 8), masters)
    assert (count(d, "answers"), count(d, "timeouts")) == (1, 0)


def test_answers_come_in_the_order_of_a_masters_requests(
        masters, daemon, connect):
    m1, _, bus = masters
    port = free_port()
    d = daemon(shared(*masters, from_="m1 lan", more=tcp_server(
        "lan", port, framing="modbus-rtu")))
    lan = connect(port)
    lan.send(b"".join(read(1, i) for i in range(40)))
    expect(bus, read(1, 0), masters)
    wait_for(lambda: d.queued("bus") == 39)
    m1.send(read(2, 500))
    flush([m1])
    wait_for(lambda: d.queued("bus") == 40)
    # The masters take turns: one is not kept waiting by what another asks.
    order, address = [], 0
    while len(order) < 40:
        order.append(address)
        bus.send(holds(2 if address == 500 else 1, address))
        pump([bus, lan, m1], lambda: len(bus.received) >= 8)
        request = bus.take()
        address = int.from_bytes(request[2:4], "big")
        assert request == read(2 if address == 500 else 1, address)
    bus.send(holds(1, address))
    order.append(address)
    assert 500 in order[:3]
    expect(m1, holds(2, 500), [bus, lan])
    expect(lan, b"".join(holds(1, i) for i in range(40)), [bus, m1])


def test_a_master_that_asks_again_has_given_up(masters, daemon):
    m1, m2, bus = masters
    d = daemon(shared(*masters))
    m1.send(read(3, 100))
    expect(bus, read(3, 100), masters)
    m2.send(read(3, 200))
    flush([m2])
    asks(d, 2)
    time.sleep(0.1)         # longer than it takes to ask two things at once
    m1.send(read(3, 300))
    m2.send(read(3, 400))
    flush([m1, m2])
    asks(d, 4)
    assert d.dropped("bus", "replaced") == 1
    # The answer to what m1 does not wait for any more; nobody asks for 200.
    bus.send(holds(3, 1))
    # m2 has not been served yet.
    expect(bus, read(3, 400), masters)
    bus.send(holds(3, 4))
    expect(m2, holds(3, 4), masters)
    expect(bus, read(3, 300), masters)
    bus.send(holds(3, 3))
    expect(m1, holds(3, 3), masters)
    assert bytes(m2.received) == b""
    assert (count(d, "answers"), count(d, "late")) == (2, 1)


def test_a_master_that_leaves_takes_its_own_requests_with_it(
        masters, daemon, connect):
    m1, _, bus = masters
    port = free_port()
    d = daemon(shared(*masters, from_="m1 lan", more=tcp_server(
        "lan", port, framing="modbus-rtu")))
    first, second = connect(port), connect(port)
    first.send(read(1, 1) + read(1, 2) + read(1, 3))
    expect(bus, read(1, 1), [bus])
    second.send(read(2, 1))
    m1.send(read(3, 1))
    flush([m1])
    asks(d, 5)
    first.close()
    wait_for(lambda: d.dropped("bus", "closed") == 2)
    assert "unit 1's answer to a disconnected master" in \
        d.tasks()["shared.exchange"]["label"]
    bus.send(holds(1, 1))
    for unit, master in (2, second), (3, m1):
        expect(bus, read(unit, 1), [bus])
        bus.send(holds(unit, unit))
        expect(master, holds(unit, unit), [bus, m1])
    assert (count(d, "answers"), count(d, "late")) == (2, 1)
    # One on a serial line, which goes in the middle of it.
    m1.send(read(3, 2))
    expect(bus, read(3, 2), [bus, m1])
    m1.unplug()
    d.wait_state("m1", "lost")
    bus.send(holds(3, 3))
    flush([bus])
    wait_count(d, "late", 2)
    m1.plug()
    d.wait_state("m1", "up")
    m1.send(read(3, 4))
    expect(bus, read(3, 4), [bus, m1])
    bus.send(holds(3, 4))
    expect(m1, holds(3, 4), [bus])


def test_requests_are_not_kept_for_a_bus_that_is_away(masters, daemon):
    m1, m2, bus = masters
    d = daemon(shared(*masters, answer_timeout="400ms"))
    bus.unplug()
    d.wait_state("bus", "lost")
    m1.send(read(3, 1))
    flush([m1])
    d.wait_number("bus/dropped_down", 1)
    bus.plug()
    d.wait_state("bus", "up")
    m2.send(read(3, 2))
    expect(bus, read(3, 2), masters)
    # Unplugged while an answer is awaited.
    bus.unplug()
    wait_count(d, "timeouts", 1)
    bus.plug()
    d.wait_state("bus", "up")
    m2.send(read(3, 3))
    expect(bus, read(3, 3), masters)
    bus.send(holds(3, 3))
    expect(m2, holds(3, 3), masters)


def test_the_queue_of_a_master_is_bounded(masters, daemon, connect):
    m1, _, bus = masters
    port = free_port()
    conf = shared(*masters, from_="m1 lan", more=tcp_server(
        "lan", port, framing="modbus-rtu")).replace(
        "[serial bus]\n", "[serial bus]\nqueue = 160\n")
    d = daemon(conf)
    lan = connect(port)
    lan.send(read(1, 0))
    expect(bus, read(1, 0), [bus])
    lan.send(b"".join(read(1, i) for i in range(1, 101)))
    # Ten wait (each counts as 16 bytes), the others are dropped and counted.
    asks(d, 101)
    assert d.queued("bus") == 10
    assert d.dropped("bus", "overflow") == 90
    m1.send(read(3, 3))
    flush([m1])
    wait_for(lambda: d.queued("bus") == 11)


def test_what_is_no_modbus_message_is_not_asked(pty, daemon):
    m1, bus = pty("m1"), pty("bus")
    d = daemon(serial("m1", m1, framing="line") +
               serial("bus", bus, **RTU, payload="inner") +
               route("shared", from_="m1", to="bus", exchange="modbus"))
    m1.send(b"x\n" + b"y" * 600 + b"\n\n")
    flush([m1])
    d.wait_number("bus/dropped_unencodable", 3)
    m1.send(b"\x03\x03\0\0\0\1\n")
    expect(bus, read(3), [m1])
    bus.send(holds(3, 9))
    expect(m1, holds(3, 9)[:-2] + b"\n", [bus])


def test_masters_and_bus_may_speak_differently(pty, daemon, connect):
    port = free_port()
    text, bus = pty("text"), pty("bus")
    daemon(serial("text", text, framing="modbus-ascii", payload="inner") +
           tcp_server("lan", port, framing="length") +
           serial("bus", bus, **RTU, payload="inner") +
           route("shared", from_="text lan", to="bus", exchange="modbus",
                 answer_timeout="10s", match_unit="1-5"))
    lan = connect(port)
    text.send(b":030600100001E6\r\n")
    expect(bus, rtu(3, 6, "00100001"), [text])
    lan.send(b"\0\6\4\3\0\0\0\1" + b"\0\6\6\3\0\0\0\1")
    bus.send(rtu(3, 6, "00100001"))
    expect(text, b":030600100001E6\r\n", [bus])
    expect(bus, read(4), [text])
    bus.send(holds(4, 0x1234))
    expect(lan, b"\0\5\4\3\2\x12\x34", [bus, text])


def test_an_ascii_bus_carries_whole_messages(pty, daemon):
    m1, m2, bus = pty("m1"), pty("m2"), pty("bus")
    daemon("".join(serial(p.name, p, framing="modbus-ascii")
                   for p in (m1, m2, bus)) +
           route("shared", from_="m1 m2", to="bus", exchange="modbus",
                 answer_timeout="10s"))
    m1.send(b":010300000001FB\r\n")
    expect(bus, b":010300000001FB\r\n", [m1])
    m2.send(b":020300000001FA\r\n")
    bus.send(b":0103021234B4\r\n")
    expect(m1, b":0103021234B4\r\n", [m2, bus])
    expect(bus, b":020300000001FA\r\n", [m2])
    bus.send(b":0203021234B3\r\n")
    expect(m2, b":0203021234B3\r\n", [bus])
    assert bytes(m1.received) == b""


def test_others_may_listen_to_the_answers(masters, daemon, connect):
    m1, _, bus = masters
    port = free_port()
    d = daemon(shared(*masters, more=tcp_server(
        "log", port, framing="modbus-rtu") +
        route("log", from_="bus", to="log")))
    log = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    watch = d.session()
    watch.send(b"watch\n")
    wait_for(lambda: any("watch" in str(row).lower()
                         for row in d.tasks().values()))
    m1.send(read(3))
    expect(bus, read(3), masters)
    bus.send(holds(3, 7))
    expect(m1, holds(3, 7), masters)
    expect(log, holds(3, 7), masters)
    pump([watch], lambda: len(watch.lines()) == 2)
    asked, answered = watch.lines()
    assert asked.split()[1:3] == [b"m1", b"bus"]
    assert answered.split()[1:3] == [b"bus", b"m1,log"]
    watch.close()


def test_a_reload_leaves_an_exchange_alone(masters, daemon, pty):
    m1, m2, bus = masters
    conf = shared(*masters)
    d = daemon(conf)
    m1.send(read(3, 1))
    expect(bus, read(3, 1), masters)
    m2.send(read(3, 2))
    flush([m2])
    asks(d, 2)
    other = pty("other")
    d.reload(serial("other", other) + conf)
    assert d.tasks()["shared.exchange"]["label"].startswith(
        "unit 3's answer to m1")
    every_wait_is_told(d)
    bus.send(holds(3, 11))
    expect(m1, holds(3, 11), masters)
    expect(bus, read(3, 2), masters)
    # Without m1 it is another one: what was asked is forgotten.
    m1.send(read(3, 3))
    flush([m1])
    asks(d, 3)
    d.reload(conf.replace("m1 m2", "m2"))
    d.wait_number("bus/dropped_closed", 1)
    bus.send(holds(3, 12))
    flush([bus])
    wait_count(d, "late", 1)
    m2.send(read(3, 4))
    expect(bus, read(3, 4), masters)
    bus.send(holds(3, 14))
    expect(m2, holds(3, 14), masters)
    assert bytes(m1.received) == b""
    # And without the route there is none.
    d.reload(conf.partition("[route")[0] + route("r", between="m1 bus"))
    assert "shared.exchange" not in d.tasks()
    m1.send(read(3, 5) + read(3, 6))
    expect(bus, read(3, 5) + read(3, 6), masters)


def test_requests_that_wait_go_over_to_the_next_process(masters, daemon, connect):
    m1, m2, bus = masters
    port = free_port()
    d = daemon(shared(*masters, from_="m1 m2 lan",
                      more=tcp_server("lan", port, framing="modbus-rtu")))
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    streams = [*masters, client]
    m1.send(read(3, 1))
    expect(bus, read(3, 1), streams)
    for n, who in enumerate((m2, client), 2):
        who.send(read(3, n))
        flush([who])
        asks(d, n)
    d.control("send bus " + escaped(read(5, 4)))
    for n, (who, ask) in enumerate(((m1, read(3, 2)), (m2, read(3, 3)),
                                    (client, read(5, 4)))):
        restart(d, streams)
        assert d.queued("bus") == 3 - n
        assert "unit 3's answer to" in d.tasks()["shared.exchange"]["label"]
        every_wait_is_told(d)
        bus.send(holds(3, n))
        expect(who, holds(3, n), streams)
        expect(bus, ask, streams)
    assert (count(d, "answers"), d.dropped("bus"), count(d, "late")) == (3, 0, 0)
    assert not any(s.received for s in streams)


def test_requests_of_masters_that_do_not_go_over_are_counted(masters, daemon, connect):
    m1, m2, bus = masters
    port = free_port()

    def conf(n, **keys):
        return shared(m1, m2, bus, from_="m1 m2 lan", **keys, more=tcp_server(
            "lan", port, framing="modbus-rtu", protocol=("raw", "telnet")[n - 1])).replace(
                "baud = 115200", f"baud = 115200\nexclusive = {('yes', 'no')[n - 1]}", 1)
    d = daemon(conf(1))
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    m2.send(read(3, 1))
    expect(bus, read(3, 1), [m2])
    for n, who in enumerate((m1, client), 2):
        who.send(read(3, n))
        flush([who])
        asks(d, n)
    # Both have another section; m1 is opened again, the client is disconnected.
    d.write(conf(2))
    restart(d, [*masters, client])
    assert (d.queued("bus"), d.dropped("bus", "closed")) == (0, 2)
    bus.send(holds(3, 1))
    expect(m2, holds(3, 1), [bus])
    # Another route is another exchange.
    m2.send(read(3, 4))
    expect(bus, read(3, 4), [m2])
    m1.send(read(3, 5))
    flush([m1])
    asks(d, 5)
    d.write(conf(2, answer_timeout="9s"))
    restart(d, masters)
    assert (d.queued("bus"), d.dropped("bus", "closed")) == (0, 3)


def test_a_late_answer_is_late_for_the_next_process_too(masters, daemon):
    m1, m2, bus = masters
    d = daemon(shared(*masters, answer_timeout="100ms", late_guard="1h"))
    m1.send(read(3, 1))
    expect(bus, read(3, 1), masters)
    wait_count(d, "timeouts", 1)
    m2.send(read(3, 2))
    flush([m2])
    asks(d, 2)
    restart(d, masters)
    bus.send(holds(3, 1))
    flush([bus])
    wait_count(d, "late", 1)
    assert d.queued("bus") == 1
    assert not any(s.received for s in masters)


def test_it_stops_while_an_answer_is_awaited(masters, daemon):
    m1, m2, bus = masters
    d = daemon(shared(*masters))
    m1.send(read(3, 1))
    expect(bus, read(3, 1), masters)
    m2.send(read(3, 2))
    flush([m2])
    asks(d, 2)
    d.stop()


def test_no_answer_gets_to_the_wrong_one(masters, daemon, connect):
    """Serial and TCP masters, a bus that is slow, noisy, and silent at times."""
    m1, m2, bus = masters
    port = free_port()
    d = daemon(shared(*masters, from_="m1 m2 lan", answer_timeout="500ms",
                      more=tcp_server("lan", port, framing="modbus-rtu")))
    chance = random.Random(11)
    lans = [connect(port), connect(port)]
    asking = [m1, m2, *lans]
    streams = [*asking, bus]
    waiting = {}                # master -> (address it waits for, since)
    asked = dict.fromkeys(asking, 0)
    answered = unanswered = 0

    def turn():
        nonlocal answered, unanswered
        for n, master in enumerate(asking):
            if len(master.received) >= 7:
                address, _ = waiting.pop(master)
                assert master.take() == holds(1, address)
                answered += 1
            elif master in waiting and \
                    time.monotonic() - waiting[master][1] > 4:
                del waiting[master]
                unanswered += 1
            if master not in waiting and asked[master] < 40:
                asked[master] += 1
                address = 1000 * n + asked[master]
                waiting[master] = address, time.monotonic()
                master.send(read(1, address))
        if len(bus.received) >= 8:
            request = bus.take()
            assert len(request) == 8, "two requests on the bus at once"
            address = int.from_bytes(request[2:4], "big")
            lot = chance.random()
            if lot < 0.1:
                bus.send(holds(2, address))
            if lot < 0.97:
                bus.send(holds(1, address))
            if lot > 0.9:
                bus.send(rtu(7, 3, "0000"))
        return all(n == 40 for n in asked.values()) and not waiting
    pump(streams, turn, 60)
    assert answered + unanswered == 160
    assert answered > 120
    assert count(d, "answers") == answered
    assert count(d, "timeouts") == unanswered


# --- with libmodbus and mbpoll -----------------------------------------------

class Cable(threading.Thread):
    """
    Joins ptys as a bus does: what is written to the slave of one is read from those
    of all others.
    """

    def __init__(self, *ptys):
        super().__init__(daemon=True)
        masters = [p.master for p in ptys]
        self.ways = {fd: [to for to in masters if to != fd] for fd in masters}
        self.done = threading.Event()
        self.start()

    def run(self):
        poll = select.poll()
        for fd in self.ways:
            poll.register(fd, select.POLLIN)
        while not self.done.is_set():
            moved = False
            for fd, events in poll.poll(20):
                if not events & select.POLLIN:
                    continue
                data = os.read(fd, 4096)
                moved = True
                for to in self.ways[fd]:
                    os.write(to, data)
            if not moved:
                time.sleep(0.001)

    def end(self):
        self.done.set()
        self.join()


@pytest.fixture
def cable():
    made = []

    def join(*ptys):
        made.append(Cable(*ptys))
    yield join
    for c in made:
        c.end()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Starts servers of libmodbus: server(device, unit)."""
    binary = tmp_path_factory.mktemp("modbus") / "modbus_server"
    subprocess.run(["cc", "-O1", "-Wall", "-I/usr/include/modbus", "-o",
                    binary, ROOT / "tests/e2e/modbus_server.c", "-lmodbus"],
                   check=True)
    made = []

    def start(device, unit):
        made.append(subprocess.Popen([binary, device.link, "115200",
                                      str(unit)], stdout=subprocess.PIPE))
        assert made[-1].stdout.readline() == b"ready\n"
    yield start
    for p in made:
        p.kill()
        p.wait()


class Poll:
    """mbpoll, which reads 10 registers from that one on, again and again."""

    def __init__(self, directory, device, unit, first, *options):
        self.unit, self.first = unit, first
        self.output = directory / f"mbpoll.{device.name}.{unit}"
        with open(self.output, "wb") as out:
            self.process = subprocess.Popen(
                [shutil.which("mbpoll"), "-q", "-m", "rtu", "-a", str(unit),
                 "-r", str(first), "-c", "10", "-b", "115200", "-P", "none",
                 "-o", "5", "-l", "10", *options, device.link],
                stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT)

    def readings(self):
        """All of them were right; how many there were."""
        self.process.wait(PATIENCE)
        text = self.output.read_text(errors="replace")
        assert "failed" not in text, text[-2000:]
        found = re.findall(r"\[(\d+)\]:\s+(\d+)", text)
        for n, (reference, value) in enumerate(found):
            assert int(reference) == self.first + n % 10
            assert int(value) == 1000 * self.unit + int(reference) - 1
        return len(found) // 10


def test_mbpoll_reads_through_the_bridge(directory, pty, daemon, cable, server):
    a, b, master, unit = pty("a"), pty("b"), pty("master"), pty("unit")
    d = daemon(serial("a", a, **RTU) + serial("b", b, **RTU))
    cable(a, master)
    cable(b, unit)
    server(unit, 1)
    assert Poll(directory, master, 1, 1, "-1").readings() == 1
    assert Poll(directory, master, 1, 991, "-1").readings() == 1
    assert d.number("b/tx_frames") == d.number("b/rx_frames") == 2
    for name in "ab":
        assert d.number(f"{name}/errors") == 0


def test_two_mbpolls_share_a_bus(directory, pty, daemon, cable, server):
    m1, m2, bus = pty("m1"), pty("m2"), pty("bus")
    master1, master2 = pty("master1"), pty("master2")
    unit1, unit2 = pty("unit1"), pty("unit2")
    d = daemon(shared(m1, m2, bus))
    cable(m1, master1)
    cable(m2, master2)
    cable(bus, unit1, unit2)
    server(unit1, 1)
    server(unit2, 2)
    # Two units, in turns.
    polls = [Poll(directory, master1, 2, 1, "-1"),
             Poll(directory, master2, 1, 1, "-1")]
    assert [p.readings() for p in polls] == [1, 1]
    # One unit, so that nothing but the order tells the answers apart.
    polls = [Poll(directory, master1, 1, 1), Poll(directory, master2, 1, 501)]
    wait_for(lambda: all(d.number(f"m{n}/rx_frames") >= 1010
                         for n in (1, 2)), 120)
    for p in polls:
        p.process.send_signal(signal.SIGINT)
    assert all(p.readings() >= 1000 for p in polls)
    assert count(d, "answers") >= 2000
    assert (count(d, "foreign"), count(d, "timeouts")) == (0, 0)
