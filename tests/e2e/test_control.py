"""The control port, as a person with netcat and a hostile program use it."""
import base64
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from harness import (Client, ControlError, Session, expect, flush, free_port,
                     pump, route, run, section, serial, tcp_server, wait_for)

COMMANDS = ("help ps where endpoints routes peers list get set send ask gather race stream scan watch events history capture "
            "cancel pause resume reopen break reload version json").split()


@pytest.fixture
def two(pty, daemon):
    """Two devices that speak lines, with control on a Unix and a TCP socket."""
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"),
               tcp=True)
    return d, a, b


def refused(d, command, *words, address=None):
    """The command is answered by one line ERR that holds the words."""
    with pytest.raises(ControlError) as e:
        d.control(command, address)
    assert len(e.value.lines) == 1, e.value.lines
    for word in words:
        assert word in str(e.value)
    return str(e.value)


# --- the commands ------------------------------------------------------------

def test_help_names_every_command_on_a_line_of_its_own(two):
    d, _, _ = two
    lines = d.control("help")
    first = [line.split()[0] for line in lines]
    for command in COMMANDS:
        assert first.count(command) == 1, command
    for line in lines:
        assert len(line.split()) > 2 or line.split()[0] == "json", line
        assert len(line) <= 100
    full = {line.split()[0] for line in lines if "access = full]" in line}
    assert full == {"set", "send", "ask", "gather", "race", "stream", "scan", "capture", "pause", "resume", "reopen", "break",
                    "reset", "cancel", "reload", "spool"}


def test_help_of_one_command_tells_about_it_alone(two):
    d, _, _ = two
    for command in COMMANDS:
        text = d.control(f"help {command}")
        assert command in text[0]
    refused(d, "help nonsense", "nonsense")
    refused(d, "help endpoint", "endpoints")


def test_ps_tells_what_every_task_waits_for(two):
    d, a, b = two
    lines = d.control("ps")
    assert lines[0].split() == ["TASK", "STATE", "AWAITING", "IDLE", "RUNS",
                                "CPU", "MAX", "WARN", "LABEL"]
    tasks = d.tasks()
    for name, p in (("a", a), ("b", b)):
        row = tasks[f"{name}.read"]
        assert row["state"] == "waiting"
        assert re.fullmatch(r"\w+\.c:\d+", row["awaiting"])
        assert str(p.link) in row["label"], row["label"]
        assert f"{name}.write" in tasks
    assert "line" in tasks["a.read"]["label"]


def test_ps_labels_have_words_and_names_but_no_addresses_of_memory(
        pty, daemon, connect, directory):
    a, b, port = pty("a"), pty("b"), free_port()
    d = daemon(serial("a", a, framing="line", label="the weather station") +
               serial("b", b, framing="line", queue="4K") +
               serial("gone", directory / "gone", reopen_min="60s",
                      reopen_max="60s") +
               tcp_server("lan", port, framing="line") +
               section("pty", "p", link=directory / "p"), settled=False, tcp=True)
    d.wait_state("gone", "lost")
    connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    b.reading = False
    a.send(b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * 5000)
    pump([a], lambda: d.tasks()["a.read"]["state"] == "paused")
    for name, row in d.tasks().items():
        label = row["label"]
        assert re.search(r"[a-z]{2,}", label), f"{name}: {label!r}"
        assert not re.search(r"0x[0-9a-f]{5,}|\(null\)|%[a-z]", label), label
        assert len(label) < 200
    tasks = d.tasks()
    assert str(directory / "gone") in tasks["gone.reopen"]["label"]
    assert "next try" in tasks["gone.reopen"]["label"]
    assert "b" in tasks["a.read"]["label"].replace(str(a.link), "").split() \
        or "b's" in tasks["a.read"]["label"]
    assert re.search(r"\d+ frames", tasks["b.write"]["label"])
    assert f"127.0.0.1:{port}" in tasks["lan.accept"]["label"]
    assert "1 of" in tasks["lan.accept"]["label"]


def test_where_shows_the_last_waits_of_a_task(two):
    d, a, b = two
    for i in range(30):
        a.send(b"line\n")
        expect(b, b"line\n", [a])
    text = "\n".join(d.control("where a.read"))
    assert str(a.link) in text
    places = re.findall(r"\w+\.c:\d+", text)
    assert 16 <= len(places) <= 18, text
    refused(d, "where a.reed", "a.reed", "a.read")
    refused(d, "where")


def test_endpoints_shows_each_with_its_counters(two):
    d, a, b = two
    a.send(b"0123456789\n" * 7)
    expect(b, b"0123456789\n" * 7, [a])
    heading = " ".join(d.control("endpoints")[0].split())
    for word in ("NAME", "TYPE", "STATE", "ADDRESS", "FRAMING", "RX", "TX",
                 "QUEUED", "DROPPED", "ERRORS", "UP", "REASON"):
        assert word in heading
    rows = d.endpoints()
    assert set(rows) == {"a", "b"}
    assert rows["a"]["type"] == "serial"
    assert rows["a"]["state"] == "up"
    assert rows["a"]["framing"] == "line"
    assert str(a.link) in rows["a"]["address"]
    assert d.number("a/rx_bytes") == 77 and d.number("a/rx_frames") == 7
    assert d.number("b/tx_bytes") == 77 and d.number("b/tx_frames") == 7


def test_peers_names_each_connection(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a) + tcp_server("lan", port))
    assert d.json("peers") == []
    one, two = connect(port), connect(port)
    wait_for(lambda: len(d.json("peers")) == 2)
    text = "\n".join(d.control("peers"))
    for c in (one, two):
        assert "%s:%d" % c.sock.getsockname() in text
    one.close()
    wait_for(lambda: len(d.json("peers")) == 1)


def test_list_gives_paths_that_get_understands(two):
    d, _, _ = two
    everything = [re.split(r"[ =:]", line)[0] for line in d.control("list")]
    assert "a/rx_bytes" in everything and "b/state" in everything
    for path in everything:
        d.control(f"get {path}")
    part = [re.split(r"[ =:]", line)[0] for line in d.control("list a/")]
    assert part == [p for p in everything if p.startswith("a/")]
    assert len(part) > 10


def test_get_prints_the_value_alone(two):
    d, a, b = two
    a.send(b"12345\n")
    expect(b, b"12345\n", [a])
    assert d.control("get a/rx_bytes") == ["6"]
    assert d.json("get a/rx_bytes") == 6
    message = refused(d, "get ar1/nope")
    assert message.startswith("ERR unknown attribute 'ar1/nope'")
    message = refused(d, "get a/rx_byte")
    assert message.startswith("ERR unknown attribute 'a/rx_byte'")
    assert "a/rx_bytes" in message
    refused(d, "get")


def test_set_changes_the_speed_of_an_open_port(two):
    d, a, _ = two
    opens = d.opens("a")
    d.control("set a/baud 19200")
    assert a.speed() == (19200, 19200)
    assert d.get("a/baud") == "19200"
    d.control("set a/baud 74880")
    assert a.speed() == (74880, 74880)
    assert d.opens("a") == opens
    refused(d, "set a/baud fast", "fast")
    refused(d, "set a/bauds 9600", "a/bauds", "a/baud")
    refused(d, "set a/rx_bytes 0")
    refused(d, "set a/baud")
    assert a.speed() == (74880, 74880)


def test_a_label_that_was_not_set_is_no_blank(two):
    d, _, _ = two
    d.control("set a/label north gate")
    d.control("set a/label south")
    wait_for(lambda: "label = south (was north gate)" in d.stderr())
    assert "label = north gate (was not set)" in d.stderr()
    # The log has values as 'get' prints them.
    for given, value in ("3", "3s"), ("1500ms", "1500ms"), ("none", "none"):
        d.control(f"set a/frame_gap {given}")
        assert d.get("a/frame_gap") == value
        assert f"a: frame_gap = {value} (was " in d.stderr()


def test_options_stand_anywhere(two, directory):
    d, a, b = two
    assert d.control("ps a.read -s cpu") and d.control("ps -s cpu a.read")
    s = d.session().send(b"watch b -n 1 -x\n")
    wait_for(lambda: any("watch of" in row["label"] for row in d.tasks().values()))
    b.send(b"one\n")
    expect(a, b"one\n", [s])
    lines, end = s.reply()
    assert end == "OK" and "6f 6e 65" in lines[0]
    d.control(f"capture start {directory}/x.pcap b size=4K files=2 -a")
    d.control("capture stop")
    assert (directory / "x.pcap").stat().st_size > 0


def test_set_changes_the_log_level(two):
    d, _, _ = two
    for level in ("debug", "info"):
        try:
            d.control(f"set log_level {level}")
        except ControlError:
            d.control(f"set daemon/log_level {level}")
        assert d.get("daemon/log_level") == level
    refused(d, "set daemon/log_level loud", "loud")


def test_send_gives_one_frame_to_an_endpoint(two):
    d, a, b = two
    d.control("send a hello there")
    expect(a, b"hello there\n")
    d.control(r"send b \x41\t\\end")
    expect(b, b"A\t\\end\n")
    refused(d, r"send a one\ntwo")           # a line cannot hold it
    refused(d, "send nobody text", "nobody")
    refused(d, "send")
    refused(d, r"send a \xzz")


def asking(d):
    """The sessions that await an answer, by the name of their task."""
    return [name for name, row in d.tasks().items()
            if row["label"].startswith("an answer of ")]


def test_ask_sends_a_frame_and_shows_the_next_one_back(two):
    d, a, b = two
    s = d.session()
    s.send(b"ask a what is\\sit? 20s\nversion\n")
    expect(a, b"what is it?\n", [s])
    b.send(b"not from a\n")
    expect(a, b"not from a\n", [s, b])
    assert not s.received, "nothing has come from a"
    assert len(asking(d)) == 1
    a.send(b"42\x01\n43\n")
    expect(b, b"42\x01\n43\n", [a, s])
    assert s.reply() == (["42\\x01"], "OK")
    assert s.reply()[0][0].startswith("ttybridged ")
    refused(d, "ask a again 30ms", "timed out after 30ms")
    expect(a, b"again\n")
    a.send(b"late\n")
    expect(b, b"late\n", [a])
    refused(d, "ask a", "missing")
    refused(d, "ask nobody text", "nobody")
    refused(d, "ask a text 2m", "1m")
    refused(d, r"ask a one\ntwo")


def test_an_answer_as_json(two):
    d, a, b = two
    s = d.session()
    s.send(b"json ask a how much 20s\n")
    expect(a, b"how much\n", [s])
    a.send(b"5 V\n")
    expect(b, b"5 V\n", [a])
    assert json.loads(s.reply()[0][0]) == {"from": "a", "size": 3, "text": "5 V"}


def test_an_answer_is_not_taken_for_that_of_another_question(two):
    d, a, b = two
    s = d.session()
    s, t = d.session(), d.session()
    s.send(b"ask a warm? 20s\n")
    expect(a, b"warm?\n", [s])
    t.send(b"ask a wet? 20s\n")
    flush([t])
    wait_for(lambda: any(row["label"].startswith("its turn to ask a for ")
                         and "after 1 more" in row["label"] for row in d.tasks().values()))
    refused(d, "ask a dark? 50ms", "timed out after 50ms, before its turn to ask a")
    a.send(b"20 C\n")
    expect(b, b"20 C\n", [a])
    assert s.reply() == (["20 C"], "OK")
    expect(a, b"wet?\n", [t])
    assert not t.received
    a.send(b"no\n")
    assert t.reply() == (["no"], "OK")


def test_who_asks_may_send_no_more_or_be_ended(two):
    d, a, b = two
    s = d.session()
    s.send(b"ask a anybody? 20s\n")
    expect(a, b"anybody?\n", [s])
    s.client.end()
    a.send(b"me\n")
    expect(b, b"me\n", [a])
    assert s.reply() == (["me"], "OK")
    pump([s], lambda: s.eof)
    s = d.session()
    s.send(b"ask a anybody? 20s\n")
    expect(a, b"anybody?\n", [s])
    d.control(f"cancel {asking(d)[0]}")
    assert s.reply() == ([], "ERR cancelled on a control port")
    s.send(b"ask a who? 20s\n")
    expect(a, b"who?\n", [s])
    (name,) = [name for name, row in d.tasks().items()
               if row["label"].startswith("the answer of a to ")]
    d.control(f"cancel {name}")
    pump([s], lambda: s.eof)
    wait_for(lambda: not asking(d))
    a.send(b"nobody asks\n")
    expect(b, b"nobody asks\n", [a])


def queued(d):
    return [name for name, row in d.tasks().items()
            if row["label"].startswith("its turn to ask ")]


def test_a_query_ends_when_its_endpoint_goes_down(two):
    d, a, b = two
    s, t, u = d.session(), d.session(), d.session()
    s.send(b"ask a one 1m\n")
    expect(a, b"one\n", [s])
    t.send(b"ask a two 1m\n")
    u.send(b"gather 1m ask b three ; ask a four\n")
    expect(b, b"three\n", [t, u])
    wait_for(lambda: len(queued(d)) == 2)
    b.send(b"3\n")
    expect(a, b"3\n", [s])
    a.unplug()
    assert s.reply() == ([], "ERR a went down before it answered")
    assert t.reply()[1].startswith("ERR a cannot answer: it is lost")
    (third, fourth), end = u.reply()
    assert (third, end) == ("1 b 3", "OK")
    assert fourth.startswith("2 a ERR a cannot answer: it is lost")
    a.plug()
    d.wait_state("a", "up")
    s.send(b"ask a five 1m\n")
    expect(a, b"five\n", [s])
    t.send(b"ask a six 1m\n")
    flush([t])
    wait_for(lambda: queued(d))
    d.control("reopen a")
    assert s.reply() == ([], "ERR a went down before it answered")
    # It is up again when the turn of the next one comes.
    expect(a, b"six\n", [t])
    a.send(b"6\n")
    assert t.reply() == (["6"], "OK")


def test_a_query_ends_when_its_endpoint_is_removed(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"))
    s, t, u = d.session(), d.session(), d.session()
    s.send(b"ask a one 1m\n")
    expect(a, b"one\n", [s])
    t.send(b"ask a two 1m\n")
    u.send(b"ask b three 1m\n")
    expect(b, b"three\n", [t, u])
    wait_for(lambda: queued(d))
    d.reload(serial("b", b, framing="line") + section("echo", "e"))
    assert s.reply() == ([], "ERR a was removed before it answered")
    assert t.reply() == ([], "ERR a was removed")
    b.send(b"3\n")
    assert u.reply() == (["3"], "OK")
    expect(b, b"3\n")
    s.send(b"ask b four 1m\n")
    expect(b, b"four\n", [s])
    d.reload(section("pty", "b", link=d.directory / "b", framing="line") + section("echo", "e"))
    assert s.reply() == ([], "ERR b went down before it answered")


def test_only_a_frame_that_matches_is_the_answer(two):
    d, a, b = two
    s = d.session()
    s.send(b"ask a match=^T= temp? 20s\n")
    expect(a, b"temp?\n", [s])
    a.send(b"H=40\nT=21\n")
    assert s.reply() == (["T=21"], "OK")
    refused(d, "ask a match=( temp?", "match=(")
    refused(d, "ask a match=x", "missing")


def test_gather_shows_the_answers_in_the_order_of_the_queries(two):
    d, a, b = two
    s, w = d.session(), d.session()
    w.send(b"watch\n")
    flush([w])
    wait_for(lambda: any("watch" in row["label"] for row in d.tasks().values()))
    s.send(b"gather 20s ask a one\\x3b ; ask b two;ask a three 50ms; ask b match=x four\n")
    expect(a, b"one;\n", [s])
    expect(b, b"two\n", [s])
    wait_for(lambda: any("(1 ended)" in row["label"] for row in d.tasks().values()))
    b.send(b"2\n")
    expect(b, b"four\n", [s])
    b.send(b"x4\n")
    expect(a, b"2\nx4\n", [b])
    a.send(b"1\n")
    assert s.reply() == (["1 a 1", "2 b 2",
                          "3 a ERR timed out after 50ms, before its turn to ask a",
                          "4 b x4"], "OK")
    pump([w], lambda: len(w.lines()) >= 6)
    shown = b"\n".join(w.lines()).decode()
    for text in ("one;", "two", "four", "x4"):
        assert text in shown


def test_gather_as_json_and_its_faults(two):
    d, a, b = two
    s = d.session()
    s.send(b"json gather ask a one 20s ; ask b two 50ms\n")
    expect(a, b"one\n", [s])
    wait_for(lambda: any("(1 ended)" in row["label"] for row in d.tasks().values()))
    a.send(b"\"1\"\n")
    lines, end = s.reply()
    first, second = json.loads(lines[0])
    assert first.pop("time") > 0
    assert first == {"number": 1, "name": "a", "error": None, "from": "a", "size": 3,
                     "text": '"1"'}
    assert second == {"number": 2, "name": "b", "time": None, "error": "timed out after 50ms"}
    for line, why in (("gather", "missing"), ("gather 2m ask a x", "1m"),
                      ("gather ask a x ;", "query 2 is empty"),
                      ("gather ask a x ; ask a", "query 2 has no TEXT"),
                      ("race ask", "query 1 has no NAME and no TEXT"),
                      ("gather ask nobody x", "unknown endpoint"),
                      ("race 1s send a x", "query 1 is not"),
                      ("stream " + "ask a x;" * 64 + "ask a x", "more than 64")):
        refused(d, line, why)


def test_race_shows_the_first_answer_and_cancels_the_rest(two):
    d, a, b = two
    s = d.session()
    s.send(b"race ask a one 20s ; ask b two 20s ; ask b three 20s\n")
    expect(a, b"one\n", [s])
    expect(b, b"two\n", [s])
    a.send(b"me\n")
    assert s.reply() == (["1 a me"], "OK")
    wait_for(lambda: not [name for name in d.tasks() if ".query#" in name])
    expect(b, b"me\n", [a])
    refused(d, "race 50ms ask a x ; ask b y",
            "no answer arrived: 1-2: timed out after 50ms")
    d.control("pause a")
    refused(d, "race 50ms ask a x", "1 a: a cannot answer: it is paused")


def test_a_lost_race_says_what_became_of_each_query(two):
    d, a, b = two

    def lost(command):
        with pytest.raises(ControlError) as e:
            d.control(command)
        return str(e.value)[str(e.value).index("no answer arrived: "):].split("; ")
    def numbers(part):
        """"1-3,7 a: why" is 1, 2, 3 and 7."""
        who = part.removeprefix("no answer arrived: ").split(":")[0].split()[0]
        for some in who.split(","):
            first, _, last = some.partition("-")
            yield from range(int(first), int(last or first) + 1)
    told = lost("race 50ms " + ";".join(["ask a x"] * 64))
    assert sorted(n for part in told for n in numbers(part)) == list(range(1, 65))
    assert all(re.search(": timed out after 50ms(, before its turn to ask a)?$", t) for t in told)
    # As many reasons as have no room in one reply.
    *told, more = lost("race " + ";".join(f"ask a x {n}ms" for n in range(50, 114)))
    assert told[30].startswith("31 a: timed out after 80ms")
    assert more == f"and {64 - len(told)} more"
    d.control("pause a")
    d.control("pause b")
    assert lost("race " + ";".join(["ask a x"] * 62 + ["ask b y", "ask a x"])) == \
        ["no answer arrived: 1-62,64: a cannot answer: it is paused",
         "63 b: b cannot answer: it is paused"]


def test_stream_shows_each_answer_when_it_arrives(two):
    d, a, b = two
    s = d.session()
    s.send(b"stream 20s ask a one ; ask b two ; ask a three\nversion\n")
    expect(a, b"one\n", [s])
    expect(b, b"two\n", [s])
    b.send(b"2\n")
    pump([s], lambda: s.lines() == [b"2 b 2"])
    (name,) = asking(d)
    d.control(f"cancel {name}")
    pump([s], lambda: len(s.lines()) == 2)
    expect(a, b"2\nthree\n", [b])
    a.send(b"3\n")
    assert s.reply() == (["2 b 2", "1 a ERR cancelled on a control port", "3 a 3"], "OK")
    assert s.reply()[0][0].startswith("ttybridged ")


def test_watch_shows_each_frame_until_the_next_line(two):
    d, a, b = two
    s = d.session()
    s.send(b"watch\n")
    flush([s])
    wait_for(lambda: any("watch" in str(row).lower()
                         for row in d.tasks().values()))
    a.send(b"to \x01 b\n")
    expect(b, b"to \x01 b\n", [a])
    b.send(b"back\n")
    expect(a, b"back\n", [b])
    pump([s], lambda: len(s.lines()) >= 2)
    first, second = [line.decode() for line in s.lines()[-2:]]
    assert re.search(r"\ba\b.*\bb\b.*\b6\b.*to \\(x01|001) b", first), first
    assert re.search(r"\bb\b.*\ba\b.*\b4\b.*back", second), second
    s.send(b"\n")
    body, last = s.reply()
    assert last == "OK"
    a.send(b"unseen\n")
    expect(b, b"unseen\n", [a])
    s.send(b"version\n")
    body, last = s.reply()
    assert last == "OK" and "unseen" not in "".join(body)
    s.close()


def test_watch_of_one_endpoint_shows_its_frames_only(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon("".join(serial(p.name, p, framing="line") for p in (a, b, c)) +
               section("route", "ab", between="a b"))
    s = d.session()
    s.send(b"watch c\n")
    flush([s])
    wait_for(lambda: any("watch" in str(row).lower()
                         for row in d.tasks().values()))
    a.send(b"private\n")
    expect(b, b"private\n", [a])
    c.send(b"to nobody\n")
    flush([c])
    pump([s], lambda: b"to nobody" in s.received)
    assert b"private" not in s.received
    refused(d, "watch nobody", "nobody")
    s.close()


def test_a_flood_that_is_watched_does_not_delay_the_others(daemon, directory, connect):
    keys = dict(framing="line", overflow="drop-oldest", queue="4M")
    d = daemon("".join(section("unix-server", n, listen=directory / n, **keys) for n in "abc") +
               route("r", from_="a b", to="c"))
    a, b, c = (connect(directory / n) for n in "abc")
    session = d.session().send(b"watch\n")
    try:
        wait_for(lambda: len(d.json("peers")) == 3 and
                 "to end its watch" in "".join(d.control("ps")))
        # All of it is there before the daemon looks.
        d.signal(signal.SIGSTOP)
        a.send(b"\n" * 30000)
        b.send(b"from b\n")
        d.signal(signal.SIGCONT)
        pump([a, b, c, session], lambda: len(c.received) >= 30007)
        assert c.received.index(b"from b") < 2000
    finally:
        session.close()


def test_a_watcher_that_does_not_read_costs_its_own_connection_only(two):
    d, a, b = two
    s = d.session()
    s.send(b"watch\n")
    flush([s])
    before = d.rss()
    lines = (b"x" * 99 + b"\n") * 100000
    a.send(lines)
    expect(b, lines, [a], timeout=60)
    assert d.rss() - before < 24 * 1024 * 1024     # of some 100
    s.close()


def test_cancel_ends_a_client_and_not_a_device(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line"))
    client, stays = connect(port), connect(port)
    wait_for(lambda: len(d.json("peers")) == 2)
    address = "%s:%d" % client.sock.getsockname()
    task, = [name for name, row in d.tasks().items()
             if address in row["label"] and name.endswith(".read")]
    d.control(f"cancel {task}")
    pump([client], lambda: client.eof)
    wait_for(lambda: len(d.json("peers")) == 1)
    a.send(b"still here\n")
    expect(stays, b"still here\n", [a])
    refused(d, "cancel a.read", "a.read")
    refused(d, "cancel nothing.read", "nothing.read")
    refused(d, "cancel")
    session = d.session()
    session.ask("version")
    task, = [name for name, row in d.tasks().items()
             if name.startswith("unix.client") or
             re.match(r"unix.*#\d+\.read", name)][:1]
    d.control(f"cancel {task}")
    pump([session], lambda: session.eof)
    session.close()


def test_pause_holds_frames_and_resume_lets_them_go(two):
    d, a, b = two
    opens = d.opens("a", "b")
    d.control("pause b")
    lines = b"".join(b"line %d\n" % i for i in range(100))
    a.send(lines)
    flush([a])
    d.wait_number("b/queued_frames", 100)
    b.send(b"unheard until later\n")
    flush([b])
    assert d.number("b/rx_frames") == 0
    d.control("pause b")                    # twice is once
    d.control("resume b")
    expect(b, lines)
    expect(a, b"unheard until later\n")
    assert d.opens("a", "b") == opens
    refused(d, "pause nobody", "nobody")
    refused(d, "resume nobody", "nobody")


def test_reopen_closes_and_opens_one_endpoint(two):
    d, a, b = two
    opens = d.opens("a", "b")
    d.control("reopen b")
    d.wait_number("b/opens", opens["b"] + 1)
    d.wait_state("b", "up")
    a.send(b"hello\n")
    expect(b, b"hello\n", [a])
    assert d.opens("a") == {"a": opens["a"]}
    refused(d, "reopen nobody", "nobody")


def test_reopen_tries_a_lost_device_at_once(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a) + serial("b", b))
    link = b.link
    b.unplug()
    d.wait_state("b", "lost")
    d.control("reopen b")
    d.wait_state("b", "lost")
    b.plug()
    assert link == b.link
    d.wait_state("b", "up")


def test_break_is_sent_or_refused_in_words(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line"))
    client = connect(port)
    try:
        d.control("break a 20ms")
    except ControlError as e:       # a pty has no break to give
        assert "break" in str(e)
    refused(d, "break lan", "lan")
    refused(d, "break nobody", "nobody")
    refused(d, "break a soon", "soon")
    a.send(b"after\n")
    expect(client, b"after\n", [a])


def test_version_is_the_programs(two):
    d, _, _ = two
    assert d.control("version")[0] == run("--version").stdout.strip()


def test_json_gives_one_line_of_json_for_every_table(two):
    d, _, _ = two
    for command in ("help", "ps", "where a.read", "endpoints", "routes",
                    "peers", "list", "get a/state", "version"):
        d.json(command)
    refused(d, "json nonsense", "nonsense")
    refused(d, "json")
    refused(d, "json json ps")


def test_json_counts_are_numbers(two):
    d, _, _ = two
    for row in d.json("ps"):
        assert isinstance(row["runs"], int)
        assert isinstance(row["cpu"], (int, float))
        assert isinstance(row["idle"], (int, float, type(None)))
    for row in d.json("routes"):
        assert isinstance(row["frames"], int)


def test_ask_awaits_the_next_frame_back(two):
    d, a, _ = two
    s = d.session()
    s.send(b"ask a what time is it\n")
    pump([s, a], lambda: a.received == b"what time is it\n")
    a.take()
    a.send(b"noon\n")
    pump([s, a], lambda: s._end() is not None)
    assert s.reply() == (["noon"], "OK")
    refused(d, "ask a silence 50ms", "timed out after 50ms")
    s.close()


def test_capture_writes_what_passes(two, directory):
    d, a, b = two
    file = directory / "frames.pcap"
    d.control(f"capture start {file}")
    a.send(b"seen frame\n")
    expect(b, b"seen frame\n", [a])
    d.control("capture status")
    d.control("capture stop")
    data = file.read_bytes()
    assert data[:4] in (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4",
                        b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d",
                        b"\x0a\x0d\x0d\x0a")
    assert b"seen frame" in data


# --- who may do what ---------------------------------------------------------

def test_a_port_for_reading_refuses_what_changes_anything(two):
    d, a, b = two
    tcp = ("127.0.0.1", d.port)
    for command in ("set a/baud 9600", "send a text", "cancel a.read",
                    "pause a", "resume a", "reopen a", "break a", "reload",
                    "json pause a"):
        message = refused(d, command, address=tcp)
        assert re.search("access|allowed|read", message), message
    for command in ("help", "ps", "where a.read", "endpoints", "routes",
                    "peers", "list", "get a/state", "version", "json ps"):
        assert d.control(command, tcp) is not None
    assert d.opens("a") == {"a": 1}
    assert not a.received


def test_access_full_may_be_given_to_a_tcp_port(pty, daemon):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               section("control", "open", listen=f"127.0.0.1:{port}",
                       access="full") +
               section("echo", "e"))
    d.control("send a allowed", ("127.0.0.1", port))
    expect(a, b"allowed\n")


def test_access_read_may_be_given_to_a_unix_socket(pty, daemon, directory):
    a, path = pty("a"), directory / "look.sock"
    d = daemon(serial("a", a, framing="line") + section("echo", "e") +
               section("control", "look", listen=f"unix:{path}",
                       access="read", mode="0640"))
    assert os.stat(path).st_mode & 0o777 == 0o640
    refused(d, "pause a", address=path)
    assert d.control("get a/state", path) == ["up"]


# --- manners -----------------------------------------------------------------

def test_netcat_gets_the_whole_reply_and_ends(two):
    d, _, _ = two
    done = subprocess.run(f"printf 'ps\\n' | nc -N 127.0.0.1 {d.port}",
                          shell=True, timeout=10, stdout=subprocess.PIPE)
    lines = done.stdout.decode().split("\n")
    assert lines[0].startswith("TASK") and lines[-2:] == ["OK", ""]
    done = subprocess.run(f"printf 'ps\\n' | nc -N -U {d.socket}",
                          shell=True, timeout=10, stdout=subprocess.PIPE)
    assert done.stdout.decode().endswith("\nOK\n")


def test_there_is_no_greeting_and_no_prompt(two):
    d, _, _ = two
    assert d.raw("") == b""
    assert d.raw("get a/state\n") == b"up\nOK\n"


def test_several_commands_at_once_are_answered_in_order(two):
    d, _, _ = two
    reply = d.raw("get a/state\nnonsense\n\r\nget b/state\r\nversion")
    lines = reply.decode().split("\n")
    assert lines[:2] == ["up", "OK"]
    assert lines[2].startswith("ERR unknown command 'nonsense'")
    assert lines[3:5] == ["up", "OK"]


def test_unknown_words_are_answered_with_the_nearest(two):
    d, _, _ = two
    refused(d, "endpoins", "endpoins", "endpoints")
    refused(d, "zzzzzzz", "zzzzzzz")
    refused(d, "PS; rm -rf /", "PS;")
    d.control("  version  ")
    refused(d, "version now")


def test_a_thousand_commands_in_one_write_are_all_answered(two):
    d, _, _ = two
    reply = d.raw("get a/state\n" * 1000)
    assert reply == b"up\nOK\n" * 1000


def test_a_line_of_a_megabyte_is_refused_and_costs_nothing(two):
    d, _, _ = two
    before = d.rss()
    client = Client(d.socket)
    client.send(b"x" * (1 << 20))
    pump([client], lambda: not client.outgoing or client.eof)
    if not client.eof:
        client.send(b"\n")
        pump([client], lambda: client.received or client.eof)
    assert client.received.startswith(b"ERR ")
    assert b"long" in client.received or b"4096" in client.received
    client.close()
    assert d.rss() - before < 2 * 1024 * 1024
    assert d.control("version")


def test_the_longest_frame_is_sent_in_base64(daemon, pty):
    a = pty("a")
    d = daemon(serial("a", a, max_frame="1M", queue="4M", framing="length", length_size=4))
    before = d.rss()
    frame = os.urandom(1 << 20)
    line = b"send -b a " + base64.b64encode(frame)
    session = d.session()
    # In parts, and others are answered between them.
    for at in range(0, len(line), 100000):
        session.send(line[at:at + 100000])
        flush([session])
        assert d.state("a") == "up"
    session.send(b"\n")
    assert session.reply() == ([], "OK")
    expect(a, len(frame).to_bytes(4, "big") + frame, [session])
    # Its limit is that of the frame, and nothing of it is kept.
    session.send(b"send -b a " + base64.b64encode(frame + b"x") + b"\n")
    _, last = session.reply()
    assert last == "ERR 1048577 bytes are more than max_frame of a, 1048576"
    session.send(b"get a/tx_frames\n")
    assert session.reply() == (["1"], "OK")
    session.close()
    wait_for(lambda: d.rss() - before < 8 << 20)


def test_only_send_b_takes_long_lines_and_not_for_ever(daemon, pty):
    d = daemon(serial("a", pty("a"), framing="line"), tcp=True)
    for line, address in ((b"send a " + b"x" * 5000, d.socket),
                          (b"send  -b a " + b"x" * 5000, d.socket),
                          (b"send -b a " + b"x" * 5000, ("127.0.0.1", d.port))):
        assert d.raw(line + b"\nversion\n", address) == b"ERR line longer than 4096 bytes\n"
    client = Client(d.socket)
    client.send(b"send -b a " + b"eHh4" * 500000)
    pump([client], lambda: client.eof)
    assert client.take() == b"ERR line longer than 1572864 bytes\n"
    client.close()
    assert d.number("a/tx_frames") == 0


@pytest.mark.parametrize("words, said", [
    ("a", "an argument is missing: send -b NAME BASE64"),
    ("a  ", "an argument is missing: send -b NAME BASE64"),
    ("b eA==", "unknown endpoint 'b'"),
    ("a x", "'x' is not base64"),
    ("a eA=", "'eA=' is not base64"),
    ("a " + 5000 * "\xff", "is not base64"),
    ("a " + 5000 * "x" + "\0", "this line has a byte 0x00 in it"),
    ("a Cg==", "cannot express this frame"),
])
def test_what_is_wrong_with_bytes(daemon, pty, words, said):
    a = pty("a")
    d = daemon(serial("a", a, framing="line"))
    reply = d.raw(b"send -b " + words.encode("latin-1") + b"\nsend -b a  eA==\r\n")
    first, second, _ = reply.decode().split("\n")
    assert first.startswith("ERR ") and said in first
    assert second == "OK"
    expect(a, b"x\n")


def test_a_line_of_4096_bytes_is_read_whole(two):
    d, _, _ = two
    word = "x" * 4000
    message = refused(d, word)
    assert message.startswith("ERR unknown command 'xxx")
    refused(d, "y" * 4097)
    assert d.raw("get a/state" + " " * 4000 + "\n") == b"up\nOK\n"


def test_bytes_that_are_no_text_are_answered(two):
    d, _, _ = two
    reply = d.raw(bytes(range(256)).replace(b"\n", b"") + b"\nversion\n")
    assert reply.startswith(b"ERR ") and reply.endswith(b"OK\n")
    assert re.fullmatch(rb"[\n\x20-\x7e]*", reply), reply


def test_half_a_command_and_silence_hold_up_nobody(two):
    d, a, b = two
    slow = []
    for _ in range(20):
        client = Client(("127.0.0.1", d.port))
        client.send(b"endpoi")
        flush([client])
        slow.append(client)
    assert d.control("version")
    a.send(b"bytes go on\n")
    expect(b, b"bytes go on\n", [a])
    slow[0].send(b"nts\n")
    pump(slow[:1], lambda: slow[0].received.endswith(b"\nOK\n"))
    for client in slow:
        client.close()


def test_a_client_that_never_reads_its_replies_is_closed_in_the_end(two):
    d, a, b = two
    before = d.rss()
    client = Client(("127.0.0.1", d.port), receive_buffer=2048)
    client.reading = False
    client.send(b"list\n" * 20000)
    pump([client, a, b], lambda: client.eof or not client.outgoing)
    assert d.control("version")
    assert d.rss() - before < 12 * 1024 * 1024
    a.send(b"bytes go on\n")
    expect(b, b"bytes go on\n", [a])
    client.close()


def test_a_thousand_connections_at_once_do_no_harm(two):
    d, a, b = two
    first = d.session()
    first.ask("version")
    before = d.rss()
    crowd = []
    for _ in range(1000):
        client = Client(("127.0.0.1", d.port))
        client.send(b"ps")
        crowd.append(client)
    start = time.monotonic()
    first.ask("version")
    assert time.monotonic() - start < 5
    a.send(b"bytes go on\n")
    expect(b, b"bytes go on\n", [a])
    for client in crowd:
        client.close()
    assert wait_for(lambda: try_version(d))
    assert d.rss() - before < 24 * 1024 * 1024
    first.close()


def try_version(d):
    client = Client(("127.0.0.1", d.port))
    try:
        client.send(b"version\n")
        pump([client], lambda: client.eof or b"OK\n" in client.received)
        return client.received.endswith(b"OK\n")
    finally:
        client.close()


def test_sessions_that_reset_in_the_middle_leave_nothing(two):
    d, _, _ = two
    before = len(d.descriptors())
    for i in range(100):
        client = Client(("127.0.0.1", d.port))
        client.send((b"ps\n", b"watch\n", b"en", b"list\nlist\n")[i % 4])
        flush([client])
        client.reset()
    wait_for(lambda: len(d.descriptors()) <= before)
    wait_for(lambda: not [t for t in d.tasks() if t.startswith("net.client")])


# --- the task table is the truth ---------------------------------------------

def waits_match(d):
    """Tasks that wait are the events that the loop has armed, at one moment."""
    words = d.raw("get daemon/waits\nget daemon/events\n").split()
    assert words[1::2] == [b"OK", b"OK"], words
    assert words[0] == words[2], \
        f"{words[0]} tasks wait, {words[2]} events are armed:\n" + \
        "\n".join(d.control("ps"))


def test_waiting_tasks_are_exactly_the_events_that_are_armed(
        pty, daemon, connect, directory):
    a, b, c, port, udp_port = pty("a"), pty("b"), pty("c"), free_port(), free_port()
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", queue="4K", stall_timeout="30s") +
               serial("c", c, framing="line", frame_timeout="30s") +
               serial("late", directory / "late", reopen_min="30s",
                      reopen_max="60s") +
               section("pty", "p", link=directory / "p") +
               section("echo", "e") +
               section("udp", "to", send_to="127.0.0.1:9") +
               section("udp", "by", listen=f"127.0.0.1:{udp_port}") +
               tcp_server("lan", port, framing="line"),
               settled=False, tcp=True)
    d.wait_state("late", "lost")
    waits_match(d)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"a datagram", ("127.0.0.1", udp_port))
    wait_for(lambda: len(d.json("peers")) == 2)
    waits_match(d)
    for command in ("pause to", "pause by", "resume to", "resume by", "reopen to"):
        d.control(command)
        waits_match(d)
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 3)
    waits_match(d)
    watcher = d.session(tcp=True)
    watcher.send(b"watch\n")
    flush([watcher])
    waits_match(d)
    c.send(b"half a frame")
    flush([c])
    d.wait_number("c/rx_bytes", 12)
    waits_match(d)
    b.reading = False
    a.send((b"x" * 99 + b"\n") * 3000)
    pump([a, c, client, watcher], lambda: d.queued("b") > 0)
    waits_match(d)
    for command in ("pause a", "resume a", "pause b", "reopen c", "resume b"):
        d.control(command)
        waits_match(d)
    b.reading = True
    # a's lines, and the same from the echo, have passed
    pump([a, b, c, client, watcher], lambda: d.queued("b") == 0 and
         len(client.received) == 2 * 300_000)
    waits_match(d)
    c.unplug()
    d.wait_state("c", "lost")
    waits_match(d)
    c.plug()
    d.wait_state("c", "up")
    waits_match(d)
    client.close()
    watcher.close()
    d.control("reopen by")
    wait_for(lambda: [row["endpoint"] for row in d.json("peers")] == ["to"])
    waits_match(d)


def test_an_idle_daemon_does_not_wake_up(pty, daemon, connect, directory):
    a, b, port = pty("a"), pty("b"), free_port()
    d = daemon(serial("a", a, framing="line", frame_timeout="100ms") +
               serial("b", b, framing="modbus-rtu", stall_timeout="100ms") +
               serial("gone", directory / "gone", reopen_min="60s",
                      reopen_max="60s") +
               section("pty", "p", link=directory / "p") +
               section("echo", "e") +
               tcp_server("lan", port, framing="line"), settled=False)
    d.wait_state("gone", "lost")
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    a.send(b"one line\n")
    pump([a, b, client], lambda: b"one line\n" in client.received)
    session = d.session()
    session.ask("version")

    def switches():
        with open(f"/proc/{d.pid}/status") as f:
            return sum(int(n) for n in
                       re.findall(r"ctxt_switches:\s*(\d+)", f.read()))
    start = time.monotonic()
    pump([client, b], lambda: time.monotonic() - start > 0.3)
    before, start = switches(), time.monotonic()
    pump([], lambda: time.monotonic() - start > 0.7)
    assert switches() - before <= 1
    session.close()


def test_a_paused_endpoint_still_notices_that_it_is_lost(two):
    d, _, b = two
    d.control("pause b")
    b.unplug()
    d.wait_state("b", "lost")
    b.plug()
    wait_for(lambda: d.number("b/opens") == 2)
    d.control("resume b")
    d.wait_state("b", "up")


def test_the_reply_of_a_half_closed_client_is_json_too(two):
    d, _, _ = two
    reply = d.raw("json endpoints\n").decode().split("\n")
    assert reply[-2:] == ["OK", ""]
    assert [row["name"] for row in json.loads(reply[0])] == ["a", "b"]


def test_tokens_of_a_session_survive_a_split_anywhere(two):
    d, _, _ = two
    s = Session(d.socket)
    for byte in b"get a/state\n":
        s.send(bytes([byte]))
        flush([s])
    assert s.reply() == (["up"], "OK")
    s.close()


def test_no_two_attributes_have_the_same_path(pty, daemon, directory):
    d = daemon(
        serial("a", pty("a"), framing="nmea") + serial("b", pty("b"), framing="nmea") +
        serial("bus", pty("bus"), framing="modbus-rtu") + section("echo", "back") +
        section("pty", "virtual", link=directory / "virtual") +
        section("tcp-server", "lan", listen=f"127.0.0.1:{free_port()}", framing="modbus-tcp") +
        section("tcp-client", "far", connect="127.0.0.1:9") +
        section("udp", "out", send_to="127.0.0.1:9") +
        section("unix-server", "local", listen=directory / "local") +
        section("unix-client", "other", connect=directory / "none") +
        route("plain", from_="a back", to="b out", prefer="from", duplicates="1s") +
        route("gateway", from_="lan", to="bus", exchange="modbus", retries=1), settled=False)
    paths = [line.split()[0] for line in d.control("list")]
    assert len(paths) > 300
    assert sorted(paths) == sorted(set(paths))
