"""A new configuration is a transaction, and who did not change does not notice."""
import os
import re
import random
import signal
import socket

import pytest

from harness import (ControlError, expect, free_port, pump, route, same,
                     section, serial, tcp_server, wait_for)


def lines(*ptys, **keys):
    return "".join(serial(p.name, p, framing="line", **keys) for p in ptys)


def descriptor(d, pty):
    """Number and identity of the daemon's descriptor of a device."""
    files = d.of_descriptors("fd", os.stat)
    found = [(fd, files[fd].st_ino, files[fd].st_rdev)
             for fd, target in d.descriptors().items()
             if target == pty.slave_name and fd in files]
    assert len(found) == 1, found
    return found[0]


def hup(d, conf, done):
    """SIGHUP with that configuration, until it was read."""
    d.write(conf)
    d.signal(signal.SIGHUP)
    wait_for(done, what="the reload")


def test_a_changed_section_leaves_the_other_device_open(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b))
    a.send(b"one\n" * 10)
    expect(b, b"one\n" * 10, [a])
    kept = descriptor(d, a)
    hup(d, lines(a) + serial("b", b, framing="cobs"),
        lambda: d.get("b/framing") == "cobs")
    d.wait_state("b", "up")
    assert descriptor(d, a) == kept
    assert d.opens("a") == {"a": 1}
    assert d.number("a/rx_frames") == 10
    a.send(b"two\n")
    expect(b, b"\x04two\x00", [a])
    assert d.number("a/rx_frames") == 11


def test_the_same_file_again_touches_nothing(pty, daemon, connect):
    a, b, port = pty("a"), pty("b"), free_port()
    conf = lines(a, b) + tcp_server("lan", port, framing="line")
    d = daemon(conf)
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    kept = descriptor(d, a), descriptor(d, b)
    for comment in ("# a comment\n", "\n\n; another\n", ""):
        d.reload(comment + conf)
        assert (descriptor(d, a), descriptor(d, b)) == kept
    a.send(b"hello\n")
    expect(client, b"hello\n", [a])
    assert d.opens("a", "b", "lan") == {"a": 1, "b": 1, "lan": 1}


def test_half_a_frame_and_queued_frames_survive_a_reload(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon(lines(a, b, c))
    b.unplug()
    d.wait_state("b", "lost")
    a.send(b"queued\nhalf a")
    expect(c, b"queued\n", [a])
    d.wait_number("a/rx_bytes", 13)
    d.reload(lines(a, b) + serial("c", c, framing="slip"))
    d.wait_state("c", "up")
    a.send(b" frame\n")
    expect(c, b"\xc0half a frame\xc0", [a])
    b.plug()
    expect(b, b"queued\nhalf a frame\n")


def test_a_faulty_file_changes_nothing_and_says_all_faults(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b))
    kept = descriptor(d, a), descriptor(d, b)
    bad = section("serial", "a", device=a.link, buad=9600, framing="lime") + \
        section("route", "r", between="a nobody")
    with pytest.raises(ControlError) as e:
        d.reload(bad)
    reply = "\n".join(e.value.lines)
    for word in ("buad", "lime", "nobody"):
        assert word in reply, reply
    assert f"{d.file}:" in reply
    before = len(d.stderr())
    d.signal(signal.SIGHUP)
    wait_for(lambda: all(word in d.stderr()[before:]
                         for word in ("buad", "lime", "nobody")))
    assert (descriptor(d, a), descriptor(d, b)) == kept
    a.send(b"as before\n")
    expect(b, b"as before\n", [a])
    d.file.unlink()
    with pytest.raises(ControlError):
        d.reload()
    a.send(b"as ever\n")
    expect(b, b"as ever\n", [a])


def test_endpoints_are_added_and_removed(pty, daemon, connect):
    a, b, c, port = pty("a"), pty("b"), pty("c"), free_port()
    d = daemon(lines(a, b))
    kept = descriptor(d, a)
    d.reload(lines(a, b, c) + tcp_server("lan", port, framing="line"))
    d.settle()
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    a.send(b"to all\n")
    for s in (b, c, client):
        expect(s, b"to all\n", [a])
    d.reload(lines(a, c))
    assert set(d.endpoints()) == {"a", "c"}
    pump([client], lambda: client.eof)
    wait_for(lambda: not b.opened())
    a.send(b"to c\n")
    expect(c, b"to c\n", [a])
    assert descriptor(d, a) == kept
    with pytest.raises(ControlError):
        d.get("b/state")
    d.reload(lines(a, b, c))
    d.settle()
    a.send(b"welcome back\n")
    expect(b, b"welcome back\n", [a])


def test_changed_routes_hold_for_the_next_frame(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon(lines(a, b, c) + route("r", between="a b"))
    a.send(b"first\n")
    expect(b, b"first\n", [a])
    d.reload(lines(a, b, c) + route("r", between="a c"))
    a.send(b"second\n")
    expect(c, b"second\n", [a])
    d.reload(lines(a, b, c))
    a.send(b"third\n")
    expect(c, b"third\n", [a])
    expect(b, b"third\n", [a])
    assert d.opens("a", "b", "c") == {"a": 1, "b": 1, "c": 1}


def test_counters_of_an_unchanged_route_live_on(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon(lines(a, b, c) + route("r", between="a b"))
    a.send(b"one\n" * 5)
    expect(b, b"one\n" * 5, [a])
    d.reload(lines(a, b, c) + route("more", between="a c") +
             route("r", between="a b"))
    a.send(b"one\n" * 2)
    expect(b, b"one\n" * 2, [a])
    rows = d.routes()
    assert (rows["r"]["frames"], rows["more"]["frames"]) == (7, 2)


NMEA = dict(framing="nmea", nmea_checksum="keep")


def test_frames_that_wait_keep_their_route(pty, daemon):
    """Whatever is put before it, taken away before it, or moved."""
    a, b, p = pty("a"), pty("b"), pty("p")
    ends = "".join(serial(x.name, x, **NMEA) for x in (a, b, p))
    keep = route("keep", from_="a", to="p")
    newest = route("newest", from_="b", to="p", latest="nmea")
    other = route("other", from_="a", to="b", match="x")
    d = daemon(ends + other + keep)
    p.unplug()
    d.wait_state("p", "lost")
    sent = [b"$GPGGA,%d\r\n" % n for n in range(4)]
    for n, routes in enumerate((other + newest + keep, newest + keep,
                                keep + newest, newest + other + keep)):
        a.send(sent[n])
        wait_for(lambda: d.queued("p") == n + 1)
        d.reload(ends + routes)
    # The newest of b replaces none of a's, and the other way round.
    b.send(b"$GPGGA,b1\r\n")
    wait_for(lambda: d.queued("p") == 5)
    b.send(b"$GPGGA,b2\r\n")
    wait_for(lambda: d.dropped("p") == 1)
    p.plug()
    expect(p, b"".join(sent) + b"$GPGGA,b2\r\n", [a, b])
    assert d.number("routes/keep/frames") == 4
    # How long they waited is booked nowhere else, or not at all.
    p.unplug()
    d.wait_state("p", "lost")
    a.send(sent[0])
    wait_for(lambda: d.queued("p") == 1)
    d.reload(ends + route("fresh", from_="b", to="p"))
    p.plug()
    expect(p, sent[0], [a])
    assert not d.routes()["fresh"]["max"]
    assert d.number("p/dropped") == 1


def test_a_rate_holds_across_reloads(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    rate = dict(from_="a", to="b c", rate="2/1h")
    d = daemon(lines(a, b, c) + route("r", **rate))
    a.send(b"1\n2\n3\n")
    for s in (b, c):
        expect(s, b"1\n2\n", [a])
    for conf in (lines(a, b, c) + route("r", **rate),
                 lines(a, c, b) + route("r", **rate),
                 lines(a, b, c) + route("r", match="4", **rate),
                 lines(a, c, b, label="other words") + route("r", **rate),
                 lines(b, c, a) + route("x", from_="b", to="a") + route("r", **rate)):
        d.reload(conf)
        d.settle()
        before = d.number("routes/r/limited")
        a.send(b"4\n")
        wait_for(lambda: d.number("routes/r/limited") == before + 2)
    assert not b.received and not c.received
    # Another rate: its own time at most, not the hour of the old one.
    d.reload(lines(a, b, c) + route("r", from_="a", to="b c", rate="1000/s"))

    def passes():
        a.send(b"5\n")
        return b"5\n" in b.received and b"5\n" in c.received
    pump([a, b, c], passes)


@pytest.mark.parametrize("keys", [
    dict(label="other words"), dict(queue="1K"), dict(baud=19200),
    dict(framing="slip"), dict(stall_timeout="5s"), dict(overflow="drop-oldest")])
def test_a_pause_survives_any_change(keys, pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b))
    d.control("pause b")
    a.send(b"one\n")
    wait_for(lambda: d.queued("b") == 1)
    d.reload(lines(a) + serial("b", b, **dict(framing="line") | keys))
    assert d.get("b/paused") == "yes"
    a.send(b"two\n")
    wait_for(lambda: d.queued("b") == 2)
    assert not b.received
    d.control("resume b")
    expect(b, b"\xc0one\xc0\xc0two\xc0" if "framing" in keys else b"one\ntwo\n",
           [a])


@pytest.mark.parametrize("kind", ["tcp-server", "unix-server", "udp", "pty"])
def test_what_waits_for_an_endpoint_of_another_type_is_counted(
        kind, pty, daemon, directory):
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b))
    b.unplug()
    d.wait_state("b", "lost")
    a.send(b"one\n" * 3)
    wait_for(lambda: d.queued("b") == 3)
    d.control("pause b")
    keys = {"tcp-server": dict(listen=f"127.0.0.1:{free_port()}"),
            "unix-server": dict(listen=directory / "b.sock"),
            "udp": dict(listen=f"127.0.0.1:{free_port()}"),
            "pty": dict(link=directory / "b.pty")}[kind]
    d.reload(lines(a) + section(kind, "b", framing="line", **keys))
    assert d.get("b/paused") == "yes"
    if kind == "pty":
        assert d.queued("b") == 3 and d.dropped("b") == 0
    else:
        assert d.queued("b") == 0
        assert d.get("b/dropped_closed") == "3"
    d.reload(lines(a) + serial("b", b, framing="line"))
    assert d.queued("b") + d.dropped("b") == 3
    assert d.get("b/paused") == "yes"


def test_what_waits_for_an_endpoint_that_is_removed_is_said(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b))
    b.unplug()
    d.wait_state("b", "lost")
    a.send(b"one\n" * 3)
    wait_for(lambda: d.queued("b") == 3)
    d.reload(lines(a))
    assert "3 queued frames (9 bytes) dropped" in d.stderr()


@pytest.mark.parametrize("how", ["from the start", "by a reload"])
def test_silence_is_exact_for_an_endpoint_that_gets_it(how, pty, daemon):
    a, b = pty("a"), pty("b")
    idle = serial("a", a, framing="idle", idle="1ms") + serial("b", b)
    d = daemon(idle if how == "from the start" else lines(a, b))
    d.reload(idle)
    d.settle()
    a.send(b"one")
    expect(b, b"one", [a])
    assert "daemon.silence" in d.tasks()
    waits, _, events, _ = d.raw("get daemon/waits\nget daemon/events\n").split()
    assert waits == events


def test_reloads_under_traffic_lose_nothing(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    framings = ["line", "cobs", "slip"]

    def conf(i):
        return serial("a", a) + serial("b", b) + \
            route("ab", between="a b") + (
                serial("c", c, framing=framings[i % 3]) if i % 4 else "")
    d = daemon(conf(1))
    there, back = random.Random(7).randbytes(2 << 20), \
        random.Random(8).randbytes(2 << 20)
    a.send(there)
    b.send(back)
    for i in range(24):
        share = (i + 1) * len(there) // 25
        pump([a, b, c], lambda: len(b.received) >= share)
        d.reload(conf(i))
    pump([a, b, c], lambda: len(b.received) >= len(there) and
         len(a.received) >= len(back))
    same(b.take(), there)
    same(a.take(), back)
    assert d.opens("a", "b") == {"a": 1, "b": 1}


def test_a_storm_of_hangups_is_survived(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b))
    for _ in range(100):
        d.signal(signal.SIGHUP)
    a.send(b"calm\n")
    expect(b, b"calm\n", [a])
    assert d.opens("a", "b") == {"a": 1, "b": 1}


def test_the_control_port_may_come_and_go(pty, daemon, directory):
    a, b, port = pty("a"), pty("b"), free_port()
    d = daemon(lines(a, b))
    extra = section("control", "extra", listen=f"127.0.0.1:{port}")
    session = d.session()
    session.ask("version")
    d.reload(lines(a, b) + extra)
    address = ("127.0.0.1", port)
    assert d.control("get a/state", address) == ["up"]
    d.reload(lines(a, b))
    with pytest.raises(ConnectionRefusedError):
        d.control("version", address)
    assert session.ask("version")       # the unchanged one was not touched
    session.close()


def test_a_log_level_follows_the_file(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b))
    d.reload(lines(a, b) + section("daemon", "", log_level="debug"))
    assert d.get("daemon/log_level") == "debug"


def test_a_reload_with_a_port_that_is_taken_is_no_disaster(
        pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b))
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        try:
            d.reload(lines(a, b) + tcp_server("lan", port, framing="line",
                                              reopen_max="100ms"))
        except ControlError:
            pass
        a.send(b"on\n")
        expect(b, b"on\n", [a])
        assert d.opens("a", "b") == {"a": 1, "b": 1}


def control(name, listen, **keys):
    return section("control", name, listen=listen, **keys)


@pytest.mark.parametrize("how", ["taken", "no such directory", "a group that is not there"])
def test_a_control_port_that_cannot_be_opened_refuses_the_reload(
        how, pty, daemon, directory):
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b) + control("old", f"unix:{directory}/old"))
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        bad = {"taken": (f"127.0.0.1:{holder.getsockname()[1]}", {}),
               "no such directory": (f"unix:{directory}/nowhere/sock", {}),
               "a group that is not there": (f"unix:{directory}/bad",
                                             {"group": "nosuchgroup"})}[how]
        with pytest.raises(ControlError) as e:
            d.reload(lines(a) + control("good", f"unix:{directory}/good")
                     + control("new", bad[0], **bad[1]))
        assert re.search(r"\bcontrol new\b", str(e.value))
        assert "nothing was changed" in d.stderr()
    # All is as before: the ports, the endpoints, and those that were tried are closed.
    assert d.control("version", directory / "old")
    assert not (directory / "good").exists() and not (directory / "bad").exists()
    a.send(b"on\n")
    expect(b, b"on\n", [a])
    d.reload(lines(a, b) + control("good", f"unix:{directory}/good"))
    wait_for(lambda: not (directory / "old").exists())
    assert d.control("version", directory / "good")


def test_a_control_port_that_stays_where_it_is_in_other_words(pty, daemon, directory):
    a, b, port = pty("a"), pty("b"), free_port()
    d = daemon(lines(a, b) + control("net", f"127.0.0.1:{port}")
               + control("path", f"unix:{directory}/path"))
    d.reload(lines(a, b) + control("net", f"*:{port}", allow="10.0.0.0/8")
             + control("path", f"{directory}/path", access="read"))
    wait_for(lambda: "0.0.0.0" in d.tasks()["net.accept"]["label"])
    assert d.control("version", ("127.0.0.1", port))
    with pytest.raises(ControlError):
        d.control("set log_level info", directory / "path")
    # In the way of one that stays it may not be.
    with pytest.raises(ControlError):
        d.reload(lines(a, b) + control("net", f"*:{port}", allow="10.0.0.0/8")
                 + control("other", f"127.0.0.1:{port}"))
    assert d.control("version", ("127.0.0.1", port))


def test_a_control_port_changes_in_its_place_and_moves(pty, daemon, directory):
    a, b, port = pty("a"), pty("b"), free_port()
    here, there = f"unix:{directory}/here", f"unix:{directory}/there"
    d = daemon(lines(a, b) + control("one", here) + control("two", there)
               + tcp_server("lan", port, framing="line"))
    at = {"here": directory / "here", "there": directory / "there",
          "lan": ("127.0.0.1", port)}

    def access(where):
        try:
            d.control("set log_level info", at[where])
        except ControlError:
            return "read"
        except (OSError, AssertionError):       # it is being made anew
            return None
        return "full"

    assert access("here") == access("there") == "full"
    d.reload(lines(a, b) + control("one", here, access="read") + control("two", there)
             + tcp_server("lan", port, framing="line"))
    wait_for(lambda: access("here") == "read")
    assert access("there") == "full"
    # They change places, and take that of an endpoint.
    d.reload(lines(a, b) + control("one", there, access="read") + control("two", here)
             + control("net", f"127.0.0.1:{port}"))
    wait_for(lambda: access("here") == "full" and access("there") == "read")
    wait_for(lambda: access("lan") == "read")


def test_two_reloads_at_once_leave_the_ports_of_the_second(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b))
    for n in range(5):
        names = [f"{n}a", f"{n}b"]
        session = d.session()
        for name in names:
            d.write(lines(a, b) + control("x", f"unix:{directory}/x")
                    + control(name, f"unix:{directory}/{name}"))
            session.send(b"reload\n")
            d.signal(signal.SIGHUP)
        wait_for(lambda: (directory / names[1]).exists())
        session.close()
        d.reload()
        wait_for(lambda: not (directory / names[0]).exists())
        assert d.control("version", directory / "x")


# --- while a reload is under way ---------------------------------------------

MANY = 600


def crowd(changed=0):
    """So many endpoints that a reload takes a while."""
    return "".join(section("echo", f"e{i}", max_frame=100 + changed)
                   for i in range(MANY))


def begin_reload(d, conf):
    """The session that has asked for it, and been heard; it may be over already."""
    d.write(conf)
    session = d.session()
    asked = sum(row["label"].startswith("the end of the reload")
                for row in d.json("ps"))
    session.send(b"reload\n")
    pump([session], lambda: session.received or asked < sum(
        row["label"].startswith("the end of the reload") for row in d.json("ps")))
    return session


def test_traffic_and_commands_go_on_while_many_endpoints_change(pty, daemon):
    a, b = pty("a"), pty("b")
    conf = serial("a", a) + serial("b", b) + route("ab", between="a b")
    d = daemon(conf + crowd())
    data = random.Random(9).randbytes(1 << 20)
    a.send(data)
    for n in range(1, 4):
        session = begin_reload(d, conf + crowd(n))
        assert d.control("get a/state") == ["up"]
        pump([a, b], lambda: len(b.received) >= n * len(data) // 4)
        assert session.reply()[1] == "OK"
        session.close()
        assert d.number("e0/max_frame") == d.number(f"e{MANY - 1}/max_frame") == 100 + n
    pump([a, b], lambda: len(b.received) >= len(data))
    same(b.take(), data)
    assert d.opens("a", "b", "e0") == {"a": 1, "b": 1, "e0": 1}
    assert "held the loop" not in d.stderr()


def test_a_reload_during_a_reload_comes_after_it(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b))
    before = d.stderr().count("reloaded:")
    sessions = [begin_reload(d, lines(a, b) + crowd(n)) for n in range(4)]
    for session in sessions:
        assert session.reply()[1] == "OK"
        session.close()
    # Whoever has an answer finds what the file said when it asked.
    assert d.number("e0/max_frame") == d.number(f"e{MANY - 1}/max_frame") == 103
    assert 2 <= d.stderr().count("reloaded:") - before <= 4
    wait_for(lambda: d.tasks()["daemon.reload"]["state"] == "idle")
    session = begin_reload(d, lines(a, b) + crowd(9))
    bad = begin_reload(d, lines(a, b) + "[serial c]\nbuad = 1\n")
    assert "buad" in bad.reply()[1]
    session.reply()                 # of either file: which one it read is not known
    assert d.opens("a", "b") == {"a": 1, "b": 1}


def test_a_client_that_leaves_while_its_reload_is_under_way(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b))
    for n in range(5):
        begin_reload(d, lines(a, b) + crowd(n)).close()
    d.reload(lines(a, b))
    assert set(d.endpoints()) == {"a", "b"}
    # One that sends no more gets its answer.
    session = begin_reload(d, lines(a, b) + crowd())
    session.client.end()
    assert session.reply()[1] == "OK"
    session.close()


def test_the_session_of_a_control_port_that_goes_gets_its_answer(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b) + control("old", f"unix:{directory}/old"))
    assert d.control("version", directory / "old")
    d.write(lines(a, b) + crowd())
    assert d.control("reload", directory / "old") == []
    wait_for(lambda: not (directory / "old").exists())


def test_a_fault_that_is_found_late_changes_nothing(pty, daemon, directory):
    """Hundreds of endpoints are prepared when a control port cannot be opened."""
    a, b = pty("a"), pty("b")
    d = daemon(lines(a, b))
    kept, descriptors = descriptor(d, a), len(d.descriptors())
    for _ in range(3):
        with pytest.raises(ControlError) as e:
            d.reload(serial("a", a, framing="cobs") + crowd()
                     + control("x", f"unix:{directory}/nowhere/sock"))
        assert "control x" in str(e.value)
    assert set(d.endpoints()) == {"a", "b"}
    assert descriptor(d, a) == kept
    wait_for(lambda: len(d.descriptors()) == descriptors)
    a.send(b"as before\n")
    expect(b, b"as before\n", [a])
    d.reload(lines(a, b) + crowd())
    assert len(d.endpoints()) == MANY + 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_a_reload(number, pty, daemon):
    """Dropped or completed, and answered in any case."""
    a, b = pty("a"), pty("b")
    for n in range(4):
        d = daemon(lines(a, b))
        session = begin_reload(d, lines(a, b) + crowd())
        another = begin_reload(d, lines(a, b) + crowd())
        for _ in range(n * 10):
            d.control("version")
        d.signal(number)
        for s in (session, another):
            assert re.match("OK|ERR .*it is stopping", s.reply()[1])
            s.close()
        assert d.exit() == 0


def test_a_restart_during_a_reload(pty, daemon):
    """It is completed first; the next process has what the file says."""
    a, b = pty("a"), pty("b")
    ab = route("ab", between="a b")
    d = daemon(lines(a, b) + ab)
    kept = descriptor(d, a)
    for n in range(1, 5):
        before = d.stderr().count(" starting ")
        session = begin_reload(d, lines(a, b) + ab + crowd(n))
        for _ in range((n - 1) * 10):
            d.control("version")
        a.send(b"%d\n" % n)
        d.signal(signal.SIGUSR2)
        wait_for(lambda: d.stderr().count(" starting ") > before)
        expect(b, b"%d\n" % n, [a])
        wait_for(d.answers)
        session.close()
        assert d.number("e0/max_frame") == d.number(f"e{MANY - 1}/max_frame") == 100 + n
    assert descriptor(d, a)[1:] == kept[1:]
    assert d.opens("a", "b") == {"a": 1, "b": 1}
