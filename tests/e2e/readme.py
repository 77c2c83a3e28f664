"""README.md as data: what it tells users to type and to write into a file."""
import re
import shlex

from harness import ROOT, Pty, free_port
from certificates import Authority

TEXT = (ROOT / "README.md").read_text()
SECTION = re.compile(r"(?m)^#{2,3} (.*)\n")
BLOCK = re.compile(r"(?ms)^```(\w+)\n(.*?)^```$")


def sections():
    """Title -> text of each section and subsection."""
    parts = SECTION.split(TEXT)
    return dict(zip(parts[1::2], parts[2::2]))


SECTIONS = sections()
RECIPES = [title for title in re.findall(r"(?m)^### (.*)$", TEXT)]


def blocks(language, title=None):
    """The blocks in a language, of one section or of all."""
    text = TEXT if title is None else SECTIONS[title]
    return [body for kind, body in BLOCK.findall(text) if kind == language]


def commands(title=None):
    """The lines of the blocks of shell commands, joined where a backslash ends them, without
    comments."""
    return [re.sub(r"\s+# .*", "", line) for body in blocks("sh", title)
            for line in re.sub(r"\s*\\\n\s*", " ", body).splitlines()]


def words(command):
    return shlex.split(command, comments=True)


class Place:
    """
    A directory in place of what a configuration names: pseudo-terminals for devices, free
    ports, and certificates of the test's own.  ttys: by the last part of their device;
    ports: by the port that is written.
    """

    def __init__(self, directory):
        self.directory = directory
        self.ttys = {}
        self.ports = {}

    def tty(self, match):
        path = self.directory / match[1]
        if match[1] not in self.ttys:
            self.ttys[match[1]] = Pty(path)
        return str(path)

    def port(self, match):
        number = int(match[2])
        if number not in self.ports:
            self.ports[number] = free_port()
        return f"127.0.0.1{match[1] or ':'}{self.ports[number]}"

    def adapt(self, text):
        """The text, with what is here in place of what it names."""
        if "/etc/ttybridge/" in text:
            authority = Authority(self.directory)
            for name in ("server", "alice"):
                authority.make(name)
        text = re.sub(r"/dev/(tty\w+)", self.tty, text)
        text = text.replace("/etc/ttybridge/", f"{self.directory}/")
        return re.sub(r"(?:(?<=tcp-server:)|(?:[\d.]{7,}|localhost|\*|gate\.lan)([: ]))(\d+)\b",
                      self.port, text)

    def close(self):
        for tty in self.ttys.values():
            tty.close()
