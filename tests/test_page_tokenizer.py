"""The tokeniser of the exported page, in JavaScript, gives the ids of this project's: every character, random texts."""

import json
import shutil
import subprocess
import unicodedata

import numpy as np
import pytest

from minimobilebert.interop.page.folder import FILES
from minimobilebert.text.basic_tokenizer import _TABLE, basic_tokenize
from minimobilebert.text.encoding import encode_pair
from minimobilebert.text.unicode_classes import _AFTER_UNICODE_8, COMBINING_NOT_MN
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")

# Pieces that tell apart what the texts below are made of: most characters that are kept are in the vocabulary.
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789!?.,'-$^~àßøæœıſ中國日本한글ㄱ각אבגابتдзійàéñ๐ไทยहिक्ष"
DRIVER = """
import { readFileSync } from "node:fs";
import { Tokenizer, words } from "./tokenizer.js";
const { what, vocabulary, texts, longest } = JSON.parse(readFileSync(0, "utf-8"));
const tokenizer = new Tokenizer(vocabulary);
const frame = ([a, b]) => tokenizer.frame(tokenizer.encode(a), b === null ? null : tokenizer.encode(b), longest);
const does = { words, encode: (text) => tokenizer.encode(text), frame };
console.log(JSON.stringify(texts.map(does[what])));
"""


@pytest.fixture(scope="module")
def javascript(tmp_path_factory):
    """A function: what, texts -> what the page's tokeniser makes of each"""
    folder = tmp_path_factory.mktemp("page")
    for name in ("tokenizer.js", "unicode.js"):
        shutil.copy(FILES / name, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "driver.js").write_text(DRIVER)

    def run(what, texts, tokenizer=None, longest=None):
        vocabulary = "".join(f"{piece}\n" for piece in (tokenizer or SMALL).vocab)
        given = json.dumps({"what": what, "vocabulary": vocabulary, "texts": texts, "longest": longest})
        done = subprocess.run(["node", "driver.js"], input=given, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def vocabulary_of(letters):
    """Every letter as a beginning and as a continuation, and some longer pieces -> WordPieceTokenizer"""
    decomposed = sorted(set(unicodedata.normalize("NFD", letters + letters.upper()).lower()))
    longer = ["the", "##ing", "un", "##aff", "##able", "ab", "abc", "##bcd", "##한", "中a"]
    pieces = [*SPECIAL_TOKENS, *decomposed, *(f"##{letter}" for letter in decomposed), *longer]
    return WordPieceTokenizer(list(dict.fromkeys(pieces)))


SMALL = vocabulary_of(LETTERS)


def differences(found, expected, texts):
    return [(text, a, b) for text, a, b in zip(texts, found, expected, strict=True) if a != b][:3]


def test_every_character_between_two_letters(javascript):
    """All of Unicode but surrogates: what is removed, splits, decomposes or changes its case."""
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    texts = [f"a{c}Z" for c in characters if c < "\u3400" or unicodedata.category(c) not in ("Co", "Lo")] + ["a\ue000b"]
    assert len(texts) > 100_000
    assert differences(javascript("words", texts), [basic_tokenize(text) for text in texts], texts) == []


def random_texts(rng, count):
    """Texts of letters, spaces, marks that are kept or removed, and characters from anywhere"""
    kept, marks = [chr(code) for code in COMBINING_NOT_MN], [chr(code) for code in range(0x300, 0x370)]
    newer = [chr(code) for code in _AFTER_UNICODE_8]
    odd = (
        list(" \t\n\r\u00a0\u2028\u3000\u200b\ufeff\ufffd\u00ad\x85\x1c\u180e\u1734\u0344\u0f73ÅÉñİΣςßﬁ豈凞🙂𝄞")
        + marks[:9]
    )
    sources = [list(LETTERS + LETTERS.upper()), list(" ."), marks, kept, odd, newer]
    for _ in range(count):
        letters = [str(rng.choice(sources[rng.choice(6, p=[0.5, 0.15, 0.1, 0.1, 0.1, 0.05])])) for _ in range(40)]
        anywhere = [
            chr(code) for code in rng.integers(0, 0x30000, 4) if unicodedata.category(chr(code)) not in ("Cn", "Cs")
        ]
        yield "".join(rng.permutation(letters + anywhere))


def test_random_texts(javascript):
    texts = list(random_texts(np.random.default_rng(1), 4000))
    expected = [SMALL.encode(text) for text in texts]
    assert differences(javascript("encode", texts), expected, texts) == []
    assert sum(ids.count(SMALL.unk_id) for ids in expected) < sum(map(len, expected)) / 2  # most are real pieces


def test_marks_that_are_kept_are_sorted_as_here(javascript):
    """Letters with several marks each: kept or removed, of every combining class, and of class 0"""
    rng = np.random.default_rng(4)
    kept = [chr(code) for code in COMBINING_NOT_MN]
    removed = [*map(chr, range(0x300, 0x370)), *"\u05b0\u0e38\u0903\u20d2\u0334\u0f71\u0f72\u1037\u093e\u0e31\u302a"]
    clusters = [["a", *rng.choice(kept + removed[-11:], 5), *rng.choice(kept + removed, 3)] for _ in range(6000)]
    texts = ["".join(["b", *rng.permutation(cluster)]) for cluster in clusters]
    expected = [basic_tokenize(text) for text in texts]
    assert differences(javascript("words", texts), expected, texts) == []
    assert sum(words != text.translate(_TABLE).split() for words, text in zip(expected, texts, strict=True)) > 1000


def test_long_words_and_empty_texts(javascript):
    texts = ["", " ", "\ufeff", "a" * 100, "a" * 101, "𝄞" * 100, "a" * 99 + "É", "unaffable", "x" * 100 + "!", "[MASK]"]
    assert javascript("encode", texts) == [SMALL.encode(text) for text in texts]


def test_pairs_are_framed_and_cut_as_here(javascript):
    rng = np.random.default_rng(2)
    pairs = [
        ("ab " * rng.integers(0, 9), "c " * rng.integers(0, 9) if rng.random() < 0.7 else None) for _ in range(300)
    ]
    for longest in (3, 4, 7, 10, 30):
        allowed = [pair for pair in pairs if longest > 3 or pair[1] is None]
        found = javascript("frame", allowed, longest=longest)
        for pair, one in zip(allowed, found, strict=True):
            encoding = encode_pair(SMALL, *pair, max_length=longest)
            assert (one["ids"], one["types"]) == (encoding.ids, encoding.token_type_ids), pair
            assert one["cut"] == any(encoding.cut)


def test_a_vocabulary_with_windows_line_ends_is_the_same(javascript):
    class Windows:
        vocab = [f"{piece}\r" for piece in SMALL.vocab]

    assert javascript("encode", ["the unaffable"], Windows) == [SMALL.encode("the unaffable")]
