"""What the keys of an exchange do: several requests at a time, several routes, any protocol."""
import json
import re

import pytest

from harness import (expect, flush, free_port, pump, route, section, serial, tcp_server,
                     wait_for)
from test_control import refused
from test_gateway import device, exception, exchange_label, gateway, proxy  # noqa: F401
from test_handover import restart
from test_modbus import RTU, asks, count, holds, read, rtu
from test_modbus_tcp import mbap

WRITE = rtu(1, 6, "00100001")
WRITE_101 = rtu(101, 6, "00010002")


def received(device, n):
    """The next n requests: by address, the number that each has on the connection."""
    numbers = {}
    for _ in range(n):
        number, data = device.request()
        numbers[int.from_bytes(data[8:10], "big")] = number
    return numbers


def queued(d, n):
    wait_for(lambda: f"({n} request{'s' * (n > 1)} more)" in exchange_label(d))


# --- several requests at a time ----------------------------------------------

@pytest.fixture
def windowed(daemon, connect, device):  # noqa: F811
    """A client of a device that gets 4 requests at a time, of which it has sent 6."""
    port = free_port()
    d = daemon(proxy(port, device, window=4, answer_timeout="20s"), settled=False)
    device.accept()
    client = connect(port)
    client.send(b"".join(mbap(read(1, n), 100 + n) for n in range(6)))
    flush([client])
    numbers = received(device, 4)
    queued(d, 2)
    return d, device, client, numbers


def gives(device, client, numbers, n):  # noqa: F811
    device.link.sendall(mbap(holds(1, n), numbers[n]))
    expect(client, mbap(holds(1, n), 100 + n))


def test_answers_in_another_order_have_the_numbers_of_their_requests(windowed):
    d, device, client, numbers = windowed  # noqa: F811
    assert list(numbers) == [0, 1, 2, 3] and len(set(numbers.values())) == 4
    assert "and 3 other answers" in exchange_label(d)
    for n in 2, 0:
        gives(device, client, numbers, n)
        numbers |= received(device, 1)
    for n in 5, 4, 3, 1:
        gives(device, client, numbers, n)
    assert (count(d, "requests"), count(d, "answers")) == (6, 6)
    assert (count(d, "foreign"), count(d, "late")) == (0, 0)


def test_each_try_on_a_connection_may_be_answered(daemon, connect, device):  # noqa: F811
    port = free_port()
    d = daemon(proxy(port, device, retries=3, answer_timeout="300ms"), settled=False)
    device.accept()
    client = connect(port)
    client.send(mbap(read(1, 0), 100))
    flush([client])
    numbers = received(device, 1)
    wait_for(lambda: count(d, "retried") > 0)
    gives(device, client, numbers, 0)


def test_an_answer_with_the_number_of_another_request_is_not_taken(windowed):
    d, device, client, numbers = windowed  # noqa: F811
    device.link.sendall(mbap(holds(2, 9), numbers[1]))
    wait_for(lambda: count(d, "foreign") == 1)
    gives(device, client, numbers, 1)


def test_requests_that_are_on_a_connection_go_over_to_the_next_process(windowed):
    d, device, client, numbers = windowed  # noqa: F811
    restart(d)
    for n in 3, 1:
        gives(device, client, numbers, n)
    numbers |= received(device, 2)
    for n in 5, 0, 4, 2:
        gives(device, client, numbers, n)
    assert (count(d, "requests"), count(d, "answers")) == (6, 6)


def test_a_device_that_is_lost_leaves_no_request_without_an_answer(windowed):
    d, device, client, numbers = windowed  # noqa: F811
    device.link.close()
    device.listener.close()
    pump([client], lambda: len(client.received) >= 6 * 9)
    assert bytes(client.received) == b"".join(
        exception(read(1), 0x0a, 100 + n) for n in range(6))
    assert count(d, "exception_0a") == 6


# --- units and functions ------------------------------------------------------

@pytest.fixture
def moved(pty, daemon, connect):
    """Two buses with units of the same addresses, and a client."""
    a, b, port = pty("a"), pty("b"), free_port()
    d = daemon(tcp_server("lan", port, framing="modbus-tcp") +
               serial("a", a, **RTU) + serial("b", b, **RTU) +
               route("first", from_="lan", to="a", exchange="modbus", match_unit="1-9") +
               route("shared", from_="lan", to="b", exchange="modbus",
                     match_unit="101-109", unit_offset=-100, answer_timeout="100ms"))
    return d, a, b, connect(port)


def test_units_with_the_same_address_on_two_buses(moved):
    d, a, b, client = moved
    client.send(mbap(read(5), 1) + mbap(read(105), 2))
    expect(a, read(5), [client])
    expect(b, read(5), [client])
    b.send(holds(5, 22))
    expect(client, mbap(holds(105, 22), 2), [b])
    a.send(holds(5, 11))
    expect(client, mbap(holds(5, 11), 1), [a])


def test_an_exception_has_the_unit_that_the_master_asked(moved):
    d, a, b, client = moved
    client.send(mbap(read(105), 1))
    expect(b, read(5), [client])
    b.send(rtu(5, 0x83, "02"))
    expect(client, exception(read(105), 2, 1), [b])
    client.send(mbap(read(106), 2))
    expect(b, read(6), [client])
    expect(client, exception(read(106), 0x0b, 2), [b])
    assert "unit 106 (6 on b) did not answer lan#1" in d.stderr()


def test_the_control_port_addresses_the_units_of_the_bus(moved):
    d, a, b, client = moved
    d.control("send b " + "".join(f"\\x{byte:02x}" for byte in read(5)))
    expect(b, read(5))


@pytest.fixture
def panel(pty, daemon):
    """A panel that may only read, and a controller, on one bus."""
    m1, m2, bus = pty("m1"), pty("m2"), pty("bus")
    text = (serial("m1", m1, **RTU) + serial("m2", m2, **RTU) + serial("bus", bus, **RTU) +
            route("panel", from_="m1", to="bus", exchange="modbus", functions="read",
                  answer_timeout="20s") +
            route("shared", from_="m2", to="bus", exchange="modbus"))
    d = daemon(text)
    d.sections = text
    return d, m1, m2, bus


def test_a_master_that_may_only_read_beside_one_that_may_write(panel):
    d, m1, m2, bus = panel
    m1.send(WRITE)
    expect(m1, rtu(1, 0x86, "01"), [bus])
    m2.send(WRITE)
    expect(bus, WRITE, [m2])
    m1.send(read(1))
    bus.send(WRITE)
    expect(m2, WRITE, [bus])
    expect(bus, read(1), [m1])
    bus.send(holds(1, 7))
    expect(m1, holds(1, 7), [bus])
    for name, requests, refused in ("panel", 1, 1), ("shared", 1, 0):
        values = [d.number(f"routes/{name}/{value}")
                  for value in ("requests", "answers", "refused", "exception_01")]
        assert values == [requests, requests, refused, refused]


def test_a_change_of_one_route_to_a_bus_leaves_the_other_alone(panel):
    d, m1, m2, bus = panel
    m2.send(read(1))
    expect(bus, read(1), [m2])
    m1.send(read(2))
    wait_for(lambda: d.queued("bus") == 1)
    d.reload(d.sections.replace("functions = read", "functions = all"))
    # That of the panel was dropped, that of the controller was not.
    assert d.dropped("bus", "closed") == 1
    bus.send(holds(1, 7))
    expect(m2, holds(1, 7), [bus])
    m1.send(WRITE)
    expect(bus, WRITE, [m1])
    bus.send(WRITE)
    expect(m1, WRITE, [bus])


def test_only_the_functions_that_are_named_are_permitted(gateway):  # noqa: F811
    d, bus, join = gateway(match_function="1-4")
    client = join()
    client.send(mbap(WRITE, 5))
    expect(client, exception(WRITE, 1, 5))
    client.send(mbap(read(1), 6))
    expect(bus, read(1), [client])
    bus.send(holds(1, 7))
    expect(client, mbap(holds(1, 7), 6), [bus])
    assert (count(d, "refused"), count(d, "exception_01")) == (1, 1)


def test_a_refused_request_does_not_wait_for_a_late_answer(gateway):  # noqa: F811
    d, bus, join = gateway(match_function="3", answer_timeout="50ms", late_guard="1h")
    client = join()
    client.send(mbap(read(1), 1))
    expect(bus, read(1), [client])
    expect(client, exception(read(1), 0x0b, 1))
    client.send(mbap(WRITE, 2))
    expect(client, exception(WRITE, 1, 2))


# --- turns and times ----------------------------------------------------------

@pytest.fixture
def urgent(pty, daemon, connect):
    """Clients, and a controller whose requests are served first, on a bus."""
    plc, bus, port = pty("plc"), pty("bus"), free_port()

    def start(priority):
        d = daemon(tcp_server("lan", port, framing="modbus-tcp") +
                   serial("plc", plc, **RTU) + serial("bus", bus, **RTU) +
                   route("shared", from_="lan plc", to="bus", exchange="modbus",
                         answer_timeout="20s", priority=priority))
        return d, plc, bus, lambda: connect(port)
    return start


def test_a_master_with_priority_is_served_first(urgent):
    d, plc, bus, join = urgent("plc")
    one, two = join(), join()
    one.send(mbap(read(1, 1), 1))
    expect(bus, read(1, 1), [one])
    two.send(mbap(read(1, 2), 2))
    queued(d, 1)
    plc.send(read(1, 3))
    queued(d, 2)
    bus.send(holds(1, 1))
    expect(bus, read(1, 3), [one, two, plc])
    bus.send(holds(1, 3))
    expect(plc, holds(1, 3), [bus])
    expect(bus, read(1, 2), [two])


def test_a_master_with_priority_does_not_keep_another_one_waiting(urgent):
    d, plc, bus, join = urgent("lan")
    client = join()
    client.send(mbap(read(1, 0), 0))
    expect(bus, read(1, 0), [client])
    plc.send(read(2, 99))
    queued(d, 1)
    client.send(b"".join(mbap(read(1, n), n) for n in range(1, 20)))
    queued(d, 20)
    bus.send(holds(1, 0))
    for n in range(1, 9):
        expect(bus, read(1, n), [client])
        bus.send(holds(1, n))
    expect(bus, read(2, 99), [client])
    bus.send(holds(2, 99))
    expect(plc, holds(2, 99), [bus, client])
    expect(bus, read(1, 9), [client])


def test_a_request_that_has_waited_too_long_is_not_sent(gateway):  # noqa: F811
    d, bus, join = gateway(answer_timeout="1h", request_timeout="100ms")
    client = join()
    client.send(mbap(read(1), 1) + mbap(read(2), 2))
    expect(bus, read(1), [client])
    expect(client, exception(read(2), 0x0b, 2))
    assert count(d, "expired") == d.dropped("bus", "expired") == 1
    bus.send(holds(1, 1))
    expect(client, mbap(holds(1, 1), 1), [bus])
    client.send(mbap(read(3), 3))
    expect(bus, read(3), [client])
    assert (count(d, "requests"), count(d, "timeouts")) == (2, 0)


def test_there_is_a_gap_between_an_answer_and_the_next_request(pty, daemon, clock):
    m1, bus = pty("m1"), pty("bus")
    d = daemon(serial("m1", m1, **RTU) + serial("bus", bus, **RTU) +
               route("shared", from_="m1", to="bus", exchange="modbus", min_gap="30s",
                     request_timeout="1h"), env=clock.env)
    m1.send(read(1))
    expect(bus, read(1), [m1])
    bus.send(holds(1, 1))
    expect(m1, holds(1, 1), [bus])
    m1.send(read(2))
    wait_for(lambda: exchange_label(d) ==
             "the silence before the next request (1 request more)")
    clock.move(d, 29)
    assert d.queued("bus") == 1
    clock.move(d, 2)
    expect(bus, read(2), [m1])


def test_a_request_that_is_not_answered_is_sent_again(gateway):  # noqa: F811
    d, bus, join = gateway(answer_timeout="100ms", retries=2)
    client = join()
    client.send(mbap(read(1), 1))
    expect(bus, 3 * read(1), [client])
    expect(client, exception(read(1), 0x0b, 1))
    assert [count(d, name) for name in ("requests", "retried", "timeouts", "answers")] == \
        [1, 2, 1, 0]
    client.send(mbap(read(2), 2))
    expect(bus, 2 * read(2), [client])
    bus.send(holds(2, 2))
    expect(client, mbap(holds(2, 2), 2), [bus])
    assert (count(d, "answers"), count(d, "requests")) == (1, 2)


# --- any protocol ---------------------------------------------------------------

LINE = dict(framing="line")


@pytest.fixture
def instrument(pty, daemon):
    """Two programs that share an instrument, whose events both receive."""
    a, b, bus = pty("a"), pty("b"), pty("bus")

    def start(**keys):
        keys = {"answer_timeout": "20s"} | keys
        text = ("".join(serial(p.name, p, **LINE) for p in (a, b, bus)) +
                route("shared", from_="a b", to="bus", exchange="any", **keys) +
                route("events", from_="bus", to="a b"))
        d = daemon(text)
        d.sections = text
        return d, a, b, bus
    return start


def test_each_program_gets_the_answer_to_its_own_request(instrument):
    d, a, b, bus = instrument()
    a.send(b"FREQ?\n")
    expect(bus, b"FREQ?\n", [a])
    b.send(b"MODE?\n")
    queued(d, 1)
    bus.send(b"7074000\n")
    expect(a, b"7074000\n", [bus])
    expect(bus, b"MODE?\n", [b])
    bus.send(b"USB\n")
    expect(b, b"USB\n", [bus])
    # What comes now answers nothing.
    bus.send(b"EVENT\n")
    expect(a, b"EVENT\n", [bus])
    expect(b, b"EVENT\n", [bus])
    assert [count(d, name) for name in ("requests", "answers", "foreign")] == [2, 2, 1]


@pytest.mark.parametrize("keys", [dict(answer_match="^[0-9]"), dict(answer_match_hex="37")],
                         ids=["expression", "hexadecimal"])
def test_what_an_instrument_sends_unasked_is_no_answer(instrument, keys):
    d, a, b, bus = instrument(**keys)
    a.send(b"FREQ?\n")
    expect(bus, b"FREQ?\n", [a])
    bus.send(b"EVENT\n7074000\n")
    expect(a, b"EVENT\n7074000\n", [bus])
    expect(b, b"EVENT\n", [bus])
    a.send(b"MODE?\n")
    expect(bus, b"MODE?\n", [a])
    assert not b.received


def half_answered(d, a, b, bus):
    """The first of two frames has come; the other master waits."""
    a.send(b"ID?\n")
    expect(bus, b"ID?\n", [a])
    b.send(b"MODE?\n")
    queued(d, 1)
    bus.send(b"RADIO\n")
    expect(a, b"RADIO\n", [bus])


def rest_answered(a, b, bus):
    bus.send(b"SERIAL 7\n")
    expect(a, b"SERIAL 7\n", [bus])
    expect(bus, b"MODE?\n", [b])
    bus.send(b"USB\nOK\n")
    expect(b, b"USB\nOK\n", [bus])
    assert not a.received


def test_an_answer_of_several_frames(instrument):
    d, a, b, bus = instrument(answer_frames=2)
    half_answered(d, a, b, bus)
    assert d.queued("bus") == 1
    rest_answered(a, b, bus)
    assert count(d, "answers") == 2


def test_a_command_that_is_not_answered_holds_up_nothing(instrument):
    d, a, b, bus = instrument(no_answer="^SET ")
    a.send(b"SET 1\nFREQ?\n")
    expect(bus, b"SET 1\nFREQ?\n", [a])
    bus.send(b"1\n")
    expect(a, b"1\n", [bus])
    assert [count(d, name) for name in ("requests", "answers", "timeouts")] == [2, 1, 0]


def test_a_late_answer_of_an_instrument_is_for_nobody(instrument):
    d, a, b, bus = instrument(answer_timeout="100ms", late_guard="1h",
                              answer_match="^[0-9]", request_timeout="1h")
    a.send(b"FREQ?\n")
    expect(bus, b"FREQ?\n", [a])
    wait_for(lambda: count(d, "timeouts") == 1)
    b.send(b"MODE?\n")
    wait_for(lambda: exchange_label(d) ==
             "a late answer, before bus is asked again (1 request more)")
    bus.send(b"7074000\nEVENT\n")
    expect(a, b"EVENT\n", [bus])
    expect(b, b"EVENT\n", [bus])
    assert (count(d, "late"), count(d, "foreign")) == (1, 1)


def test_an_answer_of_an_instrument_after_a_restart(instrument):
    d, a, b, bus = instrument(answer_frames=2)
    half_answered(d, a, b, bus)
    restart(d, [a, b, bus])
    rest_answered(a, b, bus)


# --- what is counted -------------------------------------------------------------

def test_what_became_of_requests_is_counted(gateway):  # noqa: F811
    d, bus, join = gateway(answer_timeout="100ms", match_function="3")
    client = join()
    for number, (request, answer, code) in enumerate([
            (read(1), rtu(1, 0x83, "02"), 2), (read(2), rtu(2, 0x83, "80"), 0x80),
            (read(3), None, 0x0b)]):
        client.send(mbap(request, number))
        expect(bus, request, [client])
        if answer is not None:
            bus.send(answer)
        expect(client, exception(request, code, number), [bus])
    client.send(mbap(WRITE, 4))
    expect(client, exception(WRITE, 1, 4))
    values = {name: count(d, name) for name in (
        "requests", "answers", "timeouts", "refused", "exceptions", "exception_01",
        "exception_02", "exception_03", "exception_0b")}
    assert values == dict(requests=3, answers=2, timeouts=1, refused=1, exceptions=4,
                          exception_01=1, exception_02=1, exception_03=0, exception_0b=1)
    assert float(d.get("routes/shared/utilisation")) > 0
    assert d.json("get routes/shared/exception_02") == 1
    assert d.json("get routes/shared/utilisation") > 0


# --- what the daemon itself says ------------------------------------------------

def logged(d, pattern):
    wait_for(lambda: re.search(pattern, d.stderr()), what=pattern)


@pytest.fixture
def two_routes(pty, daemon, connect):
    """A bus with two routes; the client is a master of the second one."""
    bus, plc, port = pty("bus"), pty("plc"), free_port()
    d = daemon(tcp_server("lan", port, framing="modbus-tcp") +
               serial("bus", bus, **RTU) + serial("plc", plc, **RTU) +
               route("shared", from_="plc", to="bus", exchange="modbus",
                     answer_timeout="100ms", retries=1) +
               route("panel", from_="lan", to="bus", exchange="modbus", functions="read",
                     match_unit="101-109", unit_offset=-100) +
               "[daemon]\nlog_level = debug\n")
    return d, bus, plc, connect(port)


def test_a_unit_that_no_route_takes_is_counted_for_its_master(two_routes):
    d, bus, plc, client = two_routes
    client.send(mbap(read(30), 1))
    expect(client, exception(read(30), 0x0a, 1))
    assert (d.number("routes/panel/exception_0a"), count(d, "exception_0a")) == (1, 0)


def test_a_unit_with_an_offset_is_named_with_both_numbers(two_routes):
    d, bus, plc, client = two_routes
    client.send(mbap(read(107), 1))
    expect(bus, read(7), [client])
    assert "unit 107 (7 on bus)'s answer to lan#1" in exchange_label(d)
    expect(bus, read(7), [client])
    expect(client, exception(read(107), 0x0b, 1), [bus])
    logged(d, r"unit 107 \(7 on bus\) did not answer lan#1 \(function 3\)")


def test_refusals_are_in_the_log_at_level_debug(two_routes):
    d, bus, plc, client = two_routes
    client.send(mbap(read(30), 1) + mbap(WRITE_101, 2))
    expect(client, exception(read(30), 0x0a, 1) + exception(WRITE_101, 0x01, 2))
    logged(d, r"panel: exception 0a is given to lan#1 \(unit 30, function 3\)")
    logged(d, r"panel: exception 01 is given to lan#1 \(unit 101, function 6\)")
    bus.unplug()
    d.wait_state("bus", "lost")
    plc.send(read(1))
    logged(d, r"shared: a request of plc is dropped: down")


def test_a_watch_shows_what_the_daemon_does_with_requests(two_routes):
    d, bus, plc, client = two_routes
    s = d.session()
    s.send(b"watch lan\n")
    other = d.session()
    other.send(b"json watch bus\n")
    wait_for(lambda: sum("to end its watch" in row["label"] for row in d.tasks().values()) == 2)
    client.send(mbap(read(102), 2))
    expect(bus, read(2) * 2, [client])
    expect(client, exception(read(102), 0x0b, 2), [bus])
    bus.unplug()
    d.wait_state("bus", "lost")
    client.send(mbap(read(103), 3))
    expect(client, exception(read(103), 0x0a, 3))
    pump([s, other], lambda: b"0a by" in s.received and b"0a by" in other.received)
    shown = [line.decode().split(maxsplit=3) for line in s.lines()]
    assert [(f, t, rest.partition("  [")[2]) for _, f, t, rest in shown] == [
        ("lan#1", "bus", "queued for bus]"), ("lan#1", "bus", "request sent again]"),
        ("bus", "lan#1", "exception 0b by the daemon]"),
        ("lan#1", "bus", "queued for bus]"), ("lan#1", "bus", "request dropped: down]"),
        ("bus", "lan#1", "exception 0a by the daemon]")]
    notes = [json.loads(line).get("note") for line in other.lines()]
    assert notes == [None, "request sent again", "exception 0b by the daemon",
                     None, "request dropped: down", "exception 0a by the daemon"]


def test_a_watch_shows_the_peer_that_gets_an_answer(gateway):  # noqa: F811
    d, bus, join = gateway(answer_timeout="20s")
    client = join()
    s = d.session()
    s.send(b"watch lan\n")
    wait_for(lambda: any("to end its watch" in row["label"] for row in d.tasks().values()))
    client.send(mbap(read(1), 1))
    expect(bus, read(1), [client])
    bus.send(holds(1, 7))
    expect(client, mbap(holds(1, 7), 1), [bus])
    pump([s], lambda: len(s.lines()) == 2)
    assert [line.split()[1:3] for line in s.lines()] == [[b"lan#1", b"bus"], [b"bus", b"lan#1"]]


def test_a_bus_that_returns_the_requests_is_hinted_at_once(gateway):  # noqa: F811
    d, bus, join = gateway(answer_timeout="10s")
    client = join()
    for n in range(2):
        client.send(mbap(read(1, n), n))
        expect(bus, read(1, n), [client])
        bus.send(read(1, n))
        wait_for(lambda: count(d, "foreign") == n + 1)
        bus.send(holds(1, n))
        expect(client, mbap(holds(1, n), n), [bus])
    assert len(re.findall(r"set echo = yes", d.stderr())) == 1
    assert re.search(r"bus: a request came back as it was sent; if the adapter receives what it sends, "
                     r"set echo = yes in \[serial bus\]", d.stderr())


def test_programs_of_an_instrument_that_returns_requests_are_hinted_too(instrument):
    d, a, b, bus = instrument()
    a.send(b"*IDN?\n")
    expect(bus, b"*IDN?\n", [a])
    bus.send(b"*IDN?\n")
    logged(d, r"set echo = yes in \[serial bus\]")


# --- what the control port says ---------------------------------------------------

def test_keys_of_a_route_can_be_read_and_not_set(gateway):  # noqa: F811
    d, bus, join = gateway(window=1, match_unit="1-9,12")
    assert (d.get("routes/shared/answer_timeout"), d.get("routes/shared/match_unit"),
            d.get("routes/shared/exchange"), d.get("routes/shared/functions"),
            d.get("routes/shared/min_gap")) == ("5s", "1-9,12", "modbus", "all", "")
    assert "routes/shared/from = lan" in d.control("list routes/shared")
    refused(d, "set routes/shared/window 2", "'routes/shared/window' cannot be changed while "
            "the daemon runs: change it in the file, and reload")


def test_a_request_without_its_checksum_is_shown_with_it(gateway):  # noqa: F811
    d, bus, join = gateway()
    for content in r"\x01\x03\x00\x00\x00\x01", r"\x01\x03\x00\x00\x00\x01\xff\xff":
        for command in "ask", "send":
            error = refused(d, f"{command} bus {content}", "checksum or header, which is missing "
                            "or wrong; with it the message is ")
            text = re.search(r"the message is (.*)", error)[1]
            d.control(f"send bus {text}")
            expect(bus, read(1))
            bus.send(holds(1, 1))
    refused(d, "ask bus xyz", "missing or wrong")


def test_what_is_not_answered_is_not_asked(instrument):
    d, a, b, bus = instrument(no_answer="^SET")
    refused(d, "ask bus SET 1", "matches no_answer of [route shared]", "use send")


def test_a_broadcast_is_not_asked(gateway):  # noqa: F811
    d, bus, join = gateway()
    text = "".join(f"\\x{byte:02x}" for byte in rtu(0, 6, "00010002"))
    refused(d, f"ask bus {text}", "unit 0 is the broadcast unit on bus", "use send")
    d.control(f"send bus {text}")
    expect(bus, rtu(0, 6, "00010002"))
