"""The command line, the messages of faults, the signals, the exit status."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

from harness import (BINARY, Daemon, expect, fill, flush, free_port, pump, run,
                     same, section, serial, tcp_server, wait_for)


def check(directory, text, name="test.conf"):
    """--check of a file with that text: exit status, lines that it printed."""
    file = directory / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = run("-c", file, "--check")
    out = done.stdout + done.stderr
    return done.returncode, out.replace(str(file), "FILE").splitlines()


# --- exit status -------------------------------------------------------------

def test_help_says_how_to_use_it():
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.lower().startswith("usage: ttybridged")
    for word in ("-c", "-v", "--check", "--list-ports", "--list-framings",
                 "--version", "--json"):
        assert word in done.stdout


def test_version_is_one_line():
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"ttybridged? \d+\.\d+\S*\n", done.stdout)


def test_every_framing_is_listed_with_a_summary():
    done = run("--list-framings")
    assert (done.returncode, done.stderr) == (0, "")
    names = [line.split()[0] for line in done.stdout.splitlines()]
    for name in ("raw line delimiter slip cobs hdlc length fixed idle stx nmea "
                 "modbus-rtu modbus-ascii modbus-tcp mavlink ubx rtcm3 "
                 "gnss").split():
        assert name in names
    assert all(len(line.split()) > 2 for line in done.stdout.splitlines())


def test_ports_are_listed_as_text_and_as_json():
    done = run("--list-ports")
    assert done.returncode == 0
    done = run("--list-ports", "--json")
    assert done.returncode == 0
    assert isinstance(json.loads(done.stdout), list)


@pytest.mark.skipif(os.getuid() != 0, reason="mounting another /dev needs root")
def test_ports_without_a_node_in_dev_do_not_stop_the_list():
    """A container's /dev often lacks ports that its /sys has."""
    if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("may not have mounts of its own (a chroot)")
    empty = "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && exec $0 $@"
    done = subprocess.run(["unshare", "-m", "sh", "-c", empty, BINARY,
                           "--list-ports", "--json"],
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n")
    for line in done.stderr.splitlines():
        assert "there is no /dev/" in line


@pytest.mark.parametrize("words", [
    ["--help"], ["--list-framings"], ["--list-ports", "--json"]])
def test_what_cannot_be_printed_is_a_failure(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run([BINARY, *words], stdout=full, text=True,
                              stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("args, word", [
    (["--nonsense"], "--nonsense"),
    (["-z"], "z"),
    (["-c"], "c"),
    (["--json"], "--list-ports"),
    (["nonsense:/dev/null"], "nonsense"),
    (["serial:/dev/null,buad=9600"], "baud"),
    (["pty:/tmp/a,nam=x"], "did you mean 'name'?"),
    (["serial:/dev/null,baud=fast"], "fast"),
    (["serial:/dev/null,framing=lime"], "line"),
    (["serial:"], "serial"),
    (["serial:/dev/null", "control:nowhere:at:all"], "nowhere"),
    (["/dev/null,name=a", "/dev/zero,name=a"], "a"),
], ids=lambda v: " ".join(v) if isinstance(v, list) else None)
def test_wrong_words_are_exit_status_2_with_a_hint(args, word):
    done = run(*args)
    assert done.returncode == 2
    assert word in done.stderr
    assert done.stdout == ""


def test_a_missing_file_is_named(directory):
    done = run("-c", directory / "nowhere.conf")
    assert done.returncode == 2
    assert str(directory / "nowhere.conf") in done.stderr
    assert "No such file" in done.stderr
    assert run("-c", directory / "nowhere.conf", "--check").returncode == 2
    assert run("-c", directory).returncode == 2


def test_a_file_without_endpoints_is_refused(directory):
    assert check(directory, "")[0] == 2
    assert check(directory, "[daemon]\nlog_level = info\n")[0] == 2


def test_a_good_file_has_no_warnings_and_opens_nothing(directory):
    status, lines = check(directory, f"""\
# comments and blanks
[daemon]
log_level = debug
drain_timeout = 500ms

[control local]
listen = unix:{directory}/control.sock
[serial ar1]
  device = /dev/serial/by-id/usb-Arduino
  baud = 9600
  mode = 8N1
  framing = line ; a comment
[serial ar2]
device = {directory}/nothing-here
framing = delimiter
delimiter = \\x03\\x3b
max_frame = 16K
queue = 1M
overflow = drop-oldest
stall_timeout = 1.5s
[pty p]
link = {directory}/p
framing = line
[tcp-server lan]
listen = 127.0.0.1:5011
framing = line
[route r]
between = ar1 ar2 p lan
match = ^[$]
""")
    assert (status, lines) == (0, ["4 endpoints, 1 route"])
    assert sorted(os.listdir(directory)) == ["test.conf"]


def test_it_cannot_run_twice_on_the_same_control_socket(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    daemon(serial("a", a))
    file = directory / "second.conf"
    file.write_text(serial("b", b) + section(
        "control", "unix", listen=f"unix:{directory}/daemon.sock"))
    done = run("-c", file)
    assert done.returncode == 1
    assert "daemon.sock" in done.stderr and "use" in done.stderr


# --- faults, word for word ---------------------------------------------------

HEAD = "[serial ar1]\ndevice = /dev/ttyACM0\n"


@pytest.mark.parametrize("text, want", [
    (HEAD + "buad = 9600\n",
     "FILE:3: unknown key 'buad' in [serial ar1]; did you mean 'baud'?"),
    (HEAD + "zzzzzzzz = 1\n", "FILE:3: unknown key 'zzzzzzzz' in [serial ar1]"),
    (HEAD + "[serail ar2]\n", r"FILE:3: .*serail.*did you mean 'serial'\?"),
    (HEAD + "framing = lime\n", r"FILE:3: .*'lime'.*did you mean 'line'\?"),
    (HEAD + "baud = fast\n", r"FILE:3: .*baud.*'fast'.*"),
    (HEAD + "baud = 0\n", r"FILE:3: .*baud.*"),
    (HEAD + "baud = 99999999999999999999999\n", r"FILE:3: .*baud.*"),
    (HEAD + "baud = -9600\n", r"FILE:3: .*baud.*"),
    (HEAD + "mode = 8N3\n", r"FILE:3: .*'8N3'.*"),
    (HEAD + "flow = rtsctx\n", r"FILE:3: .*did you mean 'rtscts'\?"),
    (HEAD + "queue = lots\n", r"FILE:3: .*queue.*'lots'.*"),
    (HEAD + "max_frame = 2M\n", r"FILE:3: .*max_frame.*"),
    (HEAD + "max_frame = 0\n", r"FILE:3: .*max_frame.*"),
    (HEAD + "stall_timeout = 3 parsecs\n", r"FILE:3: .*stall_timeout.*"),
    (HEAD + "exclusive = maybe\n", r"FILE:3: .*exclusive.*'maybe'.*"),
    (HEAD + "overflow = blok\n", r"FILE:3: .*did you mean 'block'\?"),
    (HEAD + "framing = delimiter\ndelimiter = \\xzz\n", r"FILE:4: .*delimiter.*"),
    (HEAD + "framing = delimiter\ndelimiter = 123456789\n",
     r"FILE:4: .*delimiter.*"),
    (HEAD + "baud = 9600\nbaud = 9600\n", r"FILE:4: .*baud.*"),
    (HEAD + HEAD, r"FILE:3: .*ar1.*"),
    (HEAD + "[pty ar1]\nlink = /tmp/x\n", r"FILE:3: .*ar1.*"),
    (HEAD + "[route r]\nbetween = ar1 ar3\n", r"FILE:4: .*ar3.*"),
    (HEAD + "[route r]\nbetween = ar1 arr1\n",
     r"FILE:4: .*arr1.*did you mean 'ar1'\?"),
    (HEAD + "[route r]\nfrom = ar1\n", r"FILE:[34]: .*\bto\b.*"),
    (HEAD + "[route r]\n", r"FILE:3: .*"),
    (HEAD + "[echo ar2]\n[route r]\nbetween = ar1 ar2\nfrom = ar1\nto = ar2\n",
     r"FILE:\d: .*"),
    (HEAD + "[daemon]\nlog_level = loud\n", r"FILE:4: .*'loud'.*"),
    (HEAD + "[control c]\nlisten = 127.0.0.1:99999\n", r"FILE:4: .*99999.*"),
    (HEAD + "[control c]\n", r"FILE:3: .*listen.*"),
    (HEAD + "[control c]\nlisten = unix:/tmp/c\naccess = some\n",
     r"FILE:5: .*'some'.*"),
    (HEAD + "[tcp-server s]\nlisten = 127.0.0.1:1\nallow = 10.0.0.0/33\n",
     r"FILE:5: .*10\.0\.0\.0/33.*"),
    ("[serial ar1]\nbaud = 9600\n", r"FILE:1: .*device.*"),
    ("[serial]\ndevice = /dev/ttyS0\n", r"FILE:1: .*name.*"),
    ("[serial a/b]\ndevice = /dev/ttyS0\n", r"FILE:1: .*a/b.*"),
    ("[serial " + "n" * 60 + "]\ndevice = /dev/ttyS0\n", r"FILE:1: .*"),
    ("device = /dev/ttyS0\n" + HEAD, r"FILE:1: .*"),
    (HEAD + "nothing but words\n", r"FILE:3: .*"),
    (HEAD + "[serial unclosed\ndevice = /dev/ttyS1\n", r"FILE:3: .*"),
    (HEAD + "mode\n", r"FILE:3: .*"),
    (HEAD + "device2 : /dev/x\n", r"FILE:3: .*"),
    (HEAD + "label = a\0b\n", r"FILE:3: .*NUL.*"),
    (HEAD + "label = " + "x" * 5000 + "\n", r"FILE:3: .*long.*"),
], ids=range(42))
def test_a_fault_is_told_with_its_line(directory, text, want):
    status, lines = check(directory, text)
    assert status == 2
    if want.startswith("FILE:3: unknown key"):
        assert want in [line[:len(want)] for line in lines]
    assert any(re.fullmatch(want, line) or line.startswith(want)
               for line in lines), lines
    assert all(line.startswith("FILE:") for line in lines), lines
    assert len(lines) == 1 or "unclosed" in text, lines


def test_all_faults_are_told_not_the_first_alone(directory):
    status, lines = check(directory, """\
[serial ar1]
device = /dev/ttyACM0
buad = 9600
framing = lime
[tcp-servr lan]
listen = 127.0.0.1:5011
[serial ar1]
device = /dev/ttyACM1
mode = 9N1
[route r]
between = ar1 ar9
match = (
[control c]
listen = 127.0.0.1:port
""")
    assert status == 2
    told = [int(re.match(r"FILE:(\d+): ", line)[1]) for line in lines]
    assert set(told) >= {3, 4, 5, 7, 9, 11, 12, 14}, lines
    assert told == sorted(told)


def test_a_file_of_fifty_thousand_keys_is_read_quickly(directory):
    text = HEAD + "".join(f"key{i} = {i}\n" for i in range(50000))
    start = time.monotonic()
    status, lines = check(directory, text)
    assert status == 2
    assert len(lines) >= 50 and lines[0].startswith("FILE:3: ")
    assert time.monotonic() - start < 10


def test_a_file_of_two_thousand_endpoints_is_read_quickly(directory):
    text = "".join(f"[serial e{i}]\ndevice = /dev/ttyX{i}\n"
                   for i in range(2000))
    start = time.monotonic()
    assert check(directory, text) == (0, ["2000 endpoints, no routes"])
    assert time.monotonic() - start < 10


def test_a_file_that_is_no_text_is_refused(directory):
    status, lines = check(directory, os.urandom(20000))
    assert status == 2
    assert lines
    for line in lines:
        assert line.startswith("FILE:")
        assert re.fullmatch(r"[\x20-\x7e]*", line), line


def test_windows_line_ends_and_a_missing_last_newline_are_fine(directory):
    status, lines = check(directory, HEAD.replace("\n", "\r\n") + "baud = 9600")
    assert (status, lines[0]) == (0, "1 endpoint, no routes")
    assert check(directory, b"\xef\xbb\xbf" + HEAD.encode())[0] in (0, 2)


def test_a_faulty_file_does_not_start(directory):
    file = directory / "bad.conf"
    file.write_text(HEAD + "buad = 1\n")
    done = run("-c", file)
    assert done.returncode == 2
    assert f"{file}:3: unknown key 'buad'" in done.stderr


# --- endpoints as words ------------------------------------------------------

def test_two_words_are_a_bridge(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(words=[f"serial:{a.link},baud=9600,framing=line",
                      f"serial:{b.link},baud=115200,framing=cobs"])
    a.send(b"hello\n")
    expect(b, b"\x06hello\x00", [a])
    assert set(d.endpoints()) == {"ep1", "ep2"}
    assert a.speed() == (9600, 9600) and b.speed() == (115200, 115200)


def test_a_bare_path_is_a_device_and_name_names_it(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(words=[a.link, f"{b.link},name=second,framing=line"])
    assert set(d.endpoints()) == {"ep1", "second"}
    assert d.get("second/framing") == "line"
    a.send(b"raw")
    expect(b, b"raw\n", [a])


def test_a_word_may_make_any_type(pty, daemon, connect, directory):
    a, port = pty("a"), free_port()
    d = daemon(words=[f"serial:{a.link},framing=line",
                      f"tcp-server:127.0.0.1:{port},framing=line,name=lan",
                      f"pty:{directory}/link,framing=line"])
    client = connect(port)
    wait_for(lambda: len(d.json("peers")) == 1)
    a.send(b"hello\n")
    expect(client, b"hello\n", [a])
    assert (directory / "link").is_symlink()


def test_words_are_checked_without_being_opened(directory):
    done = run("--check", f"serial:{directory}/none,framing=line",
               "tcp-server:127.0.0.1:5011")
    assert done.returncode == 0
    assert run("--check", f"serial:{directory}/none,framing=lime").returncode == 2


@pytest.mark.parametrize("word", ["test.conf", "./test.conf", "{}/test.conf",
                                  "{}", "{}/", ".", "test.conf,framing=line"])
@pytest.mark.parametrize("option", [[], ["--check"]])
def test_a_file_or_directory_as_an_argument_is_a_fault(
        directory, monkeypatch, word, option):
    (directory / "test.conf").write_text(HEAD)
    monkeypatch.chdir(directory)
    done = run(*option, word.format(directory))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"command line:1: '\S+' is a (file|directory): a "
                        r"configuration is given with -c\n", done.stderr)


# --- what --check says of a configuration without faults ----------------------

def test_check_says_what_it_has_found(directory):
    text = HEAD + "[pty b]\nlink = @D/b\n[echo c]\n"
    routes = "[route r]\nbetween = ar1 b\n[route s]\nfrom = c\nto = b\n"
    text = text.replace("@D", str(directory))
    assert check(directory, text) == (0, ["3 endpoints, no routes"])
    assert check(directory, text + routes) == (0, ["3 endpoints, 2 routes"])


def test_check_warns_and_succeeds(directory):
    done = run("--check", "serial:/dev/ttyS0,framing=line", "/dev/ttyS1")
    assert (done.returncode, done.stdout) == (0, "2 endpoints, no routes\n")
    assert done.stderr.startswith("command line:2: warning: [serial ep2]")
    assert done.stderr.endswith("set framing on ep2\n")
    assert done.stderr.count("\n") == 1


def test_a_start_and_a_reload_log_the_warnings(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b))
    assert d.stderr().count("set framing on b") == 1
    d.control("reload")
    assert d.stderr().count("set framing on b") == 2


# --- signals -----------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_clean_and_takes_the_socket_away(
        pty, daemon, directory, number):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a) + serial("b", b))
    d.signal(number)
    assert d.exit() == 0
    assert not d.socket.exists()
    assert not a.opened() and not b.opened()


def test_a_stop_drains_the_queues_first(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(section("daemon", "", drain_timeout="15s") +
               serial("a", a, framing="line") +
               serial("b", b, framing="line", queue="256K"))
    b.reading = False
    lines = b"".join(b"%06d ".ljust(100, b"x") % i + b"\n"
                     for i in range(2000))
    a.send(lines)
    flush([a])
    d.wait_number("a/rx_bytes", len(lines))
    assert d.queued("b") > 0
    d.signal(signal.SIGTERM)
    wait_for(lambda: "stopping" in d.stderr() or not d.socket.exists() or
             d.process.poll() is not None)
    assert d.process.poll() is None
    b.reading = True
    pump([b], lambda: d.process.poll() is not None)
    assert d.exit() == 0
    fill([b], quiet=0.1)
    same(b.take(), lines)


def test_a_stop_drains_the_clients_too(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(section("daemon", "", drain_timeout="15s") +
               serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line", stall_timeout="none"))
    client = connect(port, receive_buffer=2048)
    client.reading = False
    wait_for(lambda: len(d.json("peers")) == 1)
    lines = b"".join(b"%06d ".ljust(100, b"x") % i + b"\n"
                     for i in range(100000))
    a.send(lines)
    pump([a], lambda: d.queued("lan") > 0)
    fill([a])
    d.signal(signal.SIGTERM)
    wait_for(lambda: "stopping" in d.stderr())
    client.reading = True
    pump([client], lambda: client.eof)
    assert d.exit() == 0
    got = client.take()
    assert got.endswith(b"\n") and len(got) % 103 == 0
    same(got, lines[:len(got)])


def test_frames_for_a_lost_device_do_not_hold_up_the_stop(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(section("daemon", "", drain_timeout="30s") +
               serial("a", a, framing="line") + serial("b", b, framing="line"))
    b.unplug()
    d.wait_state("b", "lost")
    a.send(b"held\n")
    d.wait_number("b/queued_frames", 1)
    start = time.monotonic()
    d.stop()
    assert time.monotonic() - start < 5


def test_after_a_kill_it_starts_again_over_what_was_left(
        pty, daemon, directory, open_tty):
    a = pty("a")
    conf = serial("a", a, framing="line") + \
        section("pty", "p", link=directory / "p", framing="line") + \
        section("unix-server", "u", listen=directory / "u.sock", framing="line")
    first = daemon(conf)
    first.kill()
    assert first.socket.exists() and (directory / "p").is_symlink()
    daemon(conf, name="daemon")
    user = open_tty(directory / "p")
    user.send(b"again\n")
    expect(a, b"again\n", [user])


def test_a_stop_does_not_wait_for_ever(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(section("daemon", "", drain_timeout="200ms") +
               serial("a", a, framing="line") +
               serial("b", b, framing="line"))
    b.reading = False
    a.send(b"x" * 99 + b"\n" + b"y" * 200000)
    a.send((b"z" * 99 + b"\n") * 4000)
    fill([a])
    start = time.monotonic()
    d.signal(signal.SIGTERM)
    assert d.exit() == 0
    assert time.monotonic() - start < 5


def test_a_second_signal_while_draining_ends_it_or_is_harmless(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(section("daemon", "", drain_timeout="500ms") +
               serial("a", a, framing="line") +
               serial("b", b, framing="line", queue="1M"))
    b.reading = False
    a.send((b"z" * 99 + b"\n") * 4000)
    flush([a])
    d.wait_number("a/rx_frames", 4000)
    d.signal(signal.SIGTERM)
    d.signal(signal.SIGHUP)
    d.signal(signal.SIGUSR1)
    d.signal(signal.SIGTERM)
    assert d.exit() == 0


def test_usr1_logs_the_task_table(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b))
    d.signal(signal.SIGUSR1)
    wait_for(lambda: "b.write" in d.stderr())
    text = d.stderr()
    assert re.search(r"a\.read\W.*waiting.*\w+\.c:\d+", text)
    assert str(a.link) in text


def test_a_closed_standard_error_is_no_reason_to_die(pty, directory):
    a, b = pty("a"), pty("b")
    file = directory / "quiet.conf"
    file.write_text(serial("a", a, framing="line") +
                    serial("b", b, framing="line"))
    read, write = os.pipe()
    process = subprocess.Popen([BINARY, "-v", "-c", str(file)], stderr=write)
    os.close(write)
    os.close(read)
    try:
        wait_for(lambda: a.opened() and b.opened())
        b.unplug()
        b.plug()
        wait_for(b.opened)
        wait_for(lambda: a.termios()[3] == 0)
        a.send(b"alive\n")
        expect(b, b"alive\n", [a])
    finally:
        process.terminate()
        assert process.wait(10) == 0


def test_it_starts_without_any_device_and_without_standard_streams(directory):
    file = directory / "bare.conf"
    file.write_text(section("control", "c", listen=f"unix:{directory}/c.sock") +
                    serial("a", directory / "none"))
    process = subprocess.Popen(
        ["sh", "-c", f'exec "{BINARY}" -c "{file}" <&- >&- 2>&-'])
    try:
        d = Daemon.__new__(Daemon)
        d.socket, d.process = directory / "c.sock", process
        wait_for(d.answers)
        wait_for(lambda: d.control("get a/state") == ["lost"])
    finally:
        process.terminate()
        assert process.wait(10) == 0
