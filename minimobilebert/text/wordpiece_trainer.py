"""Learn a WordPiece vocabulary from word counts.

Start with single characters. Again and again take the pair of neighbouring pieces with the highest score, add
the joined piece to the vocabulary, and join the pair wherever it occurs, until the vocabulary is full.

    BPE                 score(a, b) = count(ab)                            how often the pair occurs
    WordPiece (2012)    score(a, b) = count(ab) / (count(a) * count(b))    gain in likelihood of a unigram model

BERT's vocabulary was made with Google's unpublished trainer. The second score, taken literally, prefers pairs
of rare pieces that occur nowhere else, and needs a frequency threshold to be of use. Like the usual open
trainers, this one takes the BPE score, and BERT's "##" marks: a vocabulary for BERT's greedy tokeniser. What
differs from BPE is the use: WordPiece keeps only the set of pieces and cuts a word longest match first; BPE
replays the merges in order.

Counting all pairs again after each merge would take (merges x corpus) time. Only the words that contain the
merged pair change, so we keep, for every pair, its count and the words it occurs in. The best pair comes from
a heap; an entry whose count is out of date is put back with its present count when it comes up.
"""

import collections
import heapq
import itertools

from tqdm import tqdm

from .basic_tokenizer import basic_tokenize
from .wordpiece import MAX_INPUT_CHARS_PER_WORD, SPECIAL_TOKENS


def count_words(documents):
    """How often each word occurs. documents: list of Document -> Counter of str."""
    chunks = collections.Counter()
    for document in documents:
        for paragraph in document.paragraphs:
            chunks.update(paragraph.split(" "))
    words = collections.Counter()
    for chunk, count in chunks.items():  # each different chunk is cleaned once
        for word in basic_tokenize(chunk):
            words[word] += count
    return words


def join(left, right):
    """The piece that two neighbours make: "un" + "##aff" -> "unaff"."""
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
    """Every pair of neighbouring pieces: how often it occurs, in which words, and which one is the most frequent."""

    def __init__(self, words):
        """words: list of (list of pieces, count)"""
        self.pieces = [pieces for pieces, _ in words]
        self.word_counts = [count for _, count in words]
        self.counts = collections.Counter()
        self.words_with = collections.defaultdict(set)  # pair -> numbers of the words that contain it (or did)
        for number, (pieces, count) in enumerate(words):
            for pair in itertools.pairwise(pieces):
                self.counts[pair] += count
                self.words_with[pair].add(number)
        self.heap = [(-count, pair) for pair, count in self.counts.items()]
        heapq.heapify(self.heap)

    def pop_best(self):
        """The most frequent pair and its count, the alphabetically first among equals; (None, 0) when none is left."""
        while self.heap:
            negative_count, pair = heapq.heappop(self.heap)
            count = self.counts[pair]
            if count == -negative_count:
                return pair, count
            if count > 0:  # it has become rarer since: its turn comes later
                heapq.heappush(self.heap, (-count, pair))
        return None, 0

    def merge(self, pair, piece):
        """Replace `pair` by `piece` in every word that contains it, and count the new neighbours."""
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
        # Counts that fell are noticed in `pop_best`; those that rose need a new entry in the heap.
        for new_pair in grown:
            heapq.heappush(self.heap, (-self.counts[new_pair], new_pair))


def merge_pair(pieces, pair, piece):
    """`pieces` with every occurrence of `pair`, from left to right, replaced by `piece`."""
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
    """Learn at most `vocab_size` pieces: the special tokens, the characters, then merges, best first.

    word_counts: dict of str -> int; min_count: a pair that occurs less often is not merged, so a short text gives
    a smaller vocabulary. At most half of the vocabulary is single characters (a text in many scripts can have more:
    words with the rarest ones become [UNK]). Equal counts: the alphabetically first pair wins, so that the same
    counts always give the same vocabulary. Returns list of str.
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
            if piece not in known:  # whatever halves it is made of, a piece is listed once
                known.add(piece)
                vocab.append(piece)
                bar.update()
    return vocab
