"""kill -USR2: the daemon becomes the next one, and nobody notices."""
import os
import re
import shutil
import signal
import socket
import threading
from pathlib import Path

import pytest

import harness
from harness import (expect, fill, flush, free_port, pump, route, same, section, serial,
                     tcp_server, wait_for)

TIMES = 20


def restart(d, streams=()):
    """SIGUSR2, until the new one is at work.  What comes meanwhile is moved."""
    before = d.stderr().count(" endpoints up")
    d.signal(signal.SIGUSR2)
    pump(streams, lambda: d.stderr().count(" endpoints up") > before,
         what="the new daemon")


def one_descriptor(d, name):
    found = [fd for fd, target in d.descriptors().items() if target == name]
    assert len(found) == 1, d.descriptors()
    return found[0]


class Source:
    """Numbered lines, some of them long."""

    def __init__(self, stream, name):
        self.stream, self.name = stream, name.encode()
        self.sent = 0

    def feed(self):
        """Some more of them, if the last ones were taken."""
        for _ in range(0 if self.stream.outgoing else 20):
            self.sent += 1
            self.stream.send(b"%s %d %s\n" % (
                self.name, self.sent, b"." * (self.sent * 37 % 300)))

    def line(self, n):
        return b"%s %d %s" % (self.name, n, b"." * (n * 37 % 300))


def take_whole_lines(stream, into):
    """Moves what was received, up to the last end of a line."""
    end = stream.received.rfind(b"\n") + 1
    for line in bytes(stream.received[:end]).split(b"\n")[:-1]:
        into.setdefault(line.split(b" ")[0], []).append(line)
    del stream.received[:end]


def test_every_frame_once_while_it_starts_again_and_again(
        pty, daemon, connect):
    a, b, port = pty("a"), pty("b"), free_port()
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line")
               + tcp_server("lan", port, framing="line", stall_timeout="1m"))
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    streams = [a, b, client]
    sources = [Source(a, "a"), Source(b, "b"), Source(client, "c")]
    got = [{}, {}, {}]
    pid = d.pid

    def moved(until):
        def step():
            for s in sources:
                s.feed()
            for s, g in zip(streams, got):
                take_whole_lines(s, g)
                assert not s.eof
            assert a.opened() and b.opened(), "a device was closed"
            return until()
        return step

    for n in range(TIMES):
        goal = [s.sent + 50 for s in sources]
        pump(streams, moved(lambda: all(
            s.sent >= g for s, g in zip(sources, goal))), what="traffic")
        before = d.stderr().count(" endpoints up")
        d.signal(signal.SIGUSR2)
        pump(streams, moved(
            lambda: d.stderr().count(" endpoints up") > before),
            what=f"restart {n + 1}")
    flush(streams)

    def all_there():
        for s, g in zip(streams, got):
            take_whole_lines(s, g)
        return all(len(g.get(s.name, ())) >= s.sent
                   for s in sources for t, g in zip(streams, got)
                   if s.stream is not t)
    pump(streams, all_there, what="every line")
    for stream, g in zip(streams, got):
        for s in sources:
            if s.stream is not stream:
                assert g[s.name] == [s.line(i + 1) for i in range(s.sent)]
    assert d.pid == pid
    for name, source in zip(("a", "b", "lan"), sources):
        assert d.number(f"{name}/opens") == 1
        assert d.number(f"{name}/rx_frames") == source.sent
        assert d.number(f"{name}/dropped") == 0
    assert sum(r["frames"] for r in d.json("routes")) == \
        2 * sum(s.sent for s in sources)
    assert len(d.json("peers")) == 1


def test_what_waits_and_half_a_frame_go_over(pty, daemon, connect):
    a, b, port = pty("a"), pty("b"), free_port()
    conf = serial("a", a, framing="line") + serial("b", b, framing="cobs") + \
        tcp_server("lan", port, framing="slip")
    d = daemon(conf)
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    b.unplug()
    d.wait_state("b", "lost")
    a.send(b"one\ntwo\nthr")
    expect(client, b"\xc0one\xc0\xc0two\xc0", [a])
    d.wait_number("a/rx_bytes", 11)
    client.send(b"\xc0fo")
    d.wait_number("lan/rx_bytes", 3)
    restart(d, [a, client])
    assert d.queued("b") == 2
    assert d.number("a/rx_bytes") == 11
    assert d.bytes_in("a")["rx_held"] == 3
    assert d.bytes_in("lan")["rx_held"] == 3
    a.send(b"ee\n")
    expect(client, b"\xc0three\xc0", [a])
    client.send(b"ur\xc0")
    expect(a, b"four\n", [client])
    assert d.bytes_in("a")["rx_overhead"] == 3
    assert d.bytes_in("lan")["rx_overhead"] == 2
    b.plug()
    expect(b, b"\x04one\x00\x04two\x00\x06three\x00\x05four\x00")
    assert d.dropped("b") == 0


def test_the_rest_of_a_frame_follows_its_beginning(daemon, connect):
    port, other = free_port(), free_port()
    d = daemon(tcp_server("in", other, framing="line", max_frame="1M")
               + tcp_server("out", port, framing="line", max_frame="1M",
                            queue="4M", stall_timeout="1m"))
    slow, source = connect(port, receive_buffer=4096), connect(other)
    wait_for(lambda: len(d.json("peers")) == 2)
    want = b"".join(b"%d" % n * 100000 + b"\n" for n in range(30))
    source.send(want)
    slow.reading = False
    pump([slow, source], lambda: d.number("out/queued_frames") > 5)
    for _ in range(3):
        restart(d, [slow, source])
        pump([slow, source], lambda: len(d.json("peers")) == 2)
    slow.reading = True
    pump([slow, source], lambda: len(slow.received) >= len(want))
    same(slow.take(), want)
    assert d.number("out/tx_bytes") == len(want)
    assert d.dropped("out") == 0


def test_whole_frames_that_were_not_forwarded_yet_go_on(pty, daemon, directory, connect):
    b = pty("b")
    d = daemon(section("unix-server", "in", listen=directory / "in", framing="line") +
               serial("b", b, framing="line", queue="4K", stall_timeout="none"))
    source = connect(directory / "in")
    wait_for(lambda: len(d.json("peers")) == 1)
    b.reading = False
    sent = b""

    def send(data):
        nonlocal sent
        source.send(data)
        flush([source])
        sent += data
        d.wait_number("in/rx_bytes", len(sent))
    while d.queued("b") < 30:
        send(b"x" * 99 + b"\n" if d.queued("b") else b"x" * 999 + b"\n")
    # Too much for the queue, in one read; after that nothing comes.
    send((b"y" * 99 + b"\n") * 30)
    assert d.bytes_in("in")["rx_held"] >= 1000
    restart(d)
    assert d.bytes_in("in")["rx_held"] >= 1000
    b.reading = True
    expect(b, sent)
    assert d.dropped("b") == 0


@pytest.mark.parametrize("framing", ["line", "cobs"])
def test_what_waits_takes_no_more_of_the_queue_after_a_restart(framing, pty, daemon, connect):
    """Also where frames are kept as they were received, with their payload in them."""
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing=framing, queue="64K", overflow="drop-newest") +
               tcp_server("lan", port, framing=framing))
    client, text = connect(port), b"x" * 200
    frame = {"line": text + b"\n", "cobs": b"\xc9" + text + b"\x00"}[framing]

    def wait_until_offered(count):
        pump([client], lambda: d.number("a/offered") == count, what="the frames")
    a.reading = False
    client.send(frame * 250)
    wait_until_offered(250)
    restart(d, [client])
    client.send(frame * 100)
    wait_until_offered(350)
    assert d.number("a/dropped_overflow") == 0
    a.reading = True
    expect(a, frame * 350, [client])


def test_what_waits_keeps_its_route_and_clients_their_numbers(pty, daemon, connect):
    a, b, port = pty("a"), pty("b"), free_port()
    conf = serial("a", a, framing="line") + serial("b", b, framing="line") + \
        tcp_server("lan", port, framing="line")
    routes = [route("used", from_="a", to="b"), route("idle", from_="lan", to="b"),
              route("other", from_="b", to="lan")]
    d = daemon(conf + "".join(routes))
    clients = [connect(port) for _ in range(3)]
    wait_for(lambda: len(d.json("peers")) == 3)
    clients[2].close()
    wait_for(lambda: len(d.json("peers")) == 2)
    b.unplug()
    d.wait_state("b", "lost")
    a.send(b"waits\n")
    flush([a])
    wait_for(lambda: d.queued("b") == 1)
    d.write(conf + "".join(reversed(routes)))
    restart(d)
    b.plug()
    expect(b, b"waits\n")
    wait_for(lambda: d.routes()["used"]["max"])
    assert d.routes()["used"]["frames"] == 1
    assert d.routes()["idle"]["max"] is None and d.routes()["other"]["max"] is None
    clients.append(connect(port))
    wait_for(lambda: len(d.json("peers")) == 3)
    assert sorted(row["name"] for row in d.json("peers")) == ["lan#1", "lan#2", "lan#4"]


def inheritable(d):
    """The descriptors that a child process would have, too."""
    def inherited(path):
        flags = re.search(r"flags:\s+(\d+)", Path(path).read_text())
        return not int(flags[1], 8) & os.O_CLOEXEC
    kept = d.of_descriptors("fdinfo", inherited)
    return {fd: target for fd, target in d.descriptors().items() if kept.get(fd)}


def test_no_descriptor_is_left_to_others(pty, daemon, directory, connect, open_tty):
    a, port, udp = pty("a"), free_port(), free_port()
    with socket.create_server(("127.0.0.1", 0)) as far, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        d = daemon(
            serial("a", a, framing="idle", idle="1ms") +
            section("pty", "p", link=directory / "p") +
            tcp_server("lan", port) + section("unix-server", "here", listen=directory / "here") +
            section("udp", "air", listen=f"127.0.0.1:{udp}") +
            section("echo", "e") +
            section("tcp-client", "out",
                    connect=f"127.0.0.1:{far.getsockname()[1]}") +
            route("r", from_="a p", to="here"))
        connect(port)
        here, user = connect(directory / "here"), open_tty(directory / "p")
        d.wait_state("p", "up")
        peer.sendto(b"hello", ("127.0.0.1", udp))
        a.send(b"hello")
        user.send(b"hello")
        pump([a, here, user], lambda: len(d.json("peers")) == 3 and
             "daemon.silence" in d.tasks())
        d.control(f"capture start {directory}/x.pcap")
        kinds = " ".join(d.descriptors().values())
        for kind in ("ptmx", "timerfd", "inotify", "eventpoll", "signalfd", "x.pcap",
                     "/dev/null", a.slave_name):
            assert kind in kinds, kinds
        assert not {fd for fd in inheritable(d) if fd > 2}, inheritable(d)


def test_a_program_that_cannot_be_run_leaves_no_descriptor_to_others(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"),
               env={"LD_PRELOAD": str(harness.FAULTS), "FAULT": "execv 1 8",
                    "FAULT_LOG": str(directory / "faults"), "ASAN_OPTIONS":
                    "verify_asan_link_order=0"})
    before = inheritable(d)
    assert all(fd <= 2 for fd in before), before
    d.signal(signal.SIGUSR2)
    wait_for(lambda: "again, goes on: Exec format error" in d.stderr())
    a.send(b"still here\n")
    expect(b, b"still here\n", [a])
    assert inheritable(d) == before


def test_a_pty_keeps_its_user(pty, daemon, open_tty, directory):
    a, link = pty("a"), directory / "chart"
    d = daemon(serial("a", a, framing="line")
               + section("pty", "chart", link=link, framing="line"))
    user = open_tty(link)
    d.wait_state("chart", "up")
    slave = os.readlink(link)
    a.send(b"one\n")
    expect(user, b"one\n", [a])
    user.send(b"half a ")
    d.wait_number("chart/rx_bytes", 7)
    restart(d, [a, user])
    d.wait_state("chart", "up")
    assert os.readlink(link) == slave
    assert not user.eof
    user.send(b"line\n")
    expect(a, b"half a line\n", [user])
    a.send(b"two\n")
    expect(user, b"two\n", [a])
    assert d.number("chart/opens") == 1


def test_a_pty_whose_user_came_just_before_is_not_older(pty, daemon, open_tty, directory):
    d = daemon(section("pty", "p", link=directory / "p") + section("echo", "e"))
    # In some of the rounds the signal is handled first, and the next process finds the user.
    for restarts in range(1, 13):
        d.wait_state("p", "waiting")
        d.signal(signal.SIGSTOP)
        user = open_tty(directory / "p")
        d.signal(signal.SIGUSR2)
        d.signal(signal.SIGCONT)
        wait_for(lambda: d.stderr().count("endpoints up") == restarts + 1)
        d.wait_state("p", "up")
        assert d.json("get p/up") < harness.PATIENCE
        user.close()


def test_the_full_queue_of_a_pty_goes_over(pty, daemon, open_tty, directory):
    a = pty("a")
    d = daemon(serial("a", a, framing="line") +
               section("pty", "p", link=directory / "p", framing="line", queue="8K"),
               settled=False)
    user = open_tty(directory / "p")
    d.settle()
    user.reading = False
    a.send(b"".join(b"%09d\n" % n for n in range(40000)))
    for _ in range(3):
        fill([a, user])
        assert a.outgoing
        restart(d)
    user.reading = True
    expect(user, b"".join(b"%09d\n" % n for n in range(40000)), [a])
    assert d.dropped("p") == 0


def test_a_changed_section_is_opened_anew(pty, daemon, connect):
    a, b, port = pty("a"), pty("b"), free_port()
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line")
               + tcp_server("lan", port, framing="line"))
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    d.write(serial("a", a, framing="line")
            + serial("b", b, framing="slip", baud=19200)
            + tcp_server("lan", port, framing="slip"))
    restart(d, [a, b, client])
    pump([client], lambda: client.eof, what="the end of the old connection")
    d.settle()
    assert b.speed()[0] == 19200
    assert d.opens("a", "b") == {"a": 1, "b": 2}
    again = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    a.send(b"new\n")
    expect(again, b"\xc0new\xc0", [a])
    expect(b, b"\xc0new\xc0", [a])


def test_a_section_that_is_gone_is_closed(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon(serial("a", a) + serial("b", b) + serial("c", c))
    d.write(serial("a", a) + serial("b", b))
    restart(d)
    wait_for(lambda: not c.opened())
    a.send(b"x")
    expect(b, b"x", [a])


def test_nothing_is_left_open_by_twenty_restarts(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a) + serial("b", b))
    restart(d)
    before = sorted(d.descriptors().values())
    environment = open(f"/proc/{d.pid}/environ").read()
    for _ in range(TIMES):
        restart(d)
    d.wait_state("a", "up")
    assert len(d.descriptors()) == len(before), (before, d.descriptors())
    assert one_descriptor(d, a.slave_name) == one_descriptor(d, a.slave_name)
    assert len(open(f"/proc/{d.pid}/environ").read()) <= \
        len(environment) + 16


def test_a_new_program_that_is_not_there_changes_nothing(pty, daemon, directory):
    copy = directory / "ttybridged"
    shutil.copy(harness.BINARY, copy)
    a, b = pty("a"), pty("b")
    old, harness.BINARY = harness.BINARY, str(copy)
    try:
        d = daemon(serial("a", a, framing="line")
                   + serial("b", b, framing="line"))
    finally:
        harness.BINARY = old
    a.send(b"half")
    d.wait_number("a/rx_bytes", 4)
    copy.unlink()
    d.signal(signal.SIGUSR2)
    wait_for(lambda: re.search("cannot start .* again, goes on", d.stderr()))
    a.send(b" a line\n")
    expect(b, b"half a line\n", [a])
    shutil.copy(harness.BINARY, copy)
    a.send(b"and ")
    d.wait_number("a/rx_bytes", 16)
    restart(d, [a, b])
    a.send(b"more\n")
    expect(b, b"and more\n", [a])


def test_a_faulty_configuration_is_no_end(pty, daemon):
    a, b = pty("a"), pty("b")
    conf = serial("a", a, framing="line") + serial("b", b, framing="line")
    d = daemon(conf)
    before = d.opens("a", "b")
    d.write(conf + "[serial c]\nbuad = 9600\n")
    d.signal(signal.SIGUSR2)
    wait_for(lambda: "again, goes on: it does not run with this configuration"
             in d.stderr())
    assert "unknown key 'buad' in [serial c]" in d.stderr()
    a.send(b"still here\n")
    expect(b, b"still here\n", [a])
    assert d.opens("a", "b") == before
    d.write(conf)
    restart(d)
    assert d.opens("a", "b") == before


def test_it_stops_as_ever_after_a_restart(pty, daemon, directory):
    a, here = pty("a"), directory / "here"
    d = daemon(serial("a", a) + section("unix-server", "here", listen=here))
    restart(d)
    assert here.exists()
    d.stop()
    assert not here.exists() and not d.socket.exists()
    assert not a.opened()


# --- before the point of no return -------------------------------------------

@pytest.mark.parametrize("how", ["taken", "no such directory", "a group that is not there"])
def test_a_control_port_that_cannot_be_opened_is_no_end(how, pty, daemon, connect, directory):
    a, b, port = pty("a"), pty("b"), free_port()
    conf = serial("a", a, framing="line") + serial("b", b, framing="line") + \
        tcp_server("lan", port, framing="line")
    d = daemon(conf)
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    b.unplug()
    d.wait_state("b", "lost")
    a.send(b"one\ntwo\n")
    wait_for(lambda: d.queued("b") == 2)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        keys = {"taken": dict(listen=f"127.0.0.1:{taken}"),
                "no such directory": dict(listen=f"unix:{directory}/nowhere/sock"),
                "a group that is not there": dict(listen=f"unix:{directory}/two",
                                                  group="nosuchgroup")}[how]
        d.write(conf + section("control", "two", **keys)
                + section("control", "three", listen=f"unix:{directory}/three"))
        d.signal(signal.SIGUSR2)
        wait_for(lambda: "again, goes on: " in d.stderr())
    # Nothing is open that was not, and all is as it had been.
    assert not (directory / "three").exists()
    assert d.queued("b") == 2
    client.send(b"three\n")
    expect(a, b"three\n", [client])
    d.write(conf + section("control", "two", listen=f"127.0.0.1:{taken}"))
    restart(d, [a, client])
    assert d.control("version", ("127.0.0.1", taken))
    assert d.queued("b") == 3
    b.plug()
    expect(b, b"one\ntwo\nthree\n", [a, client])
    expect(client, b"one\ntwo\n", [a])
    assert d.dropped("b") == 0


def test_a_control_port_changes_with_the_restart(pty, daemon, directory):
    """In its place it can only be opened when the old one is closed."""
    a, b, here = pty("a"), pty("b"), directory / "here"
    conf = serial("a", a) + serial("b", b)
    d = daemon(conf + section("control", "one", listen=f"unix:{here}"))
    d.control("set log_level info", here)
    d.write(conf + section("control", "one", listen=f"unix:{here}", access="read"))
    restart(d)
    wait_for(here.exists)
    with pytest.raises(harness.ControlError):
        d.control("set log_level info", here)


def test_a_capture_goes_on_when_the_new_program_is_refused(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    conf = serial("a", a, framing="line") + serial("b", b, framing="line")
    d = daemon(conf)
    d.control(f"capture start {directory}/c.pcap")
    d.write(conf + section("control", "two", listen=f"unix:{directory}/no/where"))
    d.signal(signal.SIGUSR2)
    wait_for(lambda: "again, goes on: " in d.stderr())
    a.send(b"one\n")
    expect(b, b"one\n", [a])
    assert "frames: 1" in d.control("capture status")


class Pipe(threading.Thread):
    """A configuration that is read as often as it is told, each time another one."""

    def __init__(self, path, *texts):
        super().__init__(daemon=True)
        self.path, self.texts = path, texts
        os.mkfifo(path)
        self.start()

    def run(self):
        for text in self.texts:
            with open(self.path, "w") as f:
                f.write(text)
            # Who opens it again must not be taken for who has read this.
            wait_for(lambda: not self.is_open())

    def is_open(self):
        try:
            os.close(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True


def test_a_configuration_that_is_broken_at_the_last_moment_is_no_end(
        pty, daemon, connect, directory):
    a, b, port = pty("a"), pty("b"), free_port()
    conf = serial("a", a, framing="line") + serial("b", b, framing="line") + \
        tcp_server("lan", port, framing="line")
    d = daemon(conf)
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    b.unplug()
    d.wait_state("b", "lost")
    a.send(b"one\ntwo\nthr")
    wait_for(lambda: d.queued("b") == 2 and d.number("a/rx_bytes") == 11)
    d.file.unlink()
    whole = d.control_section + conf
    Pipe(d.file, whole, whole, whole + "[serial c]\nbuad = 1\n", whole)
    d.signal(signal.SIGUSR2)
    pump([a, client], lambda: d.stderr().count(" endpoints up") > 1, what="it")
    assert "waits for a configuration without a fault" in d.stderr()
    assert d.queued("b") == 2 and not client.eof
    a.send(b"ee\n")
    expect(client, b"one\ntwo\nthree\n", [a])
    b.plug()
    expect(b, b"one\ntwo\nthree\n", [a])


# --- what goes over ----------------------------------------------------------

def test_what_is_on_its_way_through_an_echo_goes_over(daemon, connect, directory):
    d = daemon(section("unix-server", "a", listen=directory / "a", framing="line")
               + section("echo", "e"))
    client = connect(directory / "a")
    wait_for(lambda: len(d.json("peers")) == 1)
    sent = b"".join(b"%06d %s\n" % (n, b"." * (n * 37 % 300)) for n in range(9000))
    client.send(sent)
    client.reading = False
    for n in range(3):
        fill([client], quiet=0.1)
        restart(d)
        client.reading = True
        goal = len(client.received) + 100000
        pump([client], lambda: len(client.received) >= goal)
        client.reading = False
    client.reading = True
    pump([client], lambda: len(client.received) >= len(sent))
    same(client.take(), sent)
    assert d.number("e/tx_frames") == d.number("a/rx_frames") == 9000
    assert d.number("a/tx_bytes") == len(sent)
    assert d.number("e/opens") == 1


def test_a_rate_goes_over(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    ends = [serial(p.name, p, framing="line") for p in (a, b, c)]
    rate = dict(from_="a", to="b c", rate="2/1h")
    d = daemon("".join(ends) + route("r", **rate))
    a.send(b"1\n2\n3\n")
    for s in (b, c):
        expect(s, b"1\n2\n", [a])
    for conf in ("".join(ends) + route("r", **rate),
                 "".join(ends[::-1]) + route("x", from_="b", to="a")
                 + route("r", match="4", **rate)):
        d.write(conf)
        restart(d)
        d.settle()
        before = d.number("routes/r/limited")
        a.send(b"4\n")
        wait_for(lambda: d.number("routes/r/limited") == before + 2)
    assert not b.received and not c.received


@pytest.mark.parametrize("again", [0, 1])
def test_the_rest_of_a_frame_follows_on_a_line_that_is_opened_anew(again, pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"))
    b.reading = False
    sent = b"".join(b"%06d %s\n" % (n, b"." * (n * 37 % 300)) for n in range(2000))
    a.send(sent)
    fill([a, b])
    d.write(serial("a", a, framing="line")
            + serial("b", b, framing="line", baud=19200))
    restart(d)
    for _ in range(again):
        # Meanwhile it may be closed again.
        d.control("reopen b")
        restart(d)
    b.reading = True
    expect(b, sent, [a])
    assert d.number("b/tx_bytes") == len(sent)
    assert d.number("b/tx_frames") == 2000 and d.dropped("b") == 0


def test_the_rate_of_each_message_goes_over(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line") +
               route("r", from_="a", to="b", rate="1/1h", match_nmea="GP*"))
    a.send(b"$GPGGA,1\n$GPRMC,1\n")
    expect(b, b"$GPGGA,1\n$GPRMC,1\n", [a])
    restart(d)
    d.settle()
    a.send(b"$GPGGA,2\n$GPRMC,2\n$GPGLL,2\n")
    expect(b, b"$GPGLL,2\n", [a])
    assert d.number("routes/r/limited") == 2


def test_half_a_frame_of_a_section_that_changes_is_counted(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") + tcp_server("lan", port, framing="line"))
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    a.send(b"half")
    client.send(b"half a")
    d.wait_number("a/rx_bytes", 4)
    d.wait_number("lan/rx_bytes", 6)
    d.write(serial("a", a, framing="slip") + tcp_server("lan", port, framing="slip"))
    restart(d)
    wait_for(lambda: d.bad("a", "malformed") == 1 and d.bad("lan", "malformed") == 1)
    assert d.bytes_in("a")["bad_malformed_bytes"] == 4
    assert d.bytes_in("lan")["bad_malformed_bytes"] == 6


def test_what_waits_for_an_endpoint_of_another_type_is_counted(pty, daemon):
    a, b = pty("a"), pty("b")
    lines = dict(framing="line")
    d = daemon(serial("a", a, **lines) + serial("b", b, **lines))
    b.unplug()
    d.wait_state("b", "lost")
    a.send(b"one\n" * 3)
    wait_for(lambda: d.queued("b") == 3)
    d.control("pause b")
    d.write(serial("a", a, **lines) + tcp_server("b", free_port(), **lines))
    restart(d)
    assert d.get("b/paused") == "yes"
    assert (d.queued("b"), d.dropped("b", "closed")) == (0, 3)
    d.write(serial("a", a, **lines) + serial("b", b, **lines))
    restart(d)
    assert (d.get("b/paused"), d.dropped("b", "closed")) == ("yes", 3)
    a.send(b"one\n" * 3)
    wait_for(lambda: d.queued("b") == 3)
    d.write(serial("a", a, **lines))
    restart(d)
    assert "3 frames that waited for it are dropped" in d.stderr()


# --- whose socket it is ------------------------------------------------------

@pytest.mark.parametrize("restarts", [0, 1, 2])
def test_only_the_daemons_own_socket_is_removed(restarts, daemon, directory):
    here, there = directory / "here", directory / "there"
    d = daemon(section("unix-server", "a", listen=here, framing="line")
               + section("unix-server", "b", listen=there)
               + section("control", "c", listen=f"unix:{directory}/c"))
    for n in range(restarts):
        restart(d)
    others = []
    for path in (here, directory / "c"):
        path.rename(f"{path}.moved")
        others.append(socket.socket(socket.AF_UNIX))
        others[-1].bind(str(path))
        others[-1].listen()
    if restarts:
        restart(d)
        # Nobody would find it where it is, and where it should be is another one.
        wait_for(lambda: d.state("a") == "lost")
        assert "in use by another program" in d.stderr()
    d.stop()
    assert here.is_socket() and (directory / "c").is_socket() and not there.exists()
    for other in others:
        other.close()


def test_a_socket_with_other_permissions_is_still_the_daemons(daemon, connect, directory):
    here = directory / "here"
    d = daemon(section("unix-server", "a", listen=here) + section("echo", "e"))
    here.chmod(0o600)
    client = connect(here)
    restart(d)
    client.send(b"hello")
    expect(client, b"hello")
    d.stop()
    assert not here.exists()
