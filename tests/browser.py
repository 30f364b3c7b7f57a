"""A headless Chromium for tests, driven by chromedriver over HTTP (the WebDriver protocol), with the standard library.

    with served(folder) as address, Browser(profile) as browser:
        browser.open(address)
        browser.run("return document.title")

The browser resolves no name: only the loopback can be reached.
"""

import base64
import contextlib
import http.server
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
NEEDS_BROWSER = "needs Chromium and its driver: chromium, chromedriver"
_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.paths.append(self.path)
        super().do_GET()


@contextlib.contextmanager
def served(folder):
    """A folder as `python -m http.server` sends it -> the server: .address, .paths that were asked for"""

    def handler(*arguments):
        return _Quiet(*arguments, directory=str(folder))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.paths, server.address = [], f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


class Browser:
    """profile: a new folder; size: (width, height) of a phone's screen, or None for a window"""

    def __init__(self, profile, size=None, dark=False):
        self.profile, self.size, self.dark = profile, size, dark

    def __enter__(self):
        self._driver = subprocess.Popen(
            [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            port = next(filter(None, (re.search(r"success.* on port (\d+)", line) for line in self._driver.stdout)))[1]
            self._reader = threading.Thread(target=self._driver.stdout.read, daemon=True)  # or the pipe fills up
            self._reader.start()
            self._base = f"http://127.0.0.1:{port}"
            self._base += f"/session/{self._ask('POST', '/session', self._capabilities())['sessionId']}"
        except BaseException:
            self._driver.kill()
            raise
        return self

    def _capabilities(self):
        arguments = [*_ARGUMENTS, f"--user-data-dir={self.profile}", "--window-size=1280,1000"]
        options = {"binary": CHROMIUM, "args": arguments}
        if self.dark:
            options["args"] = [*arguments, "--force-dark-mode", "--blink-settings=preferredColorScheme=0"]
        if self.size:
            metrics = {"width": self.size[0], "height": self.size[1], "pixelRatio": 2.0, "touch": True}
            options["mobileEmulation"] = {"deviceMetrics": metrics}
        log = {"goog:loggingPrefs": {"browser": "ALL"}}
        return {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options, **log}}}

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._ask("DELETE", "")
        self._driver.terminate()
        self._driver.wait(20)
        self._reader.join(20)
        self._driver.stdout.close()

    def _ask(self, method, path, value=None):
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the loopback is never behind a proxy
        try:
            with opener.open(request, timeout=300) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"].splitlines()[0]) from None

    def open(self, address):
        self._ask("POST", "/url", {"url": address})

    def run(self, script, *arguments):
        """The value of a JavaScript function body; `arguments[0]` and so on are its arguments"""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script, *arguments, seconds=120):
        """The first value of a script that is not null or false"""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (found := self.run(script, *arguments)) not in (None, False):
                return found
            time.sleep(0.05)
        raise AssertionError(f"{script}: nothing in {seconds} s; {self.run('return document.body.innerText')[:500]}")

    def messages(self):
        """What the browser's console says: errors, refused requests"""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def keys(self, text):
        """Type into what has the focus"""
        keys = [
            action for key in text for action in ({"type": "keyDown", "value": key}, {"type": "keyUp", "value": key})
        ]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))
