"""How sources are held back by what is slow, and what is read of them meanwhile."""
import pytest

from harness import (expect, flush, move, route, section, serial, wait_for)

MAX_FRAME = 4096
ONE_READ = 4096


def server(name, folder, **keys):
    return section("unix-server", name, listen=folder / f"{name}.sock", **keys)


@pytest.mark.parametrize("size", [1, 30, 900])
@pytest.mark.parametrize("framing", ["line", "idle"])
def test_a_source_with_a_backlog_is_not_read_on(
        folder, pty, daemon, connect, framing, size):
    b = pty("b")
    d = daemon(server("a", folder, framing="line") +
               serial("b", b, framing=framing, queue="4K", baud=921600) +
               route("r", from_="a", to="b"))
    a = connect(folder / "a.sock")
    line = b"x" * size + b"\n"
    a.send(line * (4 << 20 >> 4))
    most, moved = 0, 0
    while moved < 20_000:
        b.reading = len(b.received) < 500
        move([a, b])
        if not b.reading:
            moved += len(b.take())
            most = max(most, d.number("a/rx_held"))
    assert most <= MAX_FRAME + ONE_READ
    assert d.dropped("b") == 0
    assert d.bytes_in("a")["rx_held"] <= MAX_FRAME + ONE_READ


@pytest.mark.parametrize("how", ["reopen", "removed", "unplug"])
def test_nothing_is_read_from_a_paused_device_when_it_is_closed(
        pty, daemon, how):
    a, b = pty("a"), pty("b")
    both = serial("a", a, framing="line") + serial("b", b, framing="line")
    d = daemon(both)
    a.send(b"before\n")
    expect(b, b"before\n", [a])
    d.control("pause a")
    a.send(b"while paused\n")
    flush([a])
    if how == "reopen":
        d.control("reopen a")
        wait_for(lambda: d.opens("a") == {"a": 2})
    elif how == "removed":
        d.reload(serial("b", b, framing="line"))
    else:
        a.unplug()
        d.wait_state("a", "lost")
    if how != "removed":
        assert d.number("a/rx_bytes") == len(b"before\n")
    assert d.number("b/tx_frames") == 1
    assert d.queued("b") == 0


def test_a_client_that_goes_while_its_server_is_paused_is_not_read(
        folder, pty, daemon, connect):
    b = pty("b")
    d = daemon(server("a", folder, framing="line") +
               serial("b", b, framing="line"))
    a = connect(folder / "a.sock")
    wait_for(lambda: d.json("peers"))
    d.control("pause a")
    a.send(b"while paused\n")
    d.control("cancel a#1.read")
    wait_for(lambda: not d.json("peers"))
    assert d.number("a/rx_bytes") == 0
    assert d.number("b/tx_frames") == 0


def test_frames_of_a_server_to_itself_without_another_peer_are_counted(
        folder, daemon, connect):
    d = daemon(server("a", folder, framing="line") +
               route("r", from_="a", to="a"))
    first = connect(folder / "a.sock")
    wait_for(lambda: d.json("peers"))
    first.send(b"is anybody here\n")
    d.wait_number("a/rx_frames", 1)
    assert d.dropped("a", "nobody") == 1
    second = connect(folder / "a.sock")
    wait_for(lambda: len(d.json("peers")) == 2)
    first.send(b"hello\n")
    expect(second, b"hello\n", [first])
    assert d.dropped("a") == 1
