"""`pytest --workers N`: N processes share the test files, and the first one reports for all of them.

Every process collects all tests. The first one goes through the files from the start and the others from the end, so
that they seldom compile the same kernel at the same time. Before the first test of a file a process tries to create a
file of that name in a shared folder: whoever creates it runs that file's tests, everybody else passes them over. The
other processes write their reports, one JSON object a line, where the first one reads them and hands them to
pytest as if they were its own. So there is one list of failures and one last line.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import pytest

MOST = 4  # with auto: each process has its own NumPy and Numba, and more of them compile the same kernels


class Share:
    """The test files that this process runs."""

    def __init__(self, folder, first):
        """first: whether this is the process that reports, which alone starts and awaits commands in the background"""
        self.folder, self.first, self.ours = pathlib.Path(folder), first, {}

    def _take(self, item):
        if not self.first and hasattr(item.module, "RUNS"):
            return False
        try:
            (self.folder / item.path.name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item):
        """True: pytest has nothing to do for this test here."""
        if item.path not in self.ours:
            self.ours[item.path] = self._take(item)
        return None if self.ours[item.path] else True


class Worker(Share):
    """One of the other processes."""

    def __init__(self, folder, config):
        super().__init__(folder, first=False)
        self.config, self.reports = config, open(f"{folder}/reports-{os.getpid()}", "w", encoding="utf-8")

    def pytest_collection_modifyitems(self, items):
        files = list(dict.fromkeys(item.path for item in items))
        items.sort(key=lambda item: -files.index(item.path))

    def pytest_runtest_logreport(self, report):
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.reports.write(json.dumps(data) + "\n")
        self.reports.flush()


class Workers(Share):
    """The process that was started by hand."""

    def __init__(self, config, count):
        self._temporary = tempfile.TemporaryDirectory(prefix="minimobilebert-workers-")
        super().__init__(self._temporary.name, first=True)
        self.config, self.count, self.processes, self.read = config, count, [], {}

    def pytest_sessionstart(self):
        """Start the others, which collect the tests at the same time."""
        words = [word for word in self.config.invocation_params.args if not str(word).startswith("--workers")]
        for number in range(1, self.count):
            out = open(self.folder / f"out-{number}", "w+b")
            own = [
                f"--worker-of={self.folder}",
                f"--basetemp={self.folder / f'files-{number}'}",
                "-p",
                "no:cacheprovider",
            ]
            command = [sys.executable, "-m", "pytest", *words, *own]
            self.processes.append((subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT), out))

    def _replay(self):
        """Hand on what the others have reported since the last call."""
        hook = self.config.hook
        for path in sorted(self.folder.glob("reports-*")):
            with open(path, "rb") as file:
                file.seek(self.read.get(path, 0))
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # not yet written to its end
                    self.read[path] = self.read.get(path, 0) + len(line)
                    report = hook.pytest_report_from_serializable(config=self.config, data=json.loads(line))
                    if isinstance(report.longrepr, list):  # of a skipped test; JSON has no tuples
                        report.longrepr = tuple(report.longrepr)
                    if report.when == "setup":
                        hook.pytest_runtest_logstart(nodeid=report.nodeid, location=report.location)
                    hook.pytest_runtest_logreport(report=report)
                    if report.when == "teardown":
                        hook.pytest_runtest_logfinish(nodeid=report.nodeid, location=report.location)

    def _take(self, item):
        self._replay()
        return super()._take(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session):
        result = yield
        while any(process.poll() is None for process, _ in self.processes):
            self._replay()
            time.sleep(0.1)
        self._replay()
        for process, out in self.processes:
            if process.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
                out.seek(0)
                print(out.read().decode(errors="replace"))
                raise pytest.UsageError(f"a worker ended with exit code {process.returncode}; what it printed is above")
        return result

    def pytest_unconfigure(self):
        for process, out in self.processes:
            process.kill()
            process.wait()
            out.close()
        self._temporary.cleanup()


def add_options(parser):
    """The options of the command line."""
    parser.addoption("--workers", default="1", metavar="N", help="processes that share the test files; or auto")
    parser.addoption("--worker-of", metavar="FOLDER", help="for these processes themselves")


def configure(config):
    """Make this process one of several, where that is wanted."""
    folder, count = config.getoption("--worker-of"), config.getoption("--workers")
    if count != "auto" and not count.isdigit():
        raise pytest.UsageError(f"--workers: found {count!r}, expected a number or auto")
    count = min(os.cpu_count() or 1, MOST) if count == "auto" else int(count)
    if folder:
        config.pluginmanager.register(Worker(folder, config))
    elif count > 1:
        config.pluginmanager.register(Workers(config, count))
