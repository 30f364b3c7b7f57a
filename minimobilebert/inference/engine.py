"""The encoder for inference: weights are packed once, and one compiled call runs all blocks (kernels/encoder.py).

    engine = Engine(params, config)
    hidden = engine(input_ids, token_type_ids, attention_mask)

returns the last hidden state of `encoder_forward`, without dropout and without caches for a backward pass, in the
precision that is chosen (kernels/runtime/precision.py), or in 8 bits where the parameters are. The first call in a
precision packs a copy of the blocks' weights. After a change of the parameters, make a new engine. An engine is
thread-safe.
"""

import numpy as np

from ..kernels import encoder as kernel
from ..kernels.gemm.epilogue import ACTIVATIONS
from ..kernels.gemm.packing import panels_of
from ..kernels.gemm.panels import pack_matrix, packed_depth
from ..kernels.gemm.tiles import nr_of
from ..kernels.gemm.views import as_matrix
from ..kernels.quantized import range_of
from ..kernels.rows import expect
from ..kernels.runtime import locks
from ..kernels.runtime.backend import current_backend
from ..kernels.runtime.jit import get_num_threads
from ..kernels.runtime.precision import operands_of
from ..model.embeddings import embeddings_forward
from ..model.encoder import encoder_forward
from ..model.parameters import feed_forward_names
from ..model.quantization import is_quantized
from ..ops.fusion import fused

MOST_ROWS = 128  # of one part, so that its activations between two layers stay in the L2 cache


def _dense_names(config):
    """Names of each dense layer and the normalisation after it, in the order of the kernel; None for a missing one."""
    bottleneck = config.use_bottleneck
    shared = config.key_query_shared_bottleneck and not config.bottleneck_attention
    names = [
        ("bottleneck.input.dense", "bottleneck.input.LayerNorm") if bottleneck else None,
        ("bottleneck.attention.dense", "bottleneck.attention.LayerNorm") if shared else None,
        *((f"attention.self.{part}", None) for part in ("query", "key", "value")),
        ("attention.output.dense", "attention.output.LayerNorm"),
        ("output.bottleneck.dense", "output.bottleneck.LayerNorm") if bottleneck else None,
    ]
    for ffn in feed_forward_names(config):
        names += [(f"{ffn}intermediate.dense", None), (f"{ffn}output.dense", f"{ffn}output.LayerNorm")]
    return names


class _Arena:
    """Concatenates arrays, each padded with zeros to whole panels. `add` returns the offset of an array."""

    def __init__(self, dtype, nr):
        self.dtype, self.nr, self.pieces, self.size = dtype, nr, [], 0

    def add(self, numbers):
        start = self.size
        self.pieces.append(numbers)
        self.size += -(-numbers.size // self.nr) * self.nr
        return start

    def add_weight(self, weight):
        outputs, inputs = weight.shape
        like = np.empty(0, self.dtype)
        panels = np.zeros((panels_of(outputs, like), packed_depth(inputs, like), self.nr), self.dtype)
        pack_matrix(as_matrix(weight.T), panels)
        return self.add(panels.reshape(-1))

    def joined(self):
        arena = np.zeros(self.size + self.nr, self.dtype)
        start = 0
        for piece in self.pieces:
            arena[start : start + piece.size] = piece
            start += -(-piece.size // self.nr) * self.nr
        return arena


class Engine:
    """params {name: array}, config: the model. Packing makes a second copy of the blocks' weights."""

    def __init__(self, params, config):
        self.params, self.config = params, config
        self.quantized = is_quantized(params)
        self._packed = {}  # by the type that products read

    def _pack(self, operands):
        """operands: the type that products read

        -> all matrices in one array, all other numbers in another one, and their table [L, D, 8]
        """
        config, params = self.config, self.params
        names = _dense_names(config)
        dtype = params[f"{config.prefix}.embeddings.LayerNorm.weight"].dtype
        nr = nr_of(np.empty(0, dtype))
        panels, arena = _Arena(operands, nr), _Arena(dtype, nr)
        table = np.zeros((config.num_hidden_layers, len(names), 8), np.int64)
        for layer in range(config.num_hidden_layers):
            prefix = f"{config.prefix}.encoder.layer.{layer}."
            for d, pair in enumerate(names):
                if pair is None:
                    continue
                dense, norm = pair
                slot, weight = table[layer, d], params[f"{prefix}{dense}.weight"]
                if self.quantized:
                    words, starts, scales = weight.packed
                    slot[kernel.MATRIX], slot[kernel.STARTS] = panels.add(words), panels.add(starts)
                    slot[kernel.SCALES] = arena.add(scales)
                    slot[kernel.RANGE] = arena.add(range_of(weight))
                else:
                    slot[kernel.MATRIX] = panels.add_weight(weight)
                slot[kernel.BIAS] = arena.add(params[f"{prefix}{dense}.bias"])
                if norm:
                    slot[kernel.NORM_SCALE] = arena.add(params[f"{prefix}{norm}.weight"])
                    slot[kernel.NORM_SHIFT] = arena.add(params[f"{prefix}{norm}.bias"])
            if self.quantized:
                self._note_same_inputs(prefix, names, table[layer])
        return panels.joined(), arena.joined(), table

    def _note_same_inputs(self, prefix, names, slots):
        """Set SAME_INPUT in one layer's part of the table: such a layer finds its x in 8 bits already."""
        reads, before = self._reads(), None
        value = "n" if reads == kernel.READS_INPUT else "h"
        query = "shared" if reads == kernel.READS_SHARED else value
        arrays = dict(zip(kernel.PART_A, ("h", "h", value, query, query), strict=True))
        for d in kernel.PART_A:
            if names[d]:
                read = arrays[d], range_of(self.params[f"{prefix}{names[d][0]}.weight"])
                slots[d, kernel.SAME_INPUT] = int(read == before)
                before = read

    def _reads(self):
        if self.config.bottleneck_attention:
            return kernel.READS_INPUT
        return kernel.READS_SHARED if self.config.key_query_shared_bottleneck else kernel.READS_H

    def __call__(self, input_ids, token_type_ids, attention_mask):
        """input_ids, token_type_ids [B, T] integers, attention_mask [B, T] bool -> last hidden state [B, T, H]"""
        config = self.config
        if current_backend() == "numpy" or not fused() or not input_ids.size:
            output, _ = encoder_forward(self.params, config, input_ids, token_type_ids, attention_mask)
            return output.hidden_states[-1]
        norm = self.params[f"{config.prefix}.embeddings.LayerNorm.weight"]
        operands = np.dtype(np.int32) if self.quantized else operands_of(norm.dtype).dtype
        with locks.packing:
            if operands not in self._packed:
                self._packed[operands] = self._pack(operands)
        panels, arena, table = self._packed[operands]
        mask = np.ascontiguousarray(attention_mask, dtype=bool)
        expect("encoder", "attention_mask", mask, input_ids.shape, mask.dtype)
        h, _ = embeddings_forward(self.params, config, input_ids, token_type_ids)
        rows, threads = mask.size, get_num_threads()
        parts = min(rows, threads * -(-rows // (threads * MOST_ROWS)))
        sizes = (config.hidden_size, config.inner_size, config.intermediate_size, config.num_attention_heads,
                 config.num_feedforward_networks)  # fmt: skip
        flags = (int(config.use_bottleneck), self._reads(), int(config.normalization_type == "layer_norm"),
                 ACTIVATIONS[config.hidden_act])  # fmt: skip
        kernel.encoder_blocks(parts, h, mask, (panels, arena, table, sizes, flags, h.dtype.type(config.layer_norm_eps)))
        return h
