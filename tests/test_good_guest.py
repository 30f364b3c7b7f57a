"""A guest in somebody's program: using the package leaves the process, and the caller's arrays, as they were.

Elsewhere: Numba's cache folder and its compiled functions (test_kernel_cache.py), thread counts and forks while kernels
run (test_threads.py), the pool of memory (test_memory.py).
"""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from fine_tuning_data import BERT, MOBILE, WORDS, write_model
from thread_counts import at_once
from tiny_models import CONFIGS, random_batch, random_parameters

from minimobilebert.gradcheck.cases import CASES
from minimobilebert.inference.embed import embed
from minimobilebert.inference.engine import Engine
from minimobilebert.inference.model import Model
from minimobilebert.kernels.runtime import memory
from minimobilebert.kernels.runtime.jit import HAVE_NUMBA
from minimobilebert.model.pretraining import pretraining_step

compiled = pytest.mark.skipif(not HAVE_NUMBA, reason="Numba is switched off")

# ------------------------------------------------------------------------------- the process

# What the whole process shares, as text: equal before and after, or somebody changed it.
STATE = """
import csv, decimal, faulthandler, gc, locale, logging, multiprocessing, os, random, signal, socket, sys, threading
import warnings
import numba, numpy as np
from numba.core import config

def umask():
    mask = os.umask(0o22)
    os.umask(mask)
    return mask

def state():
    return {name: repr(value) for name, value in {
        "environment": dict(os.environ),
        "folder": (os.getcwd(), umask()),
        "Numba's settings": {name: getattr(config, name) for name in dir(config) if name.isupper()},
        "Numba's threads": (numba.get_num_threads(), numba.threading_layer(), numba.get_parallel_chunksize()),
        "NumPy's errors": (np.geterr(), np.geterrcall(), np.get_printoptions(), np.getbufsize()),
        "NumPy's random numbers": np.random.get_state()[1].tobytes() + bytes(np.random.get_state()[2]),
        "Python's random numbers": random.getstate(),
        "warnings": (warnings.filters, warnings.showwarning, warnings.formatwarning),
        "hooks": (sys.excepthook, sys.unraisablehook, sys.displayhook, sys.gettrace(), sys.getprofile(),
                  threading.excepthook, sys.meta_path, sys.path_hooks, sys.path),
        "streams": (sys.stdin, sys.stdout, sys.stderr, faulthandler.is_enabled()),
        "signals": [(number, signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "locale": locale.setlocale(locale.LC_ALL),
        "logging": (logging.root.level, logging.root.handlers, logging.root.disabled, logging.root.manager.disable,
                    logging.getLoggerClass(), logging.lastResort,
                    [(name, logging.getLogger(name).level, logging.getLogger(name).handlers) for name in NAMES]),
        "limits": (sys.getrecursionlimit(), sys.getswitchinterval(), csv.field_size_limit(),
                   getattr(sys, "get_int_max_str_digits", int)(), socket.getdefaulttimeout()),
        "arithmetic": (decimal.getcontext(), np.array([3e-310]) * 1.0, np.array([1e-40], np.float32) * np.float32(1)),
        "garbage": (gc.isenabled(), gc.get_threshold(), gc.callbacks),
        "threads": (threading.enumerate(), threading.stack_size(), threading.gettrace()),
        "processes": (multiprocessing.get_start_method(allow_none=True), multiprocessing.active_children()),
    }.items()}

def changed(before, after):
    return sorted(name for name in before if before[name] != after[name])

numba.set_num_threads(1)  # the program's own choice
NAMES = sorted(logging.root.manager.loggerDict)
before = state()
"""
USE = """
import minimobilebert
assert changed(before, state()) == []
from minimobilebert import Model
from minimobilebert.inference.embed import embed
from minimobilebert.inference.fill_mask import fill_mask
from minimobilebert.inference.next_sentence import next_sentence
from minimobilebert.support import terminal
model = Model.load(sys.argv[1])
long = " ".join(["ada eats tea today ."] * 30)  # is cut, which a line on stderr says
model.encode(["ada eats tea .", long])
model.encode(["ada eats"], ["tea ."], hidden_states=True, attention_maps=True)
embed(model, ["ada eats tea .", long] * 20)
fill_mask(model, "ada eats [MASK] .")
next_sentence(model, "ada eats tea .", "ben eats milk .")
print(changed(before, state()))
sys.stderr.isatty = lambda: True
with terminal.progress_bar("on a terminal", 3) as bar:
    terminal.say("a line above the bar")
    bar.update()
print(changed(before, state()))
"""
# One line for each part of the state, which must be seen.
CHANGES = {
    "environment": "os.environ['A_GUEST'] = '1'",
    "folder": "os.umask(0o77)",
    "Numba's settings": "config.CACHE_DIR = '/tmp'",
    "Numba's threads": "numba.set_parallel_chunksize(2)",
    "NumPy's errors": "np.seterr(over='ignore')",
    "NumPy's random numbers": "np.random.random()",
    "Python's random numbers": "random.random()",
    "warnings": "warnings.simplefilter('ignore')",
    "hooks": "sys.excepthook = print",
    "streams": "sys.stdout = sys.stderr",
    "signals": "signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "locale": "locale.setlocale(locale.LC_ALL, 'C' if locale.setlocale(locale.LC_ALL) != 'C' else 'C.UTF-8')",
    "logging": "logging.basicConfig()",
    "limits": "sys.setrecursionlimit(5000)",
    "arithmetic": "decimal.getcontext().prec = 9",
    "garbage": "gc.disable()",
    "threads": "threading.Thread(target=threading.Event().wait, daemon=True).start()",
    "processes": "multiprocessing.set_start_method('spawn', force=True)",
}

SEE = """
report = sys.stdout
assert set(changes) == set(before)
for part, change in changes.items():
    before = state()
    exec(change)
    if changed(before, state()) != [part]:
        sys.exit(f"{change}: seen in {changed(before, state())}, not in {part}")
print("all seen", file=report)
"""


def in_a_process(code, *arguments, seconds=600):
    """-> what the program prints; it must end well"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
        env=environment, timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@compiled
def test_a_program_is_left_as_it_was(tmp_path):
    folder = write_model(tmp_path / "model", MOBILE, "pretraining")
    assert in_a_process(STATE + USE, folder) == "[]\n[]\n"


@compiled
def test_every_part_of_that_state_would_be_seen_to_change():
    code = STATE + f"changes = {CHANGES!r}\n" + SEE
    assert in_a_process(code) == "all seen\n"


MESSAGES = """
import multiprocessing, sys, threading
from minimobilebert.support import terminal
terminal.say("one line")
sys.stderr.isatty = lambda: True
with terminal.progress_bar("on a terminal", 3) as bar:
    bar.update()
print(threading.active_count(), multiprocessing.get_start_method(allow_none=True))
"""


def test_messages_start_no_thread_and_leave_the_start_method_open():
    assert in_a_process(MESSAGES) == "1 None\n"  # Numba settles the method too, with its first parallel kernel


FORK = """
import os, sys, warnings
warnings.simplefilter("ignore")  # newer Pythons warn where a process with threads is forked
from minimobilebert import Model
from minimobilebert.inference.embed import embed
model = Model.load(sys.argv[1])
texts = ["ada eats tea today ."] * 64
expected = embed(model, texts).tobytes()
child = os.fork()
if child == 0:
    os._exit(0 if embed(model, texts).tobytes() == expected else 3)
assert os.waitpid(child, 0)[1] == 0
assert embed(model, texts).tobytes() == expected
print("same bits")
"""


@compiled
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_fork_after_use_gets_the_same_vectors(tmp_path):
    assert in_a_process(FORK, write_model(tmp_path / "model", MOBILE)) == "same bits\n"


# ------------------------------------------------------------------------------- threads and memory


@pytest.mark.parametrize("config", [BERT, MOBILE], ids=["bert", "mobilebert"])
def test_eight_threads_that_embed_get_the_bits_of_one(backend, config, tmp_path):
    folder = write_model(tmp_path / "model", config)
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 40))) for _ in range(100)]
    expected = embed(Model.load(folder), texts).tobytes()
    memory.release_memory()
    used = memory.memory_in_use()[0]
    model, found, start = Model.load(folder), [], threading.Barrier(8)

    def work():
        start.wait()  # all meet where the weights are packed
        found.extend(embed(model, texts).tobytes() for _ in range(2))

    at_once([work] * 8)
    assert found == [expected] * 16
    taken, idle = memory.memory_in_use()
    assert taken == used and idle <= memory.LARGEST_IDLE
    memory.release_memory()
    assert memory.memory_in_use() == (used, 0)


# ------------------------------------------------------------------------------- the caller's arrays


def arrays_in(value):
    """All arrays of a tuple, list, dict, or of what a function has bound."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        yield from arrays_in(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from arrays_in(part)
    elif callable(value):
        yield from arrays_in([cell.cell_contents for cell in getattr(value, "__closure__", None) or ()])


class Untouched:
    """`with Untouched(arrays):` fails where one's numbers or flags are others afterwards."""

    def __init__(self, *values):
        self.arrays = list(arrays_in(values))

    def state(self):
        return [(array.tobytes(), str(array.flags), array.shape, array.strides) for array in self.arrays]

    def __enter__(self):
        self.before = self.state()

    def __exit__(self, kind, *_):
        assert kind or self.state() == self.before


def run_case(name, dtype, writeable):
    """Forward and backward of a case, whose arrays are writeable or not -> outputs and gradients"""
    case = CASES[name](np.random.default_rng(11))
    inputs = [array.astype(dtype) for array in case.inputs.values()]
    for array in arrays_in([inputs, case.forward, case.backward]):  # labels, masks and teachers are bound
        array.flags.writeable = writeable
    with Untouched(inputs, case.forward, case.backward):
        y, cache = case.forward(*inputs)
    rng = np.random.default_rng(5)
    parts = y if isinstance(y, tuple) else (y,)
    dy = tuple(rng.normal(size=part.shape).astype(dtype) if np.ndim(part) else 0.5 for part in parts)
    for array in arrays_in(dy):
        array.flags.writeable = writeable
    with Untouched(inputs, dy, y, case.forward, case.backward):
        gradients = case.backward(dy if isinstance(y, tuple) else dy[0], cache)
    return [np.asarray(value).tobytes() for value in arrays_in([y, gradients])]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_operations_change_no_array_that_they_are_given(backend, name, dtype):
    assert run_case(name, dtype, writeable=True) == run_case(name, dtype, writeable=False)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_model_changes_no_array_that_it_is_given(backend, name):
    config, results = CONFIGS[name], []
    for writeable in (True, False):
        params = random_parameters(config, np.random.default_rng(1), dtype=np.float32)
        batch = random_batch(config, np.random.default_rng(2))
        for array in arrays_in([params, batch]):
            array.flags.writeable = writeable
        with Untouched(params, batch):
            losses, gradients = pretraining_step(params, config, batch)
            hidden = Engine(params, config)(batch.input_ids, batch.token_type_ids, batch.attention_mask)
        results.append([repr(losses), *(value.tobytes() for value in arrays_in([gradients, hidden]))])
    assert results[0] == results[1]
