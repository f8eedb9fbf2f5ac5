# SPDX-License-Identifier: LGPL-2.1-or-later
"""A browser for tests: chromedriver and chromium, spoken to as W3C WebDriver says, over HTTP."""

import base64
import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile

PR_SET_CHILD_SUBREAPER = 36


class Error(Exception):
    pass


class Browser:
    """with Browser() as b: ... Nothing of it is left afterwards."""

    def __init__(self, width=1280, height=900):
        self.dir = tempfile.mkdtemp(prefix="ckpt-test-browser-")
        self.driver = None
        # Orphans of the browser become our children, so that they can be waited for.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            self.start(width, height)
        except BaseException:
            self.close()
            raise

    def start(self, width, height):
        env = {**os.environ, "HOME": self.dir, "TMPDIR": self.dir, "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                       text=True, env=env, start_new_session=True)
        for line in self.driver.stdout:
            if m := re.search(r"started successfully on port (\d+)", line):
                break
        else:
            raise Error("chromedriver ended before it said its port")
        self.http = http.client.HTTPConnection("127.0.0.1", int(m[1]), timeout=120)
        args = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-breakpad", "--hide-scrollbars",
                f"--user-data-dir={self.dir}/profile", f"--window-size={width},{height}"]
        chrome = {"binary": shutil.which("chromium"), "args": args}
        reply = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": chrome,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}}}, session=False)
        self.session = reply["sessionId"]
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def close(self):
        if self.driver:
            for method, path in ("DELETE", f"/session/{getattr(self, 'session', '')}"), ("GET", "/shutdown"):
                try:
                    self.call(method, path, session=False)
                except (OSError, AttributeError, Error, http.client.HTTPException):
                    pass
            try:
                os.killpg(self.driver.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.driver.wait()
            self.driver.stdout.close()
            self.reap()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def left(self):
        """Processes that still have our directory in their command line."""
        out = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if self.dir.encode() in f.read():
                        out.append(int(pid))
            except OSError:
                pass
        return out

    def reap(self):
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while True:
                os.waitpid(-1, 0)
        except ChildProcessError:
            pass

    def call(self, method, path, body=None, session=True):
        if session:
            path = f"/session/{self.session}{path}"
        data = None if method == "GET" else json.dumps(body or {})
        self.http.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        value = json.loads(self.http.getresponse().read())["value"]
        if isinstance(value, dict) and "error" in value:
            raise Error(f"{value['error']}: {value['message'].splitlines()[0]}")
        return value

    def cdp(self, command, **params):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def open(self, path):
        self.call("POST", "/url", {"url": "file://" + path})

    def js(self, script, *args):
        """Run it in the page; what it returns. It sees what any script would see of the document."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def painted(self):
        """Wait until what was asked for so far is on the screen."""
        self.call("POST", "/execute/async", {"script": "const done = arguments[0];"
                                             "requestAnimationFrame(() => requestAnimationFrame(() => done(1)));", "args": []})

    def actions(self, *sources):
        self.call("POST", "/actions", {"actions": list(sources)})
        self.painted()

    def click(self, x, y, times=1):
        steps = [{"type": "pointerMove", "x": int(x), "y": int(y)}]
        steps += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}] * times
        self.actions({"type": "pointer", "id": "mouse", "actions": steps})

    def move(self, x, y):
        self.actions({"type": "pointer", "id": "mouse", "actions": [{"type": "pointerMove", "x": int(x), "y": int(y)}]})

    def drag(self, x0, y0, x1, y1, key=None):
        pointer = [{"type": "pointerMove", "x": int(x0), "y": int(y0)}, {"type": "pointerDown", "button": 0},
                   {"type": "pointerMove", "x": int((x0 + x1) / 2), "y": int((y0 + y1) / 2)},
                   {"type": "pointerMove", "x": int(x1), "y": int(y1)}, {"type": "pointerUp", "button": 0}]
        sources = [{"type": "pointer", "id": "mouse", "actions": pointer}]
        if key:
            pauses = [{"type": "pause"}] * (len(pointer) - 2)
            sources.append({"type": "key", "id": "keys", "actions": [{"type": "keyDown", "value": key}, *pauses,
                                                                      {"type": "pause"}, {"type": "keyUp", "value": key}]})
        self.actions(*sources)

    def wheel(self, x, y, dy, dx=0):
        self.actions({"type": "wheel", "id": "wheel", "actions": [
            {"type": "scroll", "x": int(x), "y": int(y), "deltaX": dx, "deltaY": dy, "duration": 0}]})

    def keys(self, text):
        steps = [{"type": t, "value": c} for c in text for t in ("keyDown", "keyUp")]
        self.actions({"type": "key", "id": "keys", "actions": steps})

    def log(self, kind):
        return self.call("POST", "/se/log", {"type": kind})

    def screenshot(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.call("GET", "/screenshot")))
