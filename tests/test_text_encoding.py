"""Offsets, pairs, truncation and batches; every result held against Hugging Face's fast tokeniser."""

import os
import pathlib
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minimobilebert.text.basic_tokenizer import basic_tokenize, basic_tokenize_with_sources
from minimobilebert.text.encoding import TRUNCATIONS, encode_pair, kept_pieces, pad_batch
from minimobilebert.text.unicode_classes import COMBINING_NOT_MN, combining_class
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

# Single characters of many scripts, some that only NFD makes (Hangul letters), some that come after Unicode 8, and
# longer pieces, each at the head of a word and behind it.
CHARACTERS = (
    "abcdefghijklmnopqrstuvwxyz0123456789.,!?'\"()[]#$^-_—…«»"
    "αβδοσςабиюאבש\u05beابتक\u0915ぁかア日本語漢字鿿㐀\uf900豈"
    "\u1100\u1161\u11a8\u1102ßıøłﬁʹ;·٣५๔²½\u302e\u302f\u1b44\u08d4\U0001e944\U0001e000\U0001d165\U0001d158\U00011442\ua953"
    "☃😀👩\u2e52\u07fd\U00011938\U00011935\U00011930\U0002b820\U00020000\u0378\U000e0101\ufe0f\u1c8a\ua7cd\U00010d70"
)
PIECES = [
    "un",
    "aff",
    "able",
    "aa",
    "aaaa",
    "ist",
    "mask",
    "[MASK]x",
    "日本",
    "\u1100\u1161",
    "οδ",
    "a\u302e",
    "i\u0307",
]
SMALL = [*SPECIAL_TOKENS]
for _piece in [*dict.fromkeys(CHARACTERS), *PIECES]:
    SMALL += [_piece, "##" + _piece]
TOKENIZER = WordPieceTokenizer(SMALL)
_DATA = os.environ.get("MINIMOBILEBERT_DATA")
VOCABULARIES = {"small": None, "bert-uncased": _DATA and pathlib.Path(_DATA) / "bert-uncased-vocab.txt"}


# Without another tokeniser: cases by hand.


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Unaffable, a", [("un", 0, 2), ("##aff", 2, 5), ("##able", 5, 9), (",", 9, 10), ("a", 11, 12)]),
        ("  a\t\n b ", [("a", 2, 3), ("b", 6, 7)]),
        ("\x00a\x00\u200db\x00", [("a", 1, 2), ("##b", 4, 5)]),  # deleted between letters, before and behind
        ("un\x00able", [("un", 0, 2), ("##able", 3, 7)]),
        ("u\x00n", [("un", 0, 3)]),  # deleted inside a piece
        ("\u0301É!e\u0301\u0323.", [("e", 1, 2), ("!", 2, 3), ("e", 3, 4), (".", 6, 7)]),
        ("İst", [("ist", 0, 3)]),  # lower case is "i" and a dot above, which goes
        ("ΟΔΟΣ ς", [("οδ", 0, 2), ("##ο", 2, 3), ("##σ", 3, 4), ("ς", 5, 6)]),
        ("ﬁẞ", [("ﬁ", 0, 1), ("##ß", 1, 2)]),  # a ligature stays one character
        ("각가", [("\u1100\u1161", 0, 1), ("##\u11a8", 0, 1), ("##\u1100\u1161", 1, 2)]),
        ("a日本b", [("a", 0, 1), ("日", 1, 2), ("本", 2, 3), ("b", 3, 4)]),
        ("\u2002a\u3000b\u2028c", [("a", 1, 2), ("b", 3, 4), ("c", 5, 6)]),
        ("[MASK]", [("[", 0, 1), ("mask", 1, 5), ("]", 5, 6)]),
        ("a☯b a", [("[UNK]", 0, 3), ("a", 4, 5)]),
        ("\x00a☯\u0301 a", [("[UNK]", 1, 3), ("a", 5, 6)]),
        ("a" * 101 + "!", [("[UNK]", 0, 101), ("!", 101, 102)]),
        ("a" * 100, [("aaaa", 0, 4)] + [("##aaaa", i, i + 4) for i in range(4, 100, 4)]),
        ("a\u302e\u0301", [("a\u302e", 0, 2)]),
        ("b\u0301\u302e.", [("b", 0, 1), ("##\u302e", 1, 2), (".", 3, 4)]),  # the marks change places
        ("b\u0301\x00\u302e.", [("b", 0, 1), ("##\u302e", 1, 2), (".", 4, 5)]),
        ("b\u0301\u034f\u302e.", [("b", 0, 1), ("##\u302e", 3, 4), (".", 4, 5)]),  # the joiner keeps them apart
        ("\u1b44\u08d4 \u08d4\u1b44", [("\u1b44", 0, 1), ("##\u08d4", 1, 2), ("\u1b44", 3, 4), ("##\u08d4", 4, 5)]),
        ("", []),
        (" \t\x00\u0301", []),
    ],
)
def test_offsets(text, pieces):
    expected = [TOKENIZER.id_of(piece) for piece, _, _ in pieces], [(start, stop) for _, start, stop in pieces]
    for _ in range(2):  # the second time from the cache
        ids, offsets = TOKENIZER.encode_with_offsets(text)
        assert ([TOKENIZER.vocab[i] for i in ids], offsets) == ([piece for piece, _, _ in pieces], expected[1])
    assert TOKENIZER.encode(text) == expected[0]


MARKS = [chr(n) for n in range(0x110000) if unicodedata.combining(chr(n))]


def anything():
    """Strings from everywhere in Unicode, thick with the characters that need care."""
    careful = "\u0344\u0f73\u034f\u1100\u1161\u11a8각İıΣσςﬁǅßÅ\u212b\u1e69\ufb2e\u0340≠ \t\n\r\x00\x1c\x85\xa0\xad\u200d\u200b"
    careful += (
        "\u2028\u3000\ufeff\ufffd\ufffe\ue000\U00100000\U000fffff\U0001f469\U0001f3fd\u202e\u061c\u0378\u1c89\ua7cb"
    )
    return st.lists(
        st.one_of(
            st.text(st.sampled_from(CHARACTERS + CHARACTERS.upper()), min_size=1, max_size=6),
            st.sampled_from(careful),
            st.sampled_from(sorted(COMBINING_NOT_MN)).map(chr),
            st.sampled_from(MARKS),
            st.characters(exclude_categories=("Cs",)),
            st.integers(0xAC00, 0xD7A3).map(chr),
            st.sampled_from([*SPECIAL_TOKENS, *PIECES, "Unaffable", " "]),
            st.tuples(st.sampled_from("aé각\U0001f600"), st.integers(97, 102)).map(lambda c: c[0] * c[1]),
        ),
        max_size=14,
    ).map("".join)


@given(anything())
def test_offsets_are_inside_the_text_and_in_order(text):
    ids, offsets = TOKENIZER.encode_with_offsets(text)
    assert ids == TOKENIZER.encode(text) and len(ids) == len(offsets)
    assert all(0 <= start < stop <= len(text) for start, stop in offsets)
    assert offsets == sorted(offsets)
    for i, (start, stop) in zip(ids, offsets, strict=True):  # what a piece was made of makes the piece again
        if text.isascii() and i != TOKENIZER.unk_id:
            assert "".join(basic_tokenize(text[start:stop])) == TOKENIZER.vocab[i].removeprefix("##")


def test_half_a_surrogate_pair_is_no_reason_to_fail():
    assert TOKENIZER.encode_with_offsets("a \ud800b") == ([TOKENIZER.id_of("a"), TOKENIZER.unk_id], [(0, 1), (2, 4)])


def test_pair():
    one = encode_pair(TOKENIZER, "Unable a")
    assert [TOKENIZER.vocab[i] for i in one.ids] == ["[CLS]", "un", "##able", "a", "[SEP]"]
    assert one.token_type_ids == [0] * 5 and one.special_tokens_mask == [True, False, False, False, True]
    assert one.offsets == [(0, 0), (0, 2), (2, 6), (7, 8), (0, 0)] and one.cut == (0, 0)
    two = encode_pair(TOKENIZER, "a", " b c", max_length=6)
    assert [TOKENIZER.vocab[i] for i in two.ids] == ["[CLS]", "a", "[SEP]", "b", "c", "[SEP]"]
    assert two.token_type_ids == [0, 0, 0, 1, 1, 1] and two.special_tokens_mask == [
        True,
        False,
        True,
        False,
        False,
        True,
    ]
    assert two.offsets == [(0, 0), (0, 1), (0, 0), (1, 2), (3, 4), (0, 0)] and two.cut == (0, 0)
    empty = encode_pair(TOKENIZER, "", "")
    assert empty.ids == [TOKENIZER.cls_id, TOKENIZER.sep_id, TOKENIZER.sep_id] and empty.token_type_ids == [0, 0, 1]


def test_what_is_cut_is_the_end():
    one = encode_pair(TOKENIZER, "a b c d", max_length=5)
    assert [TOKENIZER.vocab[i] for i in one.ids] == ["[CLS]", "a", "b", "c", "[SEP]"]
    assert one.offsets == [(0, 0), (0, 1), (2, 3), (4, 5), (0, 0)] and one.cut == (1, 0)
    two = encode_pair(TOKENIZER, "a b", "c d e f", max_length=7, truncation="only_second")
    assert [TOKENIZER.vocab[i] for i in two.ids] == ["[CLS]", "a", "b", "[SEP]", "c", "d", "[SEP]"]
    assert two.offsets == [(0, 0), (0, 1), (2, 3), (0, 0), (0, 1), (2, 3), (0, 0)] and two.cut == (0, 2)


@pytest.mark.parametrize(
    ("lengths", "room", "truncation", "kept"),
    [
        ((3, 4), 7, "longest_first", (3, 4)),
        ((9, 4), 7, "longest_first", (4, 3)),
        ((4, 9), 7, "longest_first", (3, 4)),
        ((9, 9), 7, "longest_first", (3, 4)),
        ((2, 9), 7, "longest_first", (2, 5)),
        ((9, 0), 7, "longest_first", (7, 0)),
        ((9, 9), 0, "longest_first", (0, 0)),
        ((9, 2), 7, "only_first", (5, 2)),
        ((2, 9), 7, "only_second", (2, 5)),
    ],
)
def test_kept_pieces(lengths, room, truncation, kept):
    assert kept_pieces(*lengths, room, truncation) == kept


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 40))
def test_longest_first_drops_one_piece_after_the_other_from_the_longer_text(first, second, room):
    """Like BERT's own loop, but for the last odd piece, which transformers leaves to the text that was longer."""
    a, b = first, second
    while a + b > room:
        a, b = (a - 1, b) if a > b else (a, b - 1)
    kept = kept_pieces(first, second, room)
    assert sum(kept) == a + b and sorted(kept) == sorted((a, b))


@given(st.text("ab .", max_size=40), st.none() | st.text("ab .", max_size=40), st.integers(3, 30))
def test_cut_texts_keep_their_frame_and_say_what_is_missing(first, second, max_length):
    whole, cut = encode_pair(TOKENIZER, first, second), encode_pair(TOKENIZER, first, second, max_length=max_length)
    separators = [i for i, piece in enumerate(cut.ids) if piece == TOKENIZER.sep_id]
    assert cut.ids[0] == TOKENIZER.cls_id and len(separators) == (1 if second is None else 2)
    assert separators[-1] == len(cut.ids) - 1 and sum(cut.special_tokens_mask) == len(separators) + 1
    assert len(cut.ids) == min(len(whole.ids), max_length) and len(whole.ids) - len(cut.ids) == sum(cut.cut)
    kept_first = len(TOKENIZER.encode(first)) - cut.cut[0]
    assert cut.ids[1 : 1 + kept_first] == TOKENIZER.encode(first)[:kept_first]
    assert {len(field) for field in cut[:4]} == {len(cut.ids)}


def test_a_very_long_text_is_cut():
    encoding = encode_pair(TOKENIZER, "a " * 100_000, "b " * 3, max_length=512)
    assert len(encoding.ids) == 512 and encoding.cut == (100_000 - 506, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first": 3}, "first: found int, expected str"),
        ({"first": None}, "first: found NoneType, expected str"),
        ({"second": b"a"}, "second: found bytes, expected str"),
        (
            {"truncation": "longest"},
            "truncation: found 'longest', expected one of longest_first, only_first, only_second",
        ),
        ({"second": None, "truncation": "only_second"}, "truncation: found 'only_second' and no second text"),
        ({"max_length": 2}, "max_length: found 2, expected an integer of at least 3"),
        ({"second": None, "max_length": 1}, "max_length: found 1, expected an integer of at least 2"),
        ({"max_length": 7.5}, "max_length: found 7.5, expected an integer"),
        (
            {"max_length": 6, "truncation": "only_first"},
            "max_length: found room for 3 pieces, expected more than the 3 of the second text",
        ),
        (
            {"max_length": 5, "truncation": "only_second"},
            "max_length: found room for 2 pieces, expected more than the 2 of the first text",
        ),
    ],
)
def test_unusable_arguments_are_one_clear_line(arguments, message):
    arguments = {"first": "a a", "second": "b b b", **arguments}
    with pytest.raises(ValueError) as error:
        encode_pair(TOKENIZER, **arguments)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_pad_batch():
    encodings = [encode_pair(TOKENIZER, "a"), encode_pair(TOKENIZER, "a", "b"), encode_pair(TOKENIZER, "")]
    input_ids, token_type_ids, attention_mask = pad_batch(encodings, 7)
    cls, sep, a, b = TOKENIZER.cls_id, TOKENIZER.sep_id, TOKENIZER.id_of("a"), TOKENIZER.id_of("b")
    assert input_ids.tolist() == [[cls, a, sep, 7, 7], [cls, a, sep, b, sep], [cls, sep, 7, 7, 7]]
    assert token_type_ids.tolist() == [[0, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]
    assert attention_mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5, [True] * 2 + [False] * 3]
    assert (input_ids.dtype, token_type_ids.dtype, attention_mask.dtype) == (np.int32, np.int32, bool)
    with pytest.raises(ValueError, match="^encodings: found none, expected at least one$"):
        pad_batch([], 0)


# Against Hugging Face's fast tokeniser.


@pytest.fixture(scope="module")
def tokenizers():
    return pytest.importorskip("tokenizers", reason="compares with Hugging Face: pip install 'minimobilebert[compare]'")


@pytest.fixture(scope="module", params=VOCABULARIES)
def both(request, tokenizers, tmp_path_factory):
    """Our tokeniser and theirs, over one vocabulary.

    Theirs takes "[MASK]" in a text for the special token, before it looks at the text. Ours does not (`fill_mask`
    puts masks in by their id): text is text. Theirs does the same when told to encode special tokens as text.
    """
    path = VOCABULARIES[request.param]
    if request.param == "bert-uncased" and not path:
        pytest.skip("MINIMOBILEBERT_DATA is not set")
    if path is None:
        path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
        TOKENIZER.save(path)
    theirs = tokenizers.BertWordPieceTokenizer(str(path), lowercase=True)
    theirs._tokenizer.encode_special_tokens = True
    return WordPieceTokenizer.load(path), theirs


def test_marks_that_stay_are_sorted_among_all_classes(both):
    ours, theirs = both
    probes = {combining_class(chr(n)): chr(n) for n in range(0x300, 0x1F000) if combining_class(chr(n))}
    text = "\n".join(f"b{p}{chr(n)}.{chr(n)}{p}" for n in COMBINING_NOT_MN for p in probes.values())
    encoding = theirs.encode(text, add_special_tokens=False)
    assert len(probes) > 50 and ours.encode_with_offsets(text) == (encoding.ids, encoding.offsets)


@settings(max_examples=400)
@given(anything())
@example("[MASK] [CLS][SEP] [unk]")
@example("a\u0f73\u302e\u0344\u302e b\u1e69\u302e")
def test_same_ids_and_offsets_for_any_text(both, text):
    ours, theirs = both
    encoding = theirs.encode(text, add_special_tokens=False)
    assert ours.encode_with_offsets(text) == (encoding.ids, encoding.offsets)


@settings(max_examples=150)
@given(anything(), st.none() | anything(), st.integers(0, 40), st.sampled_from(TRUNCATIONS))
def test_same_pairs_and_the_same_cut(both, first, second, room, truncation):
    ours, theirs = both
    frame = 2 if second is None else 3
    arguments = {"max_length": frame + room, "truncation": truncation}
    theirs.enable_truncation(frame + room, strategy=truncation)
    try:
        expected = theirs.encode(first, second)
    except Exception as error:  # noqa: BLE001 (theirs has no narrower class)
        assert "Truncation error" in str(error)
        expected = None
    theirs.no_truncation()
    whole = theirs.encode(first, second)
    is_cut = len(whole.ids) > frame + room
    # Two differences: without any room theirs empties both texts, also the one that is not to be cut; without a
    # second text theirs accepts "only_second" as long as the first one need not be cut.
    other = second if truncation == "only_first" else first
    nothing_left = room == 0 and is_cut and second is not None and truncation != "longest_first"
    no_second = second is None and truncation == "only_second"
    if expected is None or no_second or (nothing_left and ours.encode(other)):
        with pytest.raises(ValueError):
            encode_pair(ours, first, second, **arguments)
        return
    found = encode_pair(ours, first, second, **arguments)
    assert found[:4] == (expected.ids, expected.type_ids, expected.special_tokens_mask, expected.offsets)
    assert sum(found.cut) == len(whole.ids) - len(expected.ids)


def test_special_tokens_in_a_text_are_text(both):
    """The difference that stays: theirs, used as it comes, takes "[MASK]" for the mask."""
    ours, theirs = both
    theirs._tokenizer.encode_special_tokens = False
    try:
        assert ours.mask_id in theirs.encode("a [MASK] b").ids
    finally:
        theirs._tokenizer.encode_special_tokens = True
    assert ours.mask_id not in ours.encode("a [MASK] b")
    words = [(word, (s[0], s[-1] + 1)) for word, s in basic_tokenize_with_sources("a [MASK] b")]
    assert words == [("a", (0, 1)), ("[", (2, 3)), ("mask", (3, 7)), ("]", (7, 8)), ("b", (9, 10))]
