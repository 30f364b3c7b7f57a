"""The sizes of students, derived from their teacher (H, L, A: its width, layers and heads; E: its word vectors).

    name             blocks                                    width C    layers     word vectors
    mobile           MobileBERT, as released                   H / 4      L          min(E, 128)
    mobile-shallow   the same                                  H / 4      L / 2      min(E, 128)
    mobile-thin      the same                                  H / 8      L          min(E, 64)
    tiny             MobileBERT_TINY: attention inside the     H / 4      L / 2      min(E, 64)
                     bottleneck, 2 feed-forward networks

All keep the teacher's H, so that the layers' outputs can be compared, and its A, so that the attention maps can; C is
rounded up to a multiple of A. The paper's student has H = 512, C = 128, E = 128. As in the paper, F = 4 C, NoNorm, ReLU
and trigrams; nothing is dropped out.
"""

from ..config import ModelConfig

NAMES = ("mobile", "mobile-thin", "mobile-shallow", "tiny")
_WIDTH_SHARE = {"mobile": 4, "mobile-thin": 8, "mobile-shallow": 4, "tiny": 4}
_WORD_VECTORS = {"mobile": 128, "mobile-thin": 64, "mobile-shallow": 128, "tiny": 64}


def _rounded_up(number, step):
    return -(-number // step) * step


def named_student(name, teacher):
    """name: one of NAMES; teacher: ModelConfig -> ModelConfig of the student"""
    heads, tiny = teacher.num_attention_heads, name == "tiny"
    width = _rounded_up(-(-teacher.hidden_size // _WIDTH_SHARE[name]), heads)
    layers = teacher.num_hidden_layers
    return ModelConfig(
        vocab_size=teacher.vocab_size,
        hidden_size=teacher.hidden_size,
        embedding_size=min(teacher.embedding_size, _WORD_VECTORS[name]),
        intra_bottleneck_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers if name in ("mobile", "mobile-thin") else -(-layers // 2),
        num_attention_heads=heads,
        num_feedforward_networks=2 if tiny else 4,
        use_bottleneck=True,
        bottleneck_attention=tiny,
        key_query_shared_bottleneck=not tiny,
        trigram_input=True,
        normalization_type="no_norm",
        hidden_act="relu",
        classifier_activation=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=teacher.max_position_embeddings,
        type_vocab_size=teacher.type_vocab_size,
        initializer_range=teacher.initializer_range,
        layer_norm_eps=teacher.layer_norm_eps,
    )
