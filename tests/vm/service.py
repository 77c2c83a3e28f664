"""
The service as it is installed, under systemd with udev, on the kernel's own drivers:
a device that comes later, restarts and a kill under traffic.

usage: service.py DIRECTORY-OF-MAKE-INSTALL
"""
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

from guest import (Adapter, Listener, Monitor, Talker, Traffic, Uart, born, passed,
                   sentence)
from harness import Client, pump, section, tcp_server

RESTARTS = int(os.environ.get("VM_RESTARTS", "20"))
PORT = 5011
CONTROL = "/run/ttybridge/control.sock"
KEPT_UNSAVED = 64 << 10


def run(*words):
    done = subprocess.run(words, text=True, capture_output=True)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


def show(what):
    return run("systemctl", "show", "--value", "-p", what, "ttybridge").strip()


def ask(command):
    client = Client(CONTROL)
    client.send(command.encode() + b"\n").end()
    pump([client], lambda: client.eof)
    client.close()
    lines = client.take().decode().splitlines()
    assert lines and lines[-1] == "OK", f"{command}: {lines}"
    return lines[:-1]


def get(path):
    return ask(f"get {path}")[0]


def serial(name, device, **keys):
    return section("serial", name, device=device, baud=115200, framing="nmea",
                   **keys)


def dtr(number):
    """Whether the driver shows DTR of that port."""
    for line in Path("/proc/tty/driver/serial").read_text().splitlines():
        if line.startswith(f"{number}:"):
            return "DTR" in line.split()[-1].split("|")
    raise AssertionError(f"there is no port {number}")


def install(tree, adapter):
    run("cp", "-r", "--preserve=mode", f"{tree}/.", "/")
    run("systemd-sysusers", "ttybridge.conf")
    run("systemd-tmpfiles", "--create", "ttybridge.conf")
    Path("/etc/ttybridge/ttybridge.conf").write_text(
        section("control", "local", listen=f"unix:{CONTROL}")
        + serial("one", "/dev/ttyS4", hangup_on_close="yes")
        + serial("two", "/dev/ttyS6")
        + serial("usb", adapter.link)
        + tcp_server("lan", PORT, framing="nmea", stall_timeout="1m"))
    sockets = Path("/etc/systemd/system/ttybridge.socket.d")
    sockets.mkdir(parents=True)
    (sockets / "lan.conf").write_text(
        f"[Socket]\nListenStream=127.0.0.1:{PORT}\n")
    run("systemctl", "daemon-reload")


class Watch:
    """
    Looks at DTR of the two UARTs all the time, in a process of its own.  The first is
    one that drops it as soon as nobody has it open.
    """

    def __init__(self):
        self.pipe, far = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.look, args=(far,),
                                               daemon=True)
        self.process.start()

    @staticmethod
    def look(pipe):
        samples = off = 0
        longest, before = 0.0, time.monotonic()
        while not pipe.poll(0.04):
            samples += 1
            off += not (dtr(4) and dtr(6))
            now = time.monotonic()
            longest, before = max(longest, now - before), now
        pipe.send((samples, off, longest))

    def end(self):
        self.pipe.send("end")
        samples, off, longest = self.pipe.recv()
        self.process.join()
        assert samples > 10 and off == 0, \
            f"DTR was off in {off} of {samples} samples"
        return f"DTR on in {samples} samples of {samples}, at most " \
            f"{longest * 1000:.0f} ms apart"


class Service:
    def __init__(self, tree):
        self.adapter = Adapter(Monitor(), 0)
        install(tree, self.adapter)
        self.streams = {"A": Uart("/dev/ttyS5"), "B": Uart("/dev/ttyS7"),
                        "U": self.adapter}

        self.talkers, self.listeners = [], []
        for letter, stream in self.streams.items():
            self.join(letter, stream)

    def join(self, letter, stream):
        """One more who talks and listens."""
        self.talkers.append(Talker(stream, letter, 0.05))
        self.listeners.append(Listener(stream))
        self.traffic = Traffic(*self.talkers, *self.listeners)

    def up(self, count):
        return show("StatusText") == f"{count} of 4 endpoints up"

    # --- a device that comes later -------------------------------------------

    def start(self):
        self.talkers[2].on = False
        assert not Path("/sys/module/ftdi_sio").exists()
        run("systemctl", "start", "ttybridge.socket", "ttybridge.service")
        assert show("ActiveState") == "active"
        self.traffic.until(lambda: self.up(3), "3 of 4 endpoints up", every=0.2)
        passed("the service starts without its USB adapter: "
               f"'{show('StatusText')}'")

    def plug(self):
        times = []
        for again in range(3):
            self.adapter.plug()
            self.traffic.until(lambda: self.up(4), "4 of 4 endpoints up",
                               every=0.2)
            up = time.time() - float(get("usb/up"))
            times.append(up - born(self.adapter.node())[0])
            self.talkers[2].on = True
            a, u = self.talkers[0].sent, self.talkers[2].sent
            self.traffic.until(
                lambda: self.listeners[2].last("A") > a and
                self.listeners[0].last("U") > u, "messages both ways")
            if again == 2:
                break
            self.talkers[2].on = False
            self.adapter.pull()
            self.traffic.until(lambda: self.up(3), "it to be lost", every=0.2)
        passed("plugged 3 times, found by its name under /dev/serial/by-id, up in "
               + ", ".join(f"{t:.2f} s" for t in times) + " after the device node")

    # --- restarts ------------------------------------------------------------

    def pairs(self):
        """(listener, talker) of all who hear each other."""
        return [(heard, talker) for heard in self.listeners
                for talker in self.talkers if heard.stream is not talker.stream]

    def begin(self):
        """Everybody talks; what was said before is of no interest."""
        for talker in self.talkers:
            talker.on = True
            talker.first = talker.sent
        for listener in self.listeners:
            listener.noise.clear()

    def finish(self):
        """Nobody talks, and all that was said has come."""
        for talker in self.talkers:
            talker.on = False
        self.traffic.until(
            lambda: all(heard.last(t.letter) == t.sent - 1
                        for heard, t in self.pairs()), "the last messages")

    def connected(self):
        assert not self.talkers[3].stream.eof, "the client was cut"
        return True

    def restarts(self):
        self.finish()
        client = Client(("127.0.0.1", PORT))
        self.traffic.until(lambda: get("lan/peers") == "1", "the client",
                           every=0.2)
        self.join("C", client)
        self.begin()
        watch = Watch()
        start = time.monotonic()
        for _ in range(RESTARTS):
            pid = show("MainPID")
            self.traffic.last(0.2)
            restart = subprocess.Popen(["systemctl", "restart", "ttybridge"])
            self.traffic.until(lambda: restart.poll() is not None, "the restart")
            assert restart.returncode == 0 and show("MainPID") != pid
            self.connected()
        self.traffic.until(lambda: self.up(4), "4 of 4 endpoints up", every=0.2)
        took = time.monotonic() - start
        self.finish()
        seen = watch.end()
        total = 0
        for heard, talker in self.pairs():
            missing = heard.missing(talker.letter, talker.first, talker.sent)
            assert not missing, f"{heard.stream.name} lacks {len(missing)} of " \
                f"{talker.sent} of {talker.letter}: {missing[:10]}"
            assert not heard.noise, bytes(heard.noise)
            total += talker.sent - talker.first
        for name in ("one", "two", "usb"):
            assert get(f"{name}/dropped") == "0", f"{name} dropped messages"
        for name in ("one", "two"):
            assert get(f"{name}/opens") == "1", f"{name} was opened again"
        passed(f"{RESTARTS} restarts in {took:.0f} s under traffic: each of {total} "
               f"messages once, the client stays; {seen}")

    def kill(self):
        self.begin()
        watch = Watch()
        pid = show("MainPID")
        self.traffic.last(1)
        run("systemctl", "kill", "-s", "KILL", "--kill-who=main", "ttybridge")
        self.traffic.until(
            lambda: show("MainPID") not in (pid, "0") and
            show("ActiveState") == "active" and self.up(4),
            "the service to be back", every=0.2)
        self.traffic.last(0.5)
        self.finish()
        self.connected()
        seen = watch.end()
        missing = sum(len(heard.missing(t.letter, t.first, t.sent))
                      for heard, t in self.pairs())
        assert missing * len(sentence("A", 0)) <= KEPT_UNSAVED, missing
        passed(f"kill -9 under traffic: {missing} messages lost, none came twice, "
               f"the client stays; {seen}")
        self.talkers[3].stream.close()

    def stop(self):
        assert dtr(4) and dtr(6)
        run("systemctl", "stop", "ttybridge.service", "ttybridge.socket")
        assert show("Result") == "success", show("Result")
        assert show("NFileDescriptorStore") == "0"
        assert not dtr(4) and dtr(6), "hangup_on_close is not heeded"
        passed("a stop is clean, nothing stays open; DTR goes off with "
               "hangup_on_close = yes alone")


def main():
    service = Service(sys.argv[1])
    service.start()
    service.plug()
    service.restarts()
    service.kill()
    service.stop()


if __name__ == "__main__":
    try:
        main()
    except BaseException as e:
        print(f"vm: FAILED: service: {e}", flush=True)
        subprocess.run(["systemctl", "status", "--no-pager", "-l", "ttybridge"])
        subprocess.run(["journalctl", "--no-pager", "-n", "60", "-o",
                        "short-monotonic"])
        raise
