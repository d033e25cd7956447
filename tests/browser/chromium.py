"""A headless Chromium, driven through the DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60


def find():
    """The browser's program, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class PageError(Exception):
    """The page's script failed, or did not do in time what was waited for."""


class Chromium:
    """A browser with one page."""

    def __init__(self, profile, width=1280, height=1600):
        self.profile = Path(profile)
        self.numbers = itertools.count(1)
        self.complaints = []
        self.process = subprocess.Popen(self._command(width, height), stderr=subprocess.DEVNULL)
        try:
            self.socket = self._connect()
            self.session = self._page()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _command(self, width, height):
        command = [
            find(),
            "--headless=new",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-sync",
            "--hide-scrollbars",
            "--no-default-browser-check",
            "--no-first-run",
            "--remote-debugging-port=0",
            f"--user-data-dir={self.profile}",
            f"--window-size={width},{height}",
            "about:blank",
        ]
        # Chromium's sandbox refuses to run as root.
        return command + (["--no-sandbox"] if os.geteuid() == 0 else [])

    def _connect(self):
        """The browser writes into its profile where it listens."""
        announced = self.profile / "DevToolsActivePort"
        deadline = time.monotonic() + PATIENCE
        while not (announced.exists() and announced.read_text().count("\n")):
            if self.process.poll() is not None:
                raise PageError(f"the browser ended with status {self.process.returncode}")
            if time.monotonic() > deadline:
                raise PageError("the browser does not start")
            time.sleep(0.05)
        port, path = announced.read_text().split("\n")[:2]
        address = f"ws://127.0.0.1:{port}{path}"
        return websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True)

    def _page(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        self.call("Page.enable")
        self.call("Runtime.enable")
        return self.session

    def call(self, method, **parameters):
        """Sends one command and returns its result."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if not method.startswith("Target."):
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("method") == "Runtime.exceptionThrown":
                details = answer["params"]["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description", details["text"]))
            if answer.get("id") == number:
                if "error" in answer:
                    raise PageError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def open(self, url):
        """Opens an address and waits until everything it names has been loaded."""
        failed = self.call("Page.navigate", url=url).get("errorText")
        if failed:
            raise PageError(f"{url}: {failed}")
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, script):
        """The value of a JavaScript expression; a promise is awaited."""
        options = {"returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", expression=script, **options)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def wait_for(self, condition, patience=PATIENCE):
        """Waits until a JavaScript expression is true."""
        deadline = time.monotonic() + patience
        while not self.evaluate(condition):
            if time.monotonic() > deadline:
                raise PageError(f"not within {patience} s: {condition}")
            time.sleep(0.1)

    def screenshot(self, path, clip=None, whole=False):
        """Writes what is seen as PNG: the window, a part of the page, or the whole of it."""
        options = {"format": "png", "captureBeyondViewport": whole or clip is not None}
        if clip:
            options["clip"] = {**clip, "scale": 1}
        image = self.call("Page.captureScreenshot", **options)["data"]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(base64.b64decode(image))

    def colours(self, clip):
        """How many colours a part of the page is made of: 1 if nothing is to be seen there."""
        options = {"format": "png", "captureBeyondViewport": True, "clip": {**clip, "scale": 1}}
        image = self.call("Page.captureScreenshot", **options)["data"]
        return self.evaluate(COUNT_COLOURS % json.dumps("data:image/png;base64," + image))

    def close(self):
        self.socket.close()
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


# The browser itself reads the picture, so that no image library is needed.
COUNT_COLOURS = """
(async () => {
  const image = new Image();
  image.src = %s;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  return new Set(new Uint32Array(data.buffer)).size;
})()
"""
