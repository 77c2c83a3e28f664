"""Modbus TCP: its header, and what passes between it and the serial framings."""
import pytest

from harness import (expect, flush, free_port, route, section, serial, tcp_server,
                     wait_for)
from test_cli import run
from test_modbus import holds, read, rtu


def mbap(message, transaction=0):
    """A message of modbus_rtu, in Modbus TCP."""
    body = message[:-2]
    return transaction.to_bytes(2, "big") + b"\0\0" + len(body).to_bytes(2, "big") + body


def ascii_of(message):
    body = message[:-2]
    return b":%s\r\n" % (body + bytes([-sum(body) % 256])).hex().upper().encode()


INNER = dict(payload="inner")
RTU = dict(framing="modbus-rtu", baud=115200)
TCP = dict(framing="modbus-tcp")
# The second one looks like a header of Modbus TCP, with its CRC.
REQUESTS = [read(1, 0, 10), read(17, 0, 2), read(3, 107, 3), rtu(4, 7, ""),
            rtu(9, 16, "0000 007b f6" + "1234" * 123)]
ANSWERS = [holds(1, *range(10)), holds(17, 1, 2), holds(3, 0, 0, 6), rtu(4, 7, "6d"),
           rtu(5, 0x83, "02")]


@pytest.fixture
def gateway(pty, daemon, connect):
    """A client at a server of Modbus TCP, and the serial line behind it."""
    def start(line=RTU, server=TCP, more="", payload="inner"):
        bus, port = pty("bus"), free_port()
        d = daemon(tcp_server("lan", port, payload=payload, **server) +
                   serial("bus", bus, payload=payload, **line) + more)
        client = connect(port)
        wait_for(lambda: len(d.json("peers")) == 1)
        return d, client, bus
    return start


# --- to a serial line and back -----------------------------------------------

def test_requests_and_answers_are_translated_to_rtu(gateway):
    d, client, bus = gateway()
    for n, (request, answer) in enumerate(zip(REQUESTS, ANSWERS), 1):
        client.send(mbap(request, 256 * n + 1))
        expect(bus, request, [client])
        bus.send(answer)
        expect(client, mbap(answer), [bus])
    assert d.number("lan/errors") == d.number("bus/errors") == 0
    assert d.number("bus/dropped_unencodable") == d.number("lan/dropped_unencodable") == 0


def test_requests_and_answers_are_translated_to_ascii(gateway):
    d, client, bus = gateway(dict(framing="modbus-ascii", baud=115200))
    for request, answer in zip(REQUESTS, ANSWERS):
        client.send(mbap(request, 7))
        expect(bus, ascii_of(request), [client])
        bus.send(ascii_of(answer))
        expect(client, mbap(answer), [bus])


def test_several_in_one_piece_are_each_translated(gateway):
    d, client, bus = gateway()
    client.send(b"".join(mbap(r, n) for n, r in enumerate(REQUESTS)))
    expect(bus, b"".join(REQUESTS), [client])
    assert d.number("lan/rx_frames") == len(REQUESTS)


def test_one_in_many_pieces_is_translated_once(gateway):
    d, client, bus = gateway()
    data = mbap(REQUESTS[0], 1) + mbap(REQUESTS[2], 2)
    for n, byte in enumerate(data, 1):
        client.send(bytes([byte]))
        flush([client])
        d.wait_number("lan/rx_bytes", n)
    expect(bus, REQUESTS[0] + REQUESTS[2], [client])
    assert d.number("lan/rx_frames") == 2


@pytest.mark.parametrize("payload", ("whole", "inner"))
def test_between_two_of_them_bytes_are_the_same(gateway, payload):
    _, client, bus = gateway(TCP | dict(baud=115200), payload=payload)
    for source, to, messages in ((client, bus, REQUESTS), (bus, client, ANSWERS)):
        data = b"".join(mbap(m, 1000 * n) for n, m in enumerate(messages))
        source.send(data)
        expect(to, data, [source])


def test_a_whole_message_of_the_other_framing_is_not_sent(gateway):
    d, client, bus = gateway(payload="whole")
    client.send(mbap(REQUESTS[0], 1))
    d.wait_number("bus/dropped_unencodable", 1)
    bus.send(REQUESTS[0])
    d.wait_number("lan/dropped_unencodable", 1)
    assert not bus.received and not client.received


# --- what is no message ------------------------------------------------------

@pytest.mark.parametrize("bad", (
    b"\0\1\0\1" + mbap(REQUESTS[0])[4:],
    b"\0\1\0\0\0\1\1",
    b"\0\1\0\0\0\0",
    b"\0\1\0\0\0\xff" + bytes(range(255)),
    b"\0\1\0\0\1\3",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\xff" * 1000,
), ids=("protocol", "length 1", "length 0", "length 255", "length 259", "text", "noise"))
def test_after_what_is_malformed_the_next_message_comes_through(gateway, bad):
    d, client, bus = gateway()
    client.send(bad + mbap(REQUESTS[0], 2) + mbap(REQUESTS[2], 3))
    expect(bus, REQUESTS[0] + REQUESTS[2], [client])
    assert d.bad("lan", "malformed") == 1
    assert d.number("lan/bad_malformed_bytes") == len(bad)
    client.send(mbap(REQUESTS[3], 4))
    expect(bus, REQUESTS[3], [client])


def test_a_request_that_looks_like_a_header_does_not_hide_the_others(gateway):
    """Each of these has what seems to be a header in its middle."""
    d, client, bus = gateway()
    bad = b"\0\1\0\1" + mbap(read(1, 0, 6))[4:]
    client.send(bad + mbap(read(1, 0, 6), 2) * 20)
    expect(bus, read(1, 0, 6) * 20, [client])
    assert d.number("lan/bad_malformed_bytes") == len(bad)


def test_one_that_stops_in_its_middle_is_dropped(gateway):
    d, client, bus = gateway(server=TCP | dict(frame_timeout="50ms"))
    client.send(mbap(REQUESTS[0], 1)[:-1])
    d.wait_number("lan/bad_timeout", 1)
    client.send(mbap(REQUESTS[2], 2))
    expect(bus, REQUESTS[2], [client])


# --- filters and the configuration --------------------------------------------

@pytest.mark.parametrize("payload", ("whole", "inner"))
def test_match_unit_knows_who_is_asked(pty, daemon, connect, payload):
    few, rest, port = pty("few"), pty("rest"), free_port()
    d = daemon(tcp_server("lan", port, payload=payload, **TCP) +
               "".join(serial(p.name, p, payload=payload, baud=115200, **TCP)
                       for p in (few, rest)) +
               route("few", from_="lan", to="few", match_unit="1,17") +
               route("rest", from_="lan", to="rest", match_unit="0,2-16,18-255"))
    client = connect(port)
    data = [mbap(r, 0x0103 + n) for n, r in enumerate(REQUESTS)]
    client.send(b"".join(data))
    expect(few, data[0] + data[1], [client])
    expect(rest, b"".join(data[2:]), [client])
    assert d.number("routes/few/rejected") == len(data) - 2


def check(directory, text):
    file = directory / "x.conf"
    file.write_text(text)
    done = run("-c", file, "--check")
    return done.returncode, done.stderr


def both(a, b, **keys):
    return (section("serial", "bus", device="/dev/ttyS0", framing="modbus-rtu", payload=a) +
            section("tcp-server", "lan", listen="127.0.0.1:5020", framing="modbus-tcp",
                    payload=b) + "".join(keys.values()))


@pytest.mark.parametrize("routes", (
    "", route("r", between="lan bus"), route("r", from_="lan", to="bus")))
@pytest.mark.parametrize("a, b", (
    ("whole", "whole"), ("whole", "inner"), ("inner", "whole")))
def test_payloads_that_are_not_translated_are_warned_of(directory, a, b, routes):
    code, said = check(directory, both(a, b, routes=routes))
    assert code == 0
    assert ("warning: [tcp-server lan] has framing = modbus-tcp, and 'bus' has framing ="
            " modbus-rtu: their payloads of Modbus messages differ; write exchange = modbus in"
            " a [route] from the masters to the bus, which converts them\n") in said
    assert said.count("warning") == 1


def test_payloads_that_are_translated_are_not(directory):
    code, said = check(directory, both("inner", "inner"))
    assert code == 0 and "payloads of Modbus messages differ" not in said
    # Nothing passes between the two.
    other = section("pty", "p", framing="line")
    assert check(directory, both("whole", "inner", other=other, routes=route(
        "one", from_="bus", to="p") + route("two", from_="lan", to="p"))) == (0, "")


def test_one_framing_with_two_payloads_is_warned_of(directory):
    text = "".join(section("pty", name, framing="modbus-rtu", payload=payload)
                   for name, payload in (("a", "whole"), ("b", "inner")))
    code, said = check(directory, text)
    assert code == 0 and "[pty b] has framing = modbus-rtu, and 'a'" in said
    assert said.endswith("differ; write the same payload in both sections\n")


@pytest.mark.parametrize("word", (
    "modbus/tcp", "modbus_tcp", "modbustcp", "Modbus-TCP", "mbap", "mbtcp"))
def test_other_names_of_it_are_understood(word):
    done = run("--check", f"serial:/dev/ttyS0,framing={word}", "pty:p")
    assert done.returncode != 0
    assert "did you mean 'modbus-tcp'?" in done.stderr
