"""A tokeniser's settings are obeyed or refused: one table of cases, through both files that may hold them.

Where a folder is converted, the tokens of a set of telling texts are those of Hugging Face's tokeniser for that very
folder, or, without the extra, those that were written down from it.
"""

import json

import numpy as np
import pytest

from minimobilebert.interop.hf_tokenizer import read_vocabulary, tokenizer_json
from minimobilebert.support.files import write_json
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCAB = [
    *SPECIAL_TOKENS,
    *LETTERS,
    *("##" + letter for letter in LETTERS),
    "fur",
    "für",
    "schon",
    "schön",
    "日",
    "日本",
    ",",
    "##ü",
]
# What the uncased tokeniser of tokenizers 0.23 makes of these with this vocabulary.
TEXTS = {
    "für schön": ["fur", "schon"],
    "FÜR, Schön": ["fur", ",", "schon"],
    "日本 x日": ["日", "[UNK]", "x", "日"],
    "a\u200bb": ["a", "##b"],
    "x" * 100: ["x"] + ["##x"] * 99,
    "x" * 101: ["[UNK]"],
}


def _json(path, value):
    """("normalizer", "lowercase"), False: an edit of the dict of a tokenizer.json"""

    def edit(found):
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = value

    return edit


def _added(content, number, **more):
    return {"id": number, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": True, **more}  # fmt: skip


# name: (edit of tokenizer_config.json or None, edit of tokenizer.json or None, words of the refusal or None: converted)
CASES = {
    "as it should be": ({}, lambda found: None, None),
    "said again": ({"do_lower_case": True, "strip_accents": True, "tokenize_chinese_chars": True, "never_split": [],
                    "do_basic_tokenize": True}, _json(("normalizer", "strip_accents"), True), None),
    "nothing said": ({"strip_accents": None, "tokenizer_class": None, "never_split": None, "additional_special_tokens": []},
                     _json(("normalizer", "strip_accents"), None), None),
    "cased": ({"do_lower_case": False}, _json(("normalizer", "lowercase"), False), "lower"),
    "false as text": ({"do_lower_case": "false"}, _json(("normalizer", "lowercase"), "false"), "lower"),
    "true as text": ({"do_lower_case": "true"}, _json(("normalizer", "lowercase"), "true"), "lower"),
    "one for true": ({"do_lower_case": 1}, _json(("normalizer", "lowercase"), 1), "lower"),
    "null for true": ({"do_lower_case": None}, _json(("normalizer", "lowercase"), None), "lower"),
    "accents kept": ({"strip_accents": False}, _json(("normalizer", "strip_accents"), False), "strip_accents"),
    "no Chinese": ({"tokenize_chinese_chars": False}, _json(("normalizer", "handle_chinese_chars"), False), "chinese_chars"),
    "control characters kept": ({"clean_text": False}, _json(("normalizer", "clean_text"), False), "clean_text"),
    "no basic tokeniser": ({"do_basic_tokenize": False}, _json(("pre_tokenizer",), {"type": "WhitespaceSplit"}), ""),
    "no normaliser": (None, _json(("normalizer",), None), "normalizer"),
    "another normaliser": (None, _json(("normalizer",), {"type": "Lowercase"}), "normalizer.type"),
    "a sequence of one": (None, lambda found: found.update(normalizer={"type": "Sequence", "normalizers": [found["normalizer"]]}), None),
    "a sequence of two": (None, lambda found: found.update(normalizer={"type": "Sequence", "normalizers": [found["normalizer"], {"type": "NFC"}]}), "normalizer"),
    "no pre-tokeniser": (None, _json(("pre_tokenizer",), None), "pre_tokenizer"),
    "another class": ({"tokenizer_class": "RobertaTokenizer"}, _json(("model", "type"), "BPE"), ""),
    "a class of its own": ({"auto_map": {"AutoTokenizer": ["own.py", None]}}, None, "auto_map"),
    "Unigram": ({"tokenizer_class": "XLNetTokenizer"}, _json(("model",), {"type": "Unigram", "vocab": [["a", 0.0]]}), ""),
    "another prefix": ({"wordpieces_prefix": "@@"}, _json(("model", "continuing_subword_prefix"), "@@"), "prefix"),
    "no prefix": (None, _json(("model", "continuing_subword_prefix"), ""), "prefix"),
    "longer words": ({"max_input_chars_per_word": 200}, _json(("model", "max_input_chars_per_word"), 200), "max_input_chars"),
    "shorter words": ({"max_input_chars_per_word": 99.0}, _json(("model", "max_input_chars_per_word"), 99), "max_input_chars"),
    "another unknown token": ({"unk_token": "<unk>"}, _json(("model", "unk_token"), "<unk>"), "unk_token"),
    "an unknown token as object": ({"unk_token": {"__type": "AddedToken", "content": "[UNK]", "lstrip": False}}, None, None),
    "another object": ({"mask_token": {"content": "<mask>", "lstrip": True}}, None, "mask_token"),
    "never split": ({"never_split": ["für"]}, lambda found: found["added_tokens"].append(_added("für", VOCAB.index("für"))), ""),
    "an added token": ({"added_tokens_decoder": {"5": _added("a", 5)}}, lambda found: found["added_tokens"].append(_added("a", 5)), "added token 'a'"),
    "an added token behind": ({"additional_special_tokens": ["[E1]"]}, lambda found: found["added_tokens"].append(_added("[E1]", len(VOCAB))), ""),
    "a special token's id": ({"added_tokens_decoder": {"7": _added("[MASK]", 7)}}, lambda found: found["added_tokens"][4].update(id=7), "[MASK] with id 7"),
    "special tokens' own ids": ({"added_tokens_decoder": {str(i): _added(t, i) for i, t in enumerate(SPECIAL_TOKENS)}}, None, None),
    "an id that is no number": ({"added_tokens_decoder": {"x": _added("[MASK]", 4)}}, None, "[MASK] with id -1"),
    "padding left": ({"padding_side": "left"}, lambda found: found.update(padding={"direction": "Left"}), ""),
    "no frame": (None, _json(("post_processor",), None), "post_processor"),
    "another frame": (None, lambda found: found["post_processor"]["single"].pop(), "post_processor"),
    "BERT's frame": (None, _json(("post_processor",), {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}), None),
    "Roberta's frame": (None, _json(("post_processor",), {"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}), "post_processor"),
    "ids with gaps": (None, lambda found: found["model"]["vocab"].update(a=999), "ids with gaps"),
    "ids that are no numbers": (None, lambda found: found["model"]["vocab"].update(a=True), "model.vocab.a: found true"),
    "fractions as ids": (None, lambda found: found["model"]["vocab"].update(a=5.0), "model.vocab.a: found 5.0"),
    "an unknown part": (None, lambda found: found["model"].update(dropout=0.5), "dropout"),
    "settings that are a list": ([], lambda found: found.update(model=[]), "found a list"),
    "a generic class": ({"tokenizer_class": "PreTrainedTokenizerFast"}, None, "without a tokenizer.json"),
}  # fmt: skip
WAYS = [(name, way) for name, case in CASES.items() for way in (0, 1) if case[way] is not None]


def write_folder(folder, edit, way):
    """way 0: vocab.txt and tokenizer_config.json; 1: tokenizer.json"""
    tokenizer = WordPieceTokenizer(VOCAB)
    if way == 0:
        tokenizer.save(folder / "vocab.txt")
        write_json(
            folder / "tokenizer_config.json",
            edit if isinstance(edit, list) else {"tokenizer_class": "BertTokenizer", **edit},
        )
    else:
        found = tokenizer_json(tokenizer)
        edit(found)
        write_json(folder / "tokenizer.json", found)


def theirs(folder, way):
    """text -> tokens by Hugging Face's tokeniser for the folder, or None without the extra"""
    try:
        if way == 1:
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            return lambda text: tokenizer.encode(text, add_special_tokens=False).tokens
        from transformers import BertTokenizer

        return BertTokenizer.from_pretrained(folder).tokenize
    except ImportError:
        return TEXTS.get


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "way"), WAYS, ids=[f"{name}, {('vocab.txt', 'tokenizer.json')[way]}" for name, way in WAYS]
)
def test_settings_are_obeyed_or_refused(name, way, tmp_path):
    words = CASES[name][2]
    write_folder(tmp_path, CASES[name][way], way)
    if words is not None:
        with pytest.raises(ValueError, match="found .*, expected |found .* without .*, expected") as error:
            read_vocabulary(tmp_path, {}, len(VOCAB))
        message = str(error.value)
        assert words in message and ".json" in message and "\n" not in message and len(message) < 400
        return
    tokenizer, notes = read_vocabulary(tmp_path, {}, len(VOCAB))
    tokens = theirs(tmp_path, way)
    assert notes == []
    for text, expected in TEXTS.items():
        assert tokenizer.tokenize(text) == expected == tokens(text)


OTHER_FILES = {
    "added_tokens.json": ({"[E1]": 9}, "added_tokens.json: found the added token '[E1]'"),
    "special_tokens_map.json": ({"sep_token": "</s>"}, "special_tokens_map.json: field sep_token: found '</s>'"),
    "tokenizer_config.json": ({"do_lower_case": False}, "tokenizer_config.json: field do_lower_case: found false"),
    "vocab.txt": ("\n".join(VOCAB[:-2] + VOCAB[:-3:-1]) + "\n", "vocab.txt: found '##ü' with id"),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_files_that_contradict_a_sound_tokenizer_json_are_refused(name, tmp_path):
    content, words = OTHER_FILES[name]
    write_folder(tmp_path, lambda found: None, 1)
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        read_vocabulary(tmp_path, {}, len(VOCAB))
    assert words in str(error.value)


def test_a_cased_tokenizer_json_beside_a_vocabulary_is_seen(tmp_path):
    write_folder(tmp_path, {}, 0)
    write_folder(tmp_path, _json(("normalizer", "lowercase"), False), 1)
    with pytest.raises(ValueError, match="tokenizer.json: field normalizer.lowercase: found false"):
        read_vocabulary(tmp_path, {}, len(VOCAB))


@pytest.mark.parametrize("way", [0, 1])
@pytest.mark.parametrize("piece", ["The", "##A", "É", "Ж"])
def test_a_vocabulary_with_capitals_is_refused(piece, way, tmp_path):
    tokenizer = WordPieceTokenizer([*VOCAB, piece])
    if way:
        write_json(tmp_path / "tokenizer.json", tokenizer_json(tokenizer))
    else:
        tokenizer.save(tmp_path / "vocab.txt")
    with pytest.raises(ValueError, match="with a capital letter"):
        read_vocabulary(tmp_path, {}, tokenizer.vocab_size)


def test_the_class_that_config_json_names_counts(tmp_path):
    write_folder(tmp_path, {}, 0)
    with pytest.raises(ValueError, match="config.json: field tokenizer_class: found 'BertJapaneseTokenizer'"):
        read_vocabulary(tmp_path, {"tokenizer_class": "BertJapaneseTokenizer"}, len(VOCAB))


def test_an_unknown_setting_is_counted_aloud(tmp_path):
    write_folder(tmp_path, {"surprise": 1, "model_max_length": 10**30}, 0)
    notes = read_vocabulary(tmp_path, {}, len(VOCAB))[1]
    assert notes == ["left out tokenizer_config.json: surprise: a setting that is not known here"]


@pytest.mark.parametrize(
    ("rows", "good"),
    [(72, True), (80, True), (96, True), (128, True), (71, False), (88, False), (192, False), (64, False)],
)
def test_a_padded_word_table(rows, good, tmp_path):
    """65 pieces: up to the next multiple of 8, 16, 32, 64 or 128, with a note."""
    vocab = VOCAB
    WordPieceTokenizer(vocab).save(tmp_path / "vocab.txt")
    assert len(vocab) == 65
    if not good:
        with pytest.raises(ValueError, match=f"found 65 pieces, expected {rows}"):
            read_vocabulary(tmp_path, {}, rows)
        return
    tokenizer, notes = read_vocabulary(tmp_path, {}, rows)
    assert (tokenizer.vocab_size, tokenizer.vocab[:65]) == (rows, vocab)
    assert len(notes) == 1 and "found 65 pieces" in notes[0] and f"{rows} rows" in notes[0]
    assert np.max(tokenizer.encode("[padding65] padding65 [padding66]")) < 65
