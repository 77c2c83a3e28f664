"""
The service is restarted and killed under traffic: between two pseudo-terminals and one
TCP client every frame arrives once, and nobody is hung up on.
"""
import os
import subprocess
import sys
from pathlib import Path

from harness import Client, Pty, flush, pump, section, tcp_server, wait_for
from test_handover import Source, take_whole_lines

TIMES = 20
QUEUE = 256 << 10
KEPT_UNSAVED = 64 << 10
PORT = 5011
BENCH = Path("/run/bench/restart")
SOCKETS = Path("/etc/systemd/system/ttybridge.socket.d")
CONF = Path("/etc/ttybridge/ttybridge.conf")
CONTROL = "/run/ttybridge/control.sock"


def systemctl(*args):
    subprocess.run(["systemctl", *args], check=True)


def show(what):
    return subprocess.run(
        ["systemctl", "show", "--value", "-p", what, "ttybridge"],
        check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def ask(command):
    client = Client(CONTROL)
    client.send(command.encode() + b"\n").end()
    pump([client], lambda: client.eof)
    client.close()
    return client.take().decode().splitlines()


def number(path):
    return int(ask(f"get {path}")[0])


def device(name):
    pty = Pty(BENCH / name)
    os.chmod(pty.slave_name, 0o666)
    return pty


def configure(a, b):
    SOCKETS.mkdir(parents=True)
    (SOCKETS / "lan.conf").write_text(
        f"[Socket]\nListenStream=127.0.0.1:{PORT}\n")
    CONF.write_text(
        section("daemon", "", drain_timeout="300ms")
        + section("control", "local", listen=f"unix:{CONTROL}")
        + "".join(section("serial", p.name, device=p.link, framing="line", queue=QUEUE)
                  for p in (a, b))
        + tcp_server("lan", PORT, framing="line", stall_timeout="1m"))
    systemctl("daemon-reload")
    systemctl("stop", "ttybridge.service", "ttybridge.socket")
    systemctl("start", "ttybridge.socket")


class Traffic:
    def __init__(self, streams):
        self.streams = streams
        self.sources = [Source(s, n) for s, n in zip(streams, "abc")]
        self.got = [{} for _ in streams]

    def until(self, condition, what):
        def step():
            for s in self.sources:
                s.feed()
            self.take()
            return condition()
        pump(self.streams, step, what=what)

    def more(self):
        goal = [s.sent + 200 for s in self.sources]
        self.until(lambda: all(s.sent >= g
                               for s, g in zip(self.sources, goal)),
                   "traffic")

    def take(self):
        for stream, got in zip(self.streams, self.got):
            take_whole_lines(stream, got)
            assert not stream.eof, "a client was cut"
            assert not isinstance(stream, Pty) or stream.opened(), \
                "a device was closed"

    def pairs(self):
        return [(source, self.got[i].get(source.name, []))
                for i, source in self.ways()]

    def ways(self):
        """(receiver, source)"""
        return [(i, source) for source in self.sources
                for i, stream in enumerate(self.streams)
                if stream is not source.stream]

    def all_there(self):
        flush(self.streams)
        pump(self.streams,
             lambda: self.take() or all(len(lines) >= source.sent
                                        for source, lines in self.pairs()),
             what="every line")
        for source, lines in self.pairs():
            assert lines == [source.line(i + 1) for i in range(source.sent)]


def kill(until):
    pid = show("MainPID")
    systemctl("kill", "-s", "KILL", "--kill-who=main", "ttybridge")
    until(lambda: show("MainPID") not in (pid, "0") and
          show("ActiveState") == "active", "the service to be back")


def whole(traffic):
    """
    Of each pair the numbers of the lines that arrived whole, each of them once; a line
    that was half written is torn.
    """
    found = []
    for source, lines in traffic.pairs():
        numbers = []
        for line in lines:
            word = line.split(b" ")[1:2]
            if word and word[0].isdigit() and line == source.line(int(word[0])):
                numbers.append(int(word[0]))
        assert numbers == sorted(set(numbers)), "a line came twice, or out of order"
        found.append((source, set(numbers)))
    return found


def killed(traffic):
    """Under traffic, and with a queue that is full because nobody reads."""
    a, b, client = traffic.streams
    first = {s.name: s.sent + 1 for s in traffic.sources}
    traffic.got = [{} for _ in traffic.streams]
    kill(traffic.until)
    traffic.more()
    b.reading = False
    traffic.until(lambda: number("b/queued_bytes") > QUEUE - 8192, "a full queue")
    kill(lambda condition, what: wait_for(condition, what=what))
    waits = number("b/queued_bytes")
    assert waits > QUEUE - 2 * 8192, waits
    b.reading = True
    flush(traffic.streams)
    for source in traffic.sources:      # one may have been cut
        source.stream.send(b"\n")
        source.feed()
    flush(traffic.streams)
    pump(traffic.streams,
         lambda: traffic.take() or all(lines and lines[-1] == source.line(source.sent)
                                       for source, lines in traffic.pairs()),
         what="the last lines")
    lost = [0, 0, 0]
    for (i, _), (source, numbers) in zip(traffic.ways(), whole(traffic)):
        lost[i] += sum(len(source.line(n)) + 1
                       for n in range(first[source.name], source.sent + 1)
                       if n not in numbers)
    assert max(lost) <= 2 * KEPT_UNSAVED, lost
    print(f"systemd: killed twice, once with {waits} bytes in a queue: {lost} bytes "
          "lost for each receiver, no line came twice; the ports stayed open, and no client was cut",
          flush=True)


def main():
    BENCH.mkdir()
    a, b = device("a"), device("b")
    configure(a, b)
    client = Client(("127.0.0.1", PORT))        # starts the service
    wait_for(lambda: show("StatusText") == "3 of 3 endpoints up",
             what="the service")
    wait_for(lambda: len(ask("json peers")) == 2)
    traffic = Traffic([a, b, client])
    for n in range(TIMES):
        traffic.more()
        pid = show("MainPID")
        restart = subprocess.Popen(["systemctl", "restart", "ttybridge"])
        traffic.until(lambda: restart.poll() is not None, "the restart")
        assert restart.returncode == 0 and show("MainPID") != pid
    traffic.all_there()
    sent = sum(s.sent for s in traffic.sources)
    for name, source in zip(("a", "b", "lan"), traffic.sources):
        assert number(f"{name}/opens") == 1
        assert number(f"{name}/rx_frames") == source.sent
        assert number(f"{name}/dropped") == 0
    print(f"systemd: {TIMES} restarts: each of {2 * sent} frames once, no port "
          "closed, no client cut", flush=True)

    killed(traffic)
    a.close()
    b.close()
    client.close()
    for f in SOCKETS.iterdir():
        f.unlink()
    SOCKETS.rmdir()
    systemctl("daemon-reload")
    systemctl("stop", "ttybridge.service", "ttybridge.socket")
    assert show("NFileDescriptorStore") == "0"


if __name__ == "__main__":
    sys.exit(main())
