"""Captures with ttybridgectl: live, in Wireshark's list of interfaces, and replayed."""
import base64
import json
import os
import re
import shutil
import signal
import struct
import subprocess

import pytest

from ctl import CTL, Stub, ctl, start
from harness import PATIENCE, SANITIZERS, expect, pump, serial, wait_for


def tag(kind, text):
    text = text.encode()
    text += bytes(-len(text) % 4)
    return struct.pack(">HH", kind, len(text)) + text


def record(way, data, when=(1700000000, 5), size=None, order="<"):
    tags = tag(12, "data") + tag(33, f"line {way}") + tag(36, way) + tag(0, "")
    size = len(data) if size is None else size
    return struct.pack(f"{order}IIII", *when, len(tags) + len(data), len(tags) + size) + \
        tags + data


def pcap(*records, magic=0xa1b23c4d, link=252, order="<"):
    return struct.pack(f"{order}IHHIIII", magic, 2, 4, 0, 0, 262144, link) + b"".join(records)


def frame(data, when="1700000000.123456789", way=("ar1", "ar2"), **more):
    rest = dict(zip(("from", "to"), way), framing="line", dissector="data", size=len(data),
                base64=base64.b64encode(data).decode(), **more)
    return f'{{"time":{when},{json.dumps(rest)[1:]}'


# --- replay -------------------------------------------------------------------

@pytest.fixture
def one(daemon, pty):
    a = pty("a")
    return daemon(serial("a", a, framing="line")), a


def test_a_capture_of_the_daemon_is_replayed(daemon, pty, directory):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"))
    file = directory / "x.pcap"
    d.control(f"capture start {file}")
    for word in (b"one\n", b"two \x01\xff\n", b"x" * 3000 + b"\n"):
        a.send(word)
        expect(b, word, [a])
    b.send(b"back\n")
    expect(a, b"back\n", [b])
    d.control("capture stop")
    done = ctl("-s", d.socket, "replay", file, "--to", "b", "--from", "a", "--speed", "100")
    assert (done.returncode, done.stdout) == (0, "3 frames sent, 1 others not\n")
    expect(b, b"one\ntwo \x01\xff\n" + b"x" * 3000 + b"\n")
    done = ctl("-s", d.socket, "replay", "--speed=1000", "--to=a", file)
    assert done.stdout == "4 frames sent\n"
    done = ctl("-s", d.socket, "replay", file, "--to", "b", "--from", "zz")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no frame in it comes from 'zz'; it has frames from a, b" in done.stderr


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic, second", [(0xa1b23c4d, 900000000), (0xa1b2c3d4, 900000)])
def test_captures_of_any_kind(one, directory, order, magic, second):
    d, a = one
    file = directory / "x.pcap"
    file.write_bytes(pcap(
        record("b > a", b"first", (100, second), order=order),
        record("b#1 > a", b"an hour later", (3700, 1), order=order),
        record("c > a", b"before that", (3699, 0), order=order),
        record("b > a", b"cut", size=2000, order=order),
        record("b > - bad: checksum", b"bad", order=order),
        record("b > a", b"", order=order), magic=magic, order=order))
    done = ctl("-s", d.socket, "replay", file, "--to", "a", "--from", "b", "--speed", "1e6")
    assert (done.returncode, done.stdout) == (0, "2 frames sent, 4 others not\n")
    expect(a, b"first\nan hour later\n")


@pytest.mark.parametrize("content, said", [
    (b"", "it is not a capture"),
    (b"hello" * 20, "it is not a capture"),
    (b"\x0a\x0d\x0d\x0a" + bytes(100), "convert it with editcap -F nsecpcap"),
    (pcap(link=1), "of another program, with the link type 1"),
    (pcap(record("b > a", b"x"))[:-3], "ends within a frame"),
    (pcap(struct.pack("<IIII", 1, 1, 1 << 30, 1 << 30)), "damaged"),
    (pcap(struct.pack("<IIIIHH", 1, 1, 4, 4, 0x0c00, 0xffff)), "a frame has wrong tags"),
])
def test_what_is_not_a_capture(one, directory, content, said):
    d, a = one
    file = directory / "x.pcap"
    file.write_bytes(content)
    done = ctl("-s", d.socket, "replay", file, "--to", "a")
    assert (done.returncode, done.stdout) == (1, "")
    assert str(file) in done.stderr and said in done.stderr


def test_an_error_stops_the_replay(one, directory):
    d, a = one
    file = directory / "x.pcap"
    file.write_bytes(pcap(record("b > a", b"good"), record("b > a", b"bad\n"),
                          record("b > a", b"never")))
    done = ctl("-s", d.socket, "replay", file, "--to", "a")
    assert done.returncode == 1
    assert "frame 2, after 1 were sent: the framing of a, line, cannot express" in done.stderr
    expect(a, b"good\n")


def test_a_replay_to_a_server_that_never_replies(silent, directory):
    file = directory / "x.pcap"
    file.write_bytes(pcap(record("b > a", b"x")))
    done = ctl("-s", silent, "-t", "300ms", "replay", file, "--to", "a")
    assert done.returncode == 1
    assert "frame 1, after 0 were sent: no reply within 0.3s" in done.stderr


@pytest.mark.parametrize("words, said", [
    ([], "the name of one file is needed"),
    (["x"], "--to NAME is missing"),
    (["x", "--to", "a", "--speed", "0"], "'0' is not a speed"),
    (["x", "--to", "a", "--speed", "nan"], "'nan' is not a speed"),
    (["x", "--to", "a b"], "'a b' is not a name"),
    (["x", "--nope"], "wrong option '--nope'"),
])
def test_wrong_use_of_replay(words, said):
    done = ctl("replay", *words)
    assert done.returncode == 2 and said in done.stderr


# --- live ---------------------------------------------------------------------

@pytest.fixture
def stub(directory):
    """A control port that says what passes, on directory/stub.sock."""
    endpoints = [{"name": "ar1"}, {"name": "ar2"}]
    s = Stub(directory / "stub.sock",
             {"json endpoints": [json.dumps(endpoints), "OK"], "capture stream": [],
              "capture stream ar1": [], "capture stream -a ar1 ar2": []})
    yield s
    s.close()


FRAMES = [frame(b"hello"), frame(b"\x00" * 1000 + b"end", "1700000001.000000001"),
          '{"not_shown":3}', frame(b"what?", way=("ar2", None), bad="checksum")]
SHOWN = [["1700000000.123456789", "ar1 > ar2", b"hello"],
         ["1700000001.000000001", "ar1 > ar2", b"\x00" * 1000 + b"end"],
         ["1700000000.123456789", "ar2 > - bad: checksum", b"what?"]]


def dissected(lines):
    """The fields of tshark's lines."""
    for line in lines:
        when, protocol, data = line.rstrip("\n").split("\t")
        yield [when, protocol.split(" ", 1)[1], bytes.fromhex(data)]


FIELDS = ["-T", "fields", "-e", "frame.time_epoch", "-e", "_ws.col.Protocol", "-e", "data.data"]


def test_a_live_capture_goes_to_a_pipe(stub, directory):
    going = start("-s", directory / "stub.sock", "capture", "-", "-a", "ar1", "ar2")
    tshark = subprocess.Popen(["tshark", "-l", "-n", "-r", "-", *FIELDS], stdin=going.stdout,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    going.stdout.close()
    for line in FRAMES:
        stub.say("capture stream -a ar1 ar2", line)
    stub.say("capture stream -a ar1 ar2", "OK")
    out, _ = tshark.communicate(timeout=PATIENCE)
    assert going.wait(PATIENCE) == 0
    assert b"3 frames are missing: the reader is too slow" in going.stderr.read()
    going.stderr.close()
    assert list(dissected(out.splitlines())) == SHOWN


def test_a_live_capture_of_the_daemon(daemon, pty):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="cobs", max_frame="300K") +
               serial("b", b, framing="slip", max_frame="300K"))
    going = start("-s", d.socket, "capture", "-", "-a", "a")
    tshark = subprocess.Popen(["tshark", "-l", "-n", "-r", "-", *FIELDS], stdin=going.stdout,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    going.stdout.close()
    wait_for(lambda: any("to end its watch" in row["label"] for row in d.tasks().values()))

    def shown():
        (_, *frame), = dissected([tshark.stdout.readline()])
        return frame
    # One after the other, as a watch under load leaves frames out.
    a.send(b"\x03hi\x00")
    assert shown() == ["a > b", b"hi"]
    b.send(b"\xc0back\xc0")
    assert shown() == ["b > a", b"back"]
    a.send(b"\x05x\x00")                    # ends too early
    assert shown() == ["a > - bad: malformed", b"\x05x\x00"]
    d.control("send a asked")
    assert shown() == ["control > a", b"asked"]
    long = bytes(range(1, 255)) * 800
    b.send(b"\xc0" + long.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0")
    pump([a, b], lambda: not b.outgoing)
    assert shown() == ["b > a", long]
    going.send_signal(signal.SIGTERM)
    assert tshark.communicate(timeout=PATIENCE)[0] == ""
    assert going.wait(PATIENCE) == -signal.SIGTERM
    assert going.stderr.read() == b""
    going.stderr.close()


def test_a_live_capture_ends_with_its_reader(stub, directory):
    going = start("-s", directory / "stub.sock", "capture", "-")
    assert len(going.stdout.read(24)) == 24
    going.stdout.close()
    assert going.wait(PATIENCE) == 0
    assert going.stderr.read() == b""
    going.stderr.close()


def test_a_daemon_that_has_no_live_captures(stub, directory):
    done = ctl("-s", directory / "stub.sock", "capture", "-", "other")
    assert done.returncode == 1 and "unknown command" in done.stderr


@pytest.fixture
def wireshark(stub, directory):
    """Runs tshark, which finds only this program, and it the stub."""
    if shutil.which("tshark") is None:
        pytest.skip("there is no tshark")
    folders = subprocess.run(["tshark", "-G", "folders"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True).stdout
    place = re.search(r"(?m)^Extcap path:\s*(.*)$", folders)[1]
    folder = directory / "extcap"
    folder.mkdir()
    (folder / "ttybridge-extcap").symlink_to(CTL)
    apart = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"]),
             "sh", "-c", f'mount --bind {folder} {place} && exec "$@"', "sh"]
    if subprocess.run([*apart, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("may not have mounts of its own")
    env = {**os.environ, **SANITIZERS, "TTYBRIDGE_SOCKET": str(directory / "stub.sock"),
           "HOME": str(directory)}

    def run(*words):
        return subprocess.Popen([*apart, "tshark", *words], stdout=subprocess.PIPE, env=env,
                                stderr=subprocess.PIPE, text=True)
    return run


def test_endpoints_are_interfaces_of_wireshark(wireshark):
    out, err = wireshark("-D").communicate(timeout=PATIENCE)
    names = [line.split(" ", 1)[1] for line in out.splitlines() if "ttybridge" in line]
    assert names == ["ttybridge (ttybridge: all endpoints)", "ttybridge.ar1 (ttybridge: ar1)",
                     "ttybridge.ar2 (ttybridge: ar2)"], err
    out, err = wireshark("-i", "ttybridge.ar1", "-L").communicate(timeout=PATIENCE)
    assert "WIRESHARK_UPPER_PDU" in out + err


def test_wireshark_captures_from_an_endpoint(wireshark, stub):
    tshark = wireshark("-l", "-n", "-i", "ttybridge.ar1", "-c", "3", *FIELDS)
    for line in FRAMES:
        stub.say("capture stream ar1", line)
    out, err = tshark.communicate(timeout=2 * PATIENCE)
    assert list(dissected(out.splitlines())) == SHOWN, err


def test_without_a_daemon_there_is_one_interface(directory):
    program = directory / "ttybridge-extcap"
    program.symlink_to(CTL)

    def run(*words):
        return subprocess.run(
            [program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **SANITIZERS, "TTYBRIDGE_SOCKET": str(directory / "none")})
    done = run("--extcap-interfaces", "--extcap-version=4.0")
    assert done.returncode == 0
    assert done.stdout.count("interface {value=ttybridge}") == 1
    done = run("--extcap-interface", "ttybridge", "--extcap-config")
    assert "{call=--socket}" in done.stdout and "{call=--host}" in done.stdout
    for words in ([], ["--nonsense"]):
        done = run(*words)
        assert done.returncode == 2 and "is run by Wireshark" in done.stderr
    assert run("--capture", "--extcap-interface", "ttybridge").returncode == 1
