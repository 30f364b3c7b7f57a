"""Check that the tokeniser settings of a Hugging Face folder describe BERT's uncased tokeniser, the only one we have.

A setting that would tokenise text differently is an error, in each of tokenizer.json, tokenizer_config.json,
special_tokens_map.json, added_tokens.json and config.json. Without this check, a cased model would run but give wrong
results. A note names each unknown setting.
"""

from ..support.shapes import ANY, Integer, OneOf, check, shown, shown_key
from ..support.structured_files import read_json
from ..text.wordpiece import MAX_INPUT_CHARS_PER_WORD, SPECIAL_TOKENS
from .safetensors_files import InteropError

_YES, _USUAL = OneOf(True), (None, OneOf(True))
_NOTHING = (None, OneOf([], {}, ""))
_NAMES = ("pad", "unk", "cls", "sep", "mask")
_PAIR = [("[CLS]", 0), ("A", 0), ("[SEP]", 0), ("B", 1), ("[SEP]", 1)]

_OWN_CLASSES = ("BertTokenizer", "BertTokenizerFast", "MobileBertTokenizer", "MobileBertTokenizerFast")
_GENERIC_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")  # configured by tokenizer.json


def _token(token):
    """The shape of a special token's entry: its text, or an object with its text and flags."""
    return (None, OneOf(token), {"content": OneOf(token), str: ANY})


# Settings that affect tokenisation, with the required values; a missing key has the required value.
_CONFIG = {
    "do_lower_case?": _YES,
    "do_basic_tokenize?": _YES,
    "tokenize_chinese_chars?": _YES,
    "handle_chinese_chars?": _YES,
    "clean_text?": _YES,
    "strip_accents?": _USUAL,
    "lowercase?": _YES,
    "never_split?": _NOTHING,
    "wordpieces_prefix?": OneOf("##"),
    "continuing_subword_prefix?": OneOf("##"),
    "max_input_chars_per_word?": OneOf(MAX_INPUT_CHARS_PER_WORD),
    "padding_side?": OneOf("right"),
    "truncation_side?": OneOf("right"),
    "additional_special_tokens?": _NOTHING,
    "extra_special_tokens?": _NOTHING,
    "auto_map?": _NOTHING,
    "bos_token?": (None, OneOf(*SPECIAL_TOKENS)),
    "eos_token?": (None, OneOf(*SPECIAL_TOKENS)),
    "tokenizer_class?": (None, OneOf(*_OWN_CLASSES, *_GENERIC_CLASSES)),
    "added_tokens_decoder?": (None, {str: {"content": str, str: ANY}}),
    **{f"{name}_token?": _token(f"[{name.upper()}]") for name in _NAMES},
    str: ANY,
}

# Settings that do not affect it: file names, the maximum length, decoding.
_HARMLESS = {
    "model_max_length", "max_len", "max_length", "name_or_path", "special_tokens_map_file", "tokenizer_file",
    "vocab_file", "full_tokenizer_file", "clean_up_tokenization_spaces", "model_input_names", "stride", "use_fast",
    "truncation_strategy", "backend", "is_local", "local_files_only", "pad_to_multiple_of", "pad_token_type_id",
    "processor_class", "split_special_tokens", "init_inputs", "transformers_version", "_name_or_path",
    "fix_mistral_regex", "errors", "cls_token_id", "sep_token_id", "pad_token_id", "unk_token_id", "mask_token_id",
}  # fmt: skip

_NORMALIZER = {
    "type": OneOf("BertNormalizer"),
    "clean_text": _YES,
    "handle_chinese_chars": _YES,
    "strip_accents?": _USUAL,
    "lowercase": _YES,
}
_TOKENIZER = {
    "version?": ANY,
    "truncation?": ANY,
    "padding?": (None, {"direction?": OneOf("Right"), str: ANY}),
    "added_tokens?": (None, [{"id": Integer(0), "content": str, str: ANY}]),
    "normalizer": _NORMALIZER,
    "pre_tokenizer": {"type": OneOf("BertPreTokenizer")},
    "post_processor": {"type": OneOf("TemplateProcessing", "BertProcessing"), str: ANY},
    "decoder?": ANY,
    "model": {
        "type?": OneOf("WordPiece"),
        "unk_token": OneOf("[UNK]"),
        "continuing_subword_prefix": OneOf("##"),
        "max_input_chars_per_word": OneOf(MAX_INPUT_CHARS_PER_WORD),
        "vocab": {str: Integer(0)},
    },
}
_TEMPLATE = [({"SpecialToken": {"id": str, "type_id": Integer(0)}}, {"Sequence": {"id": str, "type_id": Integer(0)}})]
_POST_PROCESSORS = {
    "TemplateProcessing": {"type": str, "single": _TEMPLATE, "pair": _TEMPLATE, str: ANY},
    "BertProcessing": {"type": str, "cls": ANY, "sep": ANY},
}


def read_tokenizer_json(path):
    """Read a tokenizer.json -> dict. ValueError with the setting that differs from BERT's uncased tokeniser."""
    found = read_json(path, {str: ANY})
    for name in ("normalizer", "pre_tokenizer", "post_processor"):  # a sequence of one element is that element
        part = found.get(name)
        inner = part.get(f"{name}s", part.get("processors")) if isinstance(part, dict) else None
        if isinstance(inner, list) and len(inner) == 1 and part.get("type") == "Sequence":
            found[name] = inner[0]
    check(found, _TOKENIZER, path)
    _check_frame(found["post_processor"], path)
    return found


def _check_frame(processor, path):
    """InteropError unless it adds [CLS] A [SEP] or [CLS] A [SEP] B [SEP], as `text/encoding.py` does."""
    check(processor, _POST_PROCESSORS[processor["type"]], f"{path}: post_processor")
    if processor["type"] == "BertProcessing":
        found = [part[0] if isinstance(part, list) and part else part for part in (processor["cls"], processor["sep"])]
        good = found == ["[CLS]", "[SEP]"]
    else:
        found = [[(part["id"], part["type_id"]) for item in processor[name] for part in item.values()]
                 for name in ("single", "pair")]  # fmt: skip
        good = found == [_PAIR[:3], _PAIR]
    if not good:
        raise InteropError(
            f"{path}: post_processor: found another frame, expected [CLS] A [SEP] and [CLS] A [SEP] B [SEP]"
        )


def check_added_tokens(added, tokenizer, path):
    """added: [(content, id)], tokens that are matched before tokenisation. Only the five special tokens are allowed."""
    for content, number in added:
        if content not in SPECIAL_TOKENS:
            raise InteropError(
                f"{path}: found the added token {shown(content)}, expected none but {', '.join(SPECIAL_TOKENS)}"
            )
        if tokenizer.id_of(content) != number:
            raise InteropError(
                f"{path}: found {content} with id {number}, expected {tokenizer.id_of(content)} (the vocabulary's)"
            )


def check_lower_case(tokenizer, path):
    """InteropError for a vocabulary with capital letters, which is that of a cased model."""
    for number, piece in enumerate(tokenizer.vocab):
        if piece != piece.lower() and piece[:1] + piece[-1:] not in ("[]", "<>"):
            raise InteropError(
                f"{path}: found {shown(piece)} with a capital letter (id {number}), expected lower case: only uncased"
                " models are supported"
            )


def check_settings(folder, settings, tokenizer):
    """Check all files except tokenizer.json; settings: the dict of config.json -> list of notes"""
    notes, classes = [], []
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = folder / name
        if not path.exists():
            continue
        found = check(read_json(path), _CONFIG, path)
        classes.append((path, found.get("tokenizer_class")))
        added = [(part["content"], int(number) if number.isdecimal() and len(number) < 19 else -1)
                 for number, part in (found.get("added_tokens_decoder") or {}).items()]  # fmt: skip
        check_added_tokens(added, tokenizer, path)
        for key in found:
            if f"{key}?" not in _CONFIG and key not in _HARMLESS:
                notes.append(f"left out {path.name}: {shown_key(key)}: a setting that is not known here")
    path = folder / "config.json"
    check(settings, {"tokenizer_class?": _CONFIG["tokenizer_class?"], str: ANY}, path)
    classes.append((path, settings.get("tokenizer_class")))
    for path, name in classes:
        if name in _GENERIC_CLASSES and not (folder / "tokenizer.json").exists():
            raise InteropError(f"{path}: tokenizer_class: found {name!r} without a tokenizer.json, expected both")
    path = folder / "added_tokens.json"
    if path.exists():
        check_added_tokens(read_json(path, {str: Integer(0)}).items(), tokenizer, path)
    return notes
