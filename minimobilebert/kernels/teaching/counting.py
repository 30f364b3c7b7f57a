"""Arrays that write down which of their numbers a loop reads and writes, and in which order.

    log = []
    a, b, out = (counted(x, log, name) for x, name in ((a, "a"), (b, "b"), (out, "out")))
    multiply_naive(a, b, out)
    log                                  [("a", 0, READ), ("b", 0, READ), ..., ("out", 0, WRITTEN)]

    memory   | 0 | 1 | 2 | 3 | 4 | 5 | ...     a loop that walks along it: 0, 1, 2, ...
                                               one that goes down a column: 0, 4, 8, ...

How often a loop goes to memory, and whether it walks along it, decides how fast it is once it is compiled; and unlike
a time it is the same number on every machine. Compiled functions do not take such arrays; in `with in_python(ladder):`
the functions of a kernel file are plain Python, as they always are with MINIMOBILEBERT_BACKEND=numpy. A position is
counted in numbers from the array's first one, as the array lies in memory. A whole row in arithmetic (`out[i] += x *
b[k]`) counts as its numbers one after the other. A product of matrices in one call has no loops to count: TypeError.
"""

import contextlib

import numpy as np

READ, WRITTEN = 0, 1


class Counted(np.ndarray):
    """See above; made by `counted`."""

    def __array_finalize__(self, source):
        self.log, self.name, self.start = (getattr(source, key, None) for key in ("log", "name", "start"))

    def positions(self):
        """Where each of its numbers lies, counted from the first of the array that it is a part of."""
        first = (self.__array_interface__["data"][0] - self.start) // self.itemsize
        positions = np.full(self.shape, first)
        for stride, along in zip(self.strides, np.indices(self.shape), strict=True):
            positions += stride // self.itemsize * along
        return positions

    def note(self, positions, what):
        """Add one entry for each position."""
        self.log.extend((self.name, int(position), what) for position in np.ravel(positions))

    def __getitem__(self, index):
        plain = self.view(np.ndarray)[index]
        if isinstance(plain, np.ndarray) and np.may_share_memory(plain, self.view(np.ndarray)):
            return super().__getitem__(index)  # a part of it; its numbers are counted when they are used
        self.note(self.positions()[index], READ)
        return plain

    def __setitem__(self, index, value):
        if isinstance(value, Counted):
            if value.size and value.start == self.start and np.array_equal(value.positions(), self.positions()[index]):
                return  # the end of `out[i] += ...`: the addition has written it already
            value = value[...].plain()
        self.note(self.positions()[index], WRITTEN)
        self.view(np.ndarray)[index] = value

    def plain(self):
        """Read all of it -> an ordinary array"""
        self.note(self.positions(), READ)
        return self.view(np.ndarray)

    def __array_ufunc__(self, function, method, *inputs, out=(), **more):
        if function is np.matmul:
            raise TypeError("a product in one call (@): expected loops, there is nothing to count in it")
        inputs = [x.plain() if isinstance(x, Counted) else x for x in inputs]
        if out:
            more["out"] = tuple(x.view(np.ndarray) if isinstance(x, Counted) else x for x in out)
        result = getattr(function, method)(*inputs, **more)
        for x in out:
            if isinstance(x, Counted):
                x.note(x.positions(), WRITTEN)
        return out[0] if out else result

    def __array_function__(self, function, kinds, args, kwargs):
        if function.__name__.endswith("_like"):
            return function(*(x.view(np.ndarray) if isinstance(x, Counted) else x for x in args), **kwargs)
        raise TypeError(f"np.{function.__name__}: expected loops, there is nothing to count in it")


def counted(x, log, name):
    """x, looked at through an array that adds (name, position, READ or WRITTEN) to `log` whenever it is used"""
    view = x.view(Counted)
    view.log, view.name, view.start = log, name, x.__array_interface__["data"][0]
    return view


@contextlib.contextmanager
def in_python(module):
    """Inside, the compiled functions of `module` are the Python functions that they were made from."""
    compiled = {name: value for name, value in vars(module).items() if hasattr(value, "py_func")}
    vars(module).update((name, value.py_func) for name, value in compiled.items())
    try:
        yield module
    finally:
        vars(module).update(compiled)
