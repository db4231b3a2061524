"""Opens a page in Chromium, waits until it has an element, and prints what it has become.

    python3 .ci/browser.py PAGE.html SELECTOR [FLAG...]

Whatever the page logs is a failure. Speaks the DevTools protocol over pipes, which needs no package.
"""

import itertools
import json
import os
import pathlib
import select
import subprocess
import sys
import tempfile
import time

# What hangs ends at some time.
SECONDS = 1800
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking "
    "--disable-component-update --remote-debugging-pipe"
)
LOGGED = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}


class Browser:
    """A browser with one tab. Messages end with a zero byte; the browser reads at 3 and writes at 4."""

    def __init__(self, folder, flags):
        theirs_in, self.to = os.pipe()
        self.of, theirs_out = os.pipe()
        command = ["chromium", *FLAGS.split(), f"--user-data-dir={folder}", *flags, "about:blank"]
        moved = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *command]
        pipes = [theirs_in, theirs_out]
        self.process = subprocess.Popen(moved, pass_fds=pipes, stderr=subprocess.DEVNULL)
        for pipe in pipes:
            os.close(pipe)
        self.ids, self.rest, self.logged, self.tab = itertools.count(), b"", [], {}
        self.end = time.monotonic() + SECONDS
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.tab = {"sessionId": session}

    def message(self):
        while b"\0" not in self.rest:
            left = max(0, self.end - time.monotonic())
            if not select.select([self.of], [], [], left)[0]:
                sys.exit(f"the browser does not answer within {SECONDS} s")
            read = os.read(self.of, 1 << 20)
            if not read:
                sys.exit("the browser ended")
            self.rest += read
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **params):
        number = next(self.ids)
        request = {"id": number, "method": method, "params": params, **self.tab}
        os.write(self.to, json.dumps(request).encode() + b"\0")
        while (message := self.message()).get("id") != number:
            if message.get("method") in LOGGED:
                self.logged.append(message["params"])
        return message["result"]

    def value(self, expression):
        return self.call("Runtime.evaluate", expression=expression)["result"].get("value")


def main():
    page, selector, *flags = sys.argv[1:]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(folder, flags)
        for domain in ["Runtime", "Log", "Page"]:
            browser.call(f"{domain}.enable")
        browser.call("Page.navigate", url=pathlib.Path(page).resolve().as_uri())
        while not browser.value(f"document.querySelector('{selector}') !== null"):
            if time.monotonic() > browser.end - 1:
                sys.exit(f"no {selector}: {browser.value('document.body.innerText')}")
            time.sleep(0.1)
        print(browser.value("document.documentElement.outerHTML"))
        browser.tab = {}
        browser.call("Browser.close")
        browser.process.wait()
    if browser.logged:
        sys.exit(f"the page logs {json.dumps(browser.logged, indent=1)}")


main()
