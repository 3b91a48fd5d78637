"""Firefox as far as a test needs it, through WebDriver BiDi, which Debian's own Firefox speaks."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import websocket

NAMES = ("firefox-esr", "firefox")
KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Space": " ", "ArrowLeft": "\ue012", "ArrowRight": "\ue014"}
QUIET = """user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.prefetch-next", false);
user_pref("app.update.disabledForTesting", true);
"""


def find_firefox():
    named = os.environ.get("FIREFOX")
    return next(filter(None, [named] if named else map(shutil.which, NAMES)), None)


class Firefox:
    """One window: goto(address), evaluate(function, argument)."""

    def __init__(self, path):
        self.folder = tempfile.TemporaryDirectory()
        (Path(self.folder.name) / "user.js").write_text(QUIET)
        self.process = subprocess.Popen(
            [path, "--headless", "--no-remote", "--remote-debugging-port=0", "--profile", self.folder.name],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        address = next(filter(None, (re.search(r"BiDi listening on (ws://\S+)", line) for line in self.process.stderr)))
        self.socket = websocket.create_connection(f"{address[1]}/session", suppress_origin=True, timeout=1000)
        self.number, self.console = 0, []
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        self.context = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method, **params):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("method") == "log.entryAdded":
                self.console.append(f"{message['params']['level']}: {message['params']['text']}")
            elif message.get("id") == self.number:
                if message["type"] == "error":
                    raise AssertionError(f"{method}: {message['message']}")
                return message["result"]

    def goto(self, address):
        self.ask("browsingContext.navigate", context=self.context, url=address, wait="complete")

    def size(self, width):
        viewport = {"width": width, "height": 900}
        self.ask("browsingContext.setViewport", context=self.context, viewport=viewport)

    def reload(self):
        self.ask("browsingContext.reload", context=self.context, wait="complete")

    def back(self):
        before = self.evaluate("() => location.href")
        self.ask("browsingContext.traverseHistory", context=self.context, delta=-1)
        ready = "() => [location.href, document.readyState]"
        while (now := self.evaluate(ready)) == [before, "complete"] or now[1] != "complete":
            time.sleep(0.05)

    def press(self, key):
        """A key by the name that Playwright gives it, as far as a test needs it."""
        strokes = [{"type": kind, "value": KEYS.get(key, key)} for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keys", "actions": strokes}
        self.ask("input.performActions", context=self.context, actions=[keyboard])

    def evaluate(self, function, argument=None):
        """What a function of JavaScript returns, or the promise that it returns."""
        expression = f"(async () => JSON.stringify(await ({function})({json.dumps(argument)})) ?? 'null')()"
        target = {"context": self.context}
        done = self.ask("script.evaluate", expression=expression, target=target, awaitPromise=True)
        if done["type"] == "exception":
            raise AssertionError(done["exceptionDetails"]["text"])
        return json.loads(done["result"]["value"])

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait(30)
        self.process.stderr.close()
        self.folder.cleanup()
