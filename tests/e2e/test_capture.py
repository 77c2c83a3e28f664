"""Captures: the frames that passed, in a file that Wireshark opens."""
import base64
import json
import os
import resource
import shutil
import signal
import struct
import subprocess

import pytest

from harness import (ControlError, expect, flush, free_port, pump, route, section, serial,
                     wait_for)

HEADER = struct.Struct("<IHHiIII")
RECORD = struct.Struct("<IIII")
NANOSECONDS, UPPER_PDU = 0xa1b23c4d, 252
DISSECTOR, PROTOCOL, WAY = 12, 33, 36


def read_capture(path):
    """Its frames: (dissector, protocol, way, payload); each record is whole."""
    data = path.read_bytes()
    magic, major, minor, _, _, _, linktype = HEADER.unpack_from(data)
    assert (magic, major, minor, linktype) == (NANOSECONDS, 2, 4, UPPER_PDU)
    at, frames, last = HEADER.size, [], (0, 0)
    while at < len(data):
        seconds, nanoseconds, kept, length = RECORD.unpack_from(data, at)
        assert nanoseconds < 10**9 and (seconds, nanoseconds) >= last
        last = seconds, nanoseconds
        at += RECORD.size
        assert kept == length and at + kept <= len(data)
        frames.append(read_record(data[at:at + kept]))
        at += kept
    return frames


def read_record(record):
    tags, at = {}, 0
    while True:
        tag, length = struct.unpack_from(">HH", record, at)
        at += 4
        if tag == 0:
            break
        assert length % 4 == 0
        tags[tag] = record[at:at + length].rstrip(b"\0").decode()
        at += length
    return tags[DISSECTOR], tags[PROTOCOL], tags[WAY], record[at:]


@pytest.fixture
def three(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon(section("daemon", "", state_dir=a.link.parent) +
               serial("a", a, framing="line") + serial("b", b, framing="slip") +
               serial("c", c, framing="line") +
               route("ab", between="a b") + route("ac", from_="a", to="c"), tcp=True)
    return d, a, b, c


def status(d):
    return d.json("capture status")


def refused(d, command, *words, address=None):
    with pytest.raises(ControlError) as e:
        d.control(command, address)
    for word in words:
        assert word in str(e.value)


def test_each_frame_is_in_the_file_with_its_way(three, directory):
    d, a, b, c = three
    assert status(d) == {"capture": "none"}
    assert d.control(f"capture start {directory}/x.pcap") == [f"file: {directory}/x.pcap"]
    a.outgoing += b"one\ntwo\n"
    expect(b, b"\xc0one\xc0\xc0two\xc0", [a])
    expect(c, b"one\ntwo\n", [a])
    b.outgoing += b"\xc0back \xdb\xdc\xc0"
    expect(a, b"back \xc0\n", [b])
    assert status(d)["frames"] == 3
    assert "frames: 3" in d.control("capture stop")
    assert read_capture(directory / "x.pcap") == [
        ("data", "line a > b,c", "a > b,c", b"one"),
        ("data", "line a > b,c", "a > b,c", b"two"),
        ("data", "slip b > a", "b > a", b"back \xc0")]
    now = status(d)
    assert now["capture"] == "ended"
    assert now["bytes"] == (directory / "x.pcap").stat().st_size
    a.outgoing += b"three\n"
    expect(c, b"three\n", [a])
    assert len(read_capture(directory / "x.pcap")) == 3


@pytest.mark.parametrize("framing, dissector, request_", (
    ("modbus-rtu", "mbrtu", "01 03 00 00 00 02 c4 0b"),
    ("modbus-tcp", "mbtcp", "00 01 00 00 00 06 01 03 00 00 00 02"),
))
def test_wireshark_opens_it(pty, daemon, directory, framing, dissector, request_):
    if not shutil.which("tshark"):
        pytest.skip("there is no tshark")
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing=framing) + serial("b", b, framing="raw"))
    d.control(f"capture start {directory}/x.pcap")
    request = bytes.fromhex(request_)
    a.outgoing += request
    expect(b, request, [a])
    b.outgoing += b"xyz"
    flush([b])
    wait_for(lambda: status(d)["frames"] == 2)
    d.control("capture stop")
    shown = subprocess.run(
        ["tshark", "-r", directory / "x.pcap", "-T", "fields", "-e", "frame.protocols",
         "-e", "modbus.func_code", "-e", "data.data", "-e", "_ws.col.Protocol"],
        check=True, capture_output=True, text=True).stdout.splitlines()
    first, second = (line.split("\t") for line in shown)
    assert first[0].endswith(f"{dissector}:modbus") and first[1] == "3"
    assert second[0].endswith("data") and second[2] == b"xyz".hex()
    assert second[3].startswith("raw b > ")


def test_discarded_input_and_commands_are_in_it_too(three, directory):
    d, a, b, _ = three
    stream = d.session().send(b"capture stream -a a\n")
    wait_for(lambda: any("watch" in row["label"] for row in d.json("ps")))
    d.control(f"capture start -a {directory}/x.pcap")
    d.control("send a hello")
    expect(a, b"hello\n")
    b.outgoing += b"\xc0\xdbx\xc0\xc0good\xc0"
    expect(a, b"good\n", [b])
    d.control("capture stop")
    frames = read_capture(directory / "x.pcap")
    assert frames[0] == ("data", "line control > a", "control > a", b"hello")
    assert frames[-1][2:] == ("b > a", b"good")
    bad = frames[1:-1]
    assert bad and all(f[2] == "b > - bad: malformed" for f in bad)
    pump([stream], lambda: len(stream.lines()) == 2)
    rows = [json.loads(line) for line in stream.lines()]
    assert [(r["from"], r["to"], r["framing"], r["dissector"], r["size"], r["base64"])
            for r in rows] == [("control", "a", "line", "data", 5, "aGVsbG8="),
                               ("b", "a", "slip", "data", 4, "Z29vZA==")]
    assert len(stream.lines()[0].split(b".")[1].split(b",")[0]) == 9
    d.control("set a/label x")
    stream.send(b"\n")
    pump([stream], lambda: b"OK" in stream.lines())


def test_whole_frames_are_streamed(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line", max_frame="1M", queue="2M") +
               serial("b", b, framing="line", max_frame="1M", queue="2M"))
    stream = d.session().send(b"capture stream\n")
    wait_for(lambda: any("watch" in row["label"] for row in d.json("ps")))
    frame = bytes(range(32, 127)) * 7000
    a.outgoing += frame + b"\n"
    pump([stream, a, b], lambda: stream.lines())
    row = json.loads(stream.lines()[0])
    assert base64.b64decode(row["base64"]) == frame and row["size"] == len(frame)


def test_a_ring_keeps_the_last_files(three, directory):
    d, a, b, c = three
    (directory / "x.pcap.2").write_text("mine\n")
    refused(d, "capture start x.pcap size=4K files=3", "x.pcap.2", "is not a capture")
    (directory / "x.pcap.2").unlink()
    d.control("capture start x.pcap size=4K files=3")
    for n in range(40):
        line = b"%02d" % n + b"x" * 500 + b"\n"
        a.outgoing += line
        expect(c, line, [a, b])
    d.control("capture stop")
    files = [directory / f"x.pcap{s}" for s in (".2", ".1", "")]
    assert sorted(directory.glob("x.pcap*")) == sorted(files)
    assert all(f.stat().st_size <= 4096 for f in files)
    kept = [int(f[3][:2]) for file in files for f in read_capture(file)]
    assert kept == list(range(kept[0], 40)) and kept[0] > 0
    now = status(d)
    assert now["frames"] == 40 and now["skipped"] == 0
    d.control("capture start x.pcap size=4K files=3")
    d.control("capture stop")


def test_of_some_endpoints_only(three, directory):
    d, a, b, c = three
    d.control(f"capture start {directory}/x.pcap c")
    b.outgoing += b"\xc0not this\xc0"
    expect(a, b"not this\n", [b])
    a.outgoing += b"this\n"
    expect(c, b"this\n", [a, b])
    d.control("capture stop")
    assert [f[3] for f in read_capture(directory / "x.pcap")] == [b"this"]


def test_what_has_passed_is_in_the_file_soon(three, directory):
    d, a, _, c = three
    d.control("capture start x.pcap")
    file = directory / "x.pcap"
    assert read_capture(file) == []
    a.outgoing += b"soon\n"
    expect(c, b"soon\n", [a])
    row = next(r for r in d.json("ps") if r["task"] == "capture.write")
    assert "x.pcap" in row["label"] and "(1 frames" in row["label"]
    wait_for(lambda: len(read_capture(file)) == 1)
    row = next(r for r in d.json("ps") if r["task"] == "daemon.files")
    assert row["label"].startswith("the thread that writes 1 file (0 bytes")


def test_its_task_awaits_no_event_of_its_own(three):
    d, *_ = three
    d.control("capture start x.pcap")
    row = next(r for r in d.json("ps") if r["task"] == "capture.write")
    assert row["state"] == "idle" and row["label"].endswith("(0 frames, 24 bytes)")
    waits, _, events, _ = d.raw("get daemon/waits\nget daemon/events\n").split()
    assert waits == events


def test_what_cannot_be_is_refused(three, directory):
    d, *_ = three
    (directory / "mine").write_text("not a capture\n")
    (directory / "cut").write_bytes(b"\xa1")
    refused(d, f"capture start {directory}/mine", "mine", "is not a capture")
    refused(d, f"capture start {directory}/cut", "cut", "is not a capture")
    assert (directory / "mine").read_text() == "not a capture\n"
    refused(d, "capture start /dev/null", "is not a file")
    refused(d, f"capture start {directory}", "is not a file")
    refused(d, "capture start /nowhere/x", "/nowhere/x", "No such file")
    refused(d, f"capture start {directory}/x nobody", "nobody")
    refused(d, "capture start", "FILE")
    refused(d, "capture", "capture start")
    refused(d, "capture begin", "begin", "start, stop, status or stream")
    refused(d, "capture stop", "no capture")
    refused(d, "capture stop x", "too many arguments")
    net = ("127.0.0.1", d.port)
    refused(d, f"capture start {directory}/x", "access = full", address=net)
    assert d.control("capture status", net) == ["capture: none"]
    assert not (directory / "x").exists()
    refused(d, "capture start x size=1", "'1' is not a size", "4K")
    refused(d, "capture start x size=4K files=0", "'0' is not a number of files")
    refused(d, "capture start x files=3", "needs size")
    refused(d, "capture start -a", "FILE")
    refused(d, "capture stream nobody", "nobody")
    d.control(f"capture start {directory}/x")
    refused(d, f"capture start {directory}/y", "on already", f"{directory}/x")
    refused(d, "capture stop", "access = full", address=net)
    assert not (directory / "y").exists()


def test_over_the_network_it_goes_to_the_state_directory(pty, daemon, directory):
    net = ("127.0.0.1", free_port())
    d = daemon(section("daemon", "", state_dir=directory) + serial("a", pty("a")) +
               section("control", "far", listen=f"127.0.0.1:{net[1]}", access="full"))
    refused(d, f"capture start {directory}/x", "without '/'", address=net)
    refused(d, "capture start ../x", "without '/'", address=net)
    assert d.control("capture start x", net) == [f"file: {directory}/x"]
    assert "frames: 0" in d.control("capture stop", net)


@pytest.mark.parametrize("there, words", [
    (False, ["No such file", "create the directory {0}, or set state_dir in [daemon]"]),
    (True, ["Permission denied", "set state_dir in [daemon]"])])
def test_a_state_directory_that_is_not_there_or_not_writable_is_named(
        pty, daemon, directory, there, words):
    home = directory / "state"
    d = daemon(section("daemon", "", state_dir=home) + serial("a", pty("a")))
    if there:
        home.mkdir(0o555)
        if os.access(home, os.W_OK):
            pytest.skip("this user may write anywhere")
    refused(d, "capture start x", f"{home}/x", *(w.format(home) for w in words))
    with pytest.raises(ControlError) as named:
        d.control(f"capture start {directory}/none/x")
    assert "No such file" in str(named.value) and "set state_dir" not in str(named.value)
    assert f"create the directory {directory}/none first" in str(named.value)


def test_a_capture_may_be_written_anew_but_not_by_two(three, daemon, pty, directory):
    d, a, _, c = three
    for text in (b"first", b"second"):
        d.control("capture start x.pcap")
        a.outgoing += text + b"\n"
        expect(c, text + b"\n", [a])
        d.control("cancel capture.write")
        wait_for(lambda: status(d)["capture"] == "ended")
        assert "cancel" in status(d)["reason"]
        assert [f[3] for f in read_capture(directory / "x.pcap")] == [text]
    d.control("capture start x.pcap")
    other = daemon(serial("e", pty("e")))
    refused(other, f"capture start {directory}/x.pcap", "another process")


@pytest.mark.parametrize("options", ("", " size=4K files=3"))
def test_the_log_of_an_endpoint_is_no_capture(options, pty, daemon, directory):
    a, b, log = pty("a"), pty("b"), directory / ("x.log.2" if options else "x.log")
    d = daemon(section("daemon", "", state_dir=directory) +
               serial("a", a, framing="line", log=log) + serial("b", b, framing="line"))
    wait_for(log.exists)
    refused(d, f"capture start x.log{options}", str(log), "is the log of an endpoint")
    a.outgoing += b"one\n"
    expect(b, b"one\n", [a])
    wait_for(lambda: log.read_text().endswith(" < one\n"))


def test_a_capture_is_no_log(three, daemon, pty, directory):
    d, a, _, c = three
    d.control("capture start x.pcap")
    other = daemon(serial("e", pty("e"), log=directory / "x.pcap"))
    wait_for(lambda: "cannot be written: it, or a file" in other.stderr())
    a.outgoing += b"one\n"
    expect(c, b"one\n", [a])
    d.control("capture stop")
    assert [f[3] for f in read_capture(directory / "x.pcap")] == [b"one"]


LINE = b"x" * 900 + b"\n"


def fill_the_disk(d, a, b, c, limit=None):
    """Lets no file grow beyond the size returned, and sends more."""
    limit = limit or len(d.stderr()) + 20000
    resource.prlimit(d.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for _ in range(40):
        a.outgoing += LINE
        expect(c, LINE, [a, b])
    return limit


def test_a_full_disk_ends_it_with_the_last_whole_frame(three, directory):
    d, a, b, c = three
    d.control("capture start x.pcap")
    limit = fill_the_disk(d, a, b, c)
    wait_for(lambda: status(d)["capture"] == "ended")
    assert "large" in status(d)["reason"]
    assert "the capture to" in d.stderr()
    frames = read_capture(directory / "x.pcap")
    assert all(f[3] == LINE[:-1] for f in frames)
    assert status(d)["frames"] == len(frames)
    assert status(d)["bytes"] == (directory / "x.pcap").stat().st_size
    assert limit - status(d)["bytes"] < len(LINE) + 100
    assert status(d)["skipped"] >= 1
    a.outgoing += b"on\n"
    expect(c, b"on\n", [a])
    resource.prlimit(d.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    d.control("capture start x.pcap")
    assert read_capture(directory / "x.pcap") == []


def test_a_disk_that_is_full_right_behind_a_frame_has_that_frame(three, directory):
    d, a, b, c = three
    d.control("capture start x.pcap")
    empty = (directory / "x.pcap").stat().st_size
    a.outgoing += LINE
    expect(c, LINE, [a, b])
    d.control("capture stop")
    record = (directory / "x.pcap").stat().st_size - empty
    d.control("capture start x.pcap")
    fill_the_disk(d, a, b, c, empty + 25 * record)
    wait_for(lambda: status(d)["capture"] == "ended")
    assert status(d)["frames"] == len(read_capture(directory / "x.pcap")) == 25


def test_what_has_taken_the_place_of_its_file_is_left_alone(three, directory):
    d, a, b, c = three
    d.control("capture start x.pcap")
    (directory / "x.pcap").rename(directory / "y.pcap")
    (directory / "x.pcap").write_bytes(LINE * 100)
    fill_the_disk(d, a, b, c)
    wait_for(lambda: status(d)["capture"] == "ended")
    assert (directory / "x.pcap").read_bytes() == LINE * 100
    assert len(read_capture(directory / "y.pcap")) == status(d)["frames"] > 0


def test_an_end_that_cannot_be_written_is_told(three):
    d, a, b, c = three
    d.control("capture start x.pcap")
    fill_the_disk(d, a, b, c)
    refused(d, "capture stop", "")
    assert "large" in status(d)["reason"]


def test_one_that_could_not_begin_leaves_the_last_ones_facts(three):
    d, a, _, c = three
    d.control("capture start x.pcap")
    a.outgoing += b"one\n"
    expect(c, b"one\n", [a])
    d.control("capture stop")
    was = status(d)
    refused(d, "capture start /nowhere/x", "/nowhere/x")
    assert status(d) == was


def test_an_endpoint_behind_many_others_is_found(pty, daemon, directory):
    a = pty("a")
    names = [f"a_name_as_long_as_it_may_be_{i}" for i in range(100, 130)]
    d = daemon(serial("a", a, framing="line") + "".join(
        section("pty", name, link=directory / name) for name in names))
    watch = d.session().send(f"watch {names[-1]}\n".encode())
    wait_for(lambda: any("watch" in row["label"] for row in d.json("ps")))
    d.control(f"capture start {directory}/x.pcap {names[-1]}")
    a.outgoing += b"one\n"
    pump([watch, a], lambda: watch.lines())
    assert ",".join(names).encode() in watch.lines()[0]
    d.control("capture stop")
    assert [f[3] for f in read_capture(directory / "x.pcap")] == [b"one"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_the_end_of_the_daemon_ends_it(number, three, directory):
    d, a, _, c = three
    d.control("capture start x.pcap")
    a.outgoing += b"last\n"
    expect(c, b"last\n", [a])
    d.signal(number)
    if number == signal.SIGTERM:
        assert d.process.wait(20) == 0
    else:
        wait_for(lambda: json.loads(
            d.control("json capture status")[0])["capture"] == "none")
    assert [f[3] for f in read_capture(directory / "x.pcap")] == [b"last"]
