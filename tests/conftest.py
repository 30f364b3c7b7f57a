"""Settings that all tests share."""

import os
import signal

# A shell ignores Ctrl-C for what it starts in the background, and every process that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before NumPy is imported: OpenBLAS's second thread gains nothing on tiny models and waits by spinning, which on a busy
# machine makes them a hundred times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
import workers
from hypothesis import HealthCheck, settings

from minimobilebert.kernels.runtime.backend import BACKENDS, use_backend
from minimobilebert.kernels.runtime.waiting import the_process_is_the_command_line

the_process_is_the_command_line()

# `make test ARGS=...` hands its variables on to every make that a test starts.
for _name in ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL"):
    os.environ.pop(_name, None)

# No deadline: the first example compiles kernels. The `backend` fixture may stay the same between examples.
# The examples are the same in every run; `pytest --hypothesis-profile=explore` draws new and more ones.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
settings.register_profile("minimobilebert", max_examples=15, derandomize=True, **_COMMON)
settings.register_profile("explore", max_examples=200, **_COMMON)
settings.load_profile("minimobilebert")


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Runs the test once with each back end."""
    with use_backend(request.param):
        yield request.param


pytest_configure = workers.configure


def pytest_addoption(parser):
    workers.add_options(parser)
    parser.addoption(
        "--all-targets", action="store_true", help="compile for every other processor that this one can run"
    )


def pytest_collection_modifyitems(items):
    """What waits for commands in the background goes last, so that these run beside everything else."""
    items.sort(key=lambda item: item.module.__name__ == "test_same_bits")


def pytest_collection_finish(session):
    if session.config.getoption("--worker-of"):
        return  # the process that reports has started them
    modules = {item.module for item in session.items if item.module.__name__ == "test_same_bits"}
    for module in modules:
        module.start(everything=session.config.getoption("--all-targets"))
        session.config.add_cleanup(module.RUNS.stop)
