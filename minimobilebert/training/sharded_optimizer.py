"""The optimiser's state, sharded over ranks (ZeRO stage 1; Rajbhandari et al., 2020, "ZeRO: Memory Optimizations").

AdamW keeps two moments for each of the n numbers of a model. Here each rank is the owner of some parameters, and keeps
the moments of these alone: with N ranks about 2 n / N numbers instead of 2 n.

    1. every rank has the gradients of all parameters (data_parallel.py)
    2. the owner of a parameter updates it, with the same arithmetic as without shards
    3. the owners send the new parameters to all

The bits are those of one process. Step 3 sends n (N - 1) / N numbers more for each rank.
"""

from ..distributed.communicator import current, exchange, send_dict
from ..distributed.owners import owners


class ShardedOptimizer:
    """An optimiser for the parameters that this rank owns.

    make(params) -> AdamW or LAMB for these parameters
    """

    def __init__(self, make, params):
        self._communicator = current()
        self._owner = owners({name: array.size for name, array in params.items()}, self._communicator.size)
        self._optimizer = make({name: array for name, array in params.items() if self._is_own(name)})

    def _is_own(self, name):
        return self._owner[name] == self._communicator.rank

    def step(self, params, gradients, learning_rate, multipliers=None, factor=1.0):
        """As an optimiser's; every rank gets the new parameters"""
        own = {name: gradient for name, gradient in gradients.items() if self._is_own(name)}
        self._optimizer.step(params, own, learning_rate, multipliers, factor)
        others = [rank for rank in range(self._communicator.size) if rank != self._communicator.rank]
        outgoing = [(rank, params[name]) for rank in others for name in own]
        incoming = [(self._owner[name], params[name]) for name in gradients if not self._is_own(name)]
        exchange(self._communicator, outgoing, incoming)

    def state(self):
        """The state of all parameters on rank 0, {} elsewhere -> {name: array}; every rank has to call it"""
        found = {}
        for rank in range(self._communicator.size):
            found |= send_dict(self._communicator, self._optimizer.state(), rank, [0])
        return found

    def load_state(self, state):
        """state: that of all parameters"""
        self._optimizer.load_state(state)
