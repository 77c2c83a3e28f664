"""What a watch and the list of events show, as a person with netcat sees it."""
import base64
import json
import re
import subprocess

import pytest

from harness import (ControlError, expect, flush, free_port, pump, route, section, serial,
                     tcp_server, wait_for)

LINES = dict(framing="line")


@pytest.fixture
def started():
    """Sends a command that continues, and waits until it has begun; returns its session."""
    made = []

    def start(d, command):
        before = sum(" to end its " in row["label"] or " more lines for " in row["label"]
                     for row in d.tasks().values())
        made.append(d.session().send(command.encode() + b"\n"))
        flush([made[-1]])
        wait_for(lambda: sum(
            " to end its " in row["label"] or " more lines for " in row["label"]
            for row in d.tasks().values()) > before)
        return made[-1]
    yield start
    for s in made:
        s.close()


def shown(session, n, streams=()):
    """The first n lines, without the time."""
    pump([session, *streams], lambda: len(session.lines()) >= n)
    lines = [line.decode() for line in session.lines()]
    for line in lines:
        assert re.match(r"\d\d:\d\d:\d\d\.\d{3}(\d{3})? ", line), line
    return [line.split(" ", 1)[1] for line in lines]


@pytest.fixture
def filtered(pty, daemon):
    """A source of SLIP frames, a line that takes some of them, and a server."""
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="slip") + serial("b", b, queue="32", **LINES) +
               tcp_server("lan", free_port(), role="read", **LINES) +
               serial("n", pty("n"), framing="nmea") +
               route("some", from_="a", to="b", match="^x") +
               route("few", from_="a", to="b", match="^y", rate="1/m") +
               route("all", from_="a", to="lan") +
               route("back", from_="lan", to="a"))
    return d, a, b


# --- what became of each frame -------------------------------------------------

def test_a_watch_shows_what_became_of_each_frame(filtered, started, connect):
    d, a, b = filtered
    s = started(d, "watch")
    a.send(b"xa\xc0zz\xc0y1\xc0y2\xc0x\n\xc0")
    lines = shown(s, 5, [a, b])
    nobody = "dropped for lan: nobody"
    assert lines == [
        f"a        b,lan       2 xa  [sent to b; {nobody}]",
        f"a        lan         2 zz  [rejected by route some, few; {nobody}]",
        f"a        b,lan       2 y1  [sent to b; {nobody}]",
        f"a        lan         2 y2  [rejected by route some, few (rate); {nobody}]",
        f"a        b,lan       2 x\\n  [dropped for b: unencodable; {nobody}]"]


def test_a_watch_shows_what_waits_and_what_is_dropped_later(filtered, started, connect):
    d, a, b = filtered
    client = connect(int(d.get("lan/address").rpartition(":")[2]))
    wait_for(lambda: len(d.json("peers")) == 1)
    s = started(d, "watch b")
    d.control("pause b")
    a.send(b"x1\xc0x2\xc0x3\xc0")
    assert shown(s, 4, [a, client]) == [
        "a        b,lan       2 x1  [queued for b; sent to lan#1]",
        "a        b,lan       2 x2  [queued for b; sent to lan#1]",
        "-        b           2 x1  [dropped: down]",
        "a        b,lan       2 x3  [queued for b; sent to lan#1]"]


def test_a_watch_shows_what_is_refused_and_discarded(filtered, started, connect):
    d, _, _ = filtered
    client = connect(int(d.get("lan/address").rpartition(":")[2]))
    wait_for(lambda: len(d.json("peers")) == 1)
    s = started(d, "watch lan n")
    client.send(b"let me in\n")
    assert shown(s, 1, [client]) == [
        "lan#1    -           9 let me in  [refused: lan#1 may not write]"]


def test_a_watch_shows_what_commands_send(filtered, started):
    d, _, b = filtered
    s = started(d, "watch")
    with pytest.raises(ControlError):
        d.control(r"send b x\n")
    d.control("send b by hand")
    d.control("pause b")
    d.control("send b later")
    assert shown(s, 2, [b]) == ["control  b           7 by hand  [sent to b]",
                                "control  b           5 later  [queued for b]"]


def test_a_watch_in_json_has_outcomes_and_notes(filtered, started):
    d, a, b = filtered
    s, x = started(d, "json watch b"), started(d, "json watch -x b")
    b.unplug()
    d.wait_state("b", "lost")
    a.send(b"x1\xc0x2\xc0x3\xc0")
    pump([s, x, a], lambda: len(s.lines()) == 4 and len(x.lines()) == 4)
    rows = [json.loads(line) for line in s.lines()]
    assert [(r["text"], r.get("outcome"), r.get("note")) for r in rows] == [
        ("x1", "queued for b; dropped for lan: nobody", None),
        ("x2", "queued for b; dropped for lan: nobody", None),
        ("x1", None, "dropped: down"),
        ("x3", "queued for b; dropped for lan: nobody", None)]
    assert [json.loads(line)["hex"] for line in x.lines()] == ["7831", "7832", "7831", "7833"]


# --- options ---------------------------------------------------------------------

def test_hexadecimal_and_bytes_before_framing(filtered, started):
    d, a, b = filtered
    x, raw, both = (started(d, f"watch {o}") for o in ("-x a", "-b", "-xb b"))
    j = started(d, "json watch -b")
    a.send(b"\xc0x\xdb\xdc\xc0")
    expect(b, b"x\xc0\n", [a])
    assert shown(x, 1)[0].startswith("a        b,lan       2 78 c0  [sent to b; ")
    assert shown(raw, 2) == [r"a        in     5 \xc0x\xdb\xdc\xc0",
                             r"b        out    3 x\xc0\n"]
    assert shown(both, 1) == ["b        out    3 78 c0 0a"]
    pump([j], lambda: len(j.lines()) == 2)
    first, second = (json.loads(line) for line in j.lines())
    assert base64.b64decode(first.pop("base64")) == b"\xc0x\xdb\xdc\xc0"
    assert base64.b64decode(second.pop("base64")) == b"x\xc0\n"
    assert first.pop("time") <= second.pop("time")
    assert first == {"endpoint": "a", "direction": "in", "size": 5}
    assert second == {"endpoint": "b", "direction": "out", "size": 3}


def test_all_bytes_are_shown_however_many_come_at_once(pty, daemon, started):
    a = pty("a")
    d = daemon(serial("a", a))
    j, text = started(d, "json watch -b"), started(d, "watch -b")
    data = bytes(range(256)) * 16

    def got():
        return b"".join(base64.b64decode(json.loads(line)["base64"]) for line in j.lines())
    for n in range(1, 21):
        a.send(data)
        pump([a, j, text], lambda: len(got()) == n * len(data))
    assert got() == 20 * data
    pump([text], lambda: sum(int(line.split()[3]) for line in text.lines()) == 20 * len(data))
    assert all(int(line.split()[3]) <= 1024 for line in text.lines())


@pytest.mark.parametrize("end", ["-N", "quit"])
@pytest.mark.parametrize("tcp", [True, False])
def test_netcat_ends_after_that_many_lines(pty, daemon, end, tcp):
    """With -N, and without it by quit."""
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, **LINES) + serial("b", b, **LINES), tcp=True)
    where = ["127.0.0.1", str(d.port)] if tcp else ["-U", str(d.socket)]
    nc = subprocess.Popen(["nc", *(["-N"] if end == "-N" else []), *where],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    nc.stdin.write(b"watch -n 2\n" + (b"quit\n" if end == "quit" else b"version\n"))
    nc.stdin.close()
    try:
        wait_for(lambda: "2 more lines for the watch of" in str(d.tasks()))
        a.send(b"one\ntwo\nthree\n")
        expect(b, b"one\ntwo\nthree\n", [a])
        out = nc.stdout.read()
        assert nc.wait(20) == 0
    finally:
        nc.kill()
    lines = out.decode().splitlines()
    assert [line.split()[4] for line in lines[:2]] == ["one", "two"]
    assert lines[2] == "OK" and lines[-1] == "OK" and len(lines) > 3, lines
    assert ("ttybridged" in out.decode()) == (end == "-N")


@pytest.mark.parametrize("tcp", [True, False])
def test_quit_ends_netcat_without_N(filtered, tcp, daemon, pty):
    a = pty("q")
    d = daemon(serial("q", a, **LINES), tcp=True)
    where = ["127.0.0.1", str(d.port)] if tcp else ["-U", str(d.socket)]
    for command in ("ps", "watch", "events", "json watch -b", "list"):
        done = subprocess.run(["nc", *where], input=f"{command}\nquit\n".encode(),
                              stdout=subprocess.PIPE, timeout=20)
        assert done.returncode == 0 and done.stdout.endswith(b"OK\nOK\n"), done


def test_a_client_that_waits_for_lines_may_leave(pty, daemon):
    d = daemon(serial("a", pty("a"), **LINES))
    nc = subprocess.Popen(["nc", "-N", "-U", str(d.socket)], stdin=subprocess.PIPE)
    nc.stdin.write(b"watch -n 2\n")
    nc.stdin.close()
    wait_for(lambda: "2 more lines for the watch of" in str(d.tasks()))
    nc.kill()
    nc.wait()
    wait_for(lambda: "more lines for" not in str(d.tasks()))


@pytest.mark.parametrize("command, answer", [
    ("watch -q", "unknown option '-q': watch [-x] [-b] [-n COUNT] [NAME ...]"),
    ("watch -xq a", "unknown option '-q': watch [-x] [-b] [-n COUNT] [NAME ...]"),
    ("watch -n", "'' is not a number of lines; 1 or more, as in -n 10"),
    ("watch -n a", "'a' is not a number of lines; 1 or more, as in -n 10"),
    ("watch -n0", "'0' is not a number of lines; 1 or more, as in -n 10"),
    ("watch -n 99999999999", "'99999999999' is not a number of lines; 1 or more, as in -n 10"),
    ("events -x", "unknown option '-x': events [-n COUNT]"),
    ("events a", "'a' is not an option: events [-n COUNT]"),
    ("watch -x b", "unknown endpoint 'b'; 'endpoints' lists them"),
])
def test_a_wrong_option_is_named(pty, daemon, command, answer):
    d = daemon(serial("a", pty("a")))
    with pytest.raises(ControlError, match=re.escape(answer)):
        d.control(command)
    # Nothing of it is left for the next command.
    s = d.session()
    s.send(command.encode() + b"\nwatch\nversion\n")
    pump([s], lambda: s.received.count(b"OK\n") == 2)
    s.close()


# --- events ------------------------------------------------------------------------

def test_events_shows_states_drops_reloads_and_clients(pty, daemon, started, connect):
    a, b, port = pty("a"), pty("b"), free_port()
    conf = (serial("a", a, **LINES) + serial("b", b, queue="32", reopen_min="10ms", **LINES) +
            tcp_server("lan", port, **LINES) + serial("n", pty("n"), framing="nmea") +
            route("r", from_="a", to="b"))
    d = daemon(conf)
    s, j = started(d, "events"), started(d, "json events")

    def told(*words):
        pump([s, j, a], lambda: any(all(w in line for w in words)
                                    for line in s.received.decode().splitlines()),
             what=f"{words} in {s.received}")
    b.unplug()
    told(" state   b        up -> lost (")
    a.send(b"line\n" * 10)
    told(" drop    b        a frame was dropped: down")
    told(" drop    b        7 more frames were dropped within a second: down")
    b.plug()
    told(" state   b        ", " -> up (")
    client = connect(port)
    told(" client  lan#1    connected from 127.0.0.1:")
    client.close()
    told(" client  lan#1    ")
    d.reload(conf)
    told(" reload  -        reloaded: 4 of 4 endpoints up")
    d.write("[nonsense]\n")
    with pytest.raises(ControlError):
        d.control("reload")
    told(" reload  -        ", "unknown section type 'nonsense'")
    d.control("pause a")
    told(" state   a        paused by hand")
    s.send(b"\n")
    pump([s, j], lambda: s.received.endswith(b"\nOK\n") and b"paused by hand" in j.received)
    rows = [json.loads(line) for line in j.lines()]
    assert all(set(r) == {"time", "kind", "name", "level", "text"} for r in rows)
    assert [(r["time"] > 1e9, r["level"]) for r in rows if r["name"] == "b"][:2] == [
        (True, "warning"), (True, "notice")]
    assert {r["kind"] for r in rows} == {"state", "drop", "client", "reload"}


def test_events_do_not_depend_on_the_log_level(pty, daemon, started):
    a = pty("a")
    d = daemon(serial("a", a, reopen_min="10ms") + "[daemon]\nlog_level = error\n")
    s = started(d, "events -n 2")
    a.unplug()
    pump([s], lambda: s.received.endswith(b"\nOK\n") or len(s.lines()) >= 2)
    assert b" state   a        up -> lost (" in s.received
    assert "lost" not in d.stderr()


def test_discarded_input_is_an_event(pty, daemon, started):
    n = pty("n")
    d = daemon(serial("n", n, framing="nmea"))
    s, w = started(d, "events -n 2"), started(d, "watch")
    n.send(b"$GPTXT*00\r\n" * 3)
    pump([n, s, w], lambda: s.received.endswith(b"OK\n"))
    assert [line.split(b" ", 1)[1] for line in s.lines()[:2]] == [
        b"drop    n        input was discarded: checksum",
        b"drop    n        input was discarded 2 more times within a second: checksum"]
    assert shown(w, 3) == [
        r"n        -          11 $GPTXT*00\r\n  [discarded: checksum]"] * 3


# --- watchers that do not read --------------------------------------------------------

def test_fifty_watchers_that_do_not_read_hold_up_nothing(pty, daemon, connect, directory):
    """They get the rest when they read again, and the number of what is missing."""
    a, b, path = pty("a"), pty("b"), directory / "many"
    d = daemon(serial("a", a, **LINES) + serial("b", b, **LINES) +
               section("control", "many", listen=f"unix:{path}", max_clients=64,
                       stall_timeout="none"))
    kinds = ("watch", "watch -x", "watch -b", "json watch", "json watch -b")
    watchers = [connect(path).send(kind.encode() + b"\n") for kind in kinds * 10]
    wait_for(lambda: sum(" to end its watch" in row["label"]
                         for row in d.tasks().values()) == 50)
    lines = (b"x" * 99 + b"\n") * 5000
    before = d.rss()
    for _ in range(5):
        a.send(lines)
        expect(b, lines, [a], timeout=60)
        d.control("endpoints")
    # What they do not read is left out: 512K are kept for each.
    assert d.rss() - before < 64 * 1024 * 1024      # of some 250
    for w in watchers:
        w.send(b"\n")
    pump(watchers, lambda: all(w.received.endswith(b"OK\n") for w in watchers), timeout=60)
    for kind, w in zip(kinds * 10, watchers):
        text = bytes(w.received)
        if kind == "json watch -b":
            skipped = sum(int(n) for n in re.findall(rb'"not_shown":(\d+)', text))
            sizes = sum(int(n) for n in re.findall(rb'"size":(\d+)', text))
            assert skipped + sizes == 2 * 5 * len(lines)
        elif kind == "json watch":
            skipped = sum(int(n) for n in re.findall(rb'"not_shown":(\d+)', text))
            assert skipped > 0 and skipped + text.count(b'"outcome"') == 25000
        elif kind != "watch -b":
            skipped = sum(int(n) for n in re.findall("… (\\d+) frames? not shown",
                                                     text.decode()))
            assert skipped > 0 and skipped + text.count(b"  [sent to b]") == 25000


def test_a_listener_of_events_that_does_not_read_is_told_what_it_missed(pty, daemon, directory,
                                                                       connect):
    a, path = pty("a"), directory / "many"
    d = daemon(serial("a", a, **LINES) +
               section("control", "many", listen=f"unix:{path}", max_clients=4,
                       access="full", stall_timeout="none"))
    s = connect(path).send(b"events\n")
    wait_for(lambda: "to end its events" in str(d.tasks()))
    other = connect(path)
    for _ in range(6):
        other.send(b"pause a\nresume a\n" * 1000)
        pump([other], lambda: other.received.count(b"OK\n") == 2000)
        other.received.clear()
    s.send(b"\n")
    pump([s], lambda: s.received.endswith(b"OK\n"))
    text = s.received.decode()
    skipped = sum(int(n) for n in re.findall("… (\\d+) events? not shown", text))
    assert skipped > 0 and skipped + text.count(" by hand\n") == 12000
