"""WebKit as far as a test needs it: WebKitGTK's MiniBrowser on a screen that nobody sees, through its WebDriver.

Debian and Ubuntu have both: `apt-get install webkit2gtk-driver xvfb`.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

DRIVER = "WebKitWebDriver"
BROWSERS = "*-linux-gnu/webkit2gtk-4.*/MiniBrowser"
KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Space": " ", "ArrowLeft": "\ue012", "ArrowRight": "\ue014"}
# A driver of WebKit tells nothing of the console: from the first question on the page itself notes what went wrong.
LISTEN = """() => {
  const heard = (window.heard ??= []);
  for (const level of ['warn', 'error']) {
    const say = console[level];
    console[level] = (...what) => (heard.push(`${level}: ${what.join(' ')}`), say.apply(console, what));
  }
  addEventListener('error', event => heard.push(`uncaught: ${event.message}`));
  addEventListener('unhandledrejection', event => heard.push(`uncaught: ${event.reason}`));
  addEventListener('securitypolicyviolation', event => heard.push(`forbidden: ${event.violatedDirective}`));
}"""


def find_webkit():
    """(driver, browser), or None."""
    browser = next(iter(sorted(Path("/usr/lib").glob(BROWSERS))), None)
    driver = shutil.which(DRIVER)
    return (driver, str(browser)) if driver and browser and shutil.which("Xvfb") else None


class WebKit:
    """One window: goto(address), evaluate(function, argument)."""

    def __init__(self, driver, browser):
        self.folder = tempfile.TemporaryDirectory()
        hidden = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        read, write = os.pipe()
        screen = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x1100x24", "-nolisten", "tcp"]
        self.processes = [subprocess.Popen(screen, pass_fds=[write], **hidden)]
        os.close(write)
        with os.fdopen(read) as number:
            display = f":{number.readline().strip()}"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        home = {name: self.folder.name for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
        settings = os.environ | home | {"DISPLAY": display, "WEBKIT_DISABLE_COMPOSITING_MODE": "1", "NO_AT_BRIDGE": "1"}
        settings |= {"LIBGL_ALWAYS_SOFTWARE": "1", "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"}
        self.processes.append(subprocess.Popen([driver, f"--port={port}"], env=settings, **hidden))
        self.address, self.console = f"http://127.0.0.1:{port}/session", []
        wanted = {"webkitgtk:browserOptions": {"binary": browser, "args": ["--automation"]}}
        for _ in range(100):
            try:
                self.address += "/" + self.ask("", capabilities={"alwaysMatch": wanted})["sessionId"]
                break
            except OSError:
                time.sleep(0.1)
        self.ask("/timeouts", script=300_000, pageLoad=120_000)
        self.size(1280)

    def ask(self, path, method="POST", **body):
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=330) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def goto(self, address):
        self.ask("/url", url=address)
        self.evaluate(LISTEN)

    def size(self, width):
        self.ask("/window/rect", width=width, height=900)

    def reload(self):
        self.ask("/refresh")
        self.evaluate(LISTEN)

    def back(self):
        before = self.evaluate("() => location.href")
        self.ask("/back")
        ready = "() => [location.href, document.readyState]"
        while (now := self.evaluate(ready)) == [before, "complete"] or now[1] != "complete":
            time.sleep(0.05)

    def press(self, key):
        """A key by the name that Playwright gives it, as far as a test needs it."""
        strokes = [{"type": kind, "value": KEYS.get(key, key)} for kind in ("keyDown", "keyUp")]
        self.ask("/actions", actions=[{"type": "key", "id": "keys", "actions": strokes}])

    def evaluate(self, function, argument=None):
        """What a function of JavaScript returns, or the promise that it returns."""
        script = (
            f"const done = arguments[1]; Promise.resolve().then(() => ({function})(arguments[0]))"
            ".then(found => ({found: JSON.stringify(found) ?? 'null'}), error => ({failed: String(error)}))"
            ".then(answer => done({...answer, heard: window.heard?.splice(0) ?? []}));"
        )
        answer = self.ask("/execute/async", script=script, args=[argument])
        self.console += answer["heard"]
        if "failed" in answer:
            raise AssertionError(answer["failed"])
        return json.loads(answer["found"])

    def screenshot(self):
        """A picture of the window, as PNG."""
        return base64.b64decode(self.ask("/screenshot", "GET"))

    def close(self):
        try:
            self.ask("", "DELETE")
        finally:
            for process in reversed(self.processes):
                process.terminate()
                process.wait(30)
            self.folder.cleanup()
