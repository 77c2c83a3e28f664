"""Logs of endpoints, and their histories: what was read and written."""
import base64
import json
import os
import re
import signal

import pytest

from harness import (ControlError, expect, flush, free_port, run, serial, tcp_server, wait_for)

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "


def lines(file):
    """The lines of a log without their times."""
    if not file.exists():
        return []
    return [re.fullmatch(TIME + r"(.*)", line)[1] for line in file.read_text().splitlines()]


def test_what_is_read_and_written_is_logged_line_by_line(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    log = directory / "a.log"
    d = daemon(serial("a", a, framing="raw", log=log) + serial("b", b, framing="raw"))
    wait_for(log.exists)
    a.outgoing += b"boot\r\nlogin: "
    expect(b, b"boot\r\nlogin: ", [a])
    b.outgoing += b"root\r"
    expect(a, b"root\r", [b])
    a.outgoing += b"\r\n\x1b[1m$ "
    expect(b, b"\r\n\x1b[1m$ ", [a])
    wait_for(lambda: lines(log)[-1:] == [r"< \x1b[1m$ "])
    assert sorted(lines(log)[:-1]) == ["< boot", "< login: ", "> root"]
    row = next(r for r in d.json("ps") if r["task"] == "daemon.files")
    assert "1 file" in row["label"]


def test_it_may_be_hexadecimal_or_json(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    daemon(serial("a", a, framing="slip", log=directory / "hex", log_format="hex") +
           serial("b", b, framing="line", log=directory / "json", log_format="json"))
    b.outgoing += b'say "\\"\n'
    expect(a, b'\xc0say "\\"\xc0', [b])
    wait_for(lambda: lines(directory / "hex") ==
             ["> c0 73 61 79 20 22 5c 22 c0"])
    wait_for(lambda: (directory / "json").read_text())
    row = json.loads((directory / "json").read_text())
    assert row.pop("time") > 0
    assert row == {"endpoint": "b", "direction": "in", "size": 7, "text": r'say "\\"'}


def test_peers_are_named(pty, daemon, directory, connect):
    a, port = pty("a"), free_port()
    daemon(serial("a", a, framing="line") +
           tcp_server("lan", port, framing="line", log=directory / "lan.log"))
    client = connect(("127.0.0.1", port))
    client.outgoing += b"hello\n"
    expect(a, b"hello\n", [client])
    wait_for(lambda: lines(directory / "lan.log") == ["lan#1 < hello"])


def test_a_log_that_is_full_is_renamed(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    log = directory / "a.log"
    d = daemon(serial("a", a, framing="line", log=log, log_size="4K", log_files="2") +
               serial("b", b, framing="line"))
    for n in range(12):
        line = b"%02d" % n + b"x" * 900 + b"\n"
        a.outgoing += line
        expect(b, line, [a])
    old = directory / "a.log.1"
    wait_for(lambda: lines(log) and lines(log)[-1].startswith("< 11"))
    kept = [int(line[2:4]) for line in lines(old) + lines(log)]
    assert kept == list(range(kept[0], 12)) and kept[0] > 0
    assert old.stat().st_size <= 4096 and not (directory / "a.log.2").exists()
    d.control("set a/log_size 1M")
    with pytest.raises(ControlError) as e:
        d.control("set a/log /tmp/elsewhere")
    assert "change the file and reload" in str(e.value)


def test_hup_opens_it_again_and_a_reload_may_end_it(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    log, old = directory / "a.log", directory / "a.log.old"
    other = serial("b", b, framing="line")
    d = daemon(serial("a", a, framing="line", log=log) + other)

    def say(text):
        a.outgoing += text + b"\n"
        expect(b, text + b"\n", [a])

    say(b"one")
    wait_for(lambda: lines(log) == ["< one"])
    log.rename(old)
    say(b"two")
    wait_for(lambda: lines(old) == ["< one", "< two"])
    d.signal(signal.SIGHUP)
    wait_for(log.exists)
    say(b"three")
    wait_for(lambda: lines(log) == ["< three"])
    d.reload(serial("a", a, framing="line") + other)
    wait_for(lambda: all(r["task"] != "daemon.files" for r in d.json("ps")))
    say(b"four")
    d.reload(serial("a", a, framing="line", log=log) + other)
    say(b"five")
    wait_for(lambda: lines(log) == ["< three", "< five"])


def test_a_log_may_be_truncated_by_another_program(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    log = directory / "a.log"
    d = daemon(serial("a", a, framing="line", log=log, log_size="4K") +
               serial("b", b, framing="line"))

    def say(text):
        a.outgoing += text + b"\n"
        expect(b, text + b"\n", [a])
        wait_for(lambda: lines(log)[-1:] == ["< " + text.decode()])

    for n in range(3):
        for m in range(3):
            say(b"%d %d " % (n, m) + b"x" * 900)
        os.truncate(log, 0)
    say(b"last")
    assert lines(log) == ["< last"] and not (directory / "a.log.1").exists()
    assert d.get("a/log_skipped") == "0"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_the_beginning_of_a_line_is_not_lost(number, pty, daemon, directory):
    a, b = pty("a"), pty("b")
    log = directory / "a.log"
    d = daemon(serial("a", a, framing="raw", log=log) + serial("b", b, framing="raw"))
    a.outgoing += b"one\ntwo"
    expect(b, b"one\ntwo", [a])
    d.signal(number)
    wait_for(lambda: lines(log) == ["< one", "< two"])
    if number == signal.SIGTERM:
        assert d.process.wait(20) == 0
    else:
        a.outgoing += b"three\n"
        expect(b, b"three\n", [a])
        wait_for(lambda: lines(log)[-1] == "< three")


def test_what_cannot_be_written_is_told_and_stops_nothing(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    log = directory / "a.log"
    os.mkfifo(log)
    d = daemon(serial("a", a, framing="line", log=log) + serial("b", b, framing="line"))
    wait_for(lambda: "cannot be written: it is not a file" in d.stderr())
    a.outgoing += b"one\n"
    expect(b, b"one\n", [a])
    wait_for(lambda: d.get("a/log_skipped") == "1")
    log.unlink()
    a.outgoing += b"two\n"
    expect(b, b"two\n", [a])
    wait_for(lambda: lines(log) == ["< two"])
    wait_for(lambda: "is written again; 1 line" in d.stderr())
    assert int(d.get("a/log_bytes")) == log.stat().st_size


def test_each_outage_counts_its_own_lines(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    log = directory / "a.log"
    d = daemon(serial("a", a, framing="line", log=log) + serial("b", b, framing="line"))
    skipped, line = 0, b"line\n"
    for n, told in ((2, "2 lines are missing"), (1, "1 line is missing")):
        wait_for(log.is_file)
        log.unlink()
        os.mkfifo(log)
        d.signal(signal.SIGHUP)
        for _ in range(n):
            a.outgoing += line
            expect(b, line, [a])
        skipped += n
        d.wait_number("a/log_skipped", skipped)
        log.unlink()
        a.outgoing += line
        expect(b, line, [a])
        wait_for(lambda told=told: f"is written again; {told}" in d.stderr())


@pytest.mark.parametrize("first, second", (
    ("/tmp/x.log", "/tmp/x.log"), ("/tmp/x.log", "//tmp/./x.log"), ("x.log", "././x.log"),
    ("d/./x.log", "d//x.log")))
def test_two_endpoints_do_not_share_a_log(first, second, pty, directory):
    conf = directory / "ttybridge.conf"
    conf.write_text(serial("a", pty("a"), log=first) + serial("b", pty("b"), log=second))
    done = run("--check", "-c", conf)
    assert done.returncode == 2
    assert re.search("the log '.*x.log' is that of \\[serial a\\]", done.stderr)


def test_logs_of_different_files_are_no_fault(pty, directory):
    conf = directory / "ttybridge.conf"
    conf.write_text("".join(serial(name, pty(name), log=log) for name, log in zip(
        "abcd", ("/tmp/x.log", "/tmp/.x.log", "tmp/x.log", "/tmp/../x.log"))))
    assert run("--check", "-c", conf).returncode == 0


def test_a_file_that_is_being_written_is_no_log(pty, daemon, directory):
    a, b, c = pty("a"), pty("b"), pty("c")
    log, alias = directory / "a.log", directory / "alias.log"
    d = daemon(serial("a", a, framing="line", log=log) + serial("b", b, framing="line"))
    wait_for(log.exists)
    alias.symlink_to(log)
    d.reload(serial("a", a, framing="line", log=log) +
             serial("b", b, framing="line", log=alias))
    wait_for(lambda: f"b: its log '{alias}' cannot be written: it, or" in d.stderr())
    other = daemon(serial("c", c, log=log))
    wait_for(lambda: f"c: its log '{log}' cannot be written: it, or" in other.stderr())
    a.outgoing += b"one\n"
    expect(b, b"one\n", [a])
    wait_for(lambda: lines(log) == ["< one"])
    assert d.get("b/log_lines") == "0"
    d.wait_number("b/log_skipped", 1)


def test_a_log_that_is_full_replaces_no_file_that_is_being_written(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    log, other = directory / "a.log", directory / "a.log.1"
    d = daemon(serial("a", a, framing="line", log=log, log_size="4K", log_files="2") +
               serial("b", b, framing="line", log=other))
    line = b"x" * 900 + b"\n"
    for _ in range(12):
        a.outgoing += line
        expect(b, line, [a])
    wait_for(lambda: f"a: its log '{log}' cannot be written: it, or" in d.stderr())
    wait_for(lambda: len(lines(other)) == 12)
    assert len(lines(log)) == 4


def test_a_log_goes_on_to_another_endpoint(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    x, y = directory / "x.log", directory / "y.log"

    def conf(first, second, **logs):
        return (serial(first, a, framing="line", log=logs["a"]) +
                serial(second, b, framing="line", log=logs["b"]))
    d = daemon(conf("a", "b", a=x, b=y))
    want = {x: [], y: []}
    for names, logs in ((("a", "b"), (x, y)), (("a", "b"), (y, x)), (("c", "d"), (x, y)),
                        (("d", "c"), (x, y))):
        d.reload(conf(*names, a=logs[0], b=logs[1]))
        wait_for(lambda names=names: all(d.state(name) == "up" for name in names))
        text = f"{names} {logs}"
        a.outgoing += text.encode() + b"\n"
        expect(b, text.encode() + b"\n", [a])
        want[logs[0]].append("< " + text)
        want[logs[1]].append("> " + text)
        wait_for(lambda: {log: lines(log) for log in (x, y)} == want)
    assert "cannot be written" not in d.stderr()


def history(d, name):
    reply = d.json(f"history {name}")
    data = base64.b64decode(reply["base64"])
    assert reply["endpoint"] == name and reply["size"] == len(data)
    return data


def test_the_most_recent_bytes_are_kept(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="raw", history="100") + serial("b", b, framing="raw"))
    a.outgoing += b"first\r\nlogin: "
    expect(b, b"first\r\nlogin: ", [a])
    b.outgoing += b"not this"
    expect(a, b"not this", [b])
    assert history(d, "a") == b"first\r\nlogin: "
    assert d.control("history a") == ["first", "login: "]
    sent = b""
    for n in range(30):
        more = b"%d," % n * 5
        sent += more
        a.outgoing += more
        expect(b, more, [a])
    assert history(d, "a") == sent[-100:]
    d.control("set a/history 10")
    a.outgoing += b"0123456789abcdef"
    expect(b, b"0123456789abcdef", [a])
    assert history(d, "a") == b"6789abcdef"
    with pytest.raises(ControlError) as e:
        d.control("history b")
    assert "'b' has no history" in str(e.value)


@pytest.mark.parametrize("framing", ("raw", "line", "slip"))
def test_a_new_client_gets_the_history_first(framing, pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing=framing, history="64K", greeting="hi\\n"))
    wire = {"raw": b"%s", "line": b"%s\n", "slip": b"\xc0%s\xc0"}[framing]
    a.outgoing += b"one\ntwo\n"
    flush([a])
    d.wait_number("a/rx_frames", 2)
    old = wire % b"one" + wire % b"two"
    assert history(d, "lan") == old
    first = connect(port)
    expect(first, b"hi\n" + old, [a])
    a.outgoing += b"three\n"
    expect(first, wire % b"three", [a])
    second = connect(port)
    expect(second, b"hi\n" + old + wire % b"three", [a, first])
    assert [row["history"] for row in d.json("peers")] == [6, 11]
    assert d.number("lan/offered") == 2 + 2 + 1 + 3
    assert d.number("lan/tx_frames") + d.number("lan/dropped") == d.number("lan/offered")


def test_a_history_is_kept_over_a_reload(pty, daemon, connect):
    a, port = pty("a"), free_port()

    def conf(**keys):
        return (serial("a", a, framing="line", history="1K", **keys) +
                tcp_server("lan", port, framing="line", history="1K", **keys))
    d = daemon(conf())
    a.outgoing += b"one\n"
    flush([a])
    d.wait_number("a/rx_frames", 1)
    d.reload(conf(max_frame="100"))
    wait_for(lambda: d.state("a") == "up" and d.state("lan") == "up")
    assert history(d, "a") == history(d, "lan") == b"one\n"
    expect(connect(port), b"one\n", [a])


@pytest.mark.parametrize("key, value, wrong, bounds", (
    ("history", "64K", "1M", "none or 1 to 256K"), ("log_size", "1M", "1K", "none or 4K to")))
def test_a_key_is_set_back_to_none(key, value, wrong, bounds, pty, daemon, directory):
    a = pty("a")
    d = daemon(serial("a", a, log=directory / "a.log"))
    assert d.get(f"a/{key}") == "none"
    for text in (value, "none"):
        d.control(f"set a/{key} {text}")
        assert d.get(f"a/{key}") == text
    for text in (wrong, "x"):
        with pytest.raises(ControlError, match=f"'{text}' is .*{bounds}"):
            d.control(f"set a/{key} {text}")
    d.reload(serial("a", a, **{key: "none"}))
    assert d.get(f"a/{key}") == "none"


def restart(d):
    before = d.stderr().count(" endpoints up")
    d.signal(signal.SIGUSR2)
    wait_for(lambda: d.stderr().count(" endpoints up") > before)


def test_a_history_is_kept_over_a_restart(pty, daemon, directory, connect):
    a, port = pty("a"), free_port()

    def conf(size):
        return (serial("a", a, framing="line", history=size) +
                tcp_server("lan", port, framing="line", history=size))
    d = daemon(conf("64"))
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    text = b"".join(b"line %d\n" % n for n in range(10))
    a.outgoing += text
    expect(client, text, [a])
    kept = {"a": text[-64:], "lan": text[-28:]}
    assert {name: history(d, name) for name in kept} == kept
    restart(d)
    assert {name: history(d, name) for name in kept} == kept
    a.outgoing += b"more\n"
    expect(client, b"more\n", [a])
    kept = {"a": text[-59:] + b"more\n", "lan": text[-21:] + b"more\n"}
    assert {name: history(d, name) for name in kept} == kept
    expect(connect(port), kept["lan"], [a])
    d.write(conf("32"))
    restart(d)
    kept = {"a": kept["a"][-32:], "lan": kept["lan"][-12:]}
    assert {name: history(d, name) for name in kept} == kept
    assert not client.received


def test_a_client_gets_as_much_as_its_queue_has_room_for(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line", history="64K", queue="4K"))
    frames = [b"%04d" % n + b"x" * 96 + b"\n" for n in range(100)]
    a.outgoing += b"".join(frames)
    flush([a])
    d.wait_number("a/rx_frames", 100)
    expect(connect(port), b"".join(frames[-40:]), [a])
    assert len(history(d, "lan")) == 101 * 100
