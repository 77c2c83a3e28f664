"""`ttybridgectl doctor`: what passes, and what the configuration says."""
import json
import os
import shutil
import socket
import socketserver
import subprocess
import threading
import time

import pytest

from broker import Mosquitto
from certificates import Authority
from doctor import Report, doctor, run, synchronised
from harness import (BINARY, Client, expect, fill, free_port, move, pump, route, section,
                     serial, tcp_server, wait_for)
from uart import Uarts

CTS = 0x020
NEVER = dict(reopen_min="1h", reopen_max="1h")


@pytest.fixture
def pair(pty, daemon):
    """A daemon between a and b, with lines, and these keys."""
    def start(a=(), b=(), more="", env=(), **common):
        ends = pty("a"), pty("b")
        keys = {"framing": "line", **common}
        d = daemon(serial("a", ends[0], **{**keys, **dict(a)}) +
                   serial("b", ends[1], **{**keys, **dict(b)}) + more, env=env)
        return d, *ends
    return start


def passes(a, b, *lines):
    for line in lines or (b"hello\n",):
        a.send(line)
        expect(b, line, [a])


def in_background(work):
    """Calls it again and again until the end of the block."""
    class Background:
        def __enter__(self):
            self.ended = False
            self.thread = threading.Thread(target=self.go, daemon=True)
            self.thread.start()

        def go(self):
            while not self.ended:
                work()

        def __exit__(self, *_):
            self.ended = True
            self.thread.join()
    return Background()


# --- nothing is wrong ---------------------------------------------------------

def test_two_boards_that_talk_are_healthy(board, daemon):
    ping, pong = board("Ping"), board("PongCobs")
    d = daemon(serial("ping", ping, baud=9600, framing="line") +
               serial("pong", pong, baud=115200, framing="cobs") +
               tcp_server("lan", free_port(), framing="line") +
               route("pingpong", between="ping pong") +
               route("listen", from_="ping pong", to="lan"))
    wait_for(lambda: d.number("ping/tx_frames") > 3)
    report = doctor(d).nothing()
    assert report.status == 0 and report.checks > 20
    others = {"held-device"} if os.getuid() != 0 else set()
    assert set(report.not_checked) <= {"usb"} | others


def test_no_frames_are_no_obstacle(daemon, directory):
    d = daemon(section("pty", "a", link=directory / "a", framing="line") +
               section("pty", "b", link=directory / "b", framing="line"), settled=False)
    wait_for(lambda: d.state("a") == d.state("b") == "waiting")
    assert "loop" not in doctor(d).nothing().not_checked


def test_the_text_ends_with_a_count(pair):
    d, a, b = pair()
    passes(a, b)
    done = run("doctor", "-c", d.file)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("0 findings, ")


def test_a_finding_says_what_where_and_what_to_do(pair):
    d, a, b = pair(b=dict(framing="raw"))
    done = run("-c", d.file, "doctor")
    assert done.returncode == 1 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("wrong: ")
    assert lines[1].startswith("    where: ") and f"{d.file}:" in lines[1]
    assert lines[2].startswith("    do:    sudoedit ")
    assert lines[-1].startswith("1 finding, ")


def test_it_changes_nothing(pair, directory):
    d, a, b = pair()
    passes(a, b)

    def state():
        rows = [row for row in d.control("list") if
                row.split("=")[0].strip().rpartition("/")[2] not in
                ("up", "uptime", "memory", "waits", "events")]
        return rows, sorted(os.listdir(directory))
    before = state()
    doctor(d).nothing()
    wait_for(lambda: state() == before)
    assert (a.take(), b.take()) == (b"", b"")


def test_a_program_that_only_claims_to_be_the_daemon(directory):
    escape = "\x1b]0;title\x07"
    path = directory / "fake.sock"
    replies = {
        "endpoints": [{"name": escape, "type": escape, "state": "up"}, None, 5],
        "list": {"daemon/pid": 1e300, "daemon/version": escape, "daemon/config": escape * 99},
        "watch": {"from": escape, "to": escape, "hex": "zz"},
    }

    class Fake(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                command = line.decode().split()[1]
                self.wfile.write(json.dumps(replies.get(command, [escape])).encode() + b"\n")
                if command != "watch":
                    self.wfile.write(b"OK\n")

    with socketserver.ThreadingUnixStreamServer(str(path), Fake) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run("-s", path, "doctor")
        server.shutdown()
    assert done.returncode == 1 and done.stderr == ""
    assert "\\x1b]0;title" in done.stdout and "\x1b" not in done.stdout


def test_wrong_usage_and_nowhere_to_look(directory):
    assert run("doctor", "--nonsense").returncode == 2
    assert run("doctor", "more").returncode == 2
    done = run("doctor", "-c", directory / "none.conf")
    assert (done.returncode, done.stdout) == (2, "")
    done = run("-s", directory / "none.sock", "doctor")
    assert done.returncode == 2 and "none.sock" in done.stderr


def test_without_a_daemon_the_configuration_is_checked(directory, pty):
    file = directory / "some.conf"
    file.write_text(section("control", "here", listen=f"unix:{directory}/some.sock") +
                    serial("a", pty("a"), framing="line") + serial("b", pty("b")))
    report = doctor(file)
    assert [row["check"] for row in report.findings] == ["daemon", "framing"]
    assert "the daemon does not answer" in report.not_checked["drops"]
    file.write_text("[serial a]\nbuad = 9600\n")
    report = doctor(file)
    assert {row["check"] for row in report.findings} == {"configuration"}
    assert any("did you mean 'baud'?" in row["what"] and row["where"] == f"{file}:2"
               for row in report.findings)


# --- the line -----------------------------------------------------------------

def test_a_wrong_speed_by_the_counters_of_the_driver(pair, directory, pty):
    uarts = Uarts(directory / "lines")
    d, a, b = pair(env=uarts.env)
    passes(a, b)
    line = uarts.line(a)
    line.frame = 1000                   # from before the daemon
    doctor(d).nothing()

    def noise():
        line.frame += 2
        time.sleep(0.02)
    with in_background(noise):
        doctor(d).only("bad-frames", "a: ", "stop bit", "9600", f"-c {d.file} set a/baud ")


def test_a_board_at_a_wrong_speed(board, pty, daemon, clock):
    ping, b = board("Ping"), pty("b")
    d = daemon(serial("ping", ping, baud=19200, framing="line") +
               serial("b", b, framing="line", silence_warning="none"), env=clock.env)
    wait_for(lambda: d.number("ping/rx_bytes") >= 64)
    clock.move(d, 15)
    doctor(d).only("bad-frames", "ping: there is no newline among ", "has the device another speed",
                   "set ping/baud 115200")
    d.control("set ping/baud 9600")
    wait_for(lambda: d.number("ping/rx_frames") > 2)
    doctor(d).nothing()


def test_a_wrong_speed_by_bad_frames(pair):
    d, a, b = pair(framing="nmea")
    passes(a, b, b"$GPGLL,1*4D\r\n")
    for n in range(20):
        a.send(b"$GPGLL,%d*00\r\n" % n)
    wait_for(lambda: a.turn(4) or d.number("a/errors") == 20)
    doctor(d).only("bad-frames", "20 bad frames (checksum 20)", "1 good", "the speed is right",
                   "nmea_checksum = ", "the last one came ")
    # What is good now is not wrong, however much was bad before.
    passes(a, b, *[b"$GPGLL,1*4D\r\n"] * 18)
    doctor(d).nothing()


def test_a_slow_device_that_sends_only_bad_frames(pair, clock):
    d, a, b = pair(framing="nmea", env=clock.env, silence_warning="none")
    for n in range(4):
        a.send(b"$GPGLL,%d*00\r\n" % n)
        wait_for(lambda n=n: a.turn(4) or d.number("a/errors") == n + 1)
        clock.move(d, 25)
    assert not d.number("b/errors")
    doctor(d).only("bad-frames", "a: 4 bad frames (checksum 4) and 0 good")


def test_good_frames_of_before_do_not_count(pair):
    d, a, b = pair()
    passes(a, b, b"a line\n" * 300)
    d.file.write_text(d.file.read_text().replace("framing = line", "framing = nmea"))
    d.control("reload")
    for n in range(40):
        a.send(b"$garbage %d\r\n" % n)
    wait_for(lambda: a.turn(4) or d.number("a/recent_errors") > 20)
    doctor(d).only("bad-frames", "a: ", "300 good ones", "most were bad")


def test_text_without_a_newline(pair, clock):
    d, a, b = pair(env=clock.env, b=dict(silence_warning="none"))
    a.send(b"1,2,3;" * 40)
    wait_for(lambda: a.turn(4) or d.number("a/rx_held") == 240)
    assert "240 bytes so far" in d.tasks()["a.read"]["label"]
    clock.move(d, 6)
    doctor(d).only("bad-frames", "a: there is no newline among 240 bytes",
                   "framing = delimiter, idle or raw")


def test_a_control_port_for_reading(pty, daemon):
    conf = section("control", "local", listen=f"127.0.0.1:{free_port()}") + "".join(
        serial(p.name, p, framing="line") for p in (pty("a"), pty("b")))
    d = daemon(conf)
    # It is the only one in the file.
    d.file.write_text(conf)
    d.control("reload")
    done = run("-c", d.file, "set", "a/baud", "115200")
    assert done.returncode == 1 and done.stderr.rstrip().endswith(f"kill -HUP {d.pid}")
    d.file.write_text(d.file.read_text() + "\n# a comment\n")
    doctor(d).only("not-reloaded", f"kill -HUP {d.pid}")


def test_what_cannot_be_set_is_to_be_written(pty, daemon):
    a, b = pty("a"), pty("b")
    conf = section("control", "local", listen=f"127.0.0.1:{free_port()}") + "".join(
        serial(p.name, p, framing="slip") for p in (a, b))
    d = daemon(conf)
    for _ in range(20):
        a.send(b"\xdb\x00\xc0")
    wait_for(lambda: a.turn(4) or d.number("a/errors") == 20)
    doctor(d).only("bad-frames", "set a/baud 115200")
    d.file.write_text(conf)
    d.control("reload")
    doctor(d).only("bad-frames", f"sudoedit {d.file} && kill -HUP {d.pid}",
                   "# baud = 115200 in [serial a]")


def test_a_file_with_a_fault_that_the_daemon_does_not_use(pair):
    d, a, b = pair()
    d.file.write_text(d.file.read_text() + "\n[serial c]\nbuad = 9600\n")
    assert run("-c", d.file, "get", "a/state").stdout == "up\n"
    report = doctor(d)
    assert {row["check"] for row in report.findings} == {"configuration", "not-reloaded"}
    assert "runs with an older file" in report.of("not-reloaded")[0]["what"]
    assert not report.of("daemon") and "drops" not in report.not_checked


def test_lines_that_are_no_text(pair):
    d, a, b = pair()

    count = iter(range(1000000))

    def send(data):
        def work():
            a.send(b"%d " % next(count) + data)
            move([a, b], 5)
            time.sleep(0.02)
        return in_background(work)
    with send("°C Температура\n".encode()):
        doctor(d).nothing()
    with send(b"\xfe\x80\x1c\xf8\x06\xe0\xfe\n"):
        report = doctor(d)
    assert report.findings == []
    assert any("lines in " in hint["what"] and "are no text" in hint["what"]
               for hint in report.hints)


def test_an_endpoint_of_the_command_line(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(words=[f"serial:{a.link},name=a,framing=line", f"serial:{b.link},name=b"])
    report = Report(run("-s", d.socket, "doctor", "--json"))
    report.only("framing", "the argument for ", "add ,framing=NAME")


def test_a_daemon_that_cannot_be_asked(directory, pty):
    file = directory / "some.conf"
    file.write_text(serial("a", pty("a"), framing="line") +
                    serial("b", pty("b"), framing="line"))
    assert doctor(file).findings == []
    with subprocess.Popen([BINARY, "-c", file], stderr=subprocess.PIPE) as process:
        try:
            while b"endpoints up" not in process.stderr.readline():
                pass
            doctor(file).only("daemon", f"process {process.pid}", "[control]",
                              "listen = 127.0.0.1:5010", f"kill -HUP {process.pid}")
        finally:
            process.terminate()


def test_some_noise_is_no_finding(pair):
    d, a, b = pair(framing="nmea")
    for n in range(20):
        passes(a, b, b"$GPGLL,1*4D\r\n")
        a.send(b"$GPGLL,%d*00\r\n" % n if n % 3 == 0 else b"")
    wait_for(lambda: a.turn(4) or d.number("a/errors") == 7)
    doctor(d).nothing()


def test_nothing_was_ever_received(pair, clock):
    d, a, b = pair(env=clock.env, b=dict(silence_warning="none"))
    doctor(d).nothing()
    clock.move(d, 60)
    doctor(d).only("silence", "a: nothing has ever been received", "watch -x -b a")
    passes(a, b)
    doctor(d).nothing()


def test_a_display_need_not_say_anything(pty, daemon, clock):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line", silence_warning="1s") +
               serial("b", b, framing="line") + route("one", from_="a", to="b"), env=clock.env)
    passes(a, b)
    clock.move(d, 600)
    doctor(d).nothing()


def test_bytes_and_no_frame(pair, clock):
    d, a, _ = pair(env=clock.env, b=dict(silence_warning="none"))
    a.send(b"no line")
    wait_for(lambda: d.number("a/rx_bytes") == 7)
    clock.move(d, 301)
    doctor(d).only("silence", "a: 7 bytes have been received, and no frame")


def test_nothing_is_ever_accepted(pair, clock):
    d, a, b = pair(env=clock.env, b=dict(silence_warning="none"))
    b.reading = False
    a.outgoing += b"x" * 99 + b"\n"
    while not d.number("b/queued_bytes"):
        a.outgoing += (b"x" * 99 + b"\n") * 40
        fill([a], quiet=0.05)
    doctor(d).nothing()
    clock.move(d, 60)
    row = doctor(d).only("stuck", "b: ", "has taken nothing for 6", "where b.write")
    assert "[serial b]" in row["where"]
    b.reading = True
    pump([a, b], lambda: not a.outgoing and d.number("b/queued_bytes") == 0)
    assert doctor(d).of("stuck") == []


def test_a_client_that_takes_nothing(daemon, pty, clock):
    port = free_port()
    a = pty("a")
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line", stall_timeout="none"), env=clock.env)
    client = Client(("127.0.0.1", port), receive_buffer=4096)
    client.reading = False
    wait_for(lambda: d.number("lan/peers") == 1)
    while not d.number("lan/queued_bytes"):
        a.outgoing += (b"x" * 999 + b"\n") * 200
        fill([a], quiet=0.05)
    clock.move(d, 60)
    doctor(d).only("stuck", "lan#1: ", "[tcp-server lan]")
    client.close()


def test_cts_that_never_comes(directory, pair):
    uarts = Uarts(directory / "lines")
    d, a, b = pair(env=uarts.env, b=dict(flow="rtscts"))
    doctor(d).nothing()                 # nothing is to be sent
    passes(a, b)
    doctor(d).only("cts", "b: flow = rtscts, and CTS is off", "set b/flow none")
    uarts.line(b).modem |= CTS
    doctor(d).nothing()


def test_a_queue_that_is_too_small(pair):
    d, a, b = pair(b=dict(queue="1K", overflow="drop-oldest"))
    b.reading = False
    while not d.number("b/dropped_overflow"):
        a.outgoing += (b"x" * 99 + b"\n") * 40
        fill([a], quiet=0.05)
    row = [row for row in doctor(d).findings if row["check"] == "drops"]
    assert len(row) == 1 and "(overflow)" in row[0]["what"] and "queue = 1K" in row[0]["what"]


def test_a_loss_of_long_ago_is_a_hint(pair):
    d, a, b = pair(b=dict(queue="1K", overflow="drop-oldest"))
    b.reading = False
    while not d.number("b/dropped_overflow"):
        a.outgoing += (b"x" * 99 + b"\n") * 10
        fill([a], quiet=0.05)
    b.reading = True
    fill([a, b])
    b.take()
    for _ in range(0, 120 * d.number("b/dropped_overflow"), 40):
        passes(a, b, b"y\n" * 40)
    report = doctor(d)
    assert report.findings == [] and [h["check"] for h in report.hints] == ["drops"]


# --- frames and routes ---------------------------------------------------------

def test_one_side_is_framed_and_the_other_raw(pair):
    d, a, b = pair(b=dict(framing="raw"))
    doctor(d).only("framing", "the boundaries of messages are lost", f"{d.file}:")


def test_a_filter_that_no_frame_passes(pair):
    d, a, b = pair(more=route("some", from_="a", to="b", match="^nothing") +
                   route("all", from_="b", to="a"))
    passes(b, a)
    for n in range(12):
        a.send(b"line %d\n" % n)
    wait_for(lambda: a.turn(4) or d.routes()["some"]["rejected"] == 12)
    doctor(d).only("filter", "route some: ", "match = ^nothing", "12 frames", "watch a",
                   "[route some]")
    passes(a, b, b"nothing\n")
    doctor(d).nothing()


# --- loops --------------------------------------------------------------------

def cable(*ends):
    """Passes on what it reads at each end, to the next one."""
    def work():
        move(ends, 5)
        for one, other in zip(ends, ends[1:] + ends[:1]):
            if one.received:
                other.send(one.take())
    return work


def test_two_ends_of_a_cable(pair):
    d, a, b = pair()
    a.send(b"once " * 40 + b"\n")
    with in_background(cable(a, b)):
        doctor(d).only("loop", "are in a loop", " pause ")


def test_several_frames_that_circulate(pair):
    d, a, b = pair(baud=4000000)
    a.send(b"one\ntwo\nthree\nfour\n")
    with in_background(cable(a, b)):
        doctor(d).only("loop", "are in a loop")


def test_what_is_sent_to_one_comes_back_from_another(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon("".join(serial(p.name, p, framing="line") for p in (a, b, c)) +
               route("one", from_="a", to="b") + route("two", from_="c", to="a"))
    count = iter(range(1000000))
    back = cable(b, c)

    def work():
        a.send(b"value %d\n" % next(count))
        back()
        move([a], 5)
    with in_background(work):
        doctor(d).only("loop", "b and c are in a loop")


def test_a_device_that_echoes(pair):
    d, a, b = pair()
    count = iter(range(1000000))

    def work():
        a.send(b"value %d\n" % next(count))
        move([a, b], 5)
        if b.received:
            b.send(b.take())
        time.sleep(0.01)
    with in_background(work):
        doctor(d).only("loop", "b: what is sent to it comes back from it", "echo = yes")


def test_a_sensor_that_repeats_itself_is_no_loop(pair):
    d, a, b = pair(baud=115200)

    def work():
        for value in (b"512\n", b"511\n", b"512\n", b"512\n", b"513\n", b"512\n", b"511\n"):
            a.send(value)
            move([a, b], 5)
            b.take()
            time.sleep(0.005)
    with in_background(work):
        assert doctor(d).findings == []


def test_the_same_device_twice(directory, pty, daemon):
    a = pty("a")
    again = directory / "again"
    again.symlink_to(a.slave_name)
    d = daemon(serial("a", a, framing="line") + serial("again", again, framing="line", **NEVER),
               settled=False)
    wait_for(lambda: "lost" in (d.state("a"), d.state("again")))
    doctor(d).only("loop", "are the same device")


def test_a_daemon_that_is_connected_to_itself(daemon):
    port = free_port()
    d = daemon(tcp_server("lan", port, framing="line") +
               section("tcp-client", "far", connect=f"localhost:{port}", framing="line"))
    doctor(d).only("loop", "far and lan", "connected to itself")


# --- certificates and brokers ---------------------------------------------------

def test_a_certificate_that_has_expired(directory, daemon, pty):
    ca = Authority(directory)
    second = 1 / 86400
    cert, key = ca.make("board", dns=["localhost"], last=5 * second)
    d = daemon(serial("a", pty("a"), framing="line") +
               tcp_server("lan", free_port(), framing="line", tls="yes", tls_cert=cert,
                          tls_key=key))
    doctor(d).only("certificate", "[tcp-server lan]", "the certificate expires on",
                   f"openssl x509 -noout -dates -in {cert}")
    wait_for(lambda: float(d.get("lan/tls_expires")) < 0)
    findings = doctor(d).findings
    assert {row["check"] for row in findings} == {"certificate"}
    assert any("it expired on" in row["what"] and f" {cert} " in row["remedy"] for row in findings)
    # It is renewed, and the daemon does not know.
    new, new_key = ca.make("board", file="new", dns=["localhost"], last=300)
    new.rename(cert), new_key.rename(key)
    doctor(d).only("certificate", "that the daemon uses has expired", "reload")
    d.reload()
    doctor(d).nothing()


def test_a_certificate_of_a_control_port_that_expires_soon(directory, daemon, pty):
    cert, key = Authority(directory).make("board", dns=["localhost"], last=10)
    d = daemon(serial("a", pty("a"), framing="line") + serial("b", pty("b"), framing="line") +
               section("control", "far", listen=f"127.0.0.1:{free_port()}", tls="yes",
                       tls_cert=cert, tls_key=key))
    doctor(d).only("certificate", "[control far]", "(in 10 days)")


@pytest.fixture
def refusing(directory):
    b = Mosquitto(directory, anonymous=False).start()
    yield b
    b.close()


def test_a_broker_that_refuses(directory, daemon, pty, refusing):
    d = daemon(section("daemon", "", state_dir=directory) + serial("a", pty("a"), framing="line") +
               section("mqtt", "m", broker=refusing.address, publish="x", framing="line"),
               settled=False)
    wait_for(lambda: "refused it" in d.get("m/error"))
    doctor(d).only("broker", f"m: broker {refusing.address}: the broker has refused it", "user")
    refusing.end()
    wait_for(lambda: d.get("m/error") and "refused it" not in d.get("m/error"))
    doctor(d).only("broker", "nc -vz 127.0.0.1")


# --- the daemon and its configuration --------------------------------------------

def test_a_configuration_that_was_changed_and_not_read(pair):
    d, a, b = pair()
    passes(a, b)
    conf = d.file.read_text()
    d.write("".join(conf.partition("[serial a]")[1:]).replace("9600", "19200"))
    doctor(d).only("not-reloaded", f"{d.file}", f"ttybridgectl -c {d.file} reload")
    d.reload()
    doctor(d).nothing()


def test_a_program_that_was_replaced(directory, pty, daemon):
    copy = directory / "ttybridged"
    shutil.copy(BINARY, copy)
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"),
               wrapper=["sh", "-c", f'shift; exec {copy} "$@"', "sh"])
    doctor(d).nothing()
    copy.unlink()
    shutil.copy(BINARY, copy)
    doctor(d).only("version", "was replaced", f"process {d.pid}", f"kill -USR2 {d.pid}")


def test_a_clock_that_is_not_synchronised(directory, pair):
    (directory / "state").mkdir()
    d, a, b = pair(more=section("daemon", "", state_dir=directory / "state"),
                   b=dict(spool="1M"))
    passes(a, b)
    doctor(d, env=synchronised(False)).only("clock", "not synchronised", "[serial b]",
                                            "timedatectl")
    doctor(d, env=synchronised(True)).nothing()


def test_without_a_spool_the_clock_does_not_matter(pair):
    d, a, b = pair()
    passes(a, b)
    doctor(d, env=synchronised(False)).nothing()


# --- a daemon that does not answer as it should -----------------------------------

class Endless(socketserver.BaseRequestHandler):
    """Replies that do not end: a byte now and then, or as much as is taken."""
    piece, pause = b" ", 0.2

    def handle(self):
        try:
            self.request.recv(1000)
            while True:
                self.request.sendall(self.piece)
                time.sleep(self.pause)
        except OSError:
            pass


@pytest.mark.parametrize("piece, pause", [(b" ", 0.2), (b" " * 65536, 0)],
                         ids=["slow", "long"])
def test_a_reply_without_an_end(directory, piece, pause):
    path, file = directory / "some.sock", directory / "some.conf"
    file.write_text(section("control", "here", listen=f"unix:{path}") +
                    section("echo", "a") + section("echo", "b"))
    handler = type("Handler", (Endless,), {"piece": piece, "pause": pause})
    with socketserver.ThreadingUnixStreamServer(str(path), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        report = doctor(file)
        server.shutdown()
    assert [row["check"] for row in report.findings] == ["daemon"]
    assert "the daemon does not answer" in report.not_checked["drops"]


def test_a_daemon_that_is_restarted_meanwhile(directory, pair):
    d, a, b = pair()
    path, connections = directory / "some.sock", []

    class Restarted(socketserver.BaseRequestHandler):
        """The first connection ends with the first command."""

        def handle(self):
            connections.append(self)
            if len(connections) == 1:
                self.request.recv(1000)
                return
            with socket.socket(socket.AF_UNIX) as daemon:
                daemon.connect(str(d.socket))
                threading.Thread(target=self.copy, args=(daemon, self.request),
                                 daemon=True).start()
                self.copy(self.request, daemon)

        def copy(self, source, destination):
            try:
                while data := source.recv(65536):
                    destination.sendall(data)
            except OSError:
                pass

    with socketserver.ThreadingUnixStreamServer(str(path), Restarted) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        report = Report(run("-s", path, "doctor", "--json"))
        server.shutdown()
    assert len(connections) > 1 and report.of("daemon") == []
