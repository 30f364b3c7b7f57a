"""Run this project's model and transformers' model with the same parameters on the same batch.

The transformers model is built from the settings and tensors that `convert` writes, so the comparison also tests the
exported files. Both return, without dropout,

    hidden_states[l] [B, T, H]    attention_maps[l] [B, A, T, T], probabilities
    word_logits [M, V]            next_sentence_logits [B, 2]            loss [1]

and the gradient of the loss for every parameter.
"""

import warnings

import numpy as np

from ..interop.hf_config import config_to_hf
from ..interop.hf_names import tensors_for_hf
from ..model.parameters import parameter_shapes
from ..model.pretraining import pretraining_forward, pretraining_step
from ..support.extras import require
from .differences import PAD_ID, Run, differences

HEAD = "pretraining"
_IGNORED = -100  # the label of positions that PyTorch's loss ignores
_TIED = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}


def _in_order(hidden_states, attention_maps, **rest):
    """{name: tensor} of a forward pass, in the order of computation."""
    named = {"hidden_states[0]": hidden_states[0]}
    for layer, (attention, hidden) in enumerate(zip(attention_maps, hidden_states[1:], strict=True)):
        named |= {f"attention_maps[{layer}]": attention, f"hidden_states[{layer + 1}]": hidden}
    return named | rest


def run_minimobilebert(params, config, batch):
    """Forward pass, loss and gradients of this project's model for one pre-training step -> Run"""
    output, _ = pretraining_forward(params, config, batch)
    losses, gradients = pretraining_step(params, config, batch)
    forward = _in_order(
        output.encoder.hidden_states, output.encoder.attention_maps, word_logits=output.word_logits,
        next_sentence_logits=output.next_sentence_logits, loss=np.array([losses["loss"]]),
    )  # fmt: skip
    return Run(forward, {name: gradients[name] for name in parameter_shapes(config, HEAD)})


_CLASSES = {
    "pretraining": "AutoModelForPreTraining",
    "classification": "AutoModelForSequenceClassification",
    "question-answering": "AutoModelForQuestionAnswering",
}


def build_transformers_model(params, config, attention="eager", head=HEAD, num_labels=None):
    """transformers' model with the parameters `params`. InteropError if transformers cannot build it.

    attention: transformers' attn_implementation; None is its default. Only "eager" returns attention maps.
    head, num_labels: the head of `params`
    """
    settings = config_to_hf(config, head, num_labels, "parity")
    torch, transformers = require("torch", "compare"), require("transformers", "compare")
    with warnings.catch_warnings():
        # If E = H, the free decoder matrix has no entries, and PyTorch warns that it cannot initialise it.
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        model = getattr(transformers, _CLASSES[head]).from_config(
            transformers.AutoConfig.for_model(**settings),
            **({"attn_implementation": attention} if attention else {}),
        )
    # Copies, so that `.to(float64)` and training steps do not modify `params`.
    tensors = {name: torch.tensor(array) for name, array in tensors_for_hf(params, config, head).items()}
    report = model.load_state_dict(tensors, strict=False)
    left = set(report.missing_keys) - _TIED
    if not config.has_embedding_transformation:  # transformers builds it anyway but does not use it
        left -= {name for name in left if ".embedding_transformation." in name}
    if left or report.unexpected_keys:
        raise ValueError(f"parity: found no minimobilebert weights for {sorted(left)} and no transformers weights for"
                         f" {report.unexpected_keys}, expected the same names in both")  # fmt: skip
    return model.eval()


def run_transformers(model, batch):
    """Forward pass, loss and gradients (by autograd) of transformers' model, in the dtype of its parameters -> Run"""
    torch = require("torch", "compare")
    labels = np.full(batch.input_ids.size, _IGNORED)
    labels[batch.masked_positions] = batch.masked_labels
    inputs = {
        "input_ids": batch.input_ids, "token_type_ids": batch.token_type_ids, "attention_mask": batch.attention_mask,
        "labels": labels.reshape(batch.input_ids.shape), "next_sentence_label": batch.next_sentence_labels,
    }  # fmt: skip
    model.zero_grad(set_to_none=True)
    output = model(**{name: torch.tensor(np.asarray(array, np.int64)) for name, array in inputs.items()},
                   output_hidden_states=True, output_attentions=True)  # fmt: skip
    output.loss.backward()
    words = output.prediction_logits.flatten(0, 1)[torch.tensor(batch.masked_positions)]
    forward = _in_order(
        output.hidden_states, output.attentions, word_logits=words,
        next_sentence_logits=output.seq_relationship_logits, loss=output.loss.reshape(1),
    )  # fmt: skip
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None and p.numel()}
    return Run({name: tensor.detach().numpy() for name, tensor in forward.items()}, gradients)


def compare(params, config, batch, reference):
    """Compare this project's model, with `params`, with the transformers model `reference` -> list of Difference"""
    pad_is_read = bool((batch.input_ids == PAD_ID).any())
    return differences(run_minimobilebert(params, config, batch), run_transformers(reference, batch), pad_is_read)
