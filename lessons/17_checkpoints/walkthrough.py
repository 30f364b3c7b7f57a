# %% [markdown]
# # Lesson 17: real checkpoints and parity
# `python lessons/17_checkpoints/walkthrough.py`, a few seconds; nothing is downloaded. It runs the lesson's two
# functions: in a student edition it works once they are written.

# %%
import numpy as np

from minimobilebert.config import PRESETS, ModelConfig
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.interop.hf_names import match_parameters, names_for_hf
from minimobilebert.interop.safetensors_files import InteropError
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.encoder import encoder_forward
from minimobilebert.model.parameters import init_parameters, parameter_shapes

stop_where_one_is_missing()

use_backend("numpy")  # small arrays: nothing is worth compiling here
rng = np.random.default_rng(17)

SMALL = ModelConfig(
    vocab_size=40, hidden_size=24, embedding_size=24, intra_bottleneck_size=12, intermediate_size=16,
    num_hidden_layers=6, num_attention_heads=2, max_position_embeddings=12, initializer_range=0.3,
    use_bottleneck=True, trigram_input=True, key_query_shared_bottleneck=True, hidden_act="relu",
    num_feedforward_networks=2, normalization_type="no_norm", classifier_activation=False,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip

# %% [markdown]
# ## 1. What is in the released file

# %%
RELEASED = PRESETS["mobilebert"]
shapes = parameter_shapes(RELEASED, "pretraining")
layer = [name for name in shapes if ".layer.0." in name]
numbers = {name: int(np.prod(shape)) for name, shape in shapes.items()}
print(f"MobileBERT for pre-training: {len(shapes)} tensors, {len(layer)} in a layer, {sum(numbers.values()):,} numbers")
for name in ("embeddings.word_embeddings.weight", "encoder.layer.0.attention.self.value.weight"):
    print(f"  {RELEASED.prefix}.{name}  {list(shapes[f'{RELEASED.prefix}.{name}'])}")

# %% [markdown]
# ## 2. A small model in the old spelling, and back
# The same names a file of 2019 has: no prefix, gamma and beta.

# %%
shapes = parameter_shapes(SMALL, None)
params = init_parameters(shapes, SMALL, rng, np.float32)
for name in params:
    if "LayerNorm" in name:
        params[name] = params[name] + (0.1 * rng.normal(size=params[name].shape)).astype(np.float32)


def old_spelling(tensors):
    old = {}
    for name, array in names_for_hf(tensors, SMALL, None).items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        old[name] = array
    return old


file = old_spelling(params)
found, notes = match_parameters(dict(file), shapes, SMALL, None, "a file")
same = all(np.array_equal(found[name], params[name]) for name in params)
print(f"\n{len(file)} tensors written with old names, {len(found)} read, all numbers the same: {same}; notes: {notes}")
print(f"one of them: {sorted(file)[-1]} -> {sorted(found)[-1]}")
del file["encoder.layer.3.output.LayerNorm.gamma"]
try:
    match_parameters(file, shapes, SMALL, None, "the same file without one")
except InteropError as error:
    print(error)

# %% [markdown]
# ## 3. A mistake that every name and shape survives
# In layer 3 the normalisation's weight and bias are exchanged. Both have the same shape. Layer by layer, the largest
# difference, relative to the largest entry.

# %%
ids = rng.integers(5, 40, (2, 8)).astype(np.int32)
kinds, mask = np.zeros_like(ids), np.ones(ids.shape, bool)


def hidden_states(parameters):
    return encoder_forward(parameters, SMALL, ids, kinds, mask)[0].hidden_states


def relative(found, reference):
    return float(np.abs(found - reference).max() / np.abs(reference).max())


wrong = dict(params)
name = f"{SMALL.prefix}.encoder.layer.3.output.bottleneck.LayerNorm"
wrong[f"{name}.weight"], wrong[f"{name}.bias"] = params[f"{name}.bias"], params[f"{name}.weight"]
match_parameters(dict(wrong), shapes, SMALL, None, "exchanged")
print("\nexchanged weight and bias: names and shapes are all accepted")
right, found = hidden_states(params), hidden_states(wrong)
exact = hidden_states({key: array.astype(np.float64) for key, array in params.items()})
print("after          exchanged   float32 against float64")
for layer, (a, b, c) in enumerate(zip(found, right, exact, strict=True)):
    place = "embeddings" if layer == 0 else f"layer {layer - 1}"
    rounding = relative(b.astype(np.float64), c)
    print(f"{place:<12} {relative(a, b):>11.4f}   {'below 1e-5' if rounding < 1e-5 else f'{rounding:.0e}':>23}")

# %% [markdown]
# ## 4. What is a small difference?
# The released MobileBERT's last hidden vector at [CLS] begins with a number near -2.47e7.

# %%
cls = np.float32(-2.4736526e7)
print(f"\nnext to {cls:.0f} in float32: {np.nextafter(cls, np.float32(0)):.0f}; a gap of {abs(np.spacing(cls)):.0f}")
print(f"one such gap is {abs(float(np.spacing(cls)) / float(cls)):.1e} of the number")
print(f"largest number in float16: {np.finfo(np.float16).max:.0f}")
