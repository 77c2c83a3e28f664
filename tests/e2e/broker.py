"""MQTT brokers as programs of the system: mosquitto and nats-server."""
import os
import shutil
import signal
import subprocess
from pathlib import Path

from harness import free_port, wait_for


class Broker:
    """A process that listens on a port, and can be stopped, killed and started again."""

    def __init__(self, directory, port=None):
        self.directory = Path(directory)
        self.port = port or free_port()
        self.process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def command(self):
        raise NotImplementedError

    def start(self):
        assert self.process is None
        with open(self.directory / "broker.log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log,
                                            stderr=log)
        wait_for(self.listens, what=f"a broker on port {self.port}")
        return self

    def listens(self):
        """Whether this process listens on the port (by the kernel's table)."""
        assert self.process.poll() is None, self.log()
        port = f":{self.port:04X} "
        with open("/proc/net/tcp") as table:
            return any(port in line and line.split()[3] == "0A"
                       for line in table)

    def log(self):
        return (self.directory / "broker.log").read_text(errors="replace")

    def end(self, number=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
        self.process = None

    def close(self):
        self.end(signal.SIGKILL)


class Mosquitto(Broker):
    """lines: of the configuration; listener: those that belong to the listener."""

    def __init__(self, directory, lines=(), listener=(), anonymous=True, save=None):
        super().__init__(directory)
        self.conf = self.directory / "mosquitto.conf"
        self.conf.write_text("\n".join([
            "user root" if os.geteuid() == 0 else "",
            "per_listener_settings false", "persistence true",
            f"persistence_location {self.directory}/",
            "" if save is None else f"autosave_interval {save}",
            "max_queued_messages 0", "log_type all",
            f"allow_anonymous {'true' if anonymous else 'false'}", *lines,
            f"listener {self.port} 127.0.0.1", *listener, ""]))

    def command(self):
        return [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(self.conf)]


class Nats(Broker):
    """It needs JetStream for MQTT, and speaks 3.1.1 alone."""

    def __init__(self, directory, port=None):
        super().__init__(directory, port)
        self.conf = self.directory / "nats.conf"
        self.conf.write_text(
            f'server_name: one\nlisten: "127.0.0.1:{free_port()}"\n'
            f'jetstream {{ store_dir: "{self.directory}/nats" }}\n'
            f'mqtt {{ listen: "{self.address}" }}\n')

    def command(self):
        return [shutil.which("nats-server") or "/usr/sbin/nats-server", "-c", str(self.conf)]
