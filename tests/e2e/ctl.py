"""ttybridgectl, the program under test beside the daemon's."""
import fcntl
import os
import socket
import subprocess
import termios
import threading

from harness import BINARY, BROKEN, PATIENCE, SANITIZERS, Stream, pump, wait_for

CTL = os.path.join(os.path.dirname(BINARY), "ttybridgectl")


def ctl(*args, timeout=None, **kwargs):
    """Runs it to its end; .returncode, .stdout, .stderr as text."""
    done = subprocess.run(
        [CTL, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, errors="replace",
        env={**os.environ, **SANITIZERS}, timeout=timeout or PATIENCE, **kwargs)
    assert not BROKEN.search(done.stderr), done.stderr
    return done


def start(*args, **kwargs):
    """Starts it, with pipes."""
    return subprocess.Popen(
        [CTL, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, **SANITIZERS}, **kwargs)


class Terminal(Stream):
    """It, in a terminal of its own: what it prints is received, what is sent is typed."""

    name = "the terminal"

    def __init__(self, *args):
        super().__init__()
        self.master, self.slave = os.openpty()
        os.set_blocking(self.master, False)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [CTL, *map(str, args)], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, env={**os.environ, **SANITIZERS},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def fileno(self):
        return self.master

    def text(self):
        return bytes(self.received).decode(errors="replace")

    def shows(self, text, others=()):
        pump([self, *others], lambda: text in self.text(), what=f"{text!r} in {self.text()!r}")

    def exit(self, others=()):
        """Waits for it to end; its exit status."""
        pump([self, *others], lambda: self.process.poll() is not None, what="its end")
        while self._read():
            pass
        assert not BROKEN.search(self.text()), self.text()
        return self.process.returncode

    def changed(self):
        return termios.tcgetattr(self.slave) != self.before

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class Stub(threading.Thread):
    """
    A control port on a Unix socket with the given replies: command -> lines, the last of
    which is its end, or a list without one for a command that goes on.
    """

    def __init__(self, path, replies):
        super().__init__(daemon=True)
        self.replies = replies
        self.commands = []
        self.connections = {}       # the last command of each -> its socket
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen()
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        for line in connection.makefile():
            line = line.rstrip("\n")
            reply = self.replies.get(line, ["ERR unknown command"])
            self.connections[line] = connection
            self.commands.append(line)
            connection.sendall("".join(f"{x}\n" for x in reply).encode())
        connection.close()

    def say(self, command, line):
        """Another line to the client that gave the command."""
        wait_for(lambda: command in self.commands)
        self.connections[command].sendall(line.encode() + b"\n")

    def close(self):
        self.server.close()
