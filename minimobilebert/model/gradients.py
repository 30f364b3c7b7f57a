"""Where a backward pass writes its gradients: a dict, or one that tells a listener of every gradient as it is written.

Only training on several ranks listens: gradients of the upper layers travel while the lower layers' backward still runs
(distributed/overlap.py).
"""

import contextlib
import threading

_of_thread = threading.local()


class _Told(dict):
    """A dict that calls listener(name, gradient) for each entry"""

    def __init__(self, listener):
        super().__init__()
        self._listener = listener

    def __setitem__(self, name, gradient):
        super().__setitem__(name, gradient)
        self._listener(name, gradient)

    def update(self, entries):
        """entries: pairs (name, gradient); dict's own `update` would not call the listener"""
        for name, gradient in entries:
            self[name] = gradient


def new_gradients():
    """An empty {name: array} for the gradients of one backward pass"""
    listener = getattr(_of_thread, "listener", None)
    return {} if listener is None else _Told(listener)


@contextlib.contextmanager
def listening(listener):
    """`with listening(listener):` each gradient is told to listener(name, gradient)"""
    _of_thread.listener = listener
    try:
        yield
    finally:
        _of_thread.listener = None
