"""BERT's basic tokeniser and WordPiece."""

import collections
import hashlib
import os
import pathlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.text.basic_tokenizer import Table, basic_tokenize
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

# What Hugging Face's BertNormalizer and BertPreTokenizer (tokenizers 0.23) make of these.
REFERENCE = [
    ("Héllo, WORLD!", ["hello", ",", "world", "!"]),
    ("a\x00b\x1cc\x85d", ["abcd"]),
    ("x\u2028y\u00a0z\u3000w", ["x", "y", "z", "w"]),
    ("日本語 ABC漢字", ["日", "本", "語", "abc", "漢", "字"]),
    ("Ångström İstanbul ΟΔΟΣ ẞ", ["angstrom", "istanbul", "οδοσ", "ß"]),
    ("can't $5.00^2 «so» — …", ["can", "'", "t", "$", "5", ".", "00", "^", "2", "«", "so", "»", "—", "…"]),
    ("\ue000a\ufffdb\u200bc\ufeff", ["abc"]),
    ("a\U0002b820b a\U0002b920b", ["a\U0002b820b", "a", "\U0002b920", "b"]),
    ("e\u0301\u0323 \u0301x", ["e", "x"]),
    ("a\u2e52b a\u07fdb", ["a\u2e52b", "a\u07fdb"]),  # punctuation and a mark newer than Unicode 8
    ("a一b鿿c㐀\u4dc0", ["a", "一", "b", "鿿", "c", "㐀", "\u4dc0"]),  # first and last ideographs, and a hexagram
    ("", []),
    (" \t\r\n", []),
]


@pytest.mark.parametrize("text, words", REFERENCE)
def test_basic_tokenizer_agrees_with_the_reference(text, words):
    assert basic_tokenize(text) == words


def basic_tokenize_oracle(text):
    """BERT's rules, one character after the other."""
    cleaned = ""
    for c in text:
        category = unicodedata.category(c)
        if c in " \t\n\r" or category == "Zs":
            cleaned += " "
        elif category in ("Cc", "Cf", "Co") or c == "\ufffd":
            continue
        elif 0x4E00 <= ord(c) <= 0x9FFF or 0x3400 <= ord(c) <= 0x4DBF or 0xF900 <= ord(c) <= 0xFAFF:
            cleaned += " " + c + " "
        else:
            cleaned += c
    words = []
    for word in cleaned.split():
        current = ""
        for c in unicodedata.normalize("NFD", word):
            n = ord(c)
            ascii_symbol = 33 <= n <= 47 or 58 <= n <= 64 or 91 <= n <= 96 or 123 <= n <= 126
            if unicodedata.category(c) == "Mn":
                continue
            if ascii_symbol or unicodedata.category(c)[0] == "P":
                words += [current, c]
                current = ""
            else:
                current += c.lower()
        words.append(current)
    return [word for word in words if word]


# Characters whose class has not changed since Unicode 3.2, so that the oracle needs no table of versions.
OLD_CHARACTERS = [
    chr(n)
    for n in [*range(0x3500), *range(0x4DA0, 0x4E20), *range(0xF8F0, 0xFFFF)]
    if unicodedata.ucd_3_2_0.category(chr(n)) == unicodedata.category(chr(n)) != "Cn"
]


@given(st.text(st.one_of(st.sampled_from(OLD_CHARACTERS), st.characters(max_codepoint=127))))
def test_basic_tokenizer_agrees_with_the_rules(text):
    assert basic_tokenize(text) == basic_tokenize_oracle(text)


# Every code point.

ASSIGNED_PLANES = [n for n in [*range(0x30000), *range(0xE0000, 0xF0000)] if not 0xD800 <= n < 0xE000]
OTHER_PLANES = [*range(0x30000, 0xE0000, 61), *range(0xF0000, 0x110000, 61), 0xFFFFD, 0x10FFFD]  # thinned out


EXPECTED_CHANGES = {0: 8180, 1: 2115, 2: 432, 3: 92776}  # length -> how many characters become such a string
EXPECTED_DIGEST = "727548d780d1ff7a28419d94d88669ef0fc9dbbf8bf6595331f13efb4abab0cd"


def test_the_treatment_of_every_character_is_the_same_in_every_python():
    """Made with Python 3.11 where the words of every code point equal Hugging Face's; see the test below."""
    table, digest, changed = Table(), hashlib.sha256(), collections.Counter()
    for code in ASSIGNED_PLANES:
        digest.update(table[code].encode() + b"\n")
        changed[len(table[code])] += table[code] != chr(code)
    assert dict(changed) == EXPECTED_CHANGES
    assert digest.hexdigest() == EXPECTED_DIGEST


@pytest.fixture(scope="module")
def tokenizers():
    return pytest.importorskip("tokenizers", reason="compares with Hugging Face: pip install 'minimobilebert[compare]'")


def same_words(text, theirs):
    words = theirs.pre_tokenizer.pre_tokenize_str(theirs.normalizer.normalize_str(text))
    return basic_tokenize(text) == [word for word, _ in words]


def test_every_code_point_gives_the_same_words(tokenizers):
    """Alone and between two letters. What differs: nothing."""
    theirs = tokenizers.BertWordPieceTokenizer(lowercase=True)._tokenizer
    codes = ASSIGNED_PLANES + OTHER_PLANES
    differ = []
    for start in range(0, len(codes), 256):
        block = codes[start : start + 256]
        if not same_words("\n".join(f"{chr(n)}\na{chr(n)}b" for n in block), theirs):
            differ += [hex(n) for n in block if not same_words(f"{chr(n)}\na{chr(n)}b", theirs)]
    assert differ == []


def test_every_mark_is_sorted_among_marks_in_the_same_way(tokenizers):
    """Before and behind marks that stay in the text, which show where NFD's order puts it."""
    theirs = tokenizers.BertWordPieceTokenizer(lowercase=True)._tokenizer
    codes = [n for n in ASSIGNED_PLANES if unicodedata.category(chr(n)).startswith("M")]
    probes = ["\u302e", "\u1b44", "\U0001d165"]  # classes 224, 9 and 216
    differ = []
    for start in range(0, len(codes), 256):
        block = codes[start : start + 256]
        text = "\n".join(f"a{chr(n)}{p}b\na{p}{chr(n)}b" for n in block for p in probes)
        if not same_words(text, theirs):
            differ += [
                hex(n) for n in block if any(not same_words(f"a{chr(n)}{p}b\na{p}{chr(n)}b", theirs) for p in probes)
            ]
    assert differ == []


TOY = WordPieceTokenizer([*SPECIAL_TOKENS, "un", "##aff", "##able", "##a", "able", ",", "caf", "##e", "a"])


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("unaffable", ["un", "##aff", "##able"]),
        ("Unable, ABLE", ["un", "##able", ",", "able"]),
        ("café", ["caf", "##e"]),
        ("unx able", ["[UNK]", "able"]),  # a word is cut to its end or not at all
        ("a" + "a" * 99, ["a"] + ["##a"] * 99),
        ("a" + "a" * 100, ["[UNK]"]),  # 101 characters
        ("a\x1cable", ["a", "##able"]),  # U+001C is deleted, it is not a space
        ("", []),
    ],
)
def test_greedy_longest_match(text, pieces):
    assert TOY.tokenize(text) == pieces
    assert TOY.tokenize(text) == pieces, "the second time comes from the cache"
    assert [TOY.vocab[i] for i in TOY.encode(text)] == pieces


@given(st.lists(st.sampled_from(["able", "unable", "unaffable", ",", "a", "cafe"])))
def test_decode_reverses_encode(words):
    text = " ".join(words)
    assert TOY.decode(TOY.encode(text)) == text


def test_decode_leaves_out_special_tokens_on_request():
    ids = [TOY.cls_id, *TOY.encode("unable x"), TOY.sep_id, TOY.pad_id]
    assert TOY.decode(ids) == "unable [UNK]"
    assert TOY.decode(ids, skip_special_tokens=False) == "[CLS] unable [UNK] [SEP] [PAD]"


def test_save_and_load(tmp_path):
    path = tmp_path / "vocab.txt"
    vocab = [*SPECIAL_TOKENS, "a", "##\u2028", "\u00e9"]  # a line separator inside a piece
    WordPieceTokenizer(vocab).save(path)
    assert path.read_bytes().count(b"\n") == len(vocab)
    assert WordPieceTokenizer.load(path).vocab == vocab
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert WordPieceTokenizer.load(path).vocab == vocab


@pytest.mark.parametrize(
    "content, message",
    [
        ("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\na\n", r":8: found 'a' a second time \(first on line 6\)"),
        ("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", r": found no \[MASK\] on lines 1 to 5"),
        ("[PAD]\n[UNK]\n\n[CLS]\n", r":3: found an empty line"),
        (b"[PAD]\n\xff\n", r": found byte 0xff at byte 6"),
        (b"[PAD]\n\x00\n", r": found a NUL byte at byte 6"),
    ],
)
def test_bad_vocabulary_files(tmp_path, content, message):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"^{path}{message}") as error:
        WordPieceTokenizer.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.skipif("MINIMOBILEBERT_DATA" not in os.environ, reason="MINIMOBILEBERT_DATA is not set")
def test_bert_vocabulary():
    """Ids from Hugging Face's BertWordPieceTokenizer (tokenizers 0.23) with the vocabulary of BERT uncased."""
    bert = WordPieceTokenizer.load(pathlib.Path(os.environ["MINIMOBILEBERT_DATA"]) / "bert-uncased-vocab.txt")
    assert (bert.vocab_size, bert.pad_id, bert.cls_id, bert.mask_id) == (30522, 0, 101, 103)
    text = "The unaffable whale's naïve café."
    assert bert.encode(text) == [1996, 14477, 20961, 3468, 13156, 1005, 1055, 15743, 7668, 1012]
    assert bert.encode("東京 2021: " + "x" * 100) == [1879, 1755, 25682, 1024, 22038] + [20348] * 49
    assert bert.encode("x" * 101 + " ☃") == [100, 100]
    words = [i for i, piece in enumerate(bert.vocab) if piece.isascii() and piece.isalnum()]
    assert len(words) > 20000
    assert bert.encode(" ".join(bert.vocab[i] for i in words)) == words
