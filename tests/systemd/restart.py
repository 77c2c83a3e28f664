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
        + "".join(section("serial", p.name, device=p.link, framing="line")
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
        return [(source, got.get(source.name, []))
                for source in self.sources
                for stream, got in zip(self.streams, self.got)
                if stream is not source.stream]

    def all_there(self):
        flush(self.streams)
        pump(self.streams,
             lambda: self.take() or all(len(lines) >= source.sent
                                        for source, lines in self.pairs()),
             what="every line")
        for source, lines in self.pairs():
            assert lines == [source.line(i + 1) for i in range(source.sent)]


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

    pid = show("MainPID")
    systemctl("kill", "-s", "KILL", "--kill-who=main", "ttybridge")
    traffic.until(lambda: show("MainPID") not in (pid, "0") and
                  show("ActiveState") == "active", "the service to be back")
    traffic.more()
    flush(traffic.streams)
    for s in traffic.streams:
        s.send(b"\nlast line\n")
    pump(traffic.streams,
         lambda: traffic.take() or all(
             len(got.get(b"last", ())) == 2 for got in traffic.got),
         what="the last lines")
    print("systemd: killed: the ports stayed open, and no client was cut",
          flush=True)
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
