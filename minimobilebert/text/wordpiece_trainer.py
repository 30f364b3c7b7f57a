"""Train a WordPiece vocabulary from word counts.

Start with single characters. Then repeat: take the pair of adjacent pieces with the highest score, add the merged piece
to the vocabulary, and merge all occurrences of the pair, until the vocabulary has the given size.

    BPE                 score(a, b) = count(ab)                            the frequency of the pair
    WordPiece (2012)    score(a, b) = count(ab) / (count(a) * count(b))    the gain in likelihood of a unigram model

Google's trainer, which made BERT's vocabulary, is not published. The second score prefers pairs of rare pieces and
needs a frequency threshold. Like other open trainers, this one uses the BPE score with BERT's "##" marks. WordPiece
differs from BPE in how the vocabulary is used: WordPiece keeps only the set of pieces and splits a word by longest
match first; BPE applies the merges in order.

Counting all pairs again after each merge would take (merges x corpus) time. A merge changes only the words that contain
the pair, so we store for each pair its count and its words. A heap yields the best pair. If the count of a heap entry
is out of date, we push the pair again with its current count.
"""

import collections
import heapq
import itertools

from tqdm import tqdm

from .basic_tokenizer import basic_tokenize
from .wordpiece import MAX_INPUT_CHARS_PER_WORD, SPECIAL_TOKENS


def count_words(documents):
    """Word frequencies. documents: list of Document -> Counter of str"""
    chunks = collections.Counter()
    for document in documents:
        for paragraph in document.paragraphs:
            chunks.update(paragraph.split(" "))
    words = collections.Counter()
    for chunk, count in chunks.items():  # tokenise each distinct chunk once
        for word in basic_tokenize(chunk):
            words[word] += count
    return words


def join(left, right):
    """Two adjacent pieces as one: "un" + "##aff" -> "unaff"."""
    return left + right.removeprefix("##")


def _character_pieces(word):
    return [word[0]] + ["##" + character for character in word[1:]]


def _alphabet(words, limit):
    """The most frequent single-character pieces, at most `limit`, in alphabetical order."""
    counts = collections.Counter()
    for word, count in words:
        for piece in _character_pieces(word):
            counts[piece] += count
    by_frequency = sorted(counts, key=lambda piece: (-counts[piece], piece))
    return sorted(by_frequency[:limit])


class _PairIndex:
    """An index of all pairs of adjacent pieces: counts, words, and a heap for the most frequent pair."""

    def __init__(self, words):
        """words: list of (list of pieces, count)"""
        self.pieces = [pieces for pieces, _ in words]
        self.word_counts = [count for _, count in words]
        self.counts = collections.Counter()
        self.words_with = collections.defaultdict(set)  # pair -> indices of the words that contain it or did
        for number, (pieces, count) in enumerate(words):
            for pair in itertools.pairwise(pieces):
                self.counts[pair] += count
                self.words_with[pair].add(number)
        self.heap = [(-count, pair) for pair, count in self.counts.items()]
        heapq.heapify(self.heap)

    def pop_best(self):
        """The most frequent pair and its count; in a tie the alphabetically first; (None, 0) if no pair is left."""
        while self.heap:
            negative_count, pair = heapq.heappop(self.heap)
            count = self.counts[pair]
            if count == -negative_count:
                return pair, count
            if count > 0:  # the entry is out of date: the pair has become rarer
                heapq.heappush(self.heap, (-count, pair))
        return None, 0

    def merge(self, pair, piece):
        """Replace `pair` by `piece` in all words that contain it, and update the counts."""
        grown = set()
        for number in self.words_with.pop(pair):
            old, count = self.pieces[number], self.word_counts[number]
            new = merge_pair(old, pair, piece)
            for old_pair in itertools.pairwise(old):
                self.counts[old_pair] -= count
            for new_pair in itertools.pairwise(new):
                self.counts[new_pair] += count
                if piece in new_pair:
                    self.words_with[new_pair].add(number)
                    grown.add(new_pair)
            self.pieces[number] = new
        # `pop_best` handles counts that fell; counts that rose need a new heap entry.
        for new_pair in grown:
            heapq.heappush(self.heap, (-self.counts[new_pair], new_pair))


def merge_pair(pieces, pair, piece):
    """`pieces` with all occurrences of `pair` replaced by `piece`, from left to right."""
    merged, i = [], 0
    while i < len(pieces):
        if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == pair:
            merged.append(piece)
            i += 2
        else:
            merged.append(pieces[i])
            i += 1
    return merged


def train_wordpiece(word_counts, vocab_size, min_count=2, progress=True):
    """Train a vocabulary of at most `vocab_size` pieces: the special tokens, single characters, then merges.

    word_counts: {word: count}; min_count: the lowest frequency of a pair that is merged, so a short text gives a
    smaller vocabulary. At most half of the vocabulary is single characters; in a text with more of them, words with the
    rarest ones become [UNK]. In a tie we merge the alphabetically first pair, so the result depends only on the counts.
    -> list of str
    """
    if vocab_size < 2 * len(SPECIAL_TOKENS):
        raise ValueError(f"vocab_size: found {vocab_size}, expected at least {2 * len(SPECIAL_TOKENS)}")
    words = sorted((w, c) for w, c in word_counts.items() if 0 < len(w) <= MAX_INPUT_CHARS_PER_WORD)
    if not words:
        raise ValueError("found no words, expected text to learn a vocabulary from")
    vocab = list(SPECIAL_TOKENS) + _alphabet(words, vocab_size // 2)
    known = set(vocab)
    spelled = [(_character_pieces(word), count) for word, count in words]
    index = _PairIndex([(pieces, count) for pieces, count in spelled if known.issuperset(pieces)])

    with tqdm(
        total=vocab_size, initial=len(vocab), desc="word pieces", unit="piece", disable=None if progress else True
    ) as bar:
        while len(vocab) < vocab_size:
            pair, count = index.pop_best()
            if pair is None or count < min_count:
                break
            piece = join(*pair)
            index.merge(pair, piece)
            if piece not in known:  # two different pairs may give the same piece
                known.add(piece)
                vocab.append(piece)
                bar.update()
    return vocab
