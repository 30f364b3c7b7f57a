"""Read the vocabulary of a Hugging Face folder, and write tokeniser files that give the same pieces."""

import pathlib

from ..support.files import write_json
from ..support.shapes import shown
from ..text.wordpiece import MAX_INPUT_CHARS_PER_WORD, SPECIAL_TOKENS, WordPieceTokenizer
from .hf_tokenizer_settings import check_added_tokens, check_lower_case, check_settings, read_tokenizer_json
from .safetensors_files import InteropError

# Some word tables are padded to a multiple of one of these, for faster matrix products.
_MULTIPLES = (8, 16, 32, 64, 128)


def _from_tokenizer_json(path):
    found = read_tokenizer_json(path)
    vocab = found["model"]["vocab"]
    if sorted(vocab.values()) != list(range(len(vocab))):
        raise InteropError(f"{path}: model.vocab: found ids with gaps, expected 0 to {len(vocab) - 1}")
    tokenizer = WordPieceTokenizer(sorted(vocab, key=vocab.get), location=path)
    check_added_tokens([(token["content"], token["id"]) for token in found.get("added_tokens") or ()], tokenizer, path)
    return tokenizer


def _read(folder):
    """Read vocab.txt and tokenizer.json, or one of them -> WordPieceTokenizer, the file with its vocabulary"""
    plain, full = folder / "vocab.txt", folder / "tokenizer.json"
    from_full = _from_tokenizer_json(full) if full.exists() else None
    if not plain.exists():
        if from_full is None:
            raise InteropError(f"{folder}: found no vocab.txt and no tokenizer.json, expected one of them")
        return from_full, full
    tokenizer = WordPieceTokenizer.load(plain)
    if from_full is not None and from_full.vocab_size != tokenizer.vocab_size:
        sizes = tokenizer.vocab_size, from_full.vocab_size
        raise InteropError(f"{plain}: found {sizes[0]} pieces, expected {sizes[1]} as in tokenizer.json")
    if from_full is not None and from_full.vocab != tokenizer.vocab:
        pairs = enumerate(zip(tokenizer.vocab, from_full.vocab, strict=True))
        number, (piece, other) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        raise InteropError(
            f"{plain}: found {shown(piece)} with id {number}, expected {shown(other)} as in tokenizer.json"
        )
    return tokenizer, plain


def _padded(tokenizer, vocab_size, path):
    """Add a piece for each padding row of the word table -> tokenizer, notes

    We keep the rows, because the softmax over words includes them. No text gives these pieces.
    """
    count = tokenizer.vocab_size
    if count == vocab_size:
        return tokenizer, []
    if not any(vocab_size == -(-count // multiple) * multiple for multiple in _MULTIPLES):
        raise InteropError(f"{path}: found {count} pieces, expected {vocab_size} (vocab_size in config.json)")
    names = [f"[padding{number}]" for number in range(count, vocab_size)]
    note = f"{path}: found {count} pieces for a word table of {vocab_size} rows, a multiple of 8; the rows behind them"
    note += f" are kept and named {names[0]} to {names[-1]}"
    return WordPieceTokenizer([*tokenizer.vocab, *names], location=path), [note]


def read_vocabulary(folder, settings, vocab_size):
    """-> WordPieceTokenizer, list of notes. ValueError if it is not BERT's uncased one, or does not fit the model.

    settings: the dict of config.json
    """
    folder = pathlib.Path(folder)
    tokenizer, path = _read(folder)
    notes = check_settings(folder, settings, tokenizer)
    check_lower_case(tokenizer, path)
    tokenizer, padding_notes = _padded(tokenizer, vocab_size, path)
    return tokenizer, notes + padding_notes


def _special(tokenizer, token):
    return {"id": tokenizer.id_of(token), "content": token, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True}  # fmt: skip


def _template(*parts):
    """[CLS] A [SEP] or [CLS] A [SEP] B [SEP] in the format of a post-processor."""
    return [{"Sequence": {"id": p, "type_id": t}} if p in "AB" else {"SpecialToken": {"id": p, "type_id": t}}
            for p, t in parts]  # fmt: skip


def tokenizer_json(tokenizer):
    """The dict of a tokenizer.json: BERT's uncased tokeniser with the vocabulary of `tokenizer`."""
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


def _special_names():
    return {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}


def write_special_tokens(folder):
    """Write special_tokens_map.json, which transformers no longer writes but fastembed reads."""
    write_json(pathlib.Path(folder) / "special_tokens_map.json", _special_names())


def write_tokenizer(folder, tokenizer, longest):
    """Write vocab.txt, tokenizer.json and tokenizer_config.json; longest: the most pieces of an input."""
    folder = pathlib.Path(folder)
    tokenizer.save(folder / "vocab.txt")
    write_json(folder / "tokenizer.json", tokenizer_json(tokenizer))
    settings = {"do_lower_case": True, "model_max_length": longest, "tokenizer_class": "BertTokenizer"}
    write_json(folder / "tokenizer_config.json", _special_names() | settings)
