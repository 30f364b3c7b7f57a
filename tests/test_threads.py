"""Threads and processes: whoever calls, from wherever, gets the bits that one thread computes."""

import functools
import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from thread_counts import at_once

from minimobilebert.kernels.runtime import locks, memory, processors
from minimobilebert.kernels.runtime.jit import HAVE_NUMBA, get_num_threads, jit_parallel, prange

LAYERS = ("omp", "tbb", "workqueue")
compiled = pytest.mark.skipif(not HAVE_NUMBA, reason="Numba is switched off")

# Wide enough for parallel products, and new engines, so that threads meet in packing and compiling too.
SHARED = """
import hashlib, os, sys, threading
import numba, numpy as np
from numba.core import config
try:
    numba.get_num_threads()
except ValueError as error:
    print("not available:", " ".join(str(error).split())); sys.exit()
from tiny_models import CONFIGS, random_batch, random_parameters
from minimobilebert.inference.engine import Engine
from minimobilebert.model.pretraining import pretraining_step
config = CONFIGS["mobilebert"].replace(
    hidden_size=96, embedding_size=40, intra_bottleneck_size=80, intermediate_size=160, max_position_embeddings=70)
params = random_parameters(config, np.random.default_rng(1), dtype=np.float32)
batch = random_batch(config, np.random.default_rng(2), lengths=(60, 31, 44, 60))
ids, mask = batch.input_ids, batch.attention_mask

def digest(engine):
    losses, gradients = pretraining_step(params, config, batch)
    arrays = [engine(ids, 0 * ids, mask), *(gradients[name] for name in sorted(gradients))]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()

numba.set_num_threads(1)
expected = digest(Engine(params, config))
numba.set_num_threads(config_threads := min(2, numba.config.NUMBA_NUM_THREADS))
assert digest(Engine(params, config)) == expected
"""
THREADS = """
sys.setswitchinterval(1e-5)
for turn in range(3):
    found, engine = [], Engine(params, config)
    workers = [threading.Thread(target=lambda: found.extend(digest(engine) for _ in range(2))) for _ in range(8)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    assert found == [expected] * 16, found
print("same bits")
"""
# What a child gets back from the parent's pool is read in its own threads as well.
FORK = """
engine, stop = Engine(params, config), threading.Event()
def busy():
    while not stop.is_set(): engine(ids, 0 * ids, mask)
other = threading.Thread(target=busy, daemon=True)
other.start()
for turn in range(3):
    child = os.fork()
    if child == 0:
        os._exit(0 if digest(engine) == expected else 3)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
stop.set()
other.join()
assert digest(engine) == expected
print("same bits")
"""


def in_a_process(layer, code, seconds=900):
    """Run the code with one of Numba's threading layers -> its last line; skips where the layer is not installed

    seconds: for compiling everything on a machine that has other work, too.
    """
    environment = os.environ | {"NUMBA_THREADING_LAYER": layer, "PYTHONPATH": os.path.dirname(__file__)}
    if sys.platform == "linux":  # where pip puts TBB, and the loader does not look
        paths = [os.path.join(sys.prefix, "lib"), os.environ.get("LD_LIBRARY_PATH")]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, paths))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], capture_output=True, text=True, env=environment,
        timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
    if done.stdout.startswith("not available:"):
        pytest.skip(f"{layer}: {done.stdout.strip()}")
    return done.stdout.splitlines()[-1]


@compiled
@pytest.mark.parametrize("layer", LAYERS)
def test_eight_threads_get_the_bits_of_one(layer):
    assert in_a_process(layer, SHARED + THREADS) == "same bits"


@compiled
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.parametrize("layer", LAYERS)
def test_a_process_forked_while_kernels_run_gets_the_same_bits(layer):
    assert in_a_process(layer, SHARED + FORK) == "same bits"


@jit_parallel
def _count_threads(counts):
    for i in prange(counts.size):
        counts[i] = numba_threads()


if HAVE_NUMBA:
    import numba
    from numba import get_num_threads as numba_threads

    from minimobilebert.kernels.runtime import threads


def in_a_thread(function):
    """Its result, computed by a new thread."""
    found = []
    worker = threading.Thread(target=lambda: found.append(function()))
    worker.start()
    worker.join()
    return found[0]


@compiled
def test_numbas_number_of_threads_is_respected():
    most, before = numba.config.NUMBA_NUM_THREADS, numba.get_num_threads()
    counts = np.zeros(4, np.int64)
    try:
        for count in (1, most):
            numba.set_num_threads(count)
            assert get_num_threads() == count
            _count_threads(counts)
            assert set(counts) == {count}
        numba.set_num_threads(1)
        assert in_a_thread(get_num_threads) == most  # Numba's number belongs to each thread
    finally:
        numba.set_num_threads(before)


@compiled
def test_a_quota_lowers_the_number_unless_somebody_said_one(monkeypatch):
    most = numba.config.NUMBA_NUM_THREADS
    if most == 1:
        pytest.skip("one processor: nothing to lower")
    monkeypatch.setattr(threads, "_limit", 0)
    monkeypatch.setattr(threads, "usable", lambda: 1)
    monkeypatch.setattr(numba.config, "NUMBA_DEFAULT_NUM_THREADS", most)
    counts = np.zeros(4, np.int64)

    def lowered():
        """What a kernel and the caller see, in a thread that said nothing."""
        launched = jit_parallel(_count_threads.py_func)
        launched(counts)
        return get_num_threads(), set(counts.tolist()), numba.get_num_threads()

    for environment, expected in (({"NUMBA_NUM_THREADS": str(most)}, most), ({}, 1)):
        monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        threads._start()
        assert in_a_thread(lowered) == (expected, {expected}, most)

    def said():
        threads.set_threads(most)
        return lowered()

    assert in_a_thread(said) == (most, {most}, most)


# ------------------------------------------------------------------------------- processors and quotas

V2 = "0::/\n", "30 29 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n"
V1 = (
    "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n0::/system\n",
    "33 32 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
    "34 32 0:30 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
)
NESTED = "0::/user/pod/me\n", "30 29 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
QUOTAS = {
    "version 2": (V2, {"cpu.max": "150000 100000\n"}, 1.5),
    "version 2, no limit": (V2, {"cpu.max": "max 100000\n"}, None),
    "version 2, no such file": (V2, {}, None),
    "version 2, nonsense": (V2, {"cpu.max": "much\n"}, None),
    "version 2, a group above limits": (NESTED, {"user/cpu.max": "50000 100000\n", "user/pod/me/cpu.max": "max 100000"}, 0.5),
    "version 2, the smallest counts": (NESTED, {"user/cpu.max": "400000 100000", "user/pod/me/cpu.max": "300000 100000"}, 3.0),
    "version 2, a group outside": (("0::/../../x\n", NESTED[1]), {"cpu.max": "250000 100000"}, 2.5),
    "version 1": (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 0.5),
    "version 1, no limit": (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, None),
    "version 1, seen from the host": (
        (V1[0], V1[1].replace(" /docker/abc ", " / ")),
        {"cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "200000", "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000"}, 2.0,
    ),
    "no groups": (("", ""), {}, None),
    "no such system": (None, {}, None),
}  # fmt: skip


@pytest.mark.parametrize(("system", "files", "expected"), QUOTAS.values(), ids=QUOTAS)
def test_a_containers_quota_is_found(system, files, expected, tmp_path, monkeypatch):
    if system:
        (tmp_path / "proc/self").mkdir(parents=True)
        for name, text in zip(("cgroup", "mountinfo"), system, strict=True):
            (tmp_path / "proc/self" / name).write_text(text)
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert processors.quota(tmp_path) == expected
    monkeypatch.setattr(processors, "affinity", lambda: 8)
    assert processors.usable(tmp_path) == (8 if expected is None else {0.5: 1, 1.5: 2, 2.5: 3}.get(expected, expected))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a system without affinity")
def test_affinity_is_respected():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert processors.affinity() == 1 and processors.usable() == 1
    finally:
        os.sched_setaffinity(0, before)


# ------------------------------------------------------------------------------- memory


def test_threads_share_the_pool_and_never_an_array():
    memory.release_memory()
    used, wrong = memory.memory_in_use()[0], []

    def work(number):
        rng, held = np.random.default_rng(number), []
        for _ in range(300):
            array = memory.empty(int(rng.integers(memory.SMALLEST // 4, memory.SMALLEST)), np.float32)
            array.fill(number)
            held.append(array)
            if len(held) > 4:
                old = held.pop(int(rng.integers(0, 5)))
                if old.min() != number or old.max() != number:
                    wrong.append(number)

    at_once([functools.partial(work, number) for number in range(8)])
    taken, idle = memory.memory_in_use()
    assert not wrong and taken == used and 0 < idle <= memory.LARGEST_IDLE
    assert idle == sum(size * len(arrays) for size, arrays in memory._idle.items())
    memory.release_memory()
    assert memory.memory_in_use() == (used, 0)


def test_an_array_may_end_while_its_own_thread_holds_the_pools_lock():
    x = memory.empty((memory.SMALLEST,), np.float32)
    with locks.memory:
        del x  # a garbage collection does this at any moment
    memory.release_memory()


def test_every_thread_has_its_own_scratch():
    scratch = memory.scratch(lambda dtype, numbers: np.empty(numbers, dtype))
    dtype = np.dtype(np.float32)
    mine = scratch.of(dtype, 100)
    assert scratch.of(dtype, 100) is mine and in_a_thread(lambda: scratch.of(dtype, 100)) is not mine
    assert scratch.of(dtype, 1000).size == 1000
    memory.release_memory()
    assert scratch.of(dtype, 100) is not mine
