"""A headless Chromium, spoken to by its DevTools protocol over two pipes: no port, no driver."""

import base64
import fcntl
import json
import os
import subprocess
import tempfile
import time

KEYS = {"Tab": 9, "Enter": 13, " ": 32}


class Browser:
    """One page; everything that it says on its console or asks of the network is kept."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        # The browser reads from 3 and writes to 4; high numbers are not in the way of either.
        high = lambda fds: [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in fds]
        (theirs_in, ours_out), (ours_in, theirs_out) = high(os.pipe()), high(os.pipe())

        def connect():
            os.dup2(theirs_in, 3)
            os.dup2(theirs_out, 4)

        argv = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        argv += ["--no-first-run", "--disable-background-networking", "--remote-debugging-pipe"]
        argv += [f"--user-data-dir={self.folder.name}", "about:blank"]
        self.log = open(os.path.join(self.folder.name, "log"), "w+b")
        self.process = subprocess.Popen(argv, preexec_fn=connect, pass_fds=(3, 4), stdout=self.log, stderr=self.log)
        os.close(theirs_in), os.close(theirs_out)
        self.out, self.into = os.fdopen(ours_out, "wb", 0), os.fdopen(ours_in, "rb", 0)
        self.number, self.rest, self.events = 0, b"", []
        self.session = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"]:
            self.ask(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def read(self):
        """The next message."""
        while b"\0" not in self.rest:
            more = self.into.read(1 << 16)
            if not more:
                self.log.seek(0)
                raise SystemExit(f"the browser is gone: {self.log.read().decode(errors='replace')[-2000:]}")
            self.rest += more
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, **params):
        """Asks the browser, or its page once there is one; what happens meanwhile is kept."""
        self.number += 1
        question = {"id": self.number, "method": method, "params": params}
        if self.session:
            question["sessionId"] = self.session
        self.out.write(json.dumps(question).encode() + b"\0")
        while True:
            message = self.read()
            if message.get("id") != self.number:
                self.events.append(message)
            elif "error" in message:
                raise SystemExit(f"{method}: {message['error']}")
            else:
                return message["result"]

    def open(self, path, settle=0.0):
        """Opens a file and waits until it has been loaded, and for as long as its scripts may take."""
        self.ask("Page.navigate", url="file://" + os.path.abspath(path))
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.read())
        time.sleep(settle)

    def run(self, script):
        """What an expression gives in the page."""
        result = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise SystemExit(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def press(self, key):
        """Presses a key and lets go of it."""
        code = {" ": "Space"}.get(key, key)
        text = {"Enter": "\r", " ": " "}.get(key)
        common = {"key": key, "code": code, "windowsVirtualKeyCode": KEYS[key]}
        self.ask("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **common, **({"text": text} if text else {}))
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text):
        """Types a text where the focus is."""
        self.ask("Input.insertText", text=text)

    def look(self, width, height, scheme):
        """Sets the size of the window and the wish for a light or a dark page."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path):
        """Writes the whole page as a picture; gives back how many bytes it has."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 8000), "scale": 1}
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        data = base64.b64decode(shot["data"])
        with open(path, "wb") as file:
            file.write(data)
        return len(data)

    def complaints(self):
        """What the page said on its console, but for what it only tells."""
        told = []
        self.run("0")
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                told.append(params["exceptionDetails"].get("exception", {}).get("description", "an exception"))
            elif event.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                told.append(" ".join(str(one.get("value", one.get("description"))) for one in params["args"]))
            elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                told.append(params["entry"]["text"])
        return told

    def requests(self):
        """What the page asked of the network."""
        sent = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent]
