"""
The daemon on the kernel's own drivers: 16550s, flow control, and an FTDI adapter that is
pulled and plugged.

usage: hardware.py [uart] [flow] [remote] [hotplug]
"""
import os
import random
import shutil
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import serial as pyserial

import harness
from guest import (TIOCM_LOOP, Adapter, Listener, Monitor, Talker, Traffic, Uart,
                   born, passed, percentile, sentence)
from harness import (Client, Daemon, Slave, free_port, pump, route, same,
                     section, tcp_server, wait_for)

PULLS = int(os.environ.get("VM_PULLS", "10"))
MEGABYTE = 1000000


def serial(name, device, **keys):
    return section("serial", name, device=device, baud=115200, **keys)


# --- 16550s back to back -----------------------------------------------------

def at_leisure(streams, until):
    """Few reads of many bytes: the processor is needed elsewhere."""
    pump(streams, lambda: time.sleep(0.02) or until(), 150, "1 MB each way")


def uart(directory):
    """left - ttyS4 - null modem - ttyS5 - right: both UARTs are the daemon's."""
    links = directory / "left", directory / "right"
    conf = (section("pty", "left", link=links[0]) + serial("one", "/dev/ttyS4")
            + serial("two", "/dev/ttyS5") + section("pty", "right", link=links[1])
            + route("a", between="left one") + route("b", between="two right"))
    # Fewer interrupts: the processor is an emulated one.
    for name in "ttyS4", "ttyS5":
        Path("/sys/class/tty", name, "rx_trig_bytes").write_text("14")
    with Daemon(directory, conf, name="uart") as d:
        left, right = map(Slave, links)
        d.wait_state("left", "up")
        d.wait_state("right", "up")
        ports = [Uart("/dev/ttyS4"), Uart("/dev/ttyS5")]
        before = [p.counts() for p in ports]
        there, back = random.randbytes(MEGABYTE), random.randbytes(MEGABYTE)
        start, cpu = time.monotonic(), d.cpu()
        left.send(there)
        right.send(back)
        at_leisure([left, right], lambda: len(right.received) >= len(there) and
                   len(left.received) >= len(back))
        took, cpu = time.monotonic() - start, d.cpu() - cpu
        same(right.take(), there)
        same(left.take(), back)
        for port, old in zip(ports, before):
            new = port.counts()
            assert new["tx"] - old["tx"] == MEGABYTE, (old, new)
            assert new["rx"] - old["rx"] == MEGABYTE, (old, new)
            for name in ("overrun", "buf_overrun", "frame", "parity", "brk"):
                assert new[name] == old[name], f"{name}: {old} {new}"
            assert termios.B115200 in port.settings()[4:6], port.settings()
            port.close()
        assert d.dropped("left") + d.dropped("right") == 0
        left.close()
        right.close()
    passed(f"16550s back to back: 1 MB each way at once in {took:.1f} s, no byte "
           f"lost, no overrun (the daemon took {cpu:.1f} s)")


# --- flow control ------------------------------------------------------------

def hold():
    """
    CTS of ttyS6 goes off: the UART is looped to itself, so that its own RTS is its CTS.
    """
    port = Uart("/dev/ttyS6")
    port.set_lines(on=TIOCM_LOOP)
    port.set_lines(off=termios.TIOCM_RTS)
    port.notice()
    assert not port.lines() & termios.TIOCM_CTS, "CTS stays on"
    port.close()


def release():
    port = Uart("/dev/ttyS6")
    port.set_lines(on=termios.TIOCM_RTS, off=TIOCM_LOOP)
    port.notice()
    assert port.lines() & termios.TIOCM_CTS, "CTS stays off"
    port.close()


def unsent():
    port = Uart("/dev/ttyS6")
    count = port.unsent()
    port.close()
    return count


def answers(d, seconds):
    """For how long the control port kept us waiting at most, in that time."""
    longest, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        d.control("version")
        longest = max(longest, time.monotonic() - start)
    return longest


def has_port(d):
    return any(name == "/dev/ttyS6" for name in d.descriptors().values())


def flow(directory):
    port = free_port()
    others = (tcp_server("lan", port, stall_timeout="none")
              + section("pty", "p", link=directory / "p")
              + section("pty", "q", link=directory / "q")
              + serial("plain", "/dev/ttyS5")
              + route("others", between="p q"))
    conf = others + serial("held", "/dev/ttyS6", flow="rtscts") + \
        route("down", from_="lan", to="held")
    text = random.randbytes(20000)

    with Daemon(directory, conf, name="flow", settled=False) as d:
        d.wait_state("held", "up")
        d.wait_state("plain", "up")
        flow_set(d)
        held_and_released(directory, d, port, text)
        hold()
        client = Client(("127.0.0.1", port)).send(text)
        wait_for(lambda: unsent() > 0, what="output that is held")
        start = time.monotonic()
        d.reload(others)
        longest = answers(d, 0.3)
        wait_for(lambda: not has_port(d), what="the port to be closed")
        took = time.monotonic() - start
        longest = max(longest, answers(d, 0.5))
        assert took < 10, f"it took {took:.1f} s"
        assert longest < 1, f"the control port answered after {longest:.1f} s"
        passed(f"held output: the port is closed {took:.1f} s after it was taken out "
               f"of the configuration (answers in {longest * 1000:.0f} ms)")
        client.close()

        d.reload(conf)
        d.wait_state("held", "up")
        hold()
        client = Client(("127.0.0.1", port)).send(text)
        wait_for(lambda: unsent() > 0, what="output that is held")
        start = time.monotonic()
        d.stop()
        took = time.monotonic() - start
        assert took < 10, f"it took {took:.1f} s"
        passed(f"held output: the daemon stops in {took:.1f} s")
        client.close()
    release()


def flow_set(d):
    for name, want in (("/dev/ttyS6", True), ("/dev/ttyS5", False)):
        words = stty(name)
        assert ("crtscts" in words) == want, f"{name}: {words}"
        port = Uart(name)
        assert bool(port.settings()[2] & termios.CRTSCTS) == want, name
        assert not port.settings()[0] & termios.CRTSCTS, name
        port.close()
    passed("flow = rtscts sets CRTSCTS, flow = none does not (read back)")


def held_and_released(directory, d, port, text):
    far = Uart("/dev/ttyS7")
    hold()
    client = Client(("127.0.0.1", port)).send(text)
    wait_for(lambda: unsent() > 0, what="output that is held")
    stuck, cpu, start = unsent(), d.cpu(), time.monotonic()
    longest = answers(d, 2)
    cpu = (d.cpu() - cpu) / (time.monotonic() - start)
    p, q = Slave(directory / "p"), Slave(directory / "q")
    d.wait_state("p", "up")
    d.wait_state("q", "up")
    p.send(text)
    pump([p, q], lambda: len(q.received) >= len(text), what="the other bridge")
    same(q.take(), text)
    p.close()
    q.close()
    assert unsent() == stuck, f"{stuck} bytes were held, now {unsent()}"
    assert not far.received
    assert longest < 1, f"the control port answered after {longest:.1f} s"
    slow = {t["task"]: t["max"] for t in d.json("ps") if t["max"] > 0.5}
    assert not slow, slow
    passed(f"CTS off: {stuck} bytes held in the kernel, answers in "
           f"{longest * 1000:.0f} ms, another bridge works")

    release()
    pump([far, client], lambda: len(far.received) >= len(text),
         what="what was held")
    same(far.take(), text)
    passed("CTS on again: all that was held arrives")
    client.close()
    far.close()


# --- a client that controls the line -----------------------------------------

def stty(name):
    return subprocess.run(["stty", "-F", name, "-a"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.replace(";", "").split()


def remote(directory):
    """pyserial - RFC 2217 - ttyS4 - null modem - ttyS5; ttyS4 starts with 115200 8N1."""
    port = free_port()
    conf = serial("one", "/dev/ttyS4") + tcp_server("net", port, protocol="rfc2217")
    with Daemon(directory, conf, name="remote") as d:
        near, far = Uart("/dev/ttyS4"), Uart("/dev/ttyS5")
        p = pyserial.serial_for_url(
            f"rfc2217://127.0.0.1:{port}", 19200, pyserial.SEVENBITS,
            pyserial.PARITY_EVEN, pyserial.STOPBITS_TWO, timeout=harness.PATIENCE)
        words = stty("/dev/ttyS4")
        for word in "19200", "cs7", "parenb", "-parodd", "cstopb":
            assert word in words, f"no {word}: {words}"
        subprocess.run(["stty", "-F", "/dev/ttyS5", "19200", "cs7", "parenb", "-parodd",
                        "cstopb"], check=True)
        p.write(b"there")
        pump([far], lambda: far.received == b"there", what="bytes from the client")
        far.send(b"back")
        assert p.read(4) == b"back"
        lines_follow(p, near)
        p.close()
        wait_for(lambda: "115200" in stty("/dev/ttyS4"), what="the settings from before")
        words = stty("/dev/ttyS4")
        for word in "cs8", "-parenb", "-cstopb":
            assert word in words, f"no {word}: {words}"
        far.close()
        near.close()
        assert d.number("net/bad_commands") == 0
    passed("RFC 2217: 19200 7E2 is set (read back with stty), and 115200 8N1 is restored")


def lines_follow(p, near):
    """DTR and RTS are the client's; looped to itself, the UART has its RTS as CTS."""
    for on in False, True, False, True:
        p.dtr, p.rts = on, not on
        assert bool(near.lines() & termios.TIOCM_DTR) == on
        assert bool(near.lines() & termios.TIOCM_RTS) != on
    near.set_lines(on=TIOCM_LOOP)
    times = []
    for n in range(20):
        on = n % 2 == 0
        near.set_lines(**{"on" if on else "off": termios.TIOCM_RTS})
        start = time.monotonic()
        wait_for(lambda: p.cts == on, what="CTS")
        times.append((time.monotonic() - start) * 1000)
    near.set_lines(off=TIOCM_LOOP)
    passed(f"RFC 2217: DTR and RTS are set (read back), {len(times)} changes of CTS reach "
           f"the client in p50 {percentile(times, 50):.0f} ms, max {max(times):.0f} ms")


# --- hotplug -----------------------------------------------------------------

class Replug:
    """peer (ttyS4, wired to ttyS5 here) <-> the daemon <-> an FTDI adapter."""

    def __init__(self, directory):
        self.adapter = Adapter(Monitor(), 0)
        self.peer = Uart("/dev/ttyS5")
        self.down = Talker(self.peer, "P")
        self.up = Talker(self.adapter, "A")
        self.at_adapter = Listener(self.adapter)
        self.at_peer = Listener(self.peer)
        self.traffic = Traffic(self.down, self.up, self.at_adapter, self.at_peer)
        self.times, self.openable, self.gone, self.idle = [], [], [], []
        self.lost = {"P": 0, "A": 0}
        self.up.on = False
        self.daemon = Daemon(
            directory, serial("peer", "/dev/ttyS4", framing="nmea")
            + serial("usb", self.adapter.link, framing="nmea"),
            name="hotplug", settled=False)
        self.session = self.daemon.session()

    def state(self):
        return self.session.ask("get usb/state")[0]

    def first(self):
        self.traffic.until(lambda: self.state() == "lost", "it to be lost")
        self.adapter.plug()
        self.back()

    def back(self):
        self.traffic.until(lambda: self.state() == "up", "it to be up again")
        up = time.time() - float(self.session.ask("get usb/up")[0])
        made, changed = born(self.adapter.node())
        self.times.append(up - made)
        self.openable.append(up - changed)
        self.up.on = True
        mark, sent = self.down.sent, self.up.sent
        self.traffic.until(
            lambda: self.at_adapter.last("P") > mark and
            self.at_peer.last("A") > sent, "messages both ways")

    def round(self, number):
        """One pull and one plug; what may be lost is what was on its way."""
        self.traffic.last(random.uniform(0.1, 0.4))
        arrived_down = self.at_adapter.last("P")
        arrived_up = self.at_peer.last("A")
        self.adapter.pull()
        self.gone.append(self.traffic.until(
            lambda: self.state() == "lost", "it to be seen as lost"))
        self.up.on = False
        may_go, sent_up = self.down.sent, self.up.sent
        cpu, start = self.daemon.cpu(), time.monotonic()
        self.traffic.last(random.uniform(0.2, 0.5))
        self.idle.append((self.daemon.cpu() - cpu,
                          time.monotonic() - start))
        self.adapter.plug()
        self.back()
        self.account("P", self.at_adapter, arrived_down, may_go)
        self.account("A", self.at_peer, arrived_up, sent_up)

    def half_a_message(self):
        """Pulled in the middle of one: the part is counted, and nobody gets it."""
        part = sentence("A", self.up.sent)[:10]
        read = self.number("rx_bytes")
        bad, thrown = self.number("bad_malformed"), self.number("bad_malformed_bytes")
        self.adapter.send(part)
        self.traffic.until(lambda: self.number("rx_bytes") == read + len(part),
                           "half a message")
        self.adapter.pull()
        self.traffic.until(lambda: self.state() == "lost", "it to be lost")
        bad = self.number("bad_malformed") - bad
        thrown = self.number("bad_malformed_bytes") - thrown
        assert (bad, thrown) == (1, len(part)), (bad, thrown)
        passed("pulled in mid-message: the part is thrown away and counted")

    def nothing_to_do(self):
        """No traffic, and no adapter: then there is nothing to do."""
        time.sleep(0.2)
        cpu = self.daemon.cpu()
        time.sleep(2)
        cpu = self.daemon.cpu() - cpu
        assert cpu <= 0.1, f"{cpu:.2f} s of CPU in 2 s without anything to do"
        passed(f"unplugged and idle: {cpu * 1000:.0f} ms of CPU in 2 s")

    def while_paused(self):
        self.adapter.plug()
        self.traffic.until(lambda: self.state() == "up", "it to be up again")
        self.session.ask("pause usb")
        self.adapter.pull()
        took = self.traffic.until(lambda: self.state() == "lost",
                                  "the unplug to be seen")
        self.session.ask("resume usb")
        passed(f"an unplug is seen while nothing is read, in {took:.2f} s")

    def by(self, how, task):
        """Pulled and plugged: back because that task was told of it."""
        self.adapter.pull()
        self.traffic.until(lambda: self.state() == "lost", "it to be lost")
        tasks = [row.split()[0] for row in self.session.ask("ps")]
        told = [t for t in tasks if t in ("daemon.udev", "daemon.hotplug")]
        assert told == [task], told
        self.adapter.plug()
        self.traffic.until(lambda: self.state() == "up", "it to be up again")
        up = time.time() - float(self.session.ask("get usb/up")[0])
        passed(f"back by {how} alone, {up - born(self.adapter.node())[1]:.2f} s after "
               "udev's last change of the node")

    def each_way(self):
        """The back-off would take an hour."""
        instances = Path("/proc/sys/fs/inotify/max_user_instances")
        control, away = Path("/run/udev/control"), Path("/run/udev/away")
        never = dict(framing="nmea", reopen_min="1h", reopen_max="1h")
        for name, keys in (("/dev/serial/by-id", dict(device=self.adapter.link)),
                           ("usb =", dict(usb=f"0403:6001:{self.adapter.serial}"))):
            self.daemon.reload(serial("peer", "/dev/ttyS4", framing="nmea")
                               + section("serial", "usb", **keys, **never))
            self.traffic.until(lambda: self.state() == "up", "it to be up again")
            limit = instances.read_text()
            instances.write_text("0")
            self.by(f"udev ({name})", "daemon.udev")
            instances.write_text(limit)
            control.rename(away)
            self.by(f"inotify ({name})", "daemon.hotplug")
            away.rename(control)

    def number(self, what):
        return int(self.session.ask(f"get usb/{what}")[0])

    def account(self, letter, listener, arrived, may_go):
        missing = listener.missing(letter, arrived + 1, listener.last(letter))
        wrong = [n for n in missing if n > may_go]
        assert not wrong, f"{len(wrong)} messages that had to be kept were lost: " \
            f"{wrong[:10]}, pulled after {arrived}, lost seen at {may_go}"
        self.lost[letter] += len(missing)


def run_as_user(directory):
    """
    As the service does: a user who may open the port when udev has given it to dialout.
    """
    binary, script = directory / "ttybridged", directory / "as-user"
    shutil.copy(harness.BINARY, binary)
    script.write_text("#!/bin/sh\nexec setpriv --reuid=nobody --regid=dialout "
                      f"--clear-groups {binary} \"$@\"\n")
    script.chmod(0o755)
    return str(script)


def start_udev():
    """It loads the drivers of what is there, and says who may use a port."""
    for command in (("/lib/systemd/systemd-udevd", "--daemon"),
                    ("udevadm", "trigger", "--action=add",
                     "--subsystem-match=pci", "--subsystem-match=tty"),
                    ("udevadm", "settle")):
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def hotplug(directory):
    start_udev()
    harness.BINARY = run_as_user(directory)
    directory.chmod(0o777)
    r = Replug(directory)
    with r.daemon as d:
        r.first()
        start, cpu, half = time.monotonic(), d.cpu(), None
        begin = (d.rss(), len(d.descriptors()))
        for number in range(PULLS):
            r.round(number)
            if number == PULLS // 2 - 1:
                half = d.cpu() - cpu
        cpu, took = d.cpu() - cpu, time.monotonic() - start
        report(r, d, cpu, half, took, begin)
        r.down.on = r.up.on = False
        r.traffic.until(lambda: r.at_adapter.last("P") == r.down.sent - 1 and
                        r.at_peer.last("A") == r.up.sent - 1,
                        "the last messages")
        r.half_a_message()
        r.nothing_to_do()
        r.while_paused()
        r.adapter.plug()
        r.each_way()
        r.session.close()


def report(r, d, cpu, half, took, begin):
    times = r.times[1:]
    p95 = percentile(times, 95)
    passed(f"FTDI adapter pulled and plugged {PULLS} times under traffic: back each "
           f"time, device node to up p50 {percentile(times, 50):.2f} s, p95 "
           f"{p95:.2f} s, max {max(times):.2f} s (from udev's last change "
           f"p95 {percentile(r.openable[1:], 95):.2f} s)")
    assert p95 < 1, f"p95 is {p95:.2f} s: {times}"
    passed(f"unplugs are seen in p95 {percentile(r.gone, 95):.2f} s; of "
           f"{r.down.sent} and {r.up.sent} messages {r.lost['P']} and "
           f"{r.lost['A']} were on the wire and lost, none of those that waited")
    share = cpu / took
    idle = sum(c for c, _ in r.idle) / sum(t for _, t in r.idle)
    assert share < 0.3 and idle < 0.3, f"CPU {share:.0%}, unplugged {idle:.0%}"
    if half is not None and PULLS >= 10:
        assert cpu - half < 2 * half + 0.2, f"CPU {half:.2f} s, then {cpu - half:.2f} s"
    passed(f"CPU {share:.1%} in all, {idle:.1%} unplugged, {half or 0:.2f} s in the "
           f"first half and {cpu - (half or 0):.2f} s in the second")
    end = (d.rss(), len(d.descriptors()))
    assert end[1] == begin[1], f"descriptors: {begin[1]}, then {end[1]}"
    assert end[0] - begin[0] < 1 << 20, f"resident: {begin[0]}, then {end[0]}"
    assert d.number("usb/losses") == PULLS, d.get("usb/losses")
    passed(f"resident {begin[0] >> 10} K, then {end[0] >> 10} K; {end[1]} "
           "descriptors as before")


# --- all ---------------------------------------------------------------------

TESTS = {"uart": uart, "flow": flow, "remote": remote, "hotplug": hotplug}

if __name__ == "__main__":
    for name in sys.argv[1:] or TESTS:
        with tempfile.TemporaryDirectory(prefix="ttybridge-vm.") as directory:
            try:
                TESTS[name](Path(directory))
            except BaseException as e:
                print(f"vm: FAILED: {name}: {e}", flush=True)
                for log in Path(directory).glob("*.stderr"):
                    print(log.read_text()[-4000:], flush=True)
                raise
