import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from boards import Board
from ctl import Terminal
from harness import BINARY, NOBODY, Client, Clock, Daemon, Pty, Slave

# Room for a thousand connections at once.
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))

# A shell cannot trap a signal that was ignored when it started, and jobs in the background begin so.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for d in getattr(item, "daemons", []):
            report.sections.append((f"standard error of {d.file.stem}",
                                    d.stderr()[-8000:]))
    setattr(item, f"failed_{report.when}", report.failed)


@pytest.fixture
def directory(tmp_path):
    return tmp_path


@pytest.fixture(autouse=True)
def state_directory(directory, monkeypatch):
    """The state_dir of every daemon that names none; it is the daemon that creates it."""
    monkeypatch.setenv("STATE_DIRECTORY", str(directory / "default-state"))
    return directory / "default-state"


@pytest.fixture
def nobody():
    """A directory for the user nobody."""
    if os.getuid() != 0:
        pytest.skip("only root can be somebody else")
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    os.chown(directory, NOBODY, NOBODY)
    if subprocess.run(["test", "-x", BINARY], user=NOBODY).returncode != 0:
        pytest.skip(f"the user {NOBODY} may not run {BINARY}")
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def pty(directory):
    """Makes serial devices: pty("a") is linked as directory/a."""
    made = []

    def make(name):
        made.append(Pty(directory / name))
        return made[-1]
    yield make
    for p in made:
        p.close()


@pytest.fixture
def board(directory):
    """Plugs in emulated boards: board("Echo") is linked as directory/echo."""
    made = []

    def make(sketch, **kwargs):
        made.append(Board(directory / sketch.lower(), sketch, **kwargs))
        return made[-1]
    yield make
    for b in made:
        b.process.kill()
        b.process.wait()


@pytest.fixture
def connect():
    """Makes clients: connect(port) or connect(path)."""
    made = []

    def make(where, **kwargs):
        address = ("127.0.0.1", where) if isinstance(where, int) else where
        made.append(Client(address, **kwargs))
        return made[-1]
    yield make
    for c in made:
        c.close()


@pytest.fixture
def open_tty():
    """Opens ttys by name, raw."""
    made = []

    def make(path):
        made.append(Slave(path))
        return made[-1]
    yield make
    for s in made:
        s.close()


@pytest.fixture
def terminal():
    """Starts ttybridgectl in terminals."""
    made = []

    def make(*args):
        made.append(Terminal(*args))
        return made[-1]
    yield make
    for t in made:
        t.close()


@pytest.fixture
def silent(directory):
    """A port that takes every connection, and never replies."""
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(directory / "silent.sock"))
        s.listen(16)
        yield directory / "silent.sock"


@pytest.fixture
def clock(directory):
    made = Clock(directory)
    yield made
    made.close()


@pytest.fixture
def daemon(request, directory):
    """Starts daemons; each has to end well when the test did."""
    request.node.daemons = made = []

    def start(conf="", **kwargs):
        kwargs.setdefault("name", f"daemon{len(made) or ''}")
        made.append(Daemon(directory, conf, **kwargs))
        return made[-1]
    yield start
    failed = getattr(request.node, "failed_call", False)
    for d in made:
        d.kill() if failed else d.stop()
