"""Roles of clients, and the right to write."""
import signal

import pytest

from harness import (ControlError, expect, free_port, pump, route, run, section, serial,
                     tcp_server, wait_for)
from test_handover import restart


def peers(d):
    return {row["name"]: row for row in d.json("peers")}


def start(pty, daemon, clock=None, framing="line", **keys):
    """A device a, and a server for clients on the port."""
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing=framing) +
               tcp_server("lan", port, framing=framing, **keys),
               **({} if clock is None else {"env": clock.env}))
    return d, a, port


def join(d, connect, port):
    """A client that is connected."""
    before = len(peers(d))
    client = connect(port)
    wait_for(lambda: len(peers(d)) == before + 1)
    return client


def heard(client, a, text):
    client.send(text)
    expect(a, text, [client])


def refused(d, client, text, name):
    """What the client sends is discarded, and counted."""
    before = peers(d)[name]["refused"], d.number("lan/refused_bytes")
    client.send(text)
    wait_for(lambda: peers(d)[name]["refused"] == before[0] + len(text))
    assert d.number("lan/refused_bytes") == before[1] + len(text)
    d.bytes_in("lan")


def sentence(text):
    check = 0
    for byte in text.encode():
        check ^= byte
    return b"$%s*%02X\r\n" % (text.encode(), check)


def nothing_came(a):
    pump([a], lambda: True)
    a.turn(1)
    assert not a.received


# --- roles --------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["tcp-server", "unix-server"])
def test_a_client_that_may_only_read(kind, pty, daemon, connect, directory):
    a, port = pty("a"), free_port()
    where = port if kind == "tcp-server" else directory / "lan.sock"
    d = daemon(serial("a", a, framing="line") + section(
        kind, "lan", listen=f"127.0.0.1:{port}" if kind == "tcp-server" else where,
        framing="line", role="read"))
    client = join(d, connect, where)
    refused(d, client, b"hello\n", "lan#1")
    a.send(b"line\n")
    expect(client, b"line\n", [a])
    nothing_came(a)
    peer = peers(d)["lan#1"]
    assert (peer["role"], peer["writes"], peer["lease"]) == ("read", "no", None)
    assert peer["rx_bytes"] == 6 and peer["certificate"] is peer["tls"] is None
    assert d.number("lan/rx_frames") == 0 and d.number("lan/refused_frames") == 1
    assert d.stderr().count("lan#1: sends, and may not write") == 1


def test_a_client_that_may_only_write(pty, daemon, connect):
    d, a, port = start(pty, daemon, role="write", greeting=r"hello\n")
    client = join(d, connect, port)
    a.send(b"line\n")
    heard(client, a, b"hello\n")
    d.wait_number("lan/dropped_nobody", 1)
    assert not client.received and d.number("lan/tx_bytes") == 0
    d.control("set lan/role all")
    a.send(b"line\n")
    expect(client, b"line\n", [a])
    assert peers(d)["lan#1"]["role"] == "all"


def test_a_role_is_changed_while_clients_are_connected(pty, daemon, connect):
    d, a, port = start(pty, daemon, role="read")
    client = join(d, connect, port)
    refused(d, client, b"hello\n", "lan#1")
    d.control("set lan/role all")
    heard(client, a, b"hello\n")


# --- writer -------------------------------------------------------------------

def test_the_first_writer_keeps_the_right_until_it_leaves(pty, daemon, connect):
    d, a, port = start(pty, daemon, writer="first")
    one, two = join(d, connect, port), join(d, connect, port)
    assert {p["writes"] for p in peers(d).values()} == {"free"}
    heard(two, a, b"two\n")
    assert [p["writes"] for p in peers(d).values()] == ["no", "yes"]
    refused(d, one, b"one\n", "lan#1")
    a.send(b"line\n")
    expect(one, b"line\n", [a])
    expect(two, b"line\n")
    two.close()
    wait_for(lambda: len(peers(d)) == 1)
    heard(one, a, b"mine\n")
    assert peers(d)["lan#1"]["writes"] == "yes"


def test_a_client_from_which_no_route_leads(pty, daemon, connect):
    port = free_port()
    d = daemon(serial("a", pty("a"), framing="line") + tcp_server("lan", port, framing="line") +
               route("out", from_="a", to="lan"))
    connect(port)
    wait_for(lambda: [p["writes"] for p in peers(d).values()] == ["no-route"])


def test_the_newest_client_writes(pty, daemon, connect):
    d, a, port = start(pty, daemon, writer="last")
    one = join(d, connect, port)
    heard(one, a, b"one\n")
    two = join(d, connect, port)
    assert [p["writes"] for p in peers(d).values()] == ["no", "yes"]
    refused(d, one, b"stale\n", "lan#1")
    heard(two, a, b"two\n")
    three = join(d, connect, port)
    refused(d, two, b"stale\n", "lan#2")
    # One that sends no more has left, too.
    three.end()
    heard(two, a, b"again\n")
    two.close()
    wait_for(lambda: "lan#2" not in peers(d))
    heard(one, a, b"last\n")


def test_the_log_tells_of_a_client_before_its_right(pty, daemon, connect):
    d, a, port = start(pty, daemon, writer="last")
    join(d, connect, port)
    two = join(d, connect, port)
    two.reset()
    wait_for(lambda: "lan#2" not in peers(d))
    told = [line for line in d.stderr().splitlines() if "lan#" in line]
    assert [what.split(" from ")[0].split(" (")[0] for what in (
        line[line.index("lan#"):] for line in told)] == [
        "lan#1: connected", "lan#1: has the right to write",
        "lan#2: connected", "lan#2: has the right to write",
        "lan#2: disconnected", "lan#1: has the right to write"]


def test_the_log_tells_of_an_adopted_client_before_its_right(pty, daemon, connect):
    d, a, port = start(pty, daemon, writer="first")
    client = join(d, connect, port)
    heard(client, a, b"one\n")
    restart(d)
    log = d.stderr()
    assert log.rindex("lan#1: still connected") < log.rindex("lan#1: has the right to write")
    assert peers(d)["lan#1"]["writes"] == "yes"


def test_a_lease_lasts_until_its_silence(pty, daemon, connect, clock):
    d, a, port = start(pty, daemon, clock, writer="lease", lease_time="60s")
    one, two = join(d, connect, port), join(d, connect, port)
    heard(one, a, b"one\n")
    assert [p["writes"] for p in peers(d).values()] == ["yes", "no"]
    assert 0 < peers(d)["lan#1"]["lease"] <= 60 and peers(d)["lan#2"]["lease"] is None
    clock.move(d, 40)
    heard(one, a, b"one\n")
    clock.move(d, 40)
    refused(d, two, b"two\n", "lan#2")
    clock.move(d, 40)
    assert [p["writes"] for p in peers(d).values()] == ["free", "free"]
    assert peers(d)["lan#1"]["idle"] >= 80 and peers(d)["lan#2"]["idle"] >= 40
    heard(two, a, b"two\n")
    refused(d, one, b"one\n", "lan#1")


def test_the_right_is_handed_over(pty, daemon, connect):
    d, a, port = start(pty, daemon, writer="first")
    one, two = join(d, connect, port), join(d, connect, port)
    heard(two, a, b"two\n")
    one.send(b"one\npart")
    d.wait_number("lan/refused_bytes", 4)
    d.wait_number("lan/rx_held", 4)
    restart(d, [a, one, two])
    assert [p["writes"] for p in peers(d).values()] == ["no", "yes"]
    assert [p["refused"] for p in peers(d).values()] == [4, 0]
    heard(two, a, b"two\n")
    two.close()
    wait_for(lambda: len(peers(d)) == 1)
    # The beginning of this frame was refused.
    one.send(b"ial\nmine\n")
    expect(a, b"mine\n", [one])
    assert d.number("lan/refused_bytes") == 4 + 8
    d.bytes_in("lan")


def test_the_newest_is_known_after_a_restart(pty, daemon, connect):
    d, a, port = start(pty, daemon, writer="last")
    clients = [join(d, connect, port) for _ in range(12)]
    restart(d, [a, *clients])
    writing = {name for name, p in peers(d).items() if p["writes"] == "yes"}
    assert writing == {"lan#12"}
    heard(clients[11], a, b"newest\n")
    clients[11].close()
    wait_for(lambda: len(peers(d)) == 11)
    heard(clients[10], a, b"newest\n")


# --- in the middle of a frame -------------------------------------------------

def test_a_frame_in_whose_middle_the_right_was_lost_is_discarded(pty, daemon, connect):
    d, a, port = start(pty, daemon, writer="last")
    one = join(d, connect, port)
    one.send(b"part")
    d.wait_number("lan/rx_held", 4)
    two = join(d, connect, port)
    heard(two, a, b"two\n")
    one.send(b"ial\nnext\n")
    d.wait_number("lan/refused_bytes", 13)
    assert d.number("lan/refused_frames") == 2
    nothing_came(a)
    # Its next frame begins without the right, and ends with it.
    one.send(b"mid")
    d.wait_number("lan/rx_held", 3)
    two.close()
    wait_for(lambda: len(peers(d)) == 1)
    one.send(b"dle\nwhole\nand more\n")
    expect(a, b"whole\nand more\n", [one])
    assert d.number("lan/refused_frames") == 3
    d.bytes_in("lan")


def test_a_frame_survives_if_nothing_of_it_was_refused(pty, daemon, connect):
    d, a, port = start(pty, daemon, writer="last")
    one = join(d, connect, port)
    one.send(b"part")
    d.wait_number("lan/rx_held", 4)
    two = join(d, connect, port)
    heard(two, a, b"two\n")
    two.close()
    wait_for(lambda: len(peers(d)) == 1)
    one.send(b"ial\n")
    expect(a, b"partial\n", [one])
    assert d.number("lan/refused_frames") == 0


def test_garbage_before_a_frame_does_not_cost_it(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="nmea", writer="last"))
    one = join(d, connect, port)
    two = join(d, connect, port)
    one.send(b"$GPGL")
    d.wait_number("lan/rx_held", 5)
    two.close()
    wait_for(lambda: len(peers(d)) == 1)
    one.send(sentence("GPZDA,1") + sentence("GPTXT,x"))
    d.wait_number("lan/rx_frames", 2)
    assert d.number("lan/refused_frames") == 0
    d.bytes_in("lan")


def test_a_refused_beginning_that_was_dropped_costs_no_other_frame(pty, daemon, connect):
    d, a, port = start(pty, daemon, writer="last", frame_timeout="50ms")
    one, two = join(d, connect, port), join(d, connect, port)
    one.send(b"part")
    wait_for(lambda: d.bad("lan", "timeout") == 1)
    two.close()
    wait_for(lambda: len(peers(d)) == 1)
    heard(one, a, b"whole\n")
    assert d.number("lan/refused_frames") == 0


def test_raw_bytes_are_refused_as_they_come(pty, daemon, connect):
    d, a, port = start(pty, daemon, framing="raw", writer="last")
    one, two = join(d, connect, port), join(d, connect, port)
    refused(d, one, b"stale", "lan#1")
    heard(two, a, b"two")
    two.close()
    wait_for(lambda: len(peers(d)) == 1)
    heard(one, a, b"one")


# --- takeover -----------------------------------------------------------------

def test_a_new_client_replaces_the_most_silent_one(pty, daemon, connect):
    d, a, port = start(pty, daemon, max_clients=3, takeover="yes")
    one, two, three = (join(d, connect, port) for _ in range(3))
    heard(one, a, b"one\n")
    heard(three, a, b"three\n")
    four = connect(port)
    pump([two], lambda: two.eof)
    heard(four, a, b"four\n")
    assert list(peers(d)) == ["lan#1", "lan#3", "lan#4"]
    assert d.number("lan/replaced") == 1 and d.number("lan/refused") == 0
    assert "lan#2: disconnected (replaced by a new client" in d.stderr()
    d.control("set lan/takeover no")
    five = connect(port)
    pump([five], lambda: five.eof)
    assert d.number("lan/refused") == 1


def test_a_client_that_is_lost_leaves_its_place_to_a_new_one(pty, daemon, connect):
    d, a, port = start(pty, daemon, max_clients=2, takeover="yes")
    silent, lost = (join(d, connect, port) for _ in range(2))
    heard(lost, a, b"lost\n")
    # The daemon finds both in one turn of its loop.
    d.signal(signal.SIGSTOP)
    lost.reset()
    new = connect(port)
    d.signal(signal.SIGCONT)
    heard(new, a, b"new\n")
    assert list(peers(d)) == ["lan#1", "lan#3"]
    heard(silent, a, b"silent\n")
    assert d.number("lan/replaced") == 0


def test_a_client_that_sends_no_more_is_not_replaced_first(pty, daemon, connect):
    d, a, port = start(pty, daemon, max_clients=1, takeover="yes", stall_timeout="none")
    one = join(d, connect, port)
    one.reading = False
    while d.number("lan/queued_frames") == 0:
        a.send(b"x" * 999 + b"\n")
        pump([a], lambda: True)
    one.end()
    two = connect(port)
    wait_for(lambda: list(peers(d)) == ["lan#1", "lan#2"])
    three = connect(port)
    pump([two], lambda: two.eof)
    assert list(peers(d)) == ["lan#1", "lan#3"]
    three.close()


def test_thousands_of_quick_connections(pty, daemon, connect):
    d, a, port = start(pty, daemon, max_clients=8, takeover="yes", writer="last")
    descriptors = len(d.descriptors())
    for n in range(0, 3000, 60):
        clients = [connect(port) for _ in range(60)]
        newest = clients.pop()
        newest.send(b"%d\n" % n)
        expect(a, b"%d\n" % n, [newest])
        newest.close()
        for client in clients:
            client.close()
    wait_for(lambda: not peers(d))
    assert len(d.descriptors()) == descriptors
    assert d.number("lan/refused") == 0
    client = join(d, connect, port)
    heard(client, a, b"last\n")


def test_a_stale_client_does_not_block_a_radio(pty, daemon, connect):
    """One that is connected for ever, and a program that is started again and again."""
    d, a, port = start(pty, daemon, framing="raw", max_clients=1, takeover="yes",
                       writer="last")
    stale = join(d, connect, port)
    heard(stale, a, b"stale")
    for n in range(5):
        client = connect(port)
        heard(client, a, b"%d" % n)
        a.send(b"answer")
        expect(client, b"answer", [a])
    pump([stale], lambda: stale.eof)


# --- Modbus -------------------------------------------------------------------

def test_a_master_that_may_not_write_is_told(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("bus", a, framing="modbus-rtu", baud=115200) +
               tcp_server("masters", port, framing="modbus-tcp", role="read") +
               route("r", from_="masters", to="bus", exchange="modbus"))
    master = connect(port)
    master.send(bytes.fromhex("0007 0000 0006 11 03 0000 0001"))
    expect(master, bytes.fromhex("0007 0000 0003 11 83 01"))
    assert d.number("masters/refused_frames") == 1
    assert d.number("routes/r/exception_01") == 1 and not a.received
    d.control("set masters/role all")
    master.send(bytes.fromhex("0008 0000 0006 11 03 0000 0001"))
    pump([a, master], lambda: len(a.received) == 8)
    d.control("set masters/role write")


def test_a_refused_request_is_counted_for_the_first_bus(pty, daemon, connect):
    port = free_port()
    d = daemon("".join(serial(n, pty(n), framing="modbus-rtu") for n in ("one", "two")) +
               tcp_server("masters", port, framing="modbus-tcp", role="read") +
               route("r1", from_="masters", to="one", exchange="modbus") +
               route("r2", from_="masters", to="two", exchange="modbus"))
    master = connect(port)
    master.send(bytes.fromhex("0007 0000 0006 11 03 0000 0001"))
    expect(master, bytes.fromhex("0007 0000 0003 11 83 01"))
    assert d.number("routes/r1/exception_01") == 1
    assert d.number("routes/r2/exception_01") == 0


# --- warnings -----------------------------------------------------------------

@pytest.mark.parametrize("keys, warning", [
    (dict(lease_time="5s"), "'lease_time' has no effect without writer = lease"),
    (dict(lease_time="5s", writer="first"), "'lease_time' has no effect"),
    (dict(role="read", writer="last"), "'writer' has no effect, because no client may"),
    (dict(takeover="yes", writer="first"), "with 'takeover', a client that has the right"),
    (dict(lease_time="5s", writer="lease", takeover="yes"), None)])
def test_what_is_probably_not_meant_is_warned_about(keys, warning, pty, directory):
    file = directory / "x.conf"
    file.write_text(serial("a", pty("a")) + tcp_server("lan", 5011, **keys))
    done = run("-c", file, "--check")
    assert done.returncode == 0
    assert (warning in done.stderr + done.stdout) if warning else not done.stderr
