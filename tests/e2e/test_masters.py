"""
Masters of Modbus with several buses, and many of them that share one, by the load generator
of tests/bench: it compares every answer with the one that the unit gave, and counts what is
lost, comes twice, or is executed out of order.
"""
import json
import subprocess
import time

import pytest

from harness import (PATIENCE, ROOT, end_with_us, expect, free_port, route, serial,
                     tcp_server, wait_for)
from test_modbus import RTU, cable, holds, read, server  # noqa: F401

GENERATOR = ROOT / "build/bench/masters"
FAULTS = "bad", "lost", "doubled", "disordered", "stale"
BUS = dict(framing="modbus-rtu", baud=4000000, idle="100us")
# Longer than the generator waits for an answer, so that a loaded machine loses none.
UNHURRIED = dict(answer_timeout="60s")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The client of libmodbus."""
    binary = tmp_path_factory.mktemp("modbus") / "modbus_client"
    subprocess.run(["cc", "-O1", "-Wall", "-I/usr/include/modbus", "-o", binary,
                    ROOT / "tests/e2e/modbus_client.c", "-lmodbus"], check=True)
    return binary


@pytest.fixture
def masters(directory, daemon):
    """Runs the generator with so many masters of each kind; its counts."""
    made = []

    def sections(tcp, rtu, ascii, port, bus, keys):
        ptys = ([(f"R{i}", "modbus-rtu") for i in range(rtu)] +
                [(f"A{i}", "modbus-ascii") for i in range(ascii)])
        return ("".join(serial(name, directory / name, framing=framing, baud=115200)
                        for name, framing in ptys) +
                tcp_server("lan", port, framing="modbus-tcp", max_clients=64) +
                serial("bus", directory / "B0", **bus) +
                route("shared", from_=" ".join(["lan"] + [name for name, _ in ptys]),
                      to="bus", exchange="modbus", **keys))

    def run(*options, tcp=0, rtu=0, ascii=0, requests=0, bus=BUS, **keys):
        port = free_port()
        numbers = dict(tcp=tcp, rtu=rtu, ascii=ascii, requests=requests, port=port,
                       timeout=20000, ready=int(PATIENCE))
        words = [word for key, value in numbers.items() for word in (f"--{key}", value)]
        made.append(subprocess.Popen(
            list(map(str, [GENERATOR, "--dir", directory, *words, *options])),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=end_with_us))
        daemon(sections(tcp, rtu, ascii, port, bus, keys))
        out, said = made[-1].communicate(timeout=10 * PATIENCE)
        assert out, said
        return dict(json.loads(out), said=said)
    yield run
    for process in made:
        process.kill()
        process.communicate()


def test_every_answer_goes_to_the_master_that_asked(masters):
    got = masters("--window", 8, tcp=6, rtu=4, ascii=2, requests=5000, **UNHURRIED)
    assert [got[fault] for fault in FAULTS] == [0] * 5, got["said"]
    assert got["answers"] == 5000
    assert 0 < got["exceptions"] < 500


def test_damaged_answers_are_not_forwarded(masters):
    got = masters("--flip", 100, "--window", 8, tcp=4, requests=400,
                  answer_timeout="50ms")
    assert [got[fault] for fault in FAULTS if fault != "lost"] == [0] * 4, got["said"]
    # A loaded machine may take longer than answer_timeout for one that is not damaged.
    assert got["answers"] + got["refused"] + got["lost"] == 400
    assert got["refused"] > 0


def test_answers_in_pieces_are_forwarded_whole(masters):
    got = masters("--pause", 16, tcp=2, rtu=2, requests=20,
                  bus=BUS | dict(idle="250ms"), **UNHURRIED)
    assert [got[fault] for fault in FAULTS] == [0] * 5, got["said"]
    assert got["answers"] == 20


def test_libmodbus_at_both_ends(pty, cable, server, client, daemon):
    bus, slave, port = pty("bus"), pty("slave"), free_port()
    daemon(tcp_server("lan", port, framing="modbus-tcp") +
           serial("bus", bus, framing="modbus-rtu", baud=115200) +
           route("shared", from_="lan", to="bus", exchange="modbus", answer_timeout="10s"))
    cable(bus, slave)
    server(slave, 7)
    done = subprocess.run([client, str(port), "7", "30"], timeout=10 * PATIENCE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    kinds = "1 2 3 4 5 6 15 16 23 address".split()
    assert done.stdout.split("\n")[:-1] == \
        [f"{kind} 30 0 0" for kind in kinds] + ["function 1 0 0"], done.stderr


def test_a_master_that_asks_another_bus_has_given_up(pty, daemon):
    m, a, b = pty("m"), pty("a"), pty("b")
    keys = dict(from_="m", exchange="modbus", answer_timeout="20s")
    d = daemon(serial("m", m, **RTU) + serial("a", a, **RTU) + serial("b", b, **RTU) +
               route("one", to="a", match_unit="1", **keys) +
               route("two", to="b", match_unit="2", **keys))
    m.send(read(1))
    expect(a, read(1), [m])
    # Requests that come together are all to be answered.
    start = time.monotonic()
    wait_for(lambda: time.monotonic() - start > 0.1)
    m.send(read(2))
    expect(b, read(2), [m])
    a.send(holds(1, 11))
    d.wait_number("a/rx_frames", 1)
    b.send(holds(2, 22))
    expect(m, holds(2, 22), [a, b])
