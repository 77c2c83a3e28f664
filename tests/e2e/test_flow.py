"""How sources are held back by what is slow, and what is read of them meanwhile."""
import pytest

from harness import (expect, flush, move, pump, route, section, serial,
                     wait_for)

MAX_FRAME = 4096
ONE_READ = 4096


def server(name, directory, **keys):
    return section("unix-server", name, listen=directory / f"{name}.sock", **keys)


@pytest.mark.parametrize("size", [1, 30, 900])
@pytest.mark.parametrize("framing", ["line", "idle"])
def test_a_source_with_a_backlog_is_not_read_on(
        directory, pty, daemon, connect, framing, size):
    b = pty("b")
    d = daemon(server("a", directory, framing="line") +
               serial("b", b, framing=framing, queue="4K", baud=921600) +
               route("r", from_="a", to="b"))
    a = connect(directory / "a.sock")
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
        directory, pty, daemon, connect):
    b = pty("b")
    d = daemon(server("a", directory, framing="line") +
               serial("b", b, framing="line"))
    a = connect(directory / "a.sock")
    wait_for(lambda: d.json("peers"))
    d.control("pause a")
    a.send(b"while paused\n")
    d.control("cancel a#1.read")
    wait_for(lambda: not d.json("peers"))
    assert d.number("a/rx_bytes") == 0
    assert d.number("b/tx_frames") == 0


def test_frames_of_a_server_to_itself_without_another_peer_are_counted(
        directory, daemon, connect):
    d = daemon(server("a", directory, framing="line") +
               route("r", from_="a", to="a"))
    first = connect(directory / "a.sock")
    wait_for(lambda: d.json("peers"))
    first.send(b"is anybody here\n")
    d.wait_number("a/rx_frames", 1)
    assert d.dropped("a", "nobody") == 1
    second = connect(directory / "a.sock")
    wait_for(lambda: len(d.json("peers")) == 2)
    first.send(b"hello\n")
    expect(second, b"hello\n", [first])
    assert d.dropped("a") == 1


# --- half a frame on a line --------------------------------------------------

LINES = [b"%06d:" % i + bytes([65 + i % 26]) * 900 for i in range(300)]


def stuck_in_a_frame(d, a, b):
    """Sends until b takes no more; whether it has a part of a frame."""
    b.reading = False
    pump([a], lambda: d.tasks()["b.write"]["state"] == "waiting")
    held = d.tasks()["b.write"]["label"]
    assert "queued" in held, held


def read_some(a, b, count):
    """Moves bytes until so many more have come out of b."""
    b.reading = True
    until = len(b.received) + count
    pump([a, b], lambda: len(b.received) >= until)


@pytest.mark.parametrize("how", ["reopen", "exclusive", "label", "framing"])
def test_half_a_frame_on_a_line_is_ended_first(
        directory, pty, daemon, connect, how):
    b = pty("b")

    def conf(**keys):
        return server("a", directory, framing="line") + serial(
            "b", b, **{"framing": "line", "queue": "1M"} | keys)
    d = daemon(conf())
    a = connect(directory / "a.sock")
    a.send(b"".join(line + b"\n" for line in LINES))
    for i in range(1, 5):
        stuck_in_a_frame(d, a, b)
        if how == "reopen":
            d.control("reopen b")
        else:
            d.reload(conf(**{
                "exclusive": {"exclusive": ["yes", "no"][i % 2]},
                "label": {"label": f"number {i}"},
                "framing": {"max_frame": 2000 + i}}[how]))
        d.wait_state("b", "up")
        read_some(a, b, 10_000 + 111 * i)
    b.reading = True
    pump([a, b], lambda: len(b.lines()) >= len(LINES))
    assert b.lines() == LINES
    assert d.number("b/tx_frames") == len(LINES)
    assert d.number("b/tx_bytes") == len(b.received)
    assert d.dropped("b") == 0
    opened = d.stderr().count("b: opening -> up")
    assert opened == (1 if how == "label" else 5)


def test_a_line_that_is_disconnected_for_a_full_queue_gets_whole_frames(
        directory, pty, daemon, connect):
    b = pty("b")
    d = daemon(server("a", directory, framing="line") +
               serial("b", b, framing="line", queue="8K",
                      overflow="disconnect"))
    a = connect(directory / "a.sock")
    a.send(b"".join(line + b"\n" for line in LINES))
    b.reading = False
    pump([a], lambda: d.number("b/opens") > 1 and
         d.number("a/rx_frames") == len(LINES))
    b.reading = True

    def balanced():
        return d.number("b/tx_frames") + d.dropped("b") == len(LINES)
    pump([b], balanced)
    pump([b], lambda: len(b.received) == d.number("b/tx_bytes"))
    assert b.received.endswith(b"\n")
    assert len(b.lines()) == d.number("b/tx_frames")
    assert set(b.lines()) <= set(LINES)
    assert d.dropped("b", "cut") == 0


def test_the_end_of_a_frame_is_not_for_another_device(
        directory, pty, daemon, connect):
    b, other = pty("b"), pty("other")
    d = daemon(server("a", directory, framing="line") +
               serial("b", b, framing="line", queue="1M"))
    a = connect(directory / "a.sock")
    a.send(b"".join(line + b"\n" for line in LINES))
    flush([a])
    d.wait_number("a/rx_frames", len(LINES))
    before = d.number("b/tx_frames")
    d.reload(server("a", directory, framing="line") +
             serial("b", other, framing="line", queue="1M"))
    pump([other], lambda: len(other.lines()) +
         d.dropped("b", "cut") + before == len(LINES))
    assert d.dropped("b", "cut") == 1
    assert other.lines() == LINES[before + 1:]


@pytest.mark.parametrize("key, value, shown", [
    ("label", "the right one", "the right one"), ("queue", "128K", "128K"),
    ("overflow", "drop-oldest", "drop-oldest"), ("stall_timeout", "3s", "3s"),
    ("frame_timeout", "5s", "5s"), ("reopen_min", "50ms", "50ms"),
    ("reopen_max", "7s", "7s")])
def test_what_every_endpoint_takes_is_changed_while_it_is_open(
        directory, pty, daemon, connect, key, value, shown):
    b = pty("b")
    keys = {"framing": "line"}
    d = daemon(server("a", directory, **keys) + serial("b", b, **keys))
    a = connect(directory / "a.sock")
    wait_for(lambda: d.json("peers"))
    a.send(b"half a ")
    d.wait_number("a/rx_bytes", 7)
    keys[key] = value
    d.reload(server("a", directory, **keys) + serial("b", b, **keys))
    for name in "a", "b":
        assert d.get(f"{name}/{key}") == shown
    assert d.opens("a", "b") == {"a": 1, "b": 1}
    a.send(b"line\n")
    expect(b, b"half a line\n", [a])
    b.send(b"hello\n")
    expect(a, b"hello\n", [b])


# --- turns -------------------------------------------------------------------

def jain(shares):
    """Jain's fairness index: 1 when all are equal, 1/n when one has all."""
    return sum(shares) ** 2 / (len(shares) * sum(x * x for x in shares))


def share_out(sources, sizes, outputs, count):
    """
    Floods from all sources, with lines that say from which; what each got through to
    each output, in bytes, once all of them wait.
    """
    for i, s in enumerate(sources):
        line = b"%02d" % i + b"x" * (sizes[i % len(sizes)] - 3) + b"\n"
        s.send(line * (count // len(line)))

    def move_to(total):
        while min(len(b.received) for b in outputs) < total:
            for b in outputs:       # the slower one is not left behind
                b.reading = len(b.received) < total
            move([*sources, *outputs])
            assert all(s.outgoing for s in sources)
    move_to(200_000)
    for b in outputs:
        b.take()
    # Of many frames, so that one more or less does not count.
    move_to(len(sources) * max(100_000, 15 * max(sizes)))
    shares = []
    for b in outputs:
        share = [0] * len(sources)
        for line in b.lines()[1:]:
            share[int(line[:2])] += len(line) + 1
        shares.append(share)
    return shares


@pytest.mark.parametrize("n, queue, sizes", [
    (2, "64K", [31]), (5, "1K", [31]), (16, "64K", [31]),
    (3, "64K", [20, 900, 3000]), (2, "64K", [30, 20_000])])
def test_peers_that_flood_one_destination_get_equal_shares(
        directory, pty, daemon, connect, n, queue, sizes):
    b = pty("b")
    d = daemon(server("s", directory, framing="line", max_frame="64K") +
               serial("b", b, framing="line", queue=queue, max_frame="64K") +
               route("r", from_="s", to="b"))
    peers = [connect(directory / "s.sock") for _ in range(n)]
    wait_for(lambda: len(d.json("peers")) == n)
    for share in share_out(peers, sizes, [b], 2_000_000):
        assert jain(share) > 0.98, share
    assert d.dropped("b") == 0


@pytest.mark.parametrize("n, outputs", [(2, 1), (4, 1), (3, 2), (8, 2)])
@pytest.mark.parametrize("kind", ["serial", "unix-server"])
def test_endpoints_that_flood_one_destination_get_equal_shares(
        directory, pty, daemon, connect, kind, n, outputs):
    to = [pty(f"b{i}") for i in range(outputs)]
    names = [f"s{i}" for i in range(n)]
    conf = "".join(serial(b.name, b, framing="line") for b in to) + \
        route("r", from_=" ".join(names), to=" ".join(b.name for b in to))
    if kind == "serial":
        sources = [pty(name) for name in names]
        daemon(conf + "".join(serial(s.name, s, framing="line")
                              for s in sources))
    else:
        d = daemon(conf + "".join(server(name, directory, framing="line")
                                  for name in names))
        sources = [connect(directory / f"{name}.sock") for name in names]
        wait_for(lambda: len(d.json("peers")) == n)
    for share in share_out(sources, [31], to, 4_000_000):
        assert jain(share) > 0.98, share


def test_one_that_sends_little_is_not_kept_waiting_by_one_that_floods(
        directory, pty, daemon, connect):
    b = pty("b")
    d = daemon(server("s", directory, framing="line") +
               serial("b", b, framing="line") +
               route("r", from_="s", to="b"))
    flood, single = connect(directory / "s.sock"), connect(directory / "s.sock")
    wait_for(lambda: len(d.json("peers")) == 2)
    flood.send((b"x" * 99 + b"\n") * 40_000)
    b.reading = False
    pump([flood], lambda: d.tasks()["s#1.read"]["state"] == "paused")
    single.send(b"now\n")
    b.reading = True
    pump([flood, b], lambda: b"now\n" in b.received)
    assert len(b.received) < 300_000
    assert d.dropped("b") == 0


@pytest.mark.parametrize("sources", [2, 5])
def test_sources_that_have_no_more_to_send_do_not_wait_for_room(
        directory, pty, daemon, connect, sources):
    """When the last bytes are read each has its turn, and then the loop sleeps."""
    b = pty("b")
    d = daemon(server("a", directory, framing="line") +
               serial("b", b, framing="line", queue="4K", baud=921600) +
               route("r", from_="a", to="b"))
    clients = [connect(directory / "a.sock") for _ in range(sources)]
    b.reading = False
    for client in clients:
        client.send((b"y" * 99 + b"\n") * 1000)
    pump(clients, lambda: sum(t["state"] == "paused" for n, t in d.tasks().items()
                              if n.startswith("a#")) == sources)
    b.reading = True
    # Nothing is taken while the last of it is read.
    pump([b, *clients], lambda: not any(c.outgoing for c in clients))
    b.reading = False

    def runs():
        return {n: t["runs"] for n, t in d.tasks().items()
                if n == "b.timer" or n.startswith("a#")}

    def sleeps():
        before = runs()
        for _ in range(5):
            d.get("daemon/up")
        return runs() == before
    wait_for(sleeps)
    b.reading = True
    pump([b, *clients], lambda: b.received.count(b"\n") == 1000 * sources)
    wait_for(sleeps)
