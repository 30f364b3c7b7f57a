"""The vocabulary of a Hugging Face folder, and the files that make their tokeniser cut text as ours does."""

import pathlib

from ..files import read_json, write_json
from ..text.wordpiece import MAX_INPUT_CHARS_PER_WORD, SPECIAL_TOKENS, WordPieceTokenizer
from .safetensors_files import InteropError


def _from_tokenizer_json(path):
    found = read_json(path)
    model = found.get("model") if isinstance(found, dict) else None
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocab, dict) or model.get("type", "WordPiece") != "WordPiece":
        raise InteropError(f"{path}: found no WordPiece vocabulary, expected one under model.vocab")
    if sorted(vocab.values()) != list(range(len(vocab))):
        raise InteropError(f"{path}: model.vocab: found ids with gaps, expected 0 to {len(vocab) - 1}")
    return WordPieceTokenizer(sorted(vocab, key=vocab.get), place=path)


def read_vocabulary(folder, vocab_size):
    """vocab.txt, or else tokenizer.json -> WordPieceTokenizer. InteropError where it does not fit the model."""
    folder = pathlib.Path(folder)
    settings_file = folder / "tokenizer_config.json"
    settings = read_json(settings_file) if settings_file.exists() else {}
    if settings.get("do_lower_case", True) is False:
        raise InteropError(
            f"{settings_file}: do_lower_case: found false, expected true: only uncased models are supported"
        )
    if (folder / "vocab.txt").exists():
        path = folder / "vocab.txt"
        tokenizer = WordPieceTokenizer.load(path)
    elif (folder / "tokenizer.json").exists():
        path = folder / "tokenizer.json"
        tokenizer = _from_tokenizer_json(path)
    else:
        raise InteropError(f"{folder}: found no vocab.txt and no tokenizer.json, expected one of them")
    if tokenizer.vocab_size != vocab_size:
        raise InteropError(
            f"{path}: found {tokenizer.vocab_size} pieces, expected {vocab_size} (vocab_size in config.json)"
        )
    return tokenizer


def _special(tokenizer, token):
    return {"id": tokenizer.id_of(token), "content": token, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True}  # fmt: skip


def _template(*parts):
    """[CLS] A [SEP] or [CLS] A [SEP] B [SEP], as their post-processor describes it."""
    return [{"Sequence": {"id": p, "type_id": t}} if p in "AB" else {"SpecialToken": {"id": p, "type_id": t}}
            for p, t in parts]  # fmt: skip


def tokenizer_json(tokenizer):
    """The dict of a tokenizer.json: BERT's uncased tokeniser over our vocabulary."""
    one = (("[CLS]", 0), ("A", 0), ("[SEP]", 0))
    frame = {t: {"id": t, "ids": [tokenizer.id_of(t)], "tokens": [t]} for t in ("[CLS]", "[SEP]")}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_special(tokenizer, t) for t in sorted(SPECIAL_TOKENS, key=tokenizer.id_of)],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": _template(*one),
                           "pair": _template(*one, ("B", 1), ("[SEP]", 1)), "special_tokens": frame},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": MAX_INPUT_CHARS_PER_WORD,
                  "vocab": {piece: i for i, piece in enumerate(tokenizer.vocab)}},
    }  # fmt: skip


def write_tokenizer(folder, tokenizer, config):
    """vocab.txt, tokenizer.json and tokenizer_config.json."""
    folder = pathlib.Path(folder)
    tokenizer.save(folder / "vocab.txt")
    write_json(folder / "tokenizer.json", tokenizer_json(tokenizer))
    settings = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    settings |= {"do_lower_case": True, "model_max_length": config.max_position_embeddings,
                 "tokenizer_class": "BertTokenizer"}  # fmt: skip
    write_json(folder / "tokenizer_config.json", settings)
