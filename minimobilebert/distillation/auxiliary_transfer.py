"""Auxiliary knowledge transfer: layer-wise transfer as a helper of distillation, all at once (Section 3.6, "AKT").

    L = L_KT(1) + ... + L_KT(L)  +  L_PD                one stage, every parameter learns

L_KT is that of `layer_transfer.py`, L_PD that of `pretraining_distillation.py`. One forward pass of each model
serves all of it. The two parts want different things at the same time, which is why the paper prefers to
transfer first and distil afterwards (joint and progressive transfer).
"""

from ..model.pretraining import pretraining_backward, pretraining_forward
from .layer_transfer import transfer_losses
from .pretraining_distillation import distillation_losses


def auxiliary_transfer_step(params, config, teacher, teacher_config, batch, settings, alpha=0.5, rng=None):
    """Losses and gradients of one step.

    -> {"loss", "feature_map_transfer", "attention_transfer", "distillation_loss", "nsp_loss"}, gradients
    """
    theirs, _ = pretraining_forward(teacher, teacher_config, batch, keep_scores=True)
    ours, cache = pretraining_forward(params, config, batch, rng, keep_scores=True)
    distillation, dwords, dnext = distillation_losses(ours, theirs, batch, alpha)
    layers = range(config.num_hidden_layers)
    transfer, gradients = transfer_losses(
        ours.encoder, theirs.encoder, batch.attention_mask, layers, settings, len(layers)
    )
    grads = pretraining_backward(
        dwords, dnext, cache, config, dhidden_states=gradients.hidden_states, dscores=gradients.scores
    )
    return {**transfer, **distillation, "loss": distillation["loss"] + transfer["loss"]}, grads
