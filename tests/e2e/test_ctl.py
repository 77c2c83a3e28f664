"""ttybridgectl: how it finds the daemon, and commands that it passes on."""
import grp
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from certificates import Authority
from ctl import CTL, Stub, ctl, start
from harness import (NOBODY, PATIENCE, ROOT, expect, free_port, pump, run, section,
                     serial, wait_for)


@pytest.fixture
def bridge(daemon, pty):
    """(daemon, one end, the other)"""
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"), tcp=True)
    return d, a, b


# --- passing on ---------------------------------------------------------------

def test_a_reply_is_printed_and_the_exit_status_is_0(bridge):
    d, *_ = bridge
    done = ctl("-s", d.socket, "get", "a/state")
    assert (done.returncode, done.stdout, done.stderr) == (0, "up\n", "")
    done = ctl("--socket", f"unix:{d.socket}", "endpoints")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["NAME", "a", "b"]


def test_an_error_goes_to_standard_error_and_the_exit_status_is_1(bridge):
    d, *_ = bridge
    done = ctl("-s", d.socket, "get", "a/stat")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "ttybridgectl: unknown attribute 'a/stat'; did you mean 'a/state'?\n"
    done = ctl("-H", f"localhost:{d.port}", "send", "a", "x")
    assert done.returncode == 1
    assert "this port has access = read" in done.stderr


def test_json(bridge):
    d, *_ = bridge
    done = ctl("-s", d.socket, "--json", "endpoints")
    assert [row["name"] for row in json.loads(done.stdout)] == ["a", "b"]
    assert ctl("-s", d.socket, "json", "get", "a/state").stdout == '"up"\n'
    done = ctl("-s", d.socket, "-j", "where", "nothing")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing" in done.stderr


def test_a_frame_is_sent_as_it_is_written(bridge):
    d, a, _ = bridge
    assert ctl("-s", d.socket, "send", "a", r"two  blanks \x41\\").returncode == 0
    expect(a, b"two  blanks A\\\n")
    assert ctl("-s", d.socket, "send", "a", "several", "words").returncode == 0
    expect(a, b"several words\n")


def test_an_argument_cannot_contain_a_second_command(bridge):
    d, *_ = bridge
    done = ctl("-s", d.socket, "get", "a/state\npause a")
    assert (done.returncode, done.stdout) == (2, "")
    assert "end of line" in done.stderr
    assert d.state("a") == "up"


@pytest.mark.parametrize("answer", ["OK", "ERR nothing", "ERR", "x"])
def test_what_a_board_answers_is_not_mistaken_for_the_result(bridge, answer):
    d, a, _ = bridge
    asking = start("-s", d.socket, "ask", "a", "ready?")
    expect(a, b"ready?\n")
    a.send(answer.encode() + b"\n")
    out, err = asking.communicate(timeout=PATIENCE)
    assert (asking.returncode, out.decode(), err) == (0, answer + "\n", b"")


def test_a_long_reply_is_whole(daemon):
    d = daemon("".join(section("echo", f"e{n}") for n in range(300)))
    done = ctl("-s", d.socket, "list")
    assert done.returncode == 0
    assert sum(line.endswith("= up") for line in done.stdout.splitlines()) == 300
    assert len(done.stdout) > 300000
    done = ctl("-s", d.socket, "--json", "endpoints")
    assert len(json.loads(done.stdout)) == 300


def test_watch_goes_on_until_its_reader_ends(bridge):
    d, a, b = bridge
    watching = start("-s", d.socket, "watch", "a")
    wait_for(lambda: any("to end its watch" in row["label"] for row in d.tasks().values()))
    for word in (b"one\n", b"two\n"):
        a.send(word)
        expect(b, word)
        line = watching.stdout.readline().decode()
        assert line.split()[1:5] == ["a", "b", "3", word.decode().strip()]
    # Nothing more is printed, and still it ends.
    watching.stdout.close()
    assert watching.wait(PATIENCE) == 0
    watching.stderr.close()


def test_watch_ends_with_the_daemon(bridge):
    d, *_ = bridge
    watching = start("-s", d.socket, "watch")
    wait_for(lambda: any("to end its watch" in row["label"] for row in d.tasks().values()))
    d.stop()
    _, err = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 1
    assert b"the daemon has ended the connection" in err


def test_a_daemon_that_dies_before_it_has_replied(bridge):
    d, a, _ = bridge
    asking = start("-s", d.socket, "ask", "a", "ready?", "20s")
    expect(a, b"ready?\n")
    d.signal(signal.SIGKILL)
    out, err = asking.communicate(timeout=PATIENCE)
    assert (asking.returncode, out) == (1, b"")
    assert b"ended the connection" in err or b"connection was lost" in err
    d.kill()


def test_output_that_cannot_be_written(bridge):
    d, *_ = bridge
    with open("/dev/full", "wb") as full:
        done = subprocess.run([CTL, "-s", str(d.socket), "endpoints"], stdout=full,
                              stderr=subprocess.PIPE, timeout=PATIENCE)
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr


# --- servers that are broken or hostile ----------------------------------------

@pytest.fixture
def stub(directory):
    """A control port with these replies, on directory/stub.sock."""
    made = []

    def make(replies):
        made.append(Stub(directory / "stub.sock", replies))
        return directory / "stub.sock"
    yield make
    for s in made:
        s.close()


HOSTILE = ["\x1b[2Jhi", "OK\x07", "ERR\x07 no", "\u2026 \x9b31m \\x41\t", "OK"]
SHOWN = [r"\x1b[2Jhi", r"OK\x07", r"ERR\x07 no", "\u2026 \\xc2\\x9b31m \\x41\\t"]


@pytest.mark.parametrize("command", ["ps", "events"])
def test_control_characters_do_not_reach_a_terminal(stub, terminal, command):
    t = terminal("-s", stub({command: HOSTILE}), command)
    assert t.exit() == 0
    assert t.text().split("\r\n") == [*SHOWN, ""]


@pytest.mark.parametrize("command", ["ps", "events"])
def test_a_file_has_what_was_replied(stub, command):
    done = ctl("-s", stub({command: HOSTILE}), command)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == [*HOSTILE[:-1], ""]


@pytest.mark.parametrize("command", ["ps", "events"])
def test_an_error_with_control_characters(stub, command):
    done = ctl("-s", stub({command: ["ERR \x1b[2Jno"]}), command)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == r"ttybridgectl: \x1b[2Jno" "\n"


@pytest.mark.parametrize("words", [["ps"], ["-j", "get", "a/state"], ["capture", "status"]])
def test_a_server_that_never_replies(silent, words):
    done = ctl("-s", silent, "-t", "300ms", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "ttybridgectl: no reply within 0.3s\n"


def test_attach_to_a_server_that_never_replies(silent, terminal):
    t = terminal("-s", silent, "--timeout=300ms", "attach", "a")
    assert t.exit() == 1
    assert "no reply within 0.3s" in t.text()


@pytest.mark.parametrize("words", [
    ["ask", "a", "x"], ["gather", "ask a x"], ["race", "ask a x"], ["stream", "ask a x"],
    ["scan", "a"], ["reload"], ["capture", "stop"], ["watch"], ["events"], ["json", "reload"],
    ["-j", "reload"]])
def test_commands_that_wait_have_no_limit(directory, words):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(directory / "slow.sock"))
        server.listen()
        asking = start("-s", directory / "slow.sock", "-t", "1ms", *words)
        connection, _ = server.accept()
        with connection:
            connection.makefile().readline()
            time.sleep(0.5)     # more than the limit, which is looked at each 250 ms
            connection.sendall(b"late\nOK\n")
        out, err = asking.communicate(timeout=PATIENCE)
    assert (asking.returncode, out, err) == (0, b"late\n", b"")


@pytest.mark.parametrize("text", ["", "x", "-1s", "25h"])
def test_a_limit_that_is_none(text):
    done = ctl("-t", text, "ps")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'{text}' is not a time; write 10s, or none" in done.stderr


# --- finding the daemon ---------------------------------------------------------

def test_it_reads_the_configuration_of_the_daemon(bridge):
    d, *_ = bridge
    done = ctl("-c", d.file, "get", "a/state")
    assert (done.returncode, done.stdout, done.stderr) == (0, "up\n", "")
    # The Unix socket, on which everything is allowed, comes first.
    assert ctl("-c", d.file, "pause", "a").returncode == 0
    assert d.state("a") == "paused"


def test_a_port_that_does_not_answer_is_passed_over(daemon, pty, directory):
    free = free_port()
    d = daemon(serial("a", pty("a")), tcp=True, control=False, settled=False)
    conf = directory / "other.conf"
    conf.write_text(section("control", "x", listen=f"unix:{directory}/none.sock") +
                    section("control", "y", listen=f"127.0.0.1:{free}") +
                    section("control", "z", listen=f"*:{d.port}", allow="127.0.0.1") +
                    section("echo", "e"))
    wait_for(lambda: ctl("-c", conf, "get", "a/state").stdout == "up\n")


def test_nothing_answers(directory):
    conf = directory / "test.conf"
    conf.write_text(section("control", "x", listen=f"unix:{directory}/none.sock") +
                    section("echo", "e"))
    done = ctl("-c", conf, "ps")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{directory}/none.sock: No such file or directory" in done.stderr
    assert "--socket PATH or --host HOST:PORT" in done.stderr


def test_what_is_to_be_done_when_no_daemon_listens(directory):
    (directory / "file").write_text("")
    for where, said in ((("-H", f"127.0.0.1:{free_port()}"), "Connection refused"),
                        (("-s", directory / "file"), "Connection refused"),
                        (("-s", directory / "none"), "No such file or directory")):
        done = ctl(*where, "ps")
        assert (done.returncode, done.stdout) == (1, "")
        assert f"cannot connect to {where[1]}: {said}; is the daemon running, and is this the " \
            "'listen' of its [control] section?\n" in done.stderr
    done = ctl("-H", "no.such.host.invalid:5010", "ps")
    assert done.returncode == 1 and "is the daemon running" not in done.stderr


@pytest.mark.parametrize("mode, said", [
    (0o660, "Permission denied (is the user in group {0}?)\n"),
    (0o600, "Permission denied; 'mode' and 'group' of its [control] section say who may use it\n"),
])
def test_the_group_of_a_socket_that_the_user_may_not_open(bridge, nobody, mode, said):
    d, *_ = bridge
    gid = grp.getgrnam("dialout").gr_gid
    conf = nobody / "test.conf"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(nobody / "sock"))
        s.listen()
        os.chown(nobody / "sock", -1, gid)
        os.chmod(nobody / "sock", mode)
        conf.write_text(section("control", "x", listen=f"unix:{nobody}/sock") +
                        section("echo", "e"))
        for where in (("-s", nobody / "sock"), ("-c", conf)):
            done = ctl(*where, "ps", user=NOBODY, group=NOBODY, extra_groups=[])
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr.endswith(said.format("dialout")), done.stderr
            assert "is the daemon running" not in done.stderr


def test_a_configuration_that_is_of_no_use(directory):
    conf = directory / "test.conf"
    conf.write_text("[echo e]\n")
    done = ctl("-c", conf, "ps")
    assert done.returncode == 1
    assert f"{conf} has no [control] section; write one, such as" in done.stderr
    conf.write_text("[echo e]\nno = yes\n")
    done = ctl("-c", conf, "ps")
    assert done.returncode == 1
    assert f"{conf}:2: unknown key 'no'" in done.stderr


@pytest.mark.parametrize("host, said", [
    ("localhost", "'localhost' is not an address; write HOST:PORT"),
    ("localhost:", "'localhost:' is not an address"),
    ("localhost:70000", "is not an address"),
    (":::", "is not an address"),
    ("nothing.invalid:5010", "nothing.invalid:5010: "),
])
def test_a_host_that_is_none(host, said):
    done = ctl("-H", host, "ps")
    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.parametrize("server, said", [
    (section("http", "w", listen="127.0.0.1:{port}"),
     "this is not the reply of a control port: HTTP/1.1 400 Bad Request\n"),
    (section("tcp-server", "t", listen="127.0.0.1:{port}", framing="line"),
     "no reply within 0.3s; is it a control port?"),
])
def test_a_port_of_another_kind(daemon, pty, server, said):
    port, a = free_port(), pty("a")
    d = daemon(serial("a", a, framing="line") + server.replace("{port}", str(port)) +
               (section("route", "r", between="a t") if "[tcp" in server else ""))
    done = ctl("-H", f"127.0.0.1:{port}", "-t", "300ms", "send", "a", "typed")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"ttybridgectl: 127.0.0.1:{port}: {said}" in done.stderr
    d.control("send a after")
    pump([a], lambda: b"after" in a.received, what="what is sent later")
    assert b"typed" not in a.received


def test_options_after_the_command(bridge, directory):
    d, a, b = bridge
    done = ctl("-s", d.socket, "endpoints", "-H", "127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.endswith("ttybridgectl: -H has to stand before the command\n")
    done = ctl("-s", directory / "none.sock", "list", "--json")
    assert done.stderr.endswith("ttybridgectl: --json has to stand before the command\n")
    done = ctl("-s", d.socket, "send", "a", "-H")
    assert (done.returncode, done.stderr) == (0, "")


# --- TLS --------------------------------------------------------------------------

def test_tls(daemon, pty, directory):
    ca, port = Authority(directory), free_port()
    cert, key = ca.make("server", dns=["localhost"])
    mine = ca.make("alice")
    tls = dict(tls="yes", tls_cert=cert, tls_key=key, tls_ca=ca.file, full="alice")
    a = pty("a")
    daemon(serial("a", a, framing="line") +
           section("control", "secure", listen=f"127.0.0.1:{port}", **tls))
    options = ["-H", f"localhost:{port}", "--tls", "--ca", ca.file]
    done = ctl(*options, "--cert", mine[0], "--key", mine[1], "get", "a/state")
    assert (done.returncode, done.stdout, done.stderr) == (0, "up\n", "")
    done = ctl(*options, "--cert", mine[0], "--key", mine[1], "list")
    assert done.returncode == 0 and "a/state" in done.stdout
    assert ctl(*options, "--cert", mine[0], "--key", mine[1], "send", "a", "hi").returncode == 0
    expect(a, b"hi\n")
    # Without a certificate, for another name, without TLS.
    done = ctl(*options, "ps")
    assert (done.returncode, done.stdout) == (1, "")
    done = ctl("-H", f"127.0.0.1:{port}", *options[2:], "--cert", mine[0], "--key", mine[1], "ps")
    assert done.returncode == 1 and "certificate" in done.stderr
    done = ctl("-H", f"localhost:{port}", "ps")
    assert (done.returncode, done.stdout) == (1, "")
    assert "this port is encrypted: use --tls" in done.stderr
    done = ctl("-H", f"localhost:{port}", "--tls", "--ca", directory / "no.crt", "ps")
    assert done.returncode == 1
    assert f"--ca: {directory}/no.crt: No such file or directory" in done.stderr


def test_tls_for_a_port_without(bridge):
    d, *_ = bridge
    done = ctl("-H", f"127.0.0.1:{d.port}", "--tls", "ps")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no TLS" in done.stderr and "leave out --tls" in done.stderr


# --- the command line ---------------------------------------------------------------

@pytest.mark.parametrize("words, said", [
    ([], "a command is missing"),
    (["-s", "x", "-H", "y:1", "ps"], "exclude each other"),
    (["-s", "x", "--tls", "ps"], "--tls is for --host"),
    (["-H", "x:1", "--ca", "x", "ps"], "need --tls"),
    (["-H", "x:1", "--tls", "--cert", "x", "ps"], "need each other"),
    (["--nonsense"], "nonsense"),
])
def test_wrong_usage(words, said):
    done = ctl(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and "usage: ttybridgectl" in done.stderr


def test_options_and_commands_are_in_the_manual():
    page = (ROOT / "man/ttybridgectl.1").read_text()
    options, commands = set(), set()
    for line in ctl("--list-commands").stdout.splitlines():
        (options if line.startswith("-") else commands).add(line.split("  ")[0])
    told = re.findall(r"(?m)^\.It Fl (?:\w , )?-([\w-]+)", page)
    assert sorted(told) == sorted(re.search(r"--([\w-]+)", o)[1] for o in options)
    marks = re.compile(r"\b(Ic|Fl|Ar|Op|Oo|Oc|Ns|No|Cm) ?")
    told = {re.sub(r"[^A-Z]", "", marks.sub("", line).upper())
            for line in re.findall(r"(?m)^\.It Ic (.*)$", page)}
    assert told == {re.sub(r"[^A-Z]", "", c.upper()) for c in commands}


def test_help_and_version():
    done = ctl("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ttybridgectl")
    done = ctl("--version")
    assert done.stdout == run("--version").stdout.replace("ttybridged", "ttybridgectl")
