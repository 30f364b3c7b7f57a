"""The toy work of the tests with several ranks: a model with dropout, and one batch of seven rows."""

from tiny_models import CONFIGS

from minimobilebert.model.pretraining import pretraining_step

CONFIG = CONFIGS["mobilebert"].replace(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.1)
LENGTHS = (9, 4, 7, 3, 8, 6, 5)


def pretrain(params, batch, step, rng, shares):
    return pretraining_step(params, CONFIG, batch, rng, shares)
