"""Folders of the sentence-transformers library: how a model's tokens become one vector of a text.

    modules.json                        which modules run, in order, and their folders
    config.json, model.safetensors      the encoder, in the folder itself or in 0_Transformer
    sentence_bert_config.json           beside the encoder: the longest text in pieces
    1_Pooling/config.json               which tokens a vector is made of
    2_Normalize                         vectors get length 1
    config_sentence_transformers.json   a prompt before every text

We read the spellings of all versions up to 6, and write the oldest, which every version reads. A module or setting
that would give other vectors is refused by its name; one that we do not know is named in a note.
"""

import pathlib

from ..model.sentence_settings import POOLINGS, SentenceSettings
from ..support.files import write_json
from ..support.shapes import ANY, Integer, OneOf, check, shown, shown_key
from ..support.structured_files import read_json
from .safetensors_files import InteropError

MODULES, GENERAL, TRANSFORMER = "modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"
_LIBRARY = "sentence_transformers"
_KNOWN = ("Transformer", "Pooling", "Normalize")

_MODULES_SHAPE = [{"type": str, "path": str, str: ANY}]
_VECTOR = "sentence_embedding"
_TRANSFORMER_SHAPE = {
    "max_seq_length?": (None, Integer(3)),
    "do_lower_case?": bool,  # our tokeniser is uncased anyway
    "transformer_task?": OneOf("feature-extraction"),
    "modality_config?": {"text": {"method": OneOf("forward"), "method_output_name": OneOf("last_hidden_state")}},
    "module_output_name?": OneOf("token_embeddings"),
    "processing_kwargs?": (None, OneOf({})),
    str: ANY,
}
_HARMLESS = {"unpad_inputs", "model_args", "tokenizer_args", "config_args", "backend"}
# The older spelling of the mode: a flag for each, of which several may be true.
_FLAGS = {
    "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max", "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}  # fmt: skip
_FLAGS_OF_THE_FIRST_VERSION = tuple(_FLAGS)[:4]
_POOLING_SHAPE = {
    "word_embedding_dimension?": Integer(1),
    "embedding_dimension?": Integer(1),
    "pooling_mode?": (str, [str]),
    "include_prompt?": bool,
    **{f"{flag}?": bool for flag in _FLAGS},
}
_NORMALIZE_SHAPE = {"module_input_name?": OneOf(_VECTOR), "module_output_name?": (None, OneOf(_VECTOR))}
_GENERAL_SHAPE = {
    "__version__?": ANY,
    "prompts?": (None, {str: str}),
    "default_prompt_name?": (None, str),
    "similarity_fn_name?": (None, str),
    "model_type?": OneOf("SentenceTransformer"),
    str: ANY,
}


def _modules(folder):
    """[(kind, folder)] of modules.json, checked to be an encoder, pooling and perhaps normalisation, and notes"""
    location = folder / MODULES
    found, notes = [], []
    for number, module in enumerate(read_json(location, _MODULES_SHAPE)):
        library, _, kind = module["type"].partition(".")
        kind = kind.rpartition(".")[2]
        if library != _LIBRARY:
            raise InteropError(f"{location}: found the module {shown(module['type'])}, expected one of {_LIBRARY}: code"
                               " of others is not run")  # fmt: skip
        if kind == "Dropout":
            notes.append(f"left out {MODULES}: module {number}, Dropout: it does nothing after training")
            continue
        if kind not in _KNOWN:
            raise InteropError(f"{location}: found the module {shown(kind)}, expected Transformer, Pooling and perhaps"
                               " Normalize: the vectors would be others without it")  # fmt: skip
        if pathlib.PurePath(module["path"]).name != module["path"] or len(module["path"]) > 200:
            raise InteropError(f"{location}: found the path {shown(module['path'])}, expected a folder beside the file")
        found.append((kind, folder / module["path"]))
    kinds = tuple(kind for kind, _ in found)
    if kinds not in (_KNOWN, _KNOWN[:2]):
        raise InteropError(f"{location}: found {', '.join(kinds) or 'no module'}, expected Transformer, Pooling and"
                           " perhaps Normalize, in this order")  # fmt: skip
    return found, notes


def encoder_folder(folder):
    """The folder with the encoder's config.json, tensors and vocabulary -> path"""
    folder = pathlib.Path(folder)
    return _modules(folder)[0][0][1] if (folder / MODULES).exists() else folder


def _optional_json(path, shape):
    return read_json(path, shape) if path.exists() else {}


def _pooling_of(path, hidden_size):
    """1_Pooling/config.json -> the mode, whether the prompt's tokens take part"""
    found = read_json(path, _POOLING_SHAPE)
    size = found.get("embedding_dimension", found.get("word_embedding_dimension", hidden_size))
    if size != hidden_size:
        raise InteropError(f"{path}: found vectors of {size} numbers, expected {hidden_size} (hidden_size)")
    modes = found.get("pooling_mode") or [mode for flag, mode in _FLAGS.items() if found.get(flag)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if len(modes) > 1:
        raise InteropError(f"{path}: found {' and '.join(map(shown, modes))} side by side, expected one mode")
    if modes[0] not in POOLINGS:
        raise InteropError(f"{path}: found the mode {shown(modes[0])}, expected one of {', '.join(POOLINGS)}")
    return modes[0], found.get("include_prompt", True)


def _longest(folder, config, notes):
    """sentence_bert_config.json, or else the tokeniser's own limit -> pieces, or None for the model's positions"""
    path = folder / TRANSFORMER
    found = _optional_json(path, _TRANSFORMER_SHAPE)
    notes += [f"left out {path.name}: {shown_key(key)}: a setting that is not known here"
              for key in found if f"{key}?" not in _TRANSFORMER_SHAPE and key not in _HARMLESS]  # fmt: skip
    longest = found.get("max_seq_length")
    if longest is None:
        path = folder / "tokenizer_config.json"
        longest = _optional_json(path, {"model_max_length?": ANY, str: ANY}).get("model_max_length")
        if not isinstance(longest, int) or isinstance(longest, bool) or longest < 3:
            return None
    elif longest > config.max_position_embeddings:
        notes.append(f"note: {path.name} has max_seq_length {longest}; the model has {config.max_position_embeddings}"
                     " positions, so texts are cut there")  # fmt: skip
    return longest if longest < config.max_position_embeddings else None


def _prompt(folder, include_prompt, notes):
    """config_sentence_transformers.json -> the text before every text, "" for none"""
    path = folder / GENERAL
    found = _optional_json(path, _GENERAL_SHAPE)
    prompts, default = found.get("prompts") or {}, found.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise InteropError(f"{path}: default_prompt_name: found {shown(default)}, expected a name of prompts")
    prompt = prompts[default] if default is not None else ""
    if prompt and not include_prompt:
        raise InteropError(f"{path}: found the prompt {shown(prompt)}, whose pieces 1_Pooling leaves out"
                           " (include_prompt false), expected one that takes part")  # fmt: skip
    if prompt:
        notes.append(f"note: the prompt {shown(prompt)} is put before every text, as the folder says")
    others = [name for name, text in prompts.items() if text and name != default]
    if others:
        notes.append(f"note: the prompts {', '.join(map(shown, others))} are not used by default, nor here: put them"
                     " before your texts")  # fmt: skip
    if found.get("similarity_fn_name") not in (None, "cosine"):
        notes.append(f"note: the folder compares by {shown(found['similarity_fn_name'])}; here vectors are compared by"
                     " their cosine")  # fmt: skip
    return prompt


def read_sentence_settings(folder, config):
    """A folder and the ModelConfig of its encoder -> SentenceSettings or None (no modules.json), list of notes"""
    folder = pathlib.Path(folder)
    if not (folder / MODULES).exists():
        return None, []
    modules, notes = _modules(folder)
    pooling, include_prompt = _pooling_of(modules[1][1] / "config.json", config.hidden_size)
    for _, path in modules[2:]:
        check(_optional_json(path / "config.json", {str: ANY}), _NORMALIZE_SHAPE, path / "config.json")
    settings = SentenceSettings(
        pooling,
        normalize=len(modules) == len(_KNOWN),
        max_length=_longest(modules[0][1], config, notes),
        prompt=_prompt(folder, include_prompt, notes),
    )
    length = "vectors of length 1" if settings.normalize else "vectors not normalised"
    notes.append(f"note: pooling {pooling}, {length}, texts cut to {settings.longest(config)} word pieces")
    return settings, notes


def write_sentence_settings(folder, settings, config):
    """Write SentenceSettings beside an encoder, for `SentenceTransformer(folder)`."""
    folder = pathlib.Path(folder)
    kinds = _KNOWN if settings.normalize else _KNOWN[:2]
    paths = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    write_json(folder / MODULES, [
        {"idx": number, "name": str(number), "path": paths[kind], "type": f"{_LIBRARY}.models.{kind}"}
        for number, kind in enumerate(kinds)
    ])  # fmt: skip
    write_json(folder / TRANSFORMER, {"max_seq_length": settings.longest(config), "do_lower_case": False})
    for kind in kinds[1:]:
        (folder / paths[kind]).mkdir()
    flags = {flag: _FLAGS[flag] == settings.pooling for flag in _FLAGS_OF_THE_FIRST_VERSION}
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": config.hidden_size, **flags})
    if settings.normalize:
        write_json(folder / "2_Normalize" / "config.json", {})
    if settings.prompt:
        write_json(folder / GENERAL, {"prompts": {"default": settings.prompt}, "default_prompt_name": "default"})
