"""Hugging Face's config.json <-> ModelConfig and head.

Both model families are one dataclass in this project. A missing key has the default of the transformers class. The
defaults of BERT and MobileBERT differ, and they also differ from the files of the paper.
"""

from ..config import ConfigError, config_from_dict
from ..support.shapes import ANY, OneOf, check, shown
from ..training.model_folder import head_of
from .safetensors_files import InteropError

_ACTIVATION_FROM_HF = {"relu": "relu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
_ACTIVATION_TO_HF = {"relu": "relu", "gelu": "gelu", "gelu_tanh": "gelu_new"}

_SAME_NAME = {
    "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
}  # fmt: skip
_MOBILE_DEFAULTS = {
    **_SAME_NAME, "hidden_size": 512, "num_hidden_layers": 24, "num_attention_heads": 4, "intermediate_size": 512,
    "hidden_act": "relu", "hidden_dropout_prob": 0.0, "embedding_size": 128, "intra_bottleneck_size": 128,
    "trigram_input": True, "use_bottleneck": True, "use_bottleneck_attention": False,
    "key_query_shared_bottleneck": True, "num_feedforward_networks": 4, "normalization_type": "no_norm",
    "classifier_activation": True,
}  # fmt: skip

# The end of a transformers class name determines the head; None is the bare encoder.
_HEAD_OF_ENDING = {
    "ForPreTraining": "pretraining",
    "ForMaskedLM": "masked-words",
    "ForSequenceClassification": "classification",
    "ForQuestionAnswering": "question-answering",
    "Model": None,
}
_FAMILIES = {"bert": "Bert", "mobilebert": "MobileBert"}
WITHOUT_POOLER = ("masked-words", "question-answering")  # transformers classes with these heads have no pooler
MASKED_WORDS = ("pretraining", "masked-words")

# Settings, besides the sizes, that determine how the weights are read. We support neither custom code nor quantised or
# pruned weights.
_NOTHING = (None, OneOf({}, []))
_SHAPE = {
    "model_type?": (None, str),
    "hidden_act?": str,
    "architectures?": (None, [str]),
    "tie_word_embeddings?": (None, bool),
    "id2label?": (None, {str: ANY}),
    "auto_map?": _NOTHING,
    "quantization_config?": _NOTHING,
    "pruned_heads?": _NOTHING,
    str: ANY,
}


def _family(settings, location):
    family = settings.get("model_type")
    if family not in _FAMILIES:
        raise InteropError(f"{location}: model_type: found {shown(family)}, expected 'bert' or 'mobilebert'")
    return family


def config_from_hf(settings, location):
    """The dict of a config.json -> ModelConfig. InteropError with `location`, the field, found and expected."""
    check(settings, _SHAPE, location)
    family = _family(settings, location)
    for name, usual in (("position_embedding_type", "absolute"), ("is_decoder", False), ("add_cross_attention", False)):
        if settings.get(name, usual) != usual:
            raise InteropError(f"{location}: {name}: found {shown(settings[name])}, expected {usual!r}")
    found = {name: settings.get(name, default)
             for name, default in (_SAME_NAME if family == "bert" else _MOBILE_DEFAULTS).items()}  # fmt: skip
    if found["hidden_act"] not in _ACTIVATION_FROM_HF:
        names = ", ".join(_ACTIVATION_FROM_HF)
        raise InteropError(f"{location}: hidden_act: found {shown(found['hidden_act'])}, expected one of {names}")
    found["hidden_act"] = _ACTIVATION_FROM_HF[found["hidden_act"]]
    if family == "bert":
        # BERT does not use them, but ModelConfig requires consistent numbers.
        found |= {"embedding_size": found["hidden_size"], "intra_bottleneck_size": found["hidden_size"]}
    else:
        if not found["use_bottleneck"]:
            raise InteropError(f"{location}: use_bottleneck: found {found['use_bottleneck']!r}, expected true")
        found["bottleneck_attention"] = found.pop("use_bottleneck_attention")
        if found["bottleneck_attention"]:  # transformers then builds the shared bottleneck but ignores it
            found["key_query_shared_bottleneck"] = False
    try:
        return config_from_dict(found)
    except ConfigError as error:
        raise InteropError(f"{location}: {error}") from None


def head_from_hf(settings, names, location):
    """The head of a checkpoint -> a name of model.parameters.HEADS, or None if only the encoder can be read.

    settings: the dict of config.json; names: the tensors in the file, which determine the head if config.json does not
    For a class with an unsupported head (token classification, multiple choice) we read only the encoder.
    """
    prefix = _FAMILIES[_family(settings, location)]
    for architecture in settings.get("architectures") or []:
        if not architecture.startswith(prefix):
            raise InteropError(f"{location}: architectures: found {shown(architecture)}, expected one of {prefix}'s")
        head = _HEAD_OF_ENDING.get(architecture.removeprefix(prefix))
        # The files of BERT name a masked-word class but also contain the next-sentence head.
        if head == "masked-words" and "cls.seq_relationship.weight" in names:
            return "pretraining"
        return head
    return head_of(names)


def check_transformers_has(config, head, location):
    """InteropError if transformers cannot build the model."""
    family = "mobilebert" if config.use_bottleneck else "bert"
    if config.use_bottleneck and not (config.bottleneck_attention or config.key_query_shared_bottleneck):
        raise InteropError(
            f"{location}: found a model whose queries and keys read the wide block input (a teacher, or"
            " mobilebert-paper), expected bottleneck_attention or key_query_shared_bottleneck: transformers builds its"
            " query and key layers for the narrow width only, so it cannot hold this model"
        )
    if family == "bert" and (config.trigram_input or config.embedding_size != config.hidden_size):
        raise InteropError(
            f"{location}: found plain BERT with factorised embeddings, expected none: transformers has no such"
        )
    needs_pooler = head in ("pretraining", "classification")
    if family == "bert" and (config.normalization_type, config.num_feedforward_networks) != ("layer_norm", 1):
        raise InteropError(f"{location}: found plain BERT with NoNorm or stacked feed-forwards, expected neither")
    if family == "bert" and needs_pooler and not config.classifier_activation:
        raise InteropError(f"{location}: found BERT without a pooler, expected one: transformers always builds it here")


def settings_for_hf(config, head, num_labels, labels=None, pad_id=0):
    """ModelConfig and head -> the dict of a config.json. labels: names of the classes, or None"""
    family = "mobilebert" if config.use_bottleneck else "bert"
    ending = next(ending for ending, name in _HEAD_OF_ENDING.items() if name == head)
    settings = {"architectures": [_FAMILIES[family] + ending], "model_type": family, "dtype": "float32",
                "pad_token_id": pad_id}  # fmt: skip
    settings |= {name: getattr(config, name) for name in _SAME_NAME}
    settings["hidden_act"] = _ACTIVATION_TO_HF[config.hidden_act]
    settings["tie_word_embeddings"] = config.tie_word_embeddings
    if family == "mobilebert":
        settings |= {name: getattr(config, name) for name in _MOBILE_DEFAULTS if name != "use_bottleneck_attention"}
        settings["use_bottleneck_attention"] = config.bottleneck_attention
        settings["hidden_act"] = _ACTIVATION_TO_HF[config.hidden_act]
    if head == "classification":
        labels = labels or [f"LABEL_{i}" for i in range(num_labels)]
        settings["id2label"] = {str(i): name for i, name in enumerate(labels)}
        settings["label2id"] = {name: i for i, name in enumerate(labels)}
    return settings


def config_to_hf(config, head, num_labels, location, labels=None, pad_id=0):
    """`settings_for_hf`; InteropError if transformers cannot build the model."""
    check_transformers_has(config, head, location)
    return settings_for_hf(config, head, num_labels, labels, pad_id)
