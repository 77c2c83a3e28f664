"""
Emulated boards (tests/boards) with Arduino sketches.

They need `make boards`; BOARDS says where they are, if not in build/boards.
"""
import os
import re
import signal
import subprocess
from pathlib import Path

from harness import ROOT, wait_for

BOARDS = Path(os.environ.get("BOARDS", ROOT / "build/boards"))


class Board:
    """One board with a sketch, plugged in as link; reset: by DTR when it is opened."""

    def __init__(self, link, sketch, reset=True, options=()):
        self.link = link
        assert (BOARDS / "avrboard").exists(), \
            f"no boards in {BOARDS}: make boards, or set BOARDS"
        self.log = link.with_suffix(".log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [BOARDS / "avrboard", "-br" if reset else "-b", "-t", "300",
                 "-l", link, *options, BOARDS / f"{sketch}.elf"],
                stdin=subprocess.DEVNULL, stdout=log)
        self.wait_link(True)

    def wait_link(self, there):
        wait_for(lambda: self.link.is_symlink() == there,
                 what=f"{self.link} to {'come' if there else 'go'}")

    def unplug(self):
        self.process.send_signal(signal.SIGUSR1)
        self.wait_link(False)

    def plug(self):
        self.process.send_signal(signal.SIGUSR2)
        self.wait_link(True)

    def stop(self):
        """Ends it; its statistics, by their names."""
        self.process.terminate()
        self.process.wait()
        counts = re.findall(r" (\w+) (\d+)\b", self.said()[-1])
        return {name: int(n) for name, n in counts}

    def said(self):
        return self.log.read_text().splitlines()
