"""Masters and devices of Modbus TCP in an exchange."""
import re
import shutil
import socket
import subprocess
import time

import pytest

from harness import expect, free_port, pump, route, section, serial, tcp_server, wait_for
from test_handover import restart
from test_modbus import cable, count, holds, read, rtu, server  # noqa: F401
from test_modbus_tcp import ascii_of, mbap

RTU = dict(framing="modbus-rtu", baud=115200)
ASCII = dict(framing="modbus-ascii", baud=115200)


def exception(request, code, number):
    return mbap(rtu(request[0], request[1] | 0x80, f"{code:02x}"), number)


@pytest.fixture
def gateway(pty, daemon, connect):
    """A server of Modbus TCP that is the master of a serial bus."""
    def start(line=RTU, more="", **keys):
        bus, port = pty("bus"), free_port()
        keys = {"answer_timeout": "5s", **keys}
        text = (tcp_server("lan", port, framing="modbus-tcp") +
                serial("bus", bus, **line) +
                route("shared", from_="lan", to="bus", exchange="modbus", **keys) + more)
        d = daemon(text)
        d.sections = text
        return d, bus, lambda: connect(port)
    return start


@pytest.mark.parametrize("line, form", [(RTU, bytes), (ASCII, ascii_of)])
def test_the_answer_has_the_number_of_its_request(gateway, line, form):
    d, bus, join = gateway(line)
    client = join()
    for number in (0, 1, 0x1234, 0xffff):
        client.send(mbap(read(17, number, 2), number))
        expect(bus, form(read(17, number, 2)), [client])
        bus.send(form(holds(17, 1, 2)))
        expect(client, mbap(holds(17, 1, 2), number), [bus])
    assert count(d, "answers") == 4


def test_payload_inner_on_the_bus_is_no_different(gateway):
    d, bus, join = gateway(dict(RTU, payload="inner"))
    client = join()
    client.send(mbap(read(1), 7))
    expect(bus, read(1), [client])
    bus.send(holds(1, 5))
    expect(client, mbap(holds(1, 5), 7), [bus])


def test_several_requests_are_executed_in_order(gateway):
    d, bus, join = gateway()
    client = join()
    client.send(b"".join(mbap(read(1, n), 100 + n) for n in range(8)))
    for n in range(8):
        expect(bus, read(1, n), [client])
        bus.send(holds(1, n))
        expect(client, mbap(holds(1, n), 100 + n), [bus])
    assert d.dropped("bus") == 0


def test_two_masters_with_the_same_numbers(gateway):
    d, bus, join = gateway()
    one, two = join(), join()
    one.send(mbap(read(1, 1), 5) + mbap(read(1, 2), 6))
    expect(bus, read(1, 1), [one])
    two.send(mbap(read(1, 3), 5))
    wait_for(lambda: "(2 requests more)" in d.tasks()["shared.exchange"]["label"])
    bus.send(holds(1, 11))
    expect(one, mbap(holds(1, 11), 5), [bus])
    # The new one comes before the one that was served last.
    expect(bus, read(1, 3), [two])
    bus.send(holds(1, 13))
    expect(two, mbap(holds(1, 13), 5), [bus])
    expect(bus, read(1, 2), [one])
    bus.send(holds(1, 12))
    expect(one, mbap(holds(1, 12), 6), [bus])


def test_no_answer_in_time_is_exception_11(gateway):
    d, bus, join = gateway(answer_timeout="50ms")
    client = join()
    client.send(mbap(read(1), 9))
    expect(bus, read(1), [client])
    expect(client, exception(read(1), 0x0b, 9), [bus])
    assert count(d, "timeouts") == 1


def test_a_bus_that_is_down_is_exception_10(gateway):
    d, bus, join = gateway()
    client = join()
    client.send(mbap(read(1), 1))
    expect(bus, read(1), [client])
    client.send(mbap(read(2), 2))
    wait_for(lambda: "(1 request more)" in d.tasks()["shared.exchange"]["label"])
    bus.unplug()
    expect(client, exception(read(1), 0x0a, 1) + exception(read(2), 0x0a, 2))
    client.send(mbap(read(3), 3))
    expect(client, exception(read(3), 0x0a, 3))
    bus.plug()
    d.wait_state("bus", "up")
    client.send(mbap(read(1), 4))
    expect(bus, read(1), [client])
    bus.send(holds(1, 4))
    expect(client, mbap(holds(1, 4), 4), [bus])


def test_a_broadcast_is_not_answered(gateway):
    d, bus, join = gateway()
    client = join()
    everyone = rtu(0, 6, "00010002")
    client.send(mbap(everyone, 1) + mbap(read(1), 2))
    expect(bus, everyone + read(1), [client])
    bus.send(holds(1, 8))
    expect(client, mbap(holds(1, 8), 2), [bus])


def test_a_connection_that_is_closed_takes_its_requests_with_it(gateway):
    d, bus, join = gateway()
    client, other = join(), join()
    client.send(b"".join(mbap(read(1, n), n) for n in range(3)))
    expect(bus, read(1, 0), [client])
    client.close()
    wait_for(lambda: d.number("bus/dropped_closed") == 2)
    other.send(mbap(read(2), 1))
    bus.send(holds(1, 0))
    expect(bus, read(2), [other])
    bus.send(holds(2, 2))
    expect(other, mbap(holds(2, 2), 1), [bus])


@pytest.mark.parametrize("answer", [
    read(1, 0, 2),                  # an echo
    holds(1, 1, 2)[:-2] + b"\0",    # one byte more
    holds(1, 1),                    # fewer registers
    rtu(1, 0x83, "0202"),           # an exception that is too long
], ids=["echo", "long", "short", "exception"])
def test_an_answer_has_the_length_that_was_asked_for(gateway, answer):
    d, bus, join = gateway(dict(ASCII))
    client = join()
    client.send(mbap(read(1, 0, 2), 1))
    expect(bus, ascii_of(read(1, 0, 2)), [client])
    bus.send(ascii_of(answer if len(answer) % 2 == 0 else answer + b"\0\0"))
    wait_for(lambda: count(d, "foreign") == 1)
    bus.send(ascii_of(holds(1, 1, 2)))
    expect(client, mbap(holds(1, 1, 2), 1), [bus])


def test_serial_masters_and_connections_share_a_bus(pty, daemon, connect):
    bus, plc, port = pty("bus"), pty("plc"), free_port()
    d = daemon(tcp_server("lan", port, framing="modbus-tcp") +
               serial("plc", plc, **RTU) + serial("bus", bus, **ASCII) +
               route("shared", from_="lan plc", to="bus", exchange="modbus"))
    client = connect(port)
    client.send(mbap(read(1), 77))
    expect(bus, ascii_of(read(1)), [client])
    plc.send(read(2))
    bus.send(ascii_of(holds(1, 5)))
    expect(client, mbap(holds(1, 5), 77), [bus])
    expect(bus, ascii_of(read(2)), [plc])
    bus.send(ascii_of(holds(2, 6)))
    expect(plc, holds(2, 6), [bus])


def two_buses(pty, daemon, connect):
    """The far ends of two buses, with units 1 to 9 and 10 to 19, and a client."""
    a, b, port = pty("a"), pty("b"), free_port()
    daemon(tcp_server("lan", port, framing="modbus-tcp") +
           serial("a", a, **RTU) + serial("b", b, **RTU) +
           route("first", from_="lan", to="a", exchange="modbus", match_unit="1-9",
                 answer_timeout="9s") +
           route("second", from_="lan", to="b", exchange="modbus", match_unit="10-19"))
    client = connect(port)
    return a, b, client


def test_one_port_in_front_of_two_buses(pty, daemon, connect):
    a, b, client = two_buses(pty, daemon, connect)
    client.send(mbap(read(1), 1) + mbap(read(10), 2))
    expect(a, read(1), [client])
    expect(b, read(10), [client])
    b.send(holds(10, 10))
    expect(client, mbap(holds(10, 10), 2), [b])
    a.send(holds(1, 1))
    expect(client, mbap(holds(1, 1), 1), [a])
    # A unit that is on neither bus.
    client.send(mbap(read(30), 3) + mbap(read(31), 4))
    expect(client, exception(read(30), 0x0a, 3) + exception(read(31), 0x0a, 4))
    client.send(mbap(read(2), 5) + mbap(read(30), 6))
    expect(a, read(2), [client])
    expect(client, exception(read(30), 0x0a, 6), [a])
    a.send(holds(2, 2))
    expect(client, mbap(holds(2, 2), 5), [a])


class Device:
    """A device of Modbus TCP that accepts one connection."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(20)
        self.port = self.listener.getsockname()[1]

    def accept(self):
        self.link, _ = self.listener.accept()
        self.link.settimeout(20)

    def request(self):
        data = b""
        while len(data) < 12:
            data += self.link.recv(12 - len(data))
        return int.from_bytes(data[:2], "big"), data

    def close(self):
        self.link.close()
        self.listener.close()


@pytest.fixture
def device():
    device = Device()
    yield device
    device.close()


def proxy(port, device, **keys):
    keys = {"answer_timeout": "5s", **keys}
    return (tcp_server("lan", port, framing="modbus-tcp") +
            section("tcp-client", "plc", framing="modbus-tcp",
                    connect=f"127.0.0.1:{device.port}", reopen_min="20ms") +
            route("shared", from_="lan", to="plc", exchange="modbus", **keys))


def test_many_masters_in_front_of_one_device(daemon, connect, device):
    port = free_port()
    daemon(proxy(port, device), settled=False)
    device.accept()
    clients = [connect(port) for _ in range(3)]
    numbers = set()
    for n, client in enumerate(clients):
        client.send(mbap(read(0, n), 1))
        pump([client], lambda: not client.outgoing)
        number, data = device.request()
        assert data == mbap(read(0, n), number)
        numbers.add(number)
        device.link.sendall(mbap(holds(0, n), number))
        expect(client, mbap(holds(0, n), 1))
    assert len(numbers) == 3


def test_an_answer_with_another_number_is_given_to_nobody(daemon, connect, device):
    port = free_port()
    d = daemon(proxy(port, device), settled=False)
    device.accept()
    client = connect(port)
    client.send(mbap(read(1), 5))
    pump([client], lambda: not client.outgoing)
    number, _ = device.request()
    device.link.sendall(mbap(holds(1, 1), number ^ 1))
    wait_for(lambda: count(d, "foreign") == 1)
    device.link.sendall(mbap(holds(1, 2), number))
    expect(client, mbap(holds(1, 2), 5))


def test_a_late_answer_holds_up_no_request_to_a_device(daemon, connect, device):
    port = free_port()
    d = daemon(proxy(port, device, answer_timeout="50ms", late_guard="60s"),
               settled=False)
    device.accept()
    client = connect(port)
    client.send(mbap(read(1), 1))
    pump([client], lambda: not client.outgoing)
    late, _ = device.request()
    expect(client, exception(read(1), 0x0b, 1))
    client.send(mbap(read(1), 2))
    pump([client], lambda: not client.outgoing)
    number, _ = device.request()
    device.link.sendall(mbap(holds(1, 1), late) + mbap(holds(1, 2), number))
    expect(client, mbap(holds(1, 2), 2))


def test_requests_go_over_to_the_next_process_with_their_numbers(gateway):
    d, bus, join = gateway(answer_timeout="20s")
    client = join()
    client.send(mbap(read(1), 0x0102) + mbap(read(2), 0x0304))
    expect(bus, read(1), [client])
    wait_for(lambda: "(1 request more)" in d.tasks()["shared.exchange"]["label"])
    restart(d)
    bus.send(holds(1, 1))
    expect(client, mbap(holds(1, 1), 0x0102), [bus])
    expect(bus, read(2), [client])
    bus.send(holds(2, 2))
    expect(client, mbap(holds(2, 2), 0x0304), [bus])


# --- several exchanges with a bus, and units with an offset --------------------

def test_units_with_an_offset_stay_units_of_the_bus(gateway):
    d, bus, join = gateway(unit_offset="-100")
    client = join()
    # None of these becomes a broadcast or another unit.
    for number, unit in enumerate((1, 99, 100)):
        write = rtu(unit, 6, "00010002")
        client.send(mbap(write, number))
        expect(client, exception(write, 0x0a, number), [bus])
    client.send(mbap(rtu(0, 6, "00010002"), 1) + mbap(read(101), 2))
    expect(bus, rtu(0, 6, "00010002") + read(1), [client])
    bus.send(holds(1, 5))
    expect(client, mbap(holds(101, 5), 2), [bus])
    assert d.number("bus/tx_frames") == 2


def test_the_control_port_addresses_units_of_the_bus(gateway):
    d, bus, _ = gateway(unit_offset="-100")
    d.control("send bus " + "".join(f"\\x{byte:02x}" for byte in read(3)))
    expect(bus, read(3))


def test_a_master_on_a_serial_line_is_refused_what_it_may_not_do(gateway, pty):
    panel = pty("panel")
    d, bus, join = gateway(more=serial("panel", panel, **RTU) + route(
        "readers", from_="panel", to="bus", exchange="modbus", functions="read",
        match_unit="1-5"))
    client, write = join(), rtu(1, 6, "00010002")
    panel.send(write)
    expect(panel, rtu(1, 0x86, "01"), [bus])
    client.send(mbap(write, 7))
    expect(bus, write, [client])
    bus.send(write)
    expect(client, mbap(write, 7), [bus])
    panel.send(read(5))
    expect(bus, read(5), [panel])
    bus.send(holds(5, 9))
    expect(panel, holds(5, 9), [bus])
    values = [d.number(f"routes/{name}") for name in (
        "readers/refused", "readers/requests", "shared/refused", "shared/requests")]
    assert values == [1, 1, 0, 1]


# --- what changes while requests are under way --------------------------------

GUARDED = "a late answer, before the unit is asked again (1 request more)"


def replies(data):
    """The whole messages of Modbus TCP."""
    found, data = [], bytes(data)
    while len(data) >= 6 and len(data) >= (size := 6 + data[5]):
        found.append(data[:size])
        data = data[size:]
    return found


def exchange_label(d):
    return d.tasks()["shared.exchange"]["label"]


def test_the_answer_of_a_bus_that_was_reopened_is_late(gateway):
    d, bus, join = gateway(late_guard="20s")
    client = join()
    client.send(mbap(read(1, 0), 1))
    expect(bus, read(1, 0), [client])
    d.control("reopen bus")
    expect(client, exception(read(1), 0x0a, 1))
    d.wait_state("bus", "up")
    client.send(mbap(read(1, 5), 2))
    pump([client], lambda: exchange_label(d) == GUARDED)
    other = join()
    other.send(mbap(read(2), 3))
    expect(bus, read(2), [other])
    bus.send(holds(1, 0xaaaa) + holds(2, 2))
    expect(other, mbap(holds(2, 2), 3), [bus])
    wait_for(lambda: exchange_label(d) == GUARDED)
    assert not client.received


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_request_on_the_bus_outlives_a_change_of_the_route(gateway, how):
    d, bus, join = gateway()
    client = join()
    client.send(mbap(read(1, 0), 1))
    expect(bus, read(1, 0), [client])
    text = d.sections.replace("answer_timeout = 5s", "answer_timeout = 6s")
    if how == "reload":
        d.reload(text)
    else:
        d.write(text)
        restart(d)
    expect(client, exception(read(1, 0), 0x0a, 1), [bus])
    client.send(mbap(read(1, 5), 2))
    wait_for(lambda: "(1 request more)" in exchange_label(d))
    bus.send(holds(1, 0xaaaa))
    wait_for(lambda: count(d, "late") == 1)
    expect(bus, read(1, 5), [client])
    bus.send(holds(1, 0x5555))
    expect(client, mbap(holds(1, 0x5555), 2), [bus])


def test_what_waits_for_a_bus_that_is_opened_again_is_answered(gateway):
    d, bus, join = gateway()
    client = join()
    client.send(b"".join(mbap(read(n), n) for n in (1, 2, 3)))
    expect(bus, read(1), [client])
    wait_for(lambda: "(2 requests more)" in exchange_label(d))
    d.reload(d.sections.replace("baud = 115200", "baud = 115200\nexclusive = no"))

    def answered():
        if len(bus.received) >= 8:
            unit = bus.take()[0]
            bus.send(holds(unit, unit))
        return replies(client.received)[2:]
    pump([client, bus], answered)
    # The first one was on the bus; the others find it down, or open again.
    right = [{exception(read(n), 0x0a, n), mbap(holds(n, n), n)} for n in (1, 2, 3)]
    got = replies(client.received)
    assert got[0] == exception(read(1), 0x0a, 1)
    assert all(reply in allowed for reply, allowed in zip(got, right)), got


def test_unit_0_that_no_route_takes_is_refused(gateway):
    d, bus, join = gateway(match_unit="1-9")
    client = join()
    client.send(mbap(read(0), 8))
    expect(client, exception(read(0), 0x0a, 8))


def test_a_log_of_requests_does_not_hide_that_no_bus_has_the_unit(gateway, pty):
    log = pty("log")
    d, bus, join = gateway(match_unit="1-9", more=serial("log", log, framing="modbus-tcp") +
                           route("all", from_="lan", to="log"))
    client = join()
    client.send(mbap(read(30), 1))
    expect(client, exception(read(30), 0x0a, 1))
    expect(log, mbap(read(30), 1))


def test_many_requests_are_refused_at_once(pty, daemon, connect):
    a, _, client = two_buses(pty, daemon, connect)
    client.send(b"".join(mbap(read(30), n) for n in range(500)) + mbap(read(1), 500))
    # They do not wait for the answer of the bus.
    expect(a, read(1), [client])
    expect(client, b"".join(exception(read(30), 0x0a, n) for n in range(500)), [a])
    a.send(holds(1, 7))
    expect(client, mbap(holds(1, 7), 500), [a])


def test_the_unit_is_read_from_a_message_that_could_be_another_kind(pty, daemon, connect):
    """The CRC of this request is 0, as that of a whole message of modbus-rtu is."""
    a, b, client = two_buses(pty, daemon, connect)
    request = mbap(read(1, 10), 0x127e)
    assert rtu(request[0], request[1], request[2:].hex())[-2:] == bytes(2)
    client.send(request)
    expect(a, read(1, 10), [client, b])
    assert not b.received


def test_numbers_of_the_control_port_are_not_those_of_the_bus(daemon, connect, device):
    port = free_port()
    d = daemon(proxy(port, device, answer_timeout="100ms"), settled=False)
    device.accept()
    client = connect(port)
    client.send(mbap(read(1), 1))
    pump([client], lambda: not client.outgoing)
    first, _ = device.request()
    expect(client, exception(read(1), 0x0b, 1))
    # As if it were to be used again for the next one.
    frame = mbap(read(1), (first - 1) % 65536)
    d.control("send plc " + "".join(f"\\x{byte:02x}" for byte in frame))
    assert device.request()[0] == first + 1
    client.send(mbap(read(1), 2))
    pump([client], lambda: not client.outgoing)
    assert device.request()[0] == first + 2


# --- other people's masters and slaves ---------------------------------------

def mbpoll(port, unit, first, *options):
    """The registers that mbpoll reads, 10 from that one on."""
    done = subprocess.run(
        [shutil.which("mbpoll"), "-q", "-m", "tcp", "-p", str(port), "-a", str(unit),
         "-r", str(first), "-c", "10", "-o", "5", *options, "127.0.0.1"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=60)
    return done, [int(v) for v in re.findall(r"\[\d+\]:\s+(\d+)", done.stdout)]


def test_mbpoll_reads_a_slave_of_libmodbus(gateway, pty, cable, server):
    d, bus, _ = gateway(answer_timeout="1s")
    slave = pty("slave")
    cable(bus, slave)
    server(slave, 1)
    port = int(d.get("lan/address").rpartition(":")[2])
    for first in 1, 501, 991:
        done, values = mbpoll(port, 1, first, "-1")
        assert values == [1000 + n - 1 for n in range(first, first + 10)], done.stdout
    # No slave has this unit.
    done, values = mbpoll(port, 2, 1, "-1")
    assert not values and "Target device failed to respond" in done.stdout, done.stdout
    assert (count(d, "answers"), count(d, "timeouts")) == (3, 1)


# The CRC of what comes before their last bytes is right, and has the form of an answer.
TWOFACED = [read(4, 0x0201, 0x75), rtu(6, 15, "101d0001017a"),
            rtu(7, 16, "1251000a14c1043b7db2b3a3ee396e687f80a693")]


@pytest.mark.parametrize("request_", TWOFACED, ids=lambda r: r.hex())
def test_a_request_that_begins_like_an_answer_is_whole(gateway, request_):
    d, bus, join = gateway()
    client = join()
    client.send(mbap(request_, 1))
    expect(bus, request_, [client])


@pytest.mark.parametrize("exchange", ["modbus", "none"])
@pytest.mark.parametrize("request_", TWOFACED, ids=lambda r: r.hex())
def test_it_is_whole_from_a_serial_master_too(pty, daemon, exchange, request_):
    m, bus = pty("m"), pty("bus")
    slow = RTU | dict(baud=300)     # a silence of 128 ms ends a frame
    daemon(serial("m", m, **slow) + serial("bus", bus, **slow) +
           route("r", from_="m", to="bus", exchange=exchange))
    for piece in (request_[:-1], request_[-1:]):
        m.send(piece)
    expect(bus, request_, [m])


def test_a_byte_behind_an_answer_does_not_make_it_a_request(gateway):
    d, bus, join = gateway()
    client = join()
    value = next(v for v in range(65536) if rtu(4, 3, f"02{v:04x}")[-2:-1] < b"\x7d" and
                 v & 0xff == 0 and rtu(4, 3, f"02{v:04x}")[-2] > 0)
    answer = holds(4, value)
    client.send(mbap(read(4), 1))
    expect(bus, read(4), [client])
    bus.send(answer + b"\x00")
    expect(client, mbap(answer, 1), [bus])


def test_a_request_to_another_bus_gives_up_the_earlier_one(pty, daemon):
    m, a, b = pty("m"), pty("a"), pty("b")
    d = daemon(serial("m", m, **RTU) + serial("a", a, **RTU) + serial("b", b, **RTU) +
               route("shared", from_="m", to="a", exchange="modbus", match_unit="1-9",
                     answer_timeout="20s") +
               route("second", from_="m", to="b", exchange="modbus", match_unit="10-19"))
    m.send(read(1))
    expect(a, read(1), [m])
    time.sleep(0.1)     # longer than requests that arrive together
    m.send(read(12))
    expect(b, read(12), [m])
    a.send(holds(1, 1))
    wait_for(lambda: count(d, "late") == 1)
    b.send(holds(12, 12))
    expect(m, holds(12, 12), [b])


def test_while_the_bus_is_down_no_guard_and_no_gap_is_waited_for(gateway):
    d, bus, join = gateway(answer_timeout="200ms", late_guard="1m", min_gap="1m")
    client = join()
    client.send(mbap(read(1), 1))
    expect(bus, read(1), [client])
    expect(client, exception(read(1), 0x0b, 1), [bus])
    bus.unplug()
    d.wait_state("bus", "lost")
    client.send(mbap(read(1), 2))
    expect(client, exception(read(1), 0x0a, 2))


def test_a_request_for_which_there_is_no_room_is_exception_6(gateway):
    d, bus, join = gateway(dict(RTU, queue="200"))
    client = join()
    client.send(b"".join(mbap(read(1, n), n) for n in range(20)))
    expect(bus, read(1, 0), [client])
    pump([client, bus], lambda: exception(read(1, 19), 0x06, 19) in client.received)
    assert count(d, "exception_06") == d.dropped("bus", "overflow") > 0


def test_a_request_with_a_write_behind_it_is_not_permitted(gateway):
    """A unit that finds frames by their length would execute the write."""
    d, bus, join = gateway(functions="read", match_unit="1-5")
    client = join()
    hidden = rtu(9, 6, "0001beef")
    client.send(mbap(rtu(1, 3, "00000000" + hidden.hex()), 1) + mbap(read(1), 2))
    expect(client, exception(read(1), 0x01, 1), [bus])
    expect(bus, read(1), [client])


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_requests_of_a_route_that_is_changed_get_an_exception(gateway, how):
    d, bus, join = gateway()
    client = join()
    client.send(b"".join(mbap(read(1, n), n) for n in range(3)))
    expect(bus, read(1, 0), [client])
    wait_for(lambda: "(2 requests more)" in exchange_label(d))
    d.write(d.sections.replace("answer_timeout = 5s", "answer_timeout = 6s"))
    if how == "reload":
        d.reload()
    else:
        restart(d)
    pump([client, bus], lambda: len(client.received) == 3 * 9)
    assert sorted(client.received[i:i + 9] for i in (0, 9, 18)) == [
        exception(read(1, n), 0x0a, n) for n in range(3)]
    assert d.dropped("bus", "closed") == 2
