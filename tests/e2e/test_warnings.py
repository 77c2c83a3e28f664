"""What looks wrong: the tasks' warnings, and how they begin and end."""
import signal
import socket
import threading

from harness import expect, free_port, route, run, section, serial, tcp_server, wait_for
from test_handover import restart


# A busy machine may hold up any process for as long.
BUSY = {"held-loop", "not-served"}


def rows(d):
    return [row for row in d.json("warnings") if row["warning"] not in BUSY]


def warnings(d):
    return {(row["task"], row["warning"]) for row in rows(d)}


def warn(row):
    return set((row["warn"] or "").split(",")) - BUSY - {""}


def test_nothing_looks_wrong(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="cobs"))
    assert d.control("warnings")[0].split() == ["TASK", "SINCE", "WARNING", "TEXT"]
    assert d.control("stalls")[0].split() == ["TASK", "AGO", "HELD", "AWAITED"]
    assert rows(d) == []
    assert not any(warn(row) for row in d.json("ps"))
    assert "no frame" not in d.stderr()


def test_an_endpoint_that_never_sends_a_frame(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line", silence_warning="1s") +
               serial("b", b, framing="line"))
    wait_for(lambda: warnings(d) == {("a.read", "silent")})
    tasks = d.tasks()
    assert warn(tasks["a.read"]) == {"silent"} and not warn(tasks["b.read"])
    assert "framing = line" in rows(d)[0]["text"]
    a.send(b"half a line")
    wait_for(lambda: a.turn(4) or d.number("a/rx_held") == 11)
    assert warnings(d) == {("a.read", "silent")}
    a.send(b"\n")
    # The end is noticed, and logged, without being asked for.
    wait_for(lambda: a.turn(4) or "a.read: silent: over after" in d.stderr())
    assert warnings(d) == set()
    assert d.stderr().count("a.read: silent: ") == 2


def test_an_endpoint_that_is_down_for_long(pty, daemon, clock, directory):
    a, b = pty("a"), pty("b")
    a.unplug()
    keys = dict(framing="line", silence_warning="none")
    d = daemon(serial("a", a, **keys) + serial("b", b, **keys) +
               section("pty", "c", link=directory / "c", **keys), env=clock.env,
               settled=False)
    d.wait_state("b", "up")
    clock.move(d, 50)
    assert warnings(d) == set()
    clock.move(d, 10)
    assert warnings(d) == {("a.read", "down")}
    assert rows(d)[0]["text"] == f"{d.get('a/address')} could not be opened within 60s, at last" \
        f" because of: {d.get('a/error')}"
    assert any(warn(row) == {"down"} for row in d.json("ps"))
    a.plug()
    wait_for(lambda: clock.move(d, 1) or d.state("a") == "up")
    assert warnings(d) == set()
    assert "a.read: down: over after" in d.stderr()
    # One that comes back in time.
    b.unplug()
    wait_for(lambda: d.state("b") == "lost")
    clock.move(d, 50)
    b.plug()
    wait_for(lambda: clock.move(d, 1) or d.state("b") == "up")
    clock.move(d, 50)
    assert d.stderr().count(": down: ") == 2


def test_silence_is_counted_from_the_last_opening(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"))
    a.send(b"line\n")
    wait_for(lambda: a.turn(4) or d.number("a/rx_frames") == 1)
    d.control("set a/silence_warning 1ms")
    d.control("reopen a")
    d.wait_state("a", "up")
    wait_for(lambda: warnings(d) == {("a.read", "silent")})
    d.control("set a/silence_warning none")
    assert warnings(d) == set()


def test_a_restart_is_no_silence(pty, daemon, clock):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line") +
               serial("c", c, framing="line", silence_warning="none"), env=clock.env)
    a.send(b"line\n")
    expect(c, b"line\n", [a, b])
    for _ in range(2):
        clock.move(d, 400)
        assert warnings(d) == {("b.read", "silent")}
        restart(d, [a, b, c])
        wait_for(lambda: d.state("b") == "up")
        assert warnings(d) == {("b.read", "silent")}
        assert "a.read: silent: " not in d.stderr()


BAD, GOOD = b"$GPGLL,1*00\r\n", b"$GPGLL,1*4D\r\n"


def test_an_endpoint_whose_input_is_all_discarded(pty, daemon, clock):
    a, b = pty("a"), pty("b")
    keys = dict(framing="nmea", silence_warning="none")
    d = daemon(serial("a", a, **keys) + serial("b", b, **keys), env=clock.env)

    def bad(n):
        errors = d.number("a/errors")
        a.send(BAD * n)
        wait_for(lambda: a.turn(4) or d.number("a/errors") == errors + n)
    a.send(GOOD)
    expect(b, GOOD, [a])
    bad(3)
    assert d.number("a/recent_errors") == 3 and warnings(d) == set()
    clock.move(d, 61)
    assert warnings(d) == set() and float(d.get("a/last_error")) >= 61
    bad(1)
    assert warnings(d) == {("a.read", "discarded")}
    assert "a.read: discarded: all that " in d.stderr() and "(framing = nmea)" in rows(d)[0]["text"]
    a.send(GOOD)
    expect(b, GOOD, [a])
    assert warnings(d) == set() and "a.read: discarded: over after" in d.stderr()
    # Some noise for a long time is none.
    for _ in range(4):
        bad(1)
        a.send(GOOD)
        expect(b, GOOD, [a])
        clock.move(d, 30)
    assert warnings(d) == set() and d.number("a/recent_errors") == 8


def test_a_client_whose_input_is_all_discarded(pty, daemon, clock):
    port = free_port()
    d = daemon(serial("a", pty("a"), framing="nmea") +
               tcp_server("lan", port, framing="nmea"), env=clock.env)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(BAD)
        wait_for(lambda: d.number("lan/errors") == 1)
        clock.move(d, 61)
        client.sendall(BAD * 2)
        wait_for(lambda: warnings(d) == {("lan#1.read", "discarded")})
    wait_for(lambda: d.number("lan/peers") == 0)
    assert warnings(d) == set()


def test_only_an_endpoint_that_is_read_is_silent(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line", silence_warning="1ms") +
               serial("b", b, framing="line", silence_warning="1ms") +
               route("one", **{"from": "a", "to": "b"}))
    wait_for(lambda: warnings(d) == {("a.read", "silent")})
    d.control("pause a")
    assert warnings(d) == set()
    d.control("resume a")
    assert warnings(d) == {("a.read", "silent")}


def test_a_connection_that_is_lost_again_and_again(daemon):
    server = socket.create_server(("127.0.0.1", 0))

    def refuse():
        while True:
            try:
                server.accept()[0].close()
            except OSError:
                return

    threading.Thread(target=refuse, daemon=True).start()
    try:
        d = daemon(section("tcp-client", "far", framing="line",
                           connect=f"127.0.0.1:{server.getsockname()[1]}",
                           reopen_min="1ms", reopen_max="2ms") +
                   tcp_server("lan", free_port(), framing="line"), settled=False)
        wait_for(lambda: ("far.read", "flapping") in warnings(d))
        assert "more than 5 times within a minute" in rows(d)[0]["text"]
        wait_for(lambda: any(row["task"] in ("far.read", "far.reopen") and
                             "flapping" in warn(row) for row in d.json("ps")))
        assert d.stderr().count("far.read: flapping: ") == 1
        ended = d.json("ended")
        assert {"far.read", "far.connect"} <= {row["task"] for row in ended}
        assert {row["reason"] for row in ended if row["task"] == "far.read"} == \
            {"closed by the peer"}
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def test_one_side_is_framed_and_the_other_raw(pty, daemon):
    a, b = pty("a"), pty("b")
    conf = serial("a", a, framing="line") + serial("b", b)
    d = daemon(conf)
    wait_for(lambda: "b.read: mixed-framing: " in d.stderr())
    assert warnings(d) == {("b.read", "mixed-framing")}
    assert rows(d)[0]["text"] == \
        "b is raw, and a has framing = line: between them the boundaries of" \
        " messages are lost"
    # A reload that leaves the endpoint itself unchanged ends it.
    d.reload(serial("a", a, framing="raw") + serial("b", b))
    wait_for(lambda: warnings(d) == set())
    assert d.stderr().count("b.read: mixed-framing: over after") == 1


def test_a_log_that_cannot_be_written(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    log = directory / "no" / "a.log"
    conf = serial("a", a, framing="line", log=log) + serial("b", b, framing="line")
    d = daemon(conf)
    checked = run("--check", "-c", d.file)
    assert checked.returncode == 0
    assert f"[serial a]: its log '{log}' cannot be written: there is no directory {log.parent};" \
        in checked.stderr
    wait_for(lambda: warnings(d) == {("a.read", "no-log")})
    assert rows(d)[0]["text"] == f"its log '{log}' cannot be written: No such file or directory"
    log.parent.mkdir()
    assert run("--check", "-c", d.file).stderr == ""
    a.outgoing += b"one\n"
    expect(b, b"one\n", [a])
    wait_for(lambda: warnings(d) == set())
    assert log.read_text().endswith(" < one\n")
    log.unlink()
    log.mkdir()
    assert "cannot be written: it is not a file" in run("--check", "-c", d.file).stderr
    d.signal(signal.SIGHUP)
    wait_for(lambda: warnings(d) == {("a.read", "no-log")})
    d.reload(serial("a", a, framing="line") + serial("b", b, framing="line"))
    wait_for(lambda: warnings(d) == set())


def test_a_removed_endpoint_has_no_warning(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line", silence_warning="1ms") +
               serial("b", b, framing="line", silence_warning="none"))
    wait_for(lambda: warnings(d) == {("a.read", "silent")})
    d.reload(serial("b", b, framing="line", silence_warning="none"))
    wait_for(lambda: warnings(d) == set())
    assert "silent: over after" in d.stderr()


def test_tasks_that_ended(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line"))
    client = connect(port)
    wait_for(lambda: d.json("peers"))
    client.close()
    wait_for(lambda: not d.json("peers"))
    ended = {row["task"]: row for row in d.json("ended")}
    # The same as in the log.
    assert f"({ended['lan#1.read']['reason']})" in d.stderr()
    assert ended["lan#1.read"]["lived"] > 0
    assert d.control("ended")[0].split() == [
        "TASK", "AGO", "LIVED", "RUNS", "CPU", "MAX", "REASON"]
    for n in range(2, 36):
        connect(port).close()
        wait_for(lambda: d.json("ended")[0]["task"].startswith(f"lan#{n}."))
    assert len(d.json("ended")) == 64


def test_where_has_histograms(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"))
    for n in range(1, 6):
        a.send(b"line\n")
        wait_for(lambda: a.turn(4) or d.number("b/tx_frames") == n)
    steps = [row for row in d.json("where a.read")["rows"] if "up_to" in row]
    runs = d.tasks()["a.read"]["runs"]
    assert sum(row["ran"] for row in steps) == runs
    assert sum(row["began"] for row in steps) == runs
    text = "\n".join(d.control("where a.read"))
    assert "UP_TO" in text and "#####" in text
