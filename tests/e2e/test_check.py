"""What --check says of endpoints that cannot be what they are said to be."""
import json

import pytest

from harness import run

CASES = [
    ("tcp-server", "", "needs 'listen', such as listen = 127.0.0.1:5011"),
    ("unix-server", "", "needs 'listen', such as listen = "
     "/run/ttybridge/bus.sock"),
    ("unix-server", "listen = bus.sock", "'listen' is 'bus.sock', and not the "
     "path of a socket, which starts with '/'"),
    ("tcp-server", "listen = unix:/run/x", "'listen' is the path of a Unix "
     "socket: that is a [unix-server]"),
    ("tcp-server", "listen = nonsense", "'listen': 'nonsense'"),
    ("tcp-server", "listen = nonsense",
     "is not an address; write 127.0.0.1:5010, [::1]:5010 or *:5010"),
    ("tcp-server", "listen = myhost:99", "'myhost:99' has the name of a host, which is possible in "
     "'connect' only; write an address: 127.0.0.1:5010, [::1]:5010 or *:5010"),
    ("tcp-server", "listen = 127.0.0.1:99999", "'127.0.0.1:99999': the port is above 65535"),
    ("tcp-server", "listen = 70000", "'70000': the port is above 65535"),
    ("tcp-server", "listen = ::1", "'::1' has no port; write [::1]:PORT, such as [::1]:5010"),
    ("udp", "send_to = myhost:99", "'send_to': 'myhost:99' has the name of a host"),
    ("udp", "send_to = 127.0.0.1:99999", "the port is above 65535"),
    ("tcp-server", "listen = *:5011\nallow = 300.1.2.3", "'allow': "),
    ("udp", "", "needs 'listen' or 'send_to', or both, such as send_to = 192.168.1.7:5010"),
    ("udp", "listen = nonsense", "'listen': 'nonsense'"),
    ("udp", "listen = /run/x", "'listen' is a path, and not HOST:PORT"),
    ("udp", "listen = 127.0.0.1:5011\nsend_to = [::1]:5012",
     "'send_to' is an IPv6 address, and 'listen' is not"),
    ("udp", "listen = 127.0.0.1:5011\nsend_to = 192.0.2.1:5012",
     "'send_to' is beyond this machine, and cannot be reached from 'listen'"),
    ("udp", "listen = *:5011", "listen = *:5011 is open to the network"),
    ("udp", "listen = *:5011\nallow = 10.0.0.0/33", "'allow': "),
    ("udp", "listen = *:5011\nmulticast = 10.0.0.1",
     "'multicast': '10.0.0.1' is not the address of a group"),
    ("udp", "multicast = 239.1.2.3", "'multicast' needs 'listen', such as listen = *:5010"),
    ("udp", "listen = 5011\nmulticast = 239.1.2.3",
     "listen = 5011 is not reached by datagrams to a group; with 'multicast' write "
     "listen = *:5011"),
    ("udp", "listen = 5011\nttl = 3", "'ttl' is for multicast, and neither"),
    ("unix-client", "", "needs 'connect', such as connect = /run/ttybridge/bus.sock"),
    ("unix-client", "connect = 127.0.0.1:5011", "'connect' is '127.0.0.1:5011', and not the path of "
     "a socket, which starts with '/'"),
    ("unix-client", f"connect = /{'x' * 107}", "at most 107 characters"),
    ("tcp-client", "", "needs 'connect', such as connect = 192.168.1.7:5011"),
    ("tcp-client", "connect = here", "'connect' is 'here', and not HOST:PORT"),
    ("tcp-client", "connect = []:5011", "and not HOST:PORT"),
    ("tcp-client", "connect = here:70000", "and not HOST:PORT"),
    ("tcp-client", f"connect = {'x' * 255}:1", ""),
    ("serial", "", "needs 'device' or 'usb', such as device = /dev/ttyACM0"),
    ("serial", "device = /dev/ttyS0\nusb = 2341:0043",
     "'device' and 'usb' exclude each other"),
    ("serial", "device = ttyS0", "'device': 'ttyS0' is not a path; "
     "did you mean '/dev/ttyS0'?"),
    ("serial", "device = COM1", "'device': 'COM1' is not a path; "
     "ttybridged --list-ports lists the devices"),
    ("serial", "usb = 2341", "'usb': '2341' is not VID:PID"),
    ("serial", "usb = 2341:0043:", "is not VID:PID"),
    ("serial", "usb = 2341:00432", "is not VID:PID"),
    ("serial", "device = /dev/x\nrs485 = yes\nflow = rtscts",
     "'rs485' and flow = rtscts exclude each other: both use RTS"),
    ("serial", "device = /dev/x\nrs485 = yes\nrts = on",
     "'rs485' and 'rts' exclude each other: the driver sets RTS"),
    ("serial", "device = /dev/x\nrs485_delay_after = 1500us",
     "'rs485_delay_before' and 'rs485_delay_after' are whole milliseconds, such as 2ms"),
    ("serial", "device = /dev/x\ndtr = onn",
     "'onn' is not on, off or keep; did you mean 'on'?"),
    ("serial", "device = /dev/x\nmode = 9N1", "'9N1'"),
    ("pty", "link = x", "'x'"),
]


@pytest.mark.parametrize("kind, text, said", CASES)
def test_an_endpoint_that_cannot_be_is_a_fault_with_its_reason(
        directory, kind, text, said):
    conf = directory / "test.conf"
    conf.write_text(f"[{kind} x]\n{text}\n")
    done = run("--check", "-c", conf)
    assert done.returncode == 2
    first = done.stderr.splitlines()[0]
    assert first.startswith(f"{conf}:") and said in first, done.stderr


PORTS = [
    ("control", "listen = dev-1.example:99",
     "write an address: 127.0.0.1:5010, [::1]:5010, *:5010 or unix:/path"),
    ("control", "listen = [::1]:65536", "'[::1]:65536': the port is above 65535"),
    ("http", "listen = nonsense",
     "is not an address; write 127.0.0.1:5010, [::1]:5010 or *:5010"),
]


@pytest.mark.parametrize("kind, text, said", PORTS)
def test_a_port_that_cannot_be_is_a_fault_with_its_reason(directory, kind, text, said):
    conf = directory / "test.conf"
    conf.write_text(f"[echo a]\n[{kind} x]\n{text}\n")
    done = run("--check", "-c", conf)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{conf}:3: [{kind} x]: ") and said in done.stderr


RIGHT = [
    *[("exclusive", word) for word in
      "yes no true false on off 1 0 Yes OFF True".split()],
    *[("queue", size) for size in "4096 64K 64k 1.5M 1G".split()],
    *[("stall_timeout", time) for time in
      "2 2s 250ms 10us 5m 1h 1d none".split()],
]
WRONG = [("exclusive", "2"), ("exclusive", "y"), ("queue", "64KB"),
         ("queue", "1T"), ("stall_timeout", "2 s"), ("stall_timeout", "1w")]
LISTS = ["b c", "b,c", "b, c", "b ,c", "b\tc", ",b,,c,"]


def serials(values):
    return "".join(f"[serial s{n}]\ndevice = /dev/tty{n}\n{key} = {value}\n"
                   for n, (key, value) in enumerate(values))


def test_values_may_be_written_as_the_manual_says(directory):
    conf = directory / "right.conf"
    conf.write_text(serials(RIGHT) + "[pty a]\n[pty b]\n[pty c]\n" +
                    "".join(f"[route r{n}]\nfrom = a\nto = {names}\n"
                            for n, names in enumerate(LISTS)))
    done = run("-c", conf, "--check")
    assert done.returncode == 0, done.stderr


def test_other_ways_to_write_them_are_faults(directory):
    conf = directory / "wrong.conf"
    conf.write_text(serials(WRONG))
    done = run("-c", conf, "--check")
    assert done.returncode == 2
    for n, (key, value) in enumerate(WRONG):
        assert f"{conf}:{3 * n + 3}: key '{key}' in [serial s{n}]: " \
            f"'{value}' is " in done.stderr


def test_the_configuration_as_json(directory):
    conf = directory / "test.conf"
    conf.write_bytes(b"[control a]\nlisten = unix:/run/x.sock\n[control b]\nlisten = 5010\n"
                     b"[pty one]\nframing = cobs\nlabel = caf\xe9\n[pty two]\n"
                     b"[route r]\nfrom = one\nto = two\n")
    done = run("--check", "--json", "-c", conf)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    found = json.loads(done.stdout)
    assert found["controls"] == [
        {"name": "a", "listen": "unix:/run/x.sock", "access": "full", "tls": False, "line": 1},
        {"name": "b", "listen": "5010", "access": "read", "tls": False, "line": 3}]
    assert found["endpoints"] == [
        {"name": "one", "type": "pty", "framing": "cobs", "label": "caf\\xe9", "line": 5},
        {"name": "two", "type": "pty", "framing": "raw", "label": None, "line": 8}]
    assert found["routes"] == [
        {"name": "r", "between": None, "from": "one", "to": "two", "line": 9}]
    assert len(found["warnings"]) == 1 and "warning: " in found["warnings"][0]
    done = run("-c", conf, "--check")
    assert found["warnings"] == done.stderr.splitlines()


def test_faults_as_json(directory):
    conf = directory / "test.conf"
    conf.write_text("[pty a]\nno = yes\n[pty a]\n[control x]\nlisten = 5010\n"
                    "[control y]\nlisten = 5011\nacces = full\n")
    plain = run("--check", "-c", conf)
    done = run("--check", "--json", "-c", conf)
    assert (done.returncode, done.stderr) == (2, "")
    # A control port without a fault of its own may be that of a daemon that runs.
    assert json.loads(done.stdout) == {"faults": plain.stderr.splitlines(), "controls": [
        {"name": "x", "listen": "5010", "access": "read", "tls": False, "line": 4}]}
    assert len(plain.stderr.splitlines()) == 3


def test_json_alone_is_wrong_usage():
    done = run("--json", "pty:", "pty:")
    assert done.returncode == 2
    assert "--json is only possible with --check or --list-ports" in done.stderr


def test_the_commands_are_listed():
    done = run("--list-commands")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert any(line.startswith("get PATH  ") for line in lines)
    assert [line.split()[0] for line in lines][:2] == ["help", "ps"]
