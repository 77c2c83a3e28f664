"""
The program that takes the place of ser2net, started as labgrid, a unit and an init script
start ser2net.
"""
import os
import signal
import subprocess
from pathlib import Path

import pytest
import serial as pyserial

from harness import (BINARY, BROKEN, ROOT, SANITIZERS, Client, end_with_us, expect, free_port,
                     pump, wait_for)

WRAPPER = ROOT / "conf/examples/ttybridge-ser2net"


def newest_labgrid(port, device, speed):
    """remote/exporter.py of labgrid 24 to 26, for ser2net 4.2 and later."""
    return ["-d", "-n",
            "-Y", f"connection: &con01#  accepter: telnet(rfc2217,mode=server),tcp,{port}",
            "-Y", f"  connector: serialdev(nouucplock=true),{device},{speed}n81,local",
            "-Y", "  options:", "-Y", "    max-connections: 10"]


def older_labgrid(port, device, speed):
    """labgrid 0.4, as in Debian 12, for ser2net 4."""
    return ["-d", "-n",
            "-Y", f"connection: &con01#  accepter: telnet(rfc2217,mode=server),{port}",
            "-Y", f"  connector: serialdev(nouucplock=true),{device},{speed}n81,local"]


class Started:
    """The wrapper, run with these arguments."""

    def __init__(self, directory, *args, stdin=None, cwd=None, env=()):
        self.errors = directory / "stderr"
        self.temporary = directory / "temporary"
        self.temporary.mkdir(exist_ok=True)
        self.output = directory / "stdout"
        with open(self.errors, "ab") as log, open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [WRAPPER, *map(str, args)], stdout=output, stderr=log,
                stdin=stdin or subprocess.DEVNULL, preexec_fn=end_with_us,
                cwd=cwd, env={**os.environ, **SANITIZERS, "TTYBRIDGED": BINARY,
                              "TMPDIR": str(self.temporary), **dict(env)})

    def stderr(self):
        return self.errors.read_text(errors="replace")

    def exit(self):
        """Its exit status; it has left nothing behind."""
        status = self.process.wait(20)
        assert not BROKEN.search(self.stderr()), self.stderr()
        wait_for(lambda: not list(self.temporary.iterdir()),
                 what="the temporary directory to be removed")
        return status

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.exit()

    def connect(self, port):
        """A client, once the port is open."""
        return wait_for(lambda: self.try_connect(port), what=f"port {port}")

    def try_connect(self, port):
        assert self.process.poll() is None, self.stderr()
        try:
            return Client(("127.0.0.1", port))
        except ConnectionRefusedError:
            return None

    def closed(self, port):
        client = self.try_connect(port)
        if client is not None:
            client.close()
        return client is None


@pytest.fixture
def start(directory):
    made = []

    def run(*args, **kwargs):
        made.append(Started(directory, *args, **kwargs))
        return made[-1]
    yield run
    for s in made:
        if s.process.poll() is None:
            s.process.kill()
            s.process.wait()


def connection(name, port, device, speed=9600, options=""):
    return (f"connection: &{name}\n  accepter: tcp,127.0.0.1,{port}\n"
            f"  connector: serialdev,{device},{speed}n81,local\n{options}")


def yaml(directory, *connections):
    file = directory / "ser2net.yaml"
    file.write_text("%YAML 1.1\n---\n" + "\n".join(connections))
    return file


def both_ways(client, device, text=b"hello"):
    """Bytes pass in both directions, from when the client's connection is complete."""
    client.send(text)
    expect(device, text, [client])
    device.send(text[::-1])
    pump([client, device], lambda: client.received.endswith(text[::-1]))


@pytest.mark.parametrize("arguments", [newest_labgrid, older_labgrid])
def test_labgrid(start, pty, arguments):
    """
    labgrid starts it when a place is acquired and ends it when that is released; pyserial and
    microcom control the line, which has the speed of the resource first.
    """
    device, port = pty("a"), free_port()
    for speed in 115200, 57600:
        s = start(*arguments(port, device.link, speed))
        s.connect(port).close()
        for clients in range(2):
            # The options that labgrid's driver has.
            with pyserial.serial_for_url(
                    f"rfc2217://127.0.0.1:{port}?ign_set_control&timeout=20",
                    baudrate=speed, timeout=20) as line:
                assert device.speed() == (speed, speed)
                line.write(b"hello\xff\n")
                expect(device, b"hello\xff\n")
                device.send(b"login: \xff")
                assert line.read(8) == b"login: \xff"
                line.baudrate = 19200
                wait_for(lambda: device.speed() == (19200, 19200), what="19200 baud")
        # The device is open while there is a client, and only then.
        wait_for(lambda: not device.opened(), what="the device to be closed")
        # Nothing stays between labgrid and the daemon.
        assert os.readlink(f"/proc/{s.process.pid}/exe") == os.path.realpath(BINARY)
        assert not list(s.temporary.iterdir())
        assert s.stop() == 0


def test_lines(start, pty):
    """As labgrid starts ser2net 3."""
    device, port = pty("a"), free_port()
    s = start("-d", "-n", "-u", "-C",
              f"{port}:telnet:0:{device.link}:57600 NONE 8DATABITS 1STOPBIT LOCAL")
    client = s.connect(port)
    both_ways(client, device)
    assert device.speed() == (57600, 57600)
    client.close()
    assert s.stop() == 0


def test_version():
    """The two ways in which labgrid reads the version, to decide between -Y and -C."""
    done = subprocess.run([WRAPPER, "-v"], capture_output=True, check=True)
    _, _, version = str(done.stdout).split(" ")
    assert int(version.split(".")[0]) >= 4
    _, _, version = done.stdout.decode().split(" ")
    assert tuple(map(int, version.strip().split("."))) >= (4, 2, 0)
    assert done.stderr == b""


def test_yaml_in_arguments(start, pty):
    """A # is a new line, except in quotes: the example of ser2net(8)."""
    device, port = pty("a"), free_port()
    s = start("-n",
              "-Y", f"connection: &con01#  accepter: tcp,{port}",
              "-Y", f"  connector: serialdev,{device.link},9600n81,local",
              "-Y", r'''  options:#    banner: "### \"A\" Banner ###\r\n"''')
    client = s.connect(port)
    expect(client, b'### "A" Banner ###\r\n')
    both_ways(client, device)
    client.close()
    assert s.stop() == 0


def test_file(directory, start, pty):
    """As Debian's unit: the pid file has the process to signal, and goes with it."""
    a, b, p, q = pty("a"), pty("b"), free_port(), free_port()
    pid = directory / "pid"
    file = yaml(directory, connection("one", p, a.link))
    s = start("-n", "-c", file, "-P", pid)
    first = s.connect(p)
    both_ways(first, a)
    assert wait_for(lambda: pid.exists() and pid.read_text()) == f"{s.process.pid}\n"

    # What has not changed is not touched by a reload.
    yaml(directory, connection("one", p, a.link), connection("two", q, b.link))
    s.process.send_signal(signal.SIGHUP)
    second = s.connect(q)
    both_ways(second, b)
    both_ways(first, a, b"still there")

    # A file with a fault changes nothing.
    file.write_text("connection: [\n")
    s.process.send_signal(signal.SIGHUP)
    wait_for(lambda: f"{file} is not used" in s.stderr(), what="the refusal")
    both_ways(first, a, b"and still")

    yaml(directory, connection("two", q, b.link))
    s.process.send_signal(signal.SIGHUP)
    wait_for(lambda: s.closed(p), what="the first port to be closed")
    both_ways(second, b, b"unchanged")
    for client in first, second:
        client.close()
    assert s.stop() == 0
    assert not pid.exists()


def test_relative_file_and_arguments(directory, start, pty):
    """The file comes first, then the arguments; its name may be relative."""
    a, b, p, q = pty("a"), pty("b"), free_port(), free_port()
    file = yaml(directory, connection("one", p, a.link))
    s = start("-n", "-Y", connection("two", q, b.link), "-c", os.path.relpath(file))
    for port, device in (p, a), (q, b):
        client = s.connect(port)
        both_ways(client, device)
        client.close()
    assert s.stop(signal.SIGINT) == 0


STRANGE = "-v '$(touch hit)' \"`touch hit`\" ; touch hit #"


@pytest.mark.parametrize("detached", [False, True])
def test_words_that_mean_something_to_a_shell(directory, start, pty, detached):
    """Everything is relative to where it was started, and no name is an option or a command."""
    device, port = pty("a"), free_port()
    here = directory / STRANGE
    here.mkdir()
    (here / STRANGE).write_bytes(yaml(directory, connection(
        "one", port, device.link)).read_bytes())
    (here / "program").symlink_to(os.path.abspath(BINARY))
    s = start("-c", STRANGE, "-P", STRANGE + "pid", *([] if detached else ["-n"]), cwd=here,
              env={"TTYBRIDGED": "./program"})
    if detached:
        assert s.process.wait(20) == 0, s.stderr()
        client = Client(("127.0.0.1", port))
    else:
        client = s.connect(port)
    pid = here / (STRANGE + "pid")
    both_ways(client, device)
    client.close()
    os.kill(int(pid.read_text()), signal.SIGTERM)
    wait_for(lambda: not pid.exists(), what="the pid file to be removed")
    assert s.exit() == 0
    assert sorted(p.name for p in here.iterdir()) == sorted([STRANGE, "program"])


@pytest.mark.parametrize("option", ["-C", "-Y", "-c", "-p"])
def test_a_strange_value_is_no_command(directory, start, option):
    s = start("-n", option, STRANGE, cwd=directory)
    assert s.exit() != 0
    assert not (directory / "hit").exists()


def test_standard_input(directory, start, pty):
    device, port = pty("a"), free_port()
    with open(yaml(directory, connection("one", port, device.link))) as file:
        s = start("-n", "-c", "-", stdin=file)
    client = s.connect(port)
    both_ways(client, device)
    client.close()
    assert s.stop() == 0


def test_control_port(start, pty):
    device, port, control = pty("a"), free_port(), free_port()
    s = start("-n", "-Y", connection("one", port, device.link), "-p", f"tcp,localhost,{control}")
    client = s.connect(control)
    client.send(b"version\n")
    pump([client], lambda: client.received.endswith(b"OK\n"))
    client.close()
    assert s.stop() == 0


def test_killed(directory, start, pty):
    """The daemon does not outlive the process that was started."""
    device, port = pty("a"), free_port()
    s = start("-n", "-c", yaml(directory, connection("one", port, device.link)))
    s.connect(port).close()
    s.process.kill()
    s.process.wait()

    def gone():
        try:
            Client(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return True
    wait_for(gone, what="the port to be closed")


def test_detached(directory, start, pty):
    """Without -n and -d it returns when the ports are open, as an init script expects."""
    device, port = pty("a"), free_port()
    pid = directory / "pid"
    s = start("-c", yaml(directory, connection("one", port, device.link)), "-P", pid)
    assert s.process.wait(20) == 0, s.stderr()
    process = int(pid.read_text())
    try:
        client = Client(("127.0.0.1", port))
        both_ways(client, device)
        client.close()
        assert os.getsid(process) != os.getsid(0)
        # Standard error belongs to whoever started it.
        assert os.readlink(f"/proc/{process}/fd/2") != str(s.errors)
    finally:
        os.kill(process, signal.SIGTERM)
    wait_for(lambda: not pid.exists(), what="the pid file to be removed")
    wait_for(lambda: not list(s.temporary.iterdir()), what="an end without remains")


def test_detached_without_file(directory, pty):
    """A program that reads what it prints to the end is not kept waiting."""
    device, port, pid = pty("a"), free_port(), directory / "pid"
    done = subprocess.run(
        [WRAPPER, "-P", pid, "-C", f"127.0.0.1,{port}:raw:0:{device.link}:9600"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20,
        env={**os.environ, **SANITIZERS, "TTYBRIDGED": BINARY, "TMPDIR": str(directory)})
    process = int(pid.read_text())
    try:
        assert done.returncode == 0, done.stderr
        client = Client(("127.0.0.1", port))
        both_ways(client, device)
        client.close()
    finally:
        os.kill(process, signal.SIGTERM)
    wait_for(lambda: not pid.exists(), what="the pid file to be removed")


def test_ready(start, pty):
    device, port = pty("a"), free_port()
    s = start("-n", "-r", "-Y", connection("one", port, device.link))
    wait_for(lambda: s.output.read_text() == "Ready\n", what="Ready")
    Client(("127.0.0.1", port)).close()
    assert s.stop() == 0


@pytest.mark.parametrize("arguments, says", [
    (["-x"], "invalid argument '-x'"),
    (["-nd"], "invalid argument '-nd'"),
    (["-n", "-c"], "option -c needs a value"),
    (["-n", "-c", "/no/such/file.yaml"], "cannot read /no/such/file.yaml"),
    (["-n", "-Y", "connection: [", "-C", "2000:raw:0:/dev/null:9600"], "cannot be combined"),
    (["-n", "-Y", "connection: ["], "arguments.yaml"),
    (["-Y", "connection: ["], "arguments.yaml"),
])
def test_refused(start, arguments, says):
    s = start(*arguments)
    assert s.exit() == 1
    assert says in s.stderr()


def test_devices_and_faults_of_old_files(directory, start, pty):
    """A file of ser2net 3, recognised by its content, and a line before it."""
    a, b, p, q = pty("a"), pty("b"), free_port(), free_port()
    file = directory / "ser2net.conf"
    file.write_text(f"# old\n127.0.0.1,{p}:raw:600:{a.link}:9600 8DATABITS NONE 1STOPBIT\n")
    s = start("-n", "-C", f"127.0.0.1,{q}:raw:600:{b.link}:9600 8DATABITS NONE 1STOPBIT",
              "-c", file)
    for port, device in (p, a), (q, b):
        client = s.connect(port)
        both_ways(client, device)
        client.close()
    assert s.stop() == 0
