"""What depends on how much time has passed, with a clock that the test moves on."""
import fcntl
import os
import signal
import struct
import termios

import pytest

from harness import (expect, flush, free_port, pump, route, section, serial,
                     tcp_server, wait_for)
from test_modbus import holds, read


# --- frames that are not whole -----------------------------------------------

def partial(d, stream, data):
    """Sends the beginning of a frame, until it has been read."""
    before = d.number("a/rx_bytes")
    stream.send(data)
    flush([stream])
    d.wait_number("a/rx_bytes", before + len(data))


@pytest.fixture
def lines(pty, daemon, clock):
    """A device whose partial lines may be 100 s old, and one that gets the lines."""
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line", frame_timeout="100s") +
               serial("b", b, framing="line"), env=clock.env)
    return d, a, b


@pytest.mark.parametrize("pieces", [[b" one\nand "], [b" one\n", b"and "]],
                         ids=["one read", "two reads"])
def test_a_partial_frame_is_as_old_as_its_own_beginning(lines, clock, pieces):
    d, a, b = lines
    partial(d, a, b"line")
    for piece in pieces:
        clock.move(d, 60)
        partial(d, a, piece)
    expect(b, b"line one\n", [a])
    clock.move(d, 60)
    partial(d, a, b"two")
    clock.move(d, 30)
    assert d.bad("a", "timeout") == 0
    a.send(b"\n")
    expect(b, b"and two\n", [a])


def test_more_of_a_partial_frame_does_not_make_it_younger(lines, clock):
    d, a, b = lines
    partial(d, a, b"a line ")
    clock.move(d, 60)
    partial(d, a, b"that never ")
    clock.move(d, 60)
    d.wait_number("a/bad_timeout", 1)
    assert d.number("a/bad_timeout_bytes") == len(b"a line that never ")
    assert d.bad("a", "malformed") == 0
    a.send(b"ends\n")
    expect(b, b"ends\n", [a])


def test_a_partial_frame_grows_too_old_after_a_pause(lines, clock):
    d, a, b = lines
    partial(d, a, b"never ends")
    d.control("pause a")
    clock.move(d, 1000)
    assert d.bad("a", "timeout") == 0
    d.control("resume a")
    clock.move(d, 50)
    assert d.bad("a", "timeout") == 0
    clock.move(d, 51)
    d.wait_number("a/bad_timeout", 1)
    a.send(b"whole\n")
    expect(b, b"whole\n", [a])


# --- who takes nothing -------------------------------------------------------

def test_a_mute_client_that_has_ended_is_owed_nothing(pty, daemon, clock, directory, connect):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", queue="2K") +
               section("unix-server", "lan", listen=directory / "lan", framing="line",
                       stall_timeout="1h") +
               route("down", from_="a", to="lan") + route("up", from_="lan", to="b"),
               env=clock.env)
    client = connect(directory / "lan")
    wait_for(lambda: d.json("peers"))
    b.reading = client.reading = False
    # Neither is read on: b holds the client back, and the client holds a back.
    for stream, task in (client, "lan#1.read"), (a, "a.read"):
        while d.tasks()[task]["state"] != "paused":
            if not stream.outgoing:
                stream.send((b"x" * 99 + b"\n") * 100)
            stream.turn(4)
    assert d.queued("lan") > 0
    client.outgoing.clear()
    client.sock.shutdown(2)
    wait_for(lambda: d.tasks()["a.read"]["state"] != "paused")
    b.reading = True
    pump([b], lambda: "lan#1.timer" in d.tasks() and
         "the rest to be written" in d.tasks()["lan#1.timer"]["label"] or
         not d.json("peers"))
    clock.move(d, 2)
    pump([b], lambda: not d.json("peers"))
    assert "disconnected (it sends no more, and has received everything)" in d.stderr()


# --- times of frames that waited ---------------------------------------------

def latencies(d):
    return {name: (row["p50"], row["max"]) for name, row in d.routes().items()}


@pytest.fixture
def waiting(pty, daemon, clock):
    """A device that is away, two that send to it, and routes that are not used."""
    a, b, c = pty("a"), pty("b"), pty("c")
    conf = "".join(serial(p.name, p, framing="line", max_frame="1M", queue="1M",
                          stall_timeout="none")
                   for p in (a, b, c))
    routes = (route("idle", from_="b", to="a") + route("capitals", from_="a", to="b",
                                                       match="^[A-Z]") +
              route("digits", from_="a", to="b", match="^[0-9]") +
              route("others", from_="c", to="b"))
    d = daemon(conf + routes, env=clock.env)
    b.unplug()
    d.wait_state("b", "lost")
    return d, a, b, c


def put_in(d, stream, data):
    """Until it waits for b."""
    before = d.queued("b")
    stream.send(data)
    flush([stream])
    wait_for(lambda: d.queued("b") == before + data.count(b"\n"))


def test_each_frame_counts_with_its_own_route_and_time(waiting, clock):
    d, a, b, c = waiting
    put_in(d, a, b"Old\n")
    clock.move(d, 1000)
    # At the same time, by two routes.
    put_in(d, a, b"New\n" * 3 + b"1 new\n")
    put_in(d, c, b"other\n")
    clock.move(d, 100)
    b.plug()
    expect(b, b"Old\n" + b"New\n" * 3 + b"1 new\nother\n")
    wait_for(lambda: latencies(d)["others"][1])
    found = latencies(d)
    assert found["idle"] == (None, None)
    assert 90 < found["capitals"][0] < 500 < 1000 < found["capitals"][1]
    assert 90 < found["digits"][0] < 500 and 90 < found["digits"][1] < 500
    assert 90 < found["others"][1] < 500


def test_a_frame_that_is_written_in_pieces_counts_with_its_route(waiting, clock):
    d, a, b, _ = waiting
    a.send(b"1" * 80000 + b"\n")
    pump([a], lambda: d.queued("b") == 1)
    clock.move(d, 1000)
    b.reading = False
    b.plug()
    wait_for(lambda: d.number("b/tx_bytes") > 0)
    assert d.queued("b") == 1
    b.reading = True
    expect(b, b"1" * 80000 + b"\n", [a])
    wait_for(lambda: latencies(d)["digits"][1])
    found = latencies(d)
    assert found["digits"][1] > 1000
    assert all(found[name] == (None, None) for name in ("idle", "capitals", "others"))


# --- Modbus ------------------------------------------------------------------

@pytest.fixture
def slow_bus(pty, daemon, clock):
    """Two masters on a bus of 50 baud: a(keys of the bus, keys of the route)."""
    m1, m2, bus = pty("m1"), pty("m2"), pty("bus")

    def start(bus_keys=(), **keys):
        d = daemon("".join(serial(p.name, p, framing="modbus-rtu", baud=115200)
                           for p in (m1, m2)) +
                   serial("bus", bus, framing="modbus-rtu", **dict(bus_keys)) +
                   route("shared", from_="m1 m2", to="bus", exchange="modbus", **keys),
                   env=clock.env)
        return d, m1, m2, bus
    return start


def counts(d, *names):
    return tuple(d.number(f"routes/shared/{name}") for name in names)


def exchange(d):
    return d.tasks()["shared.exchange"]["label"]


def test_the_time_that_a_request_takes_on_the_line_is_no_time_to_answer(slow_bus, clock):
    # 8 bytes of 11 bits at 1 baud.
    d, m1, _, bus = slow_bus({"baud": 1}, answer_timeout="10s")
    m1.send(read(3, 1))
    expect(bus, read(3, 1), [m1])
    clock.move(d, 60)
    assert counts(d, "timeouts") == (0,)
    bus.send(holds(3, 1))
    expect(m1, holds(3, 1), [bus])
    assert counts(d, "answers", "timeouts", "late") == (1, 0, 0)
    clock.move(d, 60)
    m1.send(read(3, 2))
    expect(bus, read(3, 2), [m1])
    clock.move(d, 200)
    assert counts(d, "timeouts") == (1,)


def test_the_next_request_waits_for_the_silence_behind_an_answer(slow_bus, clock):
    d, m1, m2, bus = slow_bus({"baud": 115200, "idle": "1000s"}, answer_timeout="1h")
    m1.send(read(3, 1))
    expect(bus, read(3, 1), [m1])
    m2.send(read(4, 1))
    flush([m2])
    wait_for(lambda: d.queued("bus") == 1)
    # The silence behind the request is over, that behind the answer is not.
    clock.move(d, 900)
    bus.send(holds(3, 1))
    expect(m1, holds(3, 1), [bus])
    clock.move(d, 500)
    assert exchange(d).startswith("the silence before the next request")
    assert bytes(bus.received) == b""
    clock.move(d, 600)
    expect(bus, read(4, 1))


def begin_answer(d, clock, m1, bus, request, answer, begun):
    """So many bytes of an answer are there when its time is over."""
    m1.send(request)
    expect(bus, request, [m1])
    before = d.number("bus/rx_bytes")
    bus.send(answer[:begun])
    flush([bus])
    d.wait_number("bus/rx_bytes", before + begun)
    runs = d.tasks()["shared.exchange"]["runs"]
    clock.move(d, 11)
    return runs


def test_an_answer_that_begins_in_time_is_waited_for_each_time(slow_bus, clock):
    d, m1, m2, bus = slow_bus({"baud": 115200, "idle": "1000s"}, answer_timeout="10s")
    # The rest of the first follows at once; once more if this test was too slow.
    while counts(d, "answers") == (0,):
        m1.take()
        begin_answer(d, clock, m1, bus, read(3, 1), holds(3, 1), 6)
        bus.send(holds(3, 1)[6:])
        flush([bus])
        wait_for(lambda: not exchange(d).startswith("unit 3's answer"))
        clock.move(d, 3000)
    # The second one has fewer bytes then.
    timeouts, = counts(d, "timeouts")
    runs = begin_answer(d, clock, m1, bus, read(3, 2), holds(3, 2), 3)
    # It is looked at again, and only then, as no more has come, given up.
    wait_for(lambda: counts(d, "timeouts") == (timeouts + 1,))
    assert d.tasks()["shared.exchange"]["runs"] >= runs + 2


def until_readable(device, n):
    """Until the daemon could read n bytes from it."""
    fd = os.open(device.link, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        wait_for(lambda: fcntl.ioctl(fd, termios.FIONREAD, bytes(4)) ==
                 struct.pack("i", n))
    finally:
        os.close(fd)


def test_an_answer_counts_though_its_master_asks_again_at_that_moment(slow_bus, clock):
    d, m1, _, bus = slow_bus({"baud": 115200}, answer_timeout="1h")
    m1.send(read(3, 1))
    expect(bus, read(3, 1), [m1])
    clock.move(d, 1)
    os.kill(d.pid, signal.SIGSTOP)
    try:
        for device, message in (bus, holds(3, 1)), (m1, read(3, 2)):
            device.send(message)
            flush([device])
            until_readable(device, len(message))
    finally:
        os.kill(d.pid, signal.SIGCONT)
    expect(m1, holds(3, 1), [bus])
    expect(bus, read(3, 2), [m1])
    bus.send(holds(3, 2))
    expect(m1, holds(3, 2), [bus])
    assert counts(d, "answers", "late", "foreign") == (2, 0, 0)


def test_an_answer_that_comes_twice_is_late_the_second_time(slow_bus):
    d, m1, _, bus = slow_bus({"baud": 115200}, answer_timeout="1h")
    m1.send(read(3, 1))
    expect(bus, read(3, 1), [m1])
    bus.send(holds(3, 1) * 2)
    expect(m1, holds(3, 1), [bus])
    wait_for(lambda: sum(counts(d, "late", "foreign")) == 1)
    assert counts(d, "answers", "late", "foreign") == (1, 1, 0)
