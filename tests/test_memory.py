"""Memory that is used again: who gets it when, and that training steps ask for none once they have run twice."""

import numpy as np
from tiny_models import random_parameters

from minimobilebert.config import preset
from minimobilebert.kernels.runtime import memory
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.pretraining import pretraining_step
from minimobilebert.text.batches import PretrainingBatch

LARGE = memory.SMALLEST // 4 + 7  # float32 numbers


def address(x):
    return x.__array_interface__["data"][0]


def test_memory_comes_back_when_the_last_view_is_gone():
    x = memory.empty((LARGE,), np.float32)
    view, place = x[5:9], address(x)
    del x
    other = memory.empty((LARGE,), np.float32)
    assert address(other) != place  # the view still looks at it
    del view
    assert address(memory.empty((LARGE,), np.float32)) == place


def test_arrays_are_ordinary_arrays():
    for shape in ((LARGE,), (3, LARGE), (2, 3), (0, 4)):
        for dtype in (np.float32, np.float64):
            x = memory.empty(shape, dtype)
            assert x.shape == shape and x.dtype == dtype and x.flags.c_contiguous and x.flags.writeable
            x[...] = 1.0
            assert x.nbytes < memory.SMALLEST or address(x) % memory.ALIGNMENT == 0
    like = memory.empty_like(np.zeros((4, 5), np.float32).T)
    assert like.shape == (5, 4) and like.flags.c_contiguous


def test_what_waits_is_counted_bounded_and_released(monkeypatch):
    memory.release_memory()
    used = memory.memory_in_use()[0]
    x = memory.empty((LARGE,), np.float32)
    size = memory.memory_in_use()[0] - used
    assert 4 * LARGE + memory.ALIGNMENT <= size <= 1.125 * (4 * LARGE + memory.ALIGNMENT)
    assert memory.memory_in_use() == (used + size, 0)
    del x
    assert memory.memory_in_use() == (used, size)
    memory.release_memory()
    assert memory.memory_in_use() == (used, 0)
    monkeypatch.setattr(memory, "LARGEST_IDLE", size)
    x, y = (memory.empty((LARGE,), np.float32) for _ in range(2))
    del x, y
    assert memory.memory_in_use() == (used, size)
    memory.release_memory()


def test_sizes_that_are_not_asked_for_any_more_are_given_back():
    """Batches of ever new sizes hold no more than SPARE times the largest one."""
    memory.release_memory()
    most = memory.memory_in_use()[0]
    for length in range(30):
        arrays = [memory.empty((length + 30, LARGE), np.float32) for _ in range(3)]
        taken, idle = memory.memory_in_use()
        most = max(most, taken)
        assert taken + idle <= memory.SPARE * most
        places = {address(array) for array in arrays}
        del arrays
        again = memory.empty((length + 30, LARGE), np.float32)
        assert address(again) in places  # the last size is still there
        del again
    memory.release_memory()


def test_arrays_of_about_one_size_share_memory():
    """Batches of texts of 60 tokens, then of 61: one row of words more."""
    memory.release_memory()
    x = memory.empty((32, 60, 512), np.float32)
    place = address(x)
    del x
    y = memory.empty((32, 61, 512), np.float32)
    assert address(y) == place and memory.memory_in_use()[1] == 0
    y[...] = 1.0  # all of it is there
    z = memory.empty((32, 90, 512), np.float32)
    assert address(z) != place
    del y, z
    memory.release_memory()


def test_a_third_training_step_asks_the_system_for_nothing(monkeypatch):
    config = preset("classroom-student", num_hidden_layers=2, vocab_size=3000, attention_probs_dropout_prob=0.0)
    params = random_parameters(config, np.random.default_rng(1), dtype=np.float32)
    rng = np.random.default_rng(2)
    ids = rng.integers(0, 3000, (48, 64)).astype(np.int32)
    batch = PretrainingBatch(
        ids, np.zeros_like(ids), np.ones(ids.shape, bool), np.arange(0, ids.size, 8),
        rng.integers(0, 3000, ids.size // 8).astype(np.int32), np.zeros(48, np.int32),
    )  # fmt: skip
    fresh = []
    real = np.empty

    class Counting:
        """numpy with an `empty` that notes what comes from the system."""

        def __getattr__(self, name):
            return getattr(np, name)

        def empty(self, size, dtype):
            if dtype is np.uint8:
                fresh.append(size)
            return real(size, dtype)

    with use_backend("numba"):
        for _ in range(2):
            pretraining_step(params, config, batch)
        monkeypatch.setattr(memory, "np", Counting())
        pretraining_step(params, config, batch)
        assert fresh == []
        memory.release_memory()
        pretraining_step(params, config, batch)
        assert sum(fresh) > 30 * 2**20  # the same step, without what had been kept
