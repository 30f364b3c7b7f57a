"""Auxiliary knowledge transfer (AKT): layer-wise transfer and distillation in one loss (Section 3.6).

    L = L_KT(1) + ... + L_KT(L)  +  L_PD                one stage; all parameters are trained

L_KT is defined in `layer_transfer.py`, L_PD in `pretraining_distillation.py`. All terms share one forward pass of each
model. The terms compete with each other. The paper therefore prefers transfer first and distillation afterwards (joint
and progressive transfer).
"""

from ..model.parts import WHOLE
from ..model.pretraining import pretraining_backward, pretraining_forward
from .layer_transfer import weighted_transfer_losses
from .pretraining_distillation import weighted_distillation_losses


def auxiliary_transfer_step(
    params, config, teacher, teacher_config, batch, settings, alpha=0.5, rng=None, shares=WHOLE
):
    """Losses and gradients of one step.

    shares: those of the batch, if it is a part of one (model/parts.py)
    -> {"loss", "feature_map_transfer", "attention_transfer", "distillation_loss", "nsp_loss"}, gradients
    """
    teacher_output, _ = pretraining_forward(teacher, teacher_config, batch, keep_scores=True)
    output, cache = pretraining_forward(params, config, batch, rng, keep_scores=True)
    distillation, dwords, dnext = weighted_distillation_losses(output, teacher_output, batch, alpha, shares)
    layers = range(config.num_hidden_layers)
    transfer, gradients = weighted_transfer_losses(
        output.encoder, teacher_output.encoder, batch.attention_mask, layers, settings, len(layers), shares
    )
    grads = pretraining_backward(
        dwords, dnext, cache, config, dhidden_states=gradients.hidden_states, dscores=gradients.scores
    )
    return {**transfer, **distillation, "loss": distillation["loss"] + transfer["loss"]}, grads
