#!/usr/bin/python3
"""
Frames of 64 bytes to a broker, beside mosquitto_pub -l that is fed by a pipe into the same
mosquitto: messages per second until a subscriber has the last one, and CPU time a message.

    mqtt.py [--rounds N] [--messages N]

With --carry, what one broker carries: frames of several daemons into one that subscribes to all.

    mqtt.py --carry N [--rounds N] [--messages N]
"""
import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DAEMON = os.environ.get("TTYBRIDGED", str(ROOT / "build/plain/ttybridged"))
# Quality of service, and the ratio of messages per second that should be had.
GOALS = {0: 1.0, 1: 2.0}
LINE = b"%015d " + b"x" * 48 + b"\n"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait(condition):
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            sys.exit("mqtt.py: timed out")
        time.sleep(0.01)


class Bench:
    def __init__(self, directory):
        self.directory = Path(directory)
        self.port = free_port()
        conf = self.directory / "mosquitto.conf"
        conf.write_text(
            f"{'user root' if os.geteuid() == 0 else ''}\nlog_type none\nallow_anonymous true\n"
            f"max_queued_messages 0\nlistener {self.port} 127.0.0.1\n")
        self.broker = subprocess.Popen(
            [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", conf],
            stderr=subprocess.DEVNULL)
        wait(self.listens)

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self, program, qos, *args, **kwargs):
        return subprocess.Popen(
            [program, "-h", "127.0.0.1", "-p", str(self.port), "-q",
             str(qos), "-t", "bench", "-V", "5", *args], **kwargs)

    def subscriber(self, n):
        # With QoS 1 it would be the slowest of the three.
        sub = self.client("mosquitto_sub", 0, "-C", str(n),
                          stdout=subprocess.DEVNULL)
        time.sleep(0.5)         # it does not say when it has subscribed
        return sub

    def daemon(self, name, *words):
        """Starts one that connects to the broker as "m"."""
        state = self.directory / f"{name}.state"
        state.mkdir(exist_ok=True)
        d = subprocess.Popen([DAEMON, *words], stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "STATE_DIRECTORY": str(state)})
        while "m: opening -> up" not in (line := d.stderr.readline()):
            if "m: opening -> lost" in line:
                d.kill()
                sys.exit(f"mqtt.py: {line}")
        # It must not block on what it logs.
        threading.Thread(target=d.stderr.read, daemon=True).start()
        return d

    def sender(self, qos, name, topic):
        """A daemon, and a socket whose lines it publishes."""
        sock = self.directory / name
        d = self.daemon(name, f"unix-server:{sock},framing=line,name=feed,stall_timeout=none",
                        f"mqtt:127.0.0.1:{self.port},publish={topic},qos={qos},client_id={name},"
                        "name=m")
        feed = socket.socket(socket.AF_UNIX)
        feed.connect(str(sock))
        return d, feed

    def receiver(self, qos):
        """A daemon that subscribes to all, and the connection on which it delivers."""
        path = self.directory / "out"
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(path))
            s.listen()
            d = self.daemon("receiver", f"mqtt:127.0.0.1:{self.port},subscribe=site/#,qos={qos},"
                            "client_id=receiver,session_expiry=none,name=m",
                            f"unix-client:{path},framing=line")
            out, _ = s.accept()
        path.unlink()
        return d, out

    def carry(self, qos, n, senders):
        """Messages per second, and CPU time a message: broker, all senders, receiver."""
        receiver, out = self.receiver(qos)
        made = [self.sender(qos, f"s{i}", f"site/s{i}") for i in range(senders)]
        each = n // senders
        data = b"".join(LINE % i for i in range(each))
        groups = [[self.broker], [d for d, _ in made], [receiver]]
        before = [sum(cpu_of(p.pid) for p in g) for g in groups]
        start = time.monotonic()
        threads = [threading.Thread(target=feed.sendall, args=(data,)) for _, feed in made]
        for t in threads:
            t.start()
        left = each * senders * len(LINE % 0)
        out.settimeout(60)
        while left > 0 and (piece := out.recv(1 << 18)):
            left -= len(piece)
        elapsed = time.monotonic() - start
        cpu = [(sum(cpu_of(p.pid) for p in g) - b) / n * 1e6 for g, b in zip(groups, before)]
        for t in threads:
            t.join()
        for d, sock in [*made, (receiver, out)]:
            sock.close()
            d.terminate()
            d.wait()
        if left:
            sys.exit("mqtt.py: messages are missing")
        return n / elapsed, *cpu

    def timed(self, qos, n, send):
        sub = self.subscriber(n)
        start = time.monotonic()
        cpu = send(b"".join(LINE % i for i in range(n)))
        try:
            sub.wait(60)
        except subprocess.TimeoutExpired:
            sub.kill()
            sys.exit("mqtt.py: messages are missing")
        elapsed = time.monotonic() - start
        return n / elapsed, cpu() / n * 1e6

    def theirs(self, qos, n):
        def send(data):
            pub = self.client("mosquitto_pub", qos, "-l", stdin=subprocess.PIPE)
            pub.stdin.write(data)
            pub.stdin.close()

            def cpu():
                _, _, usage = os.wait4(pub.pid, 0)
                pub.returncode = 0
                return usage.ru_utime + usage.ru_stime
            return cpu
        return self.timed(qos, n, send)

    def ours(self, qos, n):
        daemon, feed = self.sender(qos, "feed", "bench")

        def send(data):
            before = cpu_of(daemon.pid)
            feed.sendall(data)
            return lambda: cpu_of(daemon.pid) - before
        try:
            return self.timed(qos, n, send)
        finally:
            feed.close()
            daemon.terminate()
            daemon.wait()


def compare(b, a):
    """Whether a goal was missed."""
    failed = False
    for qos, goal in GOALS.items():
        n = a.messages if qos == 0 else a.messages // 3
        pairs = [(b.theirs(qos, n), b.ours(qos, n)) for _ in range(a.rounds)]
        rate = statistics.median(o[0] / t[0] for t, o in pairs)
        cpu = statistics.median(o[1] / t[1] for t, o in pairs)
        theirs, ours = ([statistics.median(x[i][j] for x in pairs)
                         for j in (0, 1)] for i in (0, 1))
        print(f"QoS {qos}: mosquitto_pub {theirs[0]:.0f}/s, {theirs[1]:.1f} us;"
              f" ttybridged {ours[0]:.0f}/s, {ours[1]:.1f} us:"
              f" {rate:.2f} times the messages (goal {goal}),"
              f" {cpu:.2f} times the CPU time (goal 1.0)", flush=True)
        failed |= rate < goal or cpu > 1
    return failed


def carry(b, a):
    for qos in GOALS:
        runs = [b.carry(qos, a.messages, a.carry) for _ in range(a.rounds)]
        rate, broker, senders, receiver = map(statistics.median, zip(*runs))
        print(f"QoS {qos}: {a.carry} senders, one receiver: {rate:.0f}/s; CPU time a message:"
              f" broker {broker:.1f} us, sender {senders:.1f} us, receiver {receiver:.1f} us",
              flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--messages", type=int, default=60000)
    p.add_argument("--carry", type=int, metavar="SENDERS")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        b = Bench(directory)
        try:
            return (carry if a.carry else compare)(b, a)
        finally:
            b.broker.kill()
            b.broker.wait()


if __name__ == "__main__":
    sys.exit(main())
