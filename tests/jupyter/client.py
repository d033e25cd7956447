"""A client that keeps what it receives apart by request, and fails on what nobody asked for."""

import time
from dataclasses import dataclass, field
from queue import Empty

from jupyter_client.manager import KernelManager

KERNEL = "probebook"
PATIENCE = 20


@dataclass
class Run:
    """What came back for one request."""

    reply: dict
    messages: list = field(default_factory=list)

    @property
    def status(self):
        return self.reply["content"]["status"]

    @property
    def content(self):
        return self.reply["content"]

    def of_type(self, msg_type):
        return [message["content"] for message in self.messages if message["msg_type"] == msg_type]

    def types(self):
        """Message types in order; statuses by their state."""
        return [
            message["content"].get("execution_state", message["msg_type"])
            for message in self.messages
        ]

    def stream(self, name="stdout"):
        return "".join(c["text"] for c in self.of_type("stream") if c["name"] == name)

    def displayed(self):
        """The plain text of all displays, the last state of each."""
        shown = {}
        for number, message in enumerate(self.messages):
            content = message["content"]
            if message["msg_type"] in ("display_data", "update_display_data"):
                key = content.get("transient", {}).get("display_id", number)
                shown[key] = content["data"]["text/plain"]
        return "".join(shown.values())


class Client:
    """A kernel and a connection to it."""

    def __init__(self, manager, channels):
        self.manager = manager
        self.channels = channels
        self.session = channels.session
        self.held = []

    @classmethod
    def start(cls, environment=None, **options):
        manager = KernelManager(kernel_name=KERNEL, **options)
        manager.start_kernel(**({"env": environment} if environment else {}))
        client = cls(manager, manager.client())
        client.channels.start_channels()
        client.channels.wait_for_ready(timeout=PATIENCE)
        return client

    def another(self):
        """A second connection to the same kernel."""
        other = Client(self.manager, self.manager.client())
        other.channels.session = other.session = type(self.session)(key=self.session.key)
        other.channels.start_channels()
        other.channels.wait_for_ready(timeout=PATIENCE)
        return other

    def stop(self):
        self.channels.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=not self.manager.is_alive())

    def flush(self):
        self.held.clear()
        for channel in (self.channels.shell_channel, self.channels.iopub_channel):
            while True:
                try:
                    channel.get_msg(timeout=0.05)
                except Empty:
                    break

    def send(self, msg_type, content, channel="shell", metadata=None):
        """Sends a request and returns its id."""
        message = self.session.msg(msg_type, content, metadata=metadata)
        getattr(self.channels, f"{channel}_channel").send(message)
        return message["header"]["msg_id"]

    def execute(self, code, metadata=None, **options):
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
            **options,
        }
        return self.send("execute_request", content, metadata=metadata)

    def reply(self, msg_id, channel="shell", timeout=PATIENCE):
        """The reply to one request; others are kept for later."""
        for message in self.held:
            if message["parent_header"].get("msg_id") == msg_id:
                self.held.remove(message)
                return message
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            message = getattr(self.channels, f"{channel}_channel").get_msg(timeout=max(left, 0))
            if message["parent_header"].get("msg_id") == msg_id:
                return message
            self.held.append(message)

    def broadcast(self, timeout=PATIENCE):
        return self.channels.iopub_channel.get_msg(timeout=timeout)

    def until_idle(self, msg_id, timeout=PATIENCE):
        """The broadcasts of one request, from busy to idle."""
        messages = []
        while True:
            message = self.broadcast(timeout)
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            messages.append(message)
            if message["content"].get("execution_state") == "idle":
                return messages

    def finish(self, msg_id, timeout=PATIENCE):
        """Waits for a request's end."""
        messages = self.until_idle(msg_id, timeout)
        return Run(self.reply(msg_id, timeout=timeout), messages)

    def run(self, code, timeout=PATIENCE, **options):
        """Executes a cell and waits for its end."""
        return self.finish(self.execute(code, **options), timeout)

    def ask(self, msg_type, content, channel="shell", timeout=PATIENCE):
        """Sends any request and returns the content of its reply."""
        return self.reply(self.send(msg_type, content, channel), channel, timeout)["content"]

    def interrupt(self):
        return self.ask("interrupt_request", {}, channel="control")

    def wait_for_input(self, msg_id):
        """Waits until a cell has begun."""
        while True:
            message = self.broadcast()
            if message["parent_header"].get("msg_id") == msg_id:
                if message["msg_type"] == "execute_input":
                    return
