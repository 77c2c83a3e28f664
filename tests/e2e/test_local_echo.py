"""Two-wire adapters, which receive what they send (echo = yes)."""
from harness import expect, serial, wait_for
from test_handover import restart
from test_modbus import count, holds, read, rtu
from test_gateway import RTU, exception, gateway  # noqa: F401
from test_modbus_tcp import mbap

ECHO = dict(RTU, echo="yes")


def write_one(unit, register, value):
    return rtu(unit, 6, f"{register:04x}{value:04x}")


def test_the_echo_is_not_the_answer(gateway):
    """The answer to function 6 repeats the request: without the key the echo is taken."""
    d, bus, join = gateway(ECHO)
    client = join()
    request = write_one(3, 1, 7)
    client.send(mbap(request, 1))
    expect(bus, request, [client])
    bus.send(request)                       # the echo
    d.wait_number("bus/echo_bytes", len(request))
    assert count(d, "answers") == 0 and not client.received
    bus.send(request)                       # the answer
    expect(client, mbap(request, 1), [bus])
    assert (d.get("bus/collisions"), d.get("bus/rx_frames")) == ("0", "1")


def test_the_answer_may_come_at_once(gateway):
    d, bus, join = gateway(ECHO)
    client = join()
    for n in range(20):
        client.send(mbap(read(3, n), n))
        expect(bus, read(3, n), [client])
        bus.send(read(3, n) + holds(3, n))
        expect(client, mbap(holds(3, n), n), [bus])
    assert (d.get("bus/collisions"), d.get("bus/rx_frames")) == ("0", "20")


def test_a_wrong_echo_is_a_collision(gateway):
    d, bus, join = gateway(ECHO, retries=1, answer_timeout="300ms")
    client = join()
    client.send(mbap(read(3), 1))
    expect(bus, read(3), [client])
    bus.send(b"\x03\x03\xff")
    d.wait_number("bus/collisions", 1)
    # It is sent again.
    expect(bus, read(3), [client])
    bus.send(read(3) + holds(3, 5))
    expect(client, mbap(holds(3, 5), 1), [bus])
    assert count(d, "retried") == 1


def test_stray_bytes_do_not_hide_the_echo(gateway):
    """As a line yields them when its direction changes."""
    d, bus, join = gateway(ECHO)
    client = join()
    request = write_one(3, 1, 7)
    client.send(mbap(request, 1))
    expect(bus, request, [client])
    bus.send(b"\xff\x00" + request)
    d.wait_number("bus/echo_bytes", len(request) + 2)
    assert count(d, "answers") == 0 and not client.received
    bus.send(request)
    expect(client, mbap(request, 1), [bus])


def test_after_a_collision_an_echo_does_not_confirm_a_write(gateway):
    d, bus, join = gateway(ECHO, answer_timeout="500ms")
    client = join()
    request = write_one(3, 1, 7)
    client.send(mbap(request, 1))
    expect(bus, request, [client])
    bus.send(b"\x7f" + request)
    d.wait_number("bus/collisions", 1)
    expect(client, exception(request, 0x0b, 1), [bus])
    assert count(d, "answers") == 0


def test_a_lost_echo_is_not_expected_after_the_timeout(gateway):
    d, bus, join = gateway(ECHO, answer_timeout="200ms", late_guard="1ms")
    client = join()
    request = write_one(3, 1, 7)
    client.send(mbap(request, 1))
    expect(bus, request, [client])
    expect(client, exception(request, 0x0b, 1), [bus])
    client.send(mbap(request, 2))
    expect(bus, request, [client])
    bus.send(request + request)
    expect(client, mbap(request, 2), [bus])


def test_an_adapter_without_echo_is_served_all_the_same(gateway):
    d, bus, join = gateway(ECHO)
    client = join()
    client.send(mbap(read(3), 1))
    expect(bus, read(3), [client])
    bus.send(holds(3, 5))
    expect(client, mbap(holds(3, 5), 1), [bus])
    assert d.get("bus/collisions") == "1"


def test_the_echo_is_expected_by_the_next_process(gateway):
    d, bus, join = gateway(ECHO)
    client = join()
    request = write_one(3, 1, 7)
    client.send(mbap(request, 1))
    expect(bus, request, [client])
    bus.send(request[:3])
    d.wait_number("bus/echo_bytes", 3)
    restart(d)
    bus.send(request[3:])
    d.wait_number("bus/echo_bytes", len(request))
    bus.send(request)
    expect(client, mbap(request, 1), [bus])
    assert count(d, "answers") == 1


def test_a_bridge_without_an_exchange_has_it_too(daemon, pty):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", echo="yes"))
    a.send(b"hello\n")
    expect(b, b"hello\n", [a])
    b.send(b"hello\nanswer\n")
    expect(a, b"answer\n", [b])
    assert d.get("b/echo_bytes") == "6"



def test_a_collision_is_in_the_log(gateway):
    d, bus, join = gateway(ECHO)
    client = join()
    client.send(mbap(read(3), 1))
    expect(bus, read(3), [client])
    bus.send(b"\x03\x03\xff")
    wait_for(lambda: "bus: a collision: what was received is not what was sent" in d.stderr())
