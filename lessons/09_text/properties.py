"""What lesson 09's functions must do."""

import numpy as np

from minimobilebert.course.shared.properties import prop

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# --- 09.1


def cut_words(vocabulary, words):
    from minimobilebert.text.wordpiece import WordPieceTokenizer

    tokenizer = WordPieceTokenizer(vocabulary)
    cuts = {}
    for word in words:
        ids, stops = tokenizer._cut(word)
        cuts[word] = {"pieces": [vocabulary[i] for i in ids], "stops": list(stops)}
    return cuts


def compare_cuts(t, vocabulary, words):
    right = t.expected(lambda: cut_words(vocabulary, words))
    t.same("cuts", t.run(cut_words, vocabulary, words), right)


def syllables(rng, alphabet, count, longest):
    """`count` different texts over a small alphabet"""
    return sorted({"".join(rng.choice(list(alphabet), rng.integers(1, longest + 1))) for _ in range(count)})


@prop("09.1", weight=4, essential=True)
def longest_first(t):
    """the longest piece that fits is taken, with ## behind the first one; a word that has no cut is [UNK]"""
    vocabulary = [*SPECIAL, *"un unit aff ##aff ##able ##a ##ble ##ff ##it ##s i n ##n".split()]
    compare_cuts(t, vocabulary, ["unaffable", "units", "aff", "in", "unable", "x", "unx", "able", "nit", "unaffs"])


@prop("09.1", weight=3, essential=True)
def random_vocabularies(t):
    """vocabularies and words over three letters"""
    for _ in range(3):
        pieces = syllables(t.rng, "abc", 14, 4) + ["##" + piece for piece in syllables(t.rng, "abc", 14, 4)]
        compare_cuts(t, SPECIAL + pieces, syllables(t.rng, "abc", 40, 9))


@prop("09.1", weight=2)
def greedy_is_not_clever(t):
    """no step back: where the greedy cut needs more pieces than another, or finds none, so be it"""
    vocabulary = [*SPECIAL, *"a ab abc ##c ##cde ##d ##e ##de ##b ##bcf".split()]
    compare_cuts(t, vocabulary, ["abcde", "abcf", "abcd", "abb", "abbcf", "abccf"])


@prop("09.1", weight=1)
def long_words(t):
    """a word of 100 characters is cut, one of 101 is [UNK]"""
    words = [letter * count for letter in "ab" for count in (99, 100, 101, 150)]
    compare_cuts(t, [*SPECIAL, "a", "##a", "##aa", "b" * 101, "b", "##b"], words)


@prop("09.1", weight=1)
def any_order(t):
    """ids are places in the vocabulary, and 0 is one"""
    compare_cuts(t, ["a", "##b", *SPECIAL, "##a", "b"], ["a", "ab", "ba", "aab", "bb", "c", "ac"])
    compare_cuts(t, ["##b", "a", *SPECIAL[::-1]], ["ab", "abb", "a", "b", "ca"])


# --- 09.2

# The special tokens do not stand first: an id that was written down as a number would be wrong.
VOCABULARY = [*(f"w{i}" for i in range(20)), *SPECIAL, *(f"w{i}" for i in range(20, 45))]
PAD, _, CLS, SEP, MASK = range(20, 25)
SIZE = len(VOCABULARY)


def masked_batch(vocabulary, ids, mask, max_predictions, seed, *probability):
    import numpy as np

    from minimobilebert.text.masking import mask_tokens
    from minimobilebert.text.wordpiece import WordPieceTokenizer

    given = ids.copy()
    result = mask_tokens(given, mask, WordPieceTokenizer(vocabulary), max_predictions, np.random.default_rng(seed),
                         *probability)  # fmt: skip
    return *result, given


def masked_twice(vocabulary, ids, mask, max_predictions, seed):
    """Two calls with one generator -> the positions of both"""
    import numpy as np

    from minimobilebert.text.masking import mask_tokens
    from minimobilebert.text.wordpiece import WordPieceTokenizer

    rng, tokenizer = np.random.default_rng(seed), WordPieceTokenizer(vocabulary)
    return [mask_tokens(ids.copy(), mask, tokenizer, max_predictions, rng)[1] for _ in range(2)]


def pairs(rng, lengths):
    """[CLS] A [SEP] B [SEP] padding: ids, mask; words are from the first 20 pieces only

    The mask alone says what is padding: half of it has the id of a word.
    """
    width = max(lengths) + 2
    ids = np.where(rng.random((len(lengths), width)) < 0.5, PAD, rng.integers(0, 20, (len(lengths), width)))
    ids = ids.astype(np.int32)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = rng.integers(0, 20, length)
        row[0], row[length // 2], row[length - 1] = CLS, SEP, SEP
    return ids, np.arange(width) < np.array(lengths)[:, None]


def masked_by_student(t, ids, mask, most, *probability):
    """The student's result, after what every result must be"""
    seed = int(t.rng.integers(2**31))
    result = t.run(masked_batch, VOCABULARY, ids, mask, most, seed, *probability)
    masked, positions, labels, given = result
    for name, array in (("masked ids", masked), ("masked_positions", positions), ("masked_labels", labels)):
        t.require(isinstance(array, np.ndarray), f"{name} is no array: expected one", name)
    t.unchanged(["input_ids"], [ids], [given])
    for name, array, dtype in (("masked_positions", positions, "int64"), ("masked_labels", labels, "int32")):
        t.require(array.ndim == 1 and array.dtype == dtype, f"expected {dtype}, [M]; found {array.dtype}, "
                  f"{array.ndim} axes", name)  # fmt: skip
    t.require((np.diff(positions) > 0).all(), "expected every position once, and ascending", "masked_positions")
    inside = ((positions >= 0) & (positions < ids.size)).all()
    t.require(inside, f"expected places b * T + t, from 0 to {ids.size - 1}", "masked_positions")
    t.equal("masked_labels", labels, ids.reshape(-1)[positions])
    t.require(masked.shape == ids.shape and masked.dtype == ids.dtype, f"expected {ids.shape} int32", "masked ids")
    rest = np.ones(ids.size, bool)
    rest[positions] = False
    t.equal("ids that were not chosen", masked.reshape(-1)[rest], ids.reshape(-1)[rest])
    chosen = ~rest.reshape(ids.shape)
    t.require(mask[chosen].all(), "padding was chosen: expected real tokens only", "masked_positions")
    t.require(not np.isin(ids[chosen], (CLS, SEP)).any(), "[CLS] or [SEP] was chosen", "masked_positions")
    return masked, chosen, result


# Half of an odd number of tokens would be a tie, which may be rounded either way.
LENGTHS = [n for n in range(4, 80) if n not in (10, 30, 50, 70)]


@prop("09.2", weight=4, essential=True)
def how_many(t):
    """15 % of the real tokens of each sequence, at least 1; never [CLS], [SEP] or padding; labels as they were"""
    ids, mask = pairs(t.rng, LENGTHS)
    _, chosen, _ = masked_by_student(t, ids, mask, 100)
    for n, count in zip(LENGTHS, chosen.sum(axis=1), strict=True):
        t.same(f"the number chosen of {n} real tokens", int(count), max(1, round(0.15 * n)))


@prop("09.2", weight=1)
def limits(t):
    """at most max_predictions; not more than there are words; another probability"""
    ids, mask = pairs(t.rng, LENGTHS)
    _, chosen, _ = masked_by_student(t, ids, mask, 4)
    for n, count in zip(LENGTHS, chosen.sum(axis=1), strict=True):
        name = f"the number chosen of {n} real tokens, max_predictions 4,"
        t.same(name, int(count), min(4, max(1, round(0.15 * n))))
    _, chosen, _ = masked_by_student(t, ids, mask, 100, 1.0)
    t.same("chosen a sequence, probability 1", chosen.sum(axis=1).tolist(), [n - 3 for n in LENGTHS])
    ids[:2], mask[:2] = PAD, False
    ids[0, :2], mask[0, :2] = (CLS, SEP), True
    ids[1, :3], mask[1, :3] = (CLS, 7, SEP), True
    _, chosen, _ = masked_by_student(t, ids, mask, 100)
    t.same("chosen in [CLS] [SEP] and in [CLS] w7 [SEP]", chosen[:2].sum(axis=1).tolist(), [0, 1])
    masked_by_student(t, ids[:1], mask[:1], 100)


@prop("09.2", weight=3, essential=True)
def eighty_ten_ten(t):
    """80 % become [MASK], 10 % a random piece of the whole vocabulary, 10 % stay"""
    ids, mask = pairs(t.rng, [120] * 900)
    masked, chosen, _ = masked_by_student(t, ids, mask, 100)
    before, after = ids[chosen], masked[chosen]
    total = len(before)
    # Five standard deviations: one right function in a million would fail.
    for what, share, right in (
        ("[MASK]", np.mean(after == MASK), 0.8 + 0.1 / SIZE),
        ("the same token", np.mean(after == before), 0.1 + 0.1 / SIZE),
    ):
        away = 5 * np.sqrt(right * (1 - right) / total)
        t.require(abs(share - right) < away, f"found {share:.3f} of them {what}, expected {right:.3f}", "masked ids")
    others = after[(after != MASK) & (after != before)]
    counts, mean = np.bincount(others, minlength=SIZE), 0.1 * total / SIZE
    for piece in range(SIZE):
        enough = piece == MASK or 0 < counts[piece] < mean + 7 * np.sqrt(mean)
        t.require(enough, f"piece {piece} of {SIZE} stood in for {counts[piece]} of {total} words, expected about "
                  f"{mean:.0f}: is the random piece from the whole vocabulary?", "masked ids")  # fmt: skip


def groups(ids, chosen):
    """{what they have in common: [the number of the group of each chosen word]}"""
    rows, columns = np.nonzero(chosen)
    return {"in one sequence": rows, "at one position of their sequences": columns, "of the same id": ids[chosen]}


@prop("09.2", weight=2, essential=True)
def each_word_draws_its_own_lot(t):
    """what becomes of a word says nothing about another one"""
    ids, mask = pairs(t.rng, [120] * 900)
    masked, chosen, _ = masked_by_student(t, ids, mask, 100)
    before, after = ids[chosen], masked[chosen]
    is_mask, is_other = after == MASK, (after != MASK) & (after != before)
    for what, group in groups(ids, chosen).items():
        sizes = np.bincount(group)
        found = np.bincount(group, is_mask)[sizes > 0]
        sizes = sizes[sizes > 0]
        share = is_mask.mean()
        # Chi squared: on average 1 for each group, with a variance of 2 each.
        spread = float(((found - sizes * share) ** 2 / (sizes * share * (1.0 - share) + 1e-9)).sum())
        t.require(spread < len(sizes) + 8.0 * np.sqrt(2.0 * len(sizes)),
                  f"words {what} become [MASK] together or not at all: is a lot drawn for each of them?",
                  "masked ids")  # fmt: skip
        drawn = np.unique(np.stack([group[is_other], after[is_other]]), axis=1, return_counts=True)[1]
        of_group = np.bincount(group[is_other]).astype(float)
        equal = float((drawn * (drawn - 1) / 2).sum())
        expected = float((of_group * (of_group - 1) / 2).sum()) / (SIZE - 2)
        t.require(equal < 1.1 * expected + 8.0 * np.sqrt(expected),
                  f"words {what} become the same random piece: {equal:.0f} pairs, expected about {expected:.0f}; is a "
                  "piece drawn for each of them?", "masked ids")  # fmt: skip


@prop("09.2", weight=2, essential=True)
def every_word_has_the_same_chance(t):
    """which words are chosen is random: every position equally often, and every two positions"""
    length, rows = 16, 3000
    ids, mask = pairs(t.rng, [length] * rows)
    _, chosen, _ = masked_by_student(t, ids, mask, 100)
    words = [place for place in range(length) if place not in (0, length // 2, length - 1)]
    counts, mean = chosen.sum(axis=0)[words], rows * 2 / len(words)
    worst = int(np.abs(counts - mean).argmax())
    t.require(abs(counts[worst] - mean) < 6 * np.sqrt(mean), f"place {words[worst]} was chosen {counts[worst]} times "
              f"in {rows} sequences, expected about {mean:.0f}", "masked_positions")  # fmt: skip
    both = np.argwhere(chosen)[:, 1].reshape(rows, 2)
    counts = {(a, b): 0 for a in words for b in words if a < b}
    for pair in map(tuple, both.tolist()):
        counts[pair] += 1
    mean = rows / len(counts)
    worst = max(counts, key=lambda pair: abs(counts[pair] - mean))
    t.require(abs(counts[worst] - mean) < 7 * np.sqrt(mean), f"positions {worst[0]} and {worst[1]} were chosen "
              f"together {counts[worst]} times in {rows} sequences, expected about {mean:.0f}, as every two: is each "
              "drawn on its own?", "masked_positions")  # fmt: skip


@prop("09.2", weight=1)
def all_chance_is_the_generators(t):
    """the same generator gives the same masks, another one other masks"""
    ids, mask = pairs(t.rng, [40] * 8)
    seed = int(t.rng.integers(2**30))
    first, again, other = (t.run(masked_batch, VOCABULARY, ids, mask, 100, s) for s in (seed, seed, seed + 1))
    for name, returned, right in zip(("masked ids", "masked_positions", "masked_labels"), again, first, strict=False):
        t.same(f"{name}, the same seed a second time", returned, right)
    t.require(not np.array_equal(first[1], other[1]), "two seeds chose the same positions", "masked_positions")
    once, twice = t.run(masked_twice, VOCABULARY, ids, mask, 100, seed)
    text = "two calls with one generator chose the same: the first leaves the generator as it was"
    t.require(not np.array_equal(once, twice), text, "masked_positions")
