"""Commands that run beside the other tests, on a core that these leave idle: started first, asked for last."""

import os
import subprocess
import sys
import tempfile

from documents import ROOT


class Background:
    def __init__(self):
        self.running, self.folder = {}, None

    def start(self, commands):
        """Start these at a low priority; commands: {name: (environment variables, arguments of Python)}"""
        self.folder = tempfile.TemporaryDirectory(prefix="minimobilebert-tests-")
        polite = (lambda: os.nice(10)) if hasattr(os, "nice") else None
        for name, (variables, arguments) in commands.items():
            out = open(os.path.join(self.folder.name, name), "w+b")
            environment = {**os.environ, **{k: v.format(folder=self.folder.name) for k, v in variables.items()}}
            process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment, stdout=out,
                                       stderr=subprocess.STDOUT, preexec_fn=polite)  # fmt: skip
            self.running[name] = process, out

    def output(self, name, seconds=600):
        """Wait for one of them -> exit code, what it printed"""
        process, out = self.running[name]
        code = process.wait(seconds)
        out.seek(0)
        return code, out.read().decode()

    def stop(self):
        """End what still runs, and remove its files."""
        for process, out in self.running.values():
            process.kill()
            process.wait()
            out.close()
        if self.folder:
            self.folder.cleanup()
        self.running = {}
