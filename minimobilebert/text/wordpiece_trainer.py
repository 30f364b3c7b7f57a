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

    pieces_of, count_of = [], []  # word number -> its pieces now, how often it occurs
    pair_counts = collections.Counter()
    words_with = collections.defaultdict(set)  # pair -> numbers of words that contain it (or did)
    for word, count in words:
        pieces = _character_pieces(word)
        if known.issuperset(pieces):
            for pair in zip(pieces, pieces[1:]):
                pair_counts[pair] += count
                words_with[pair].add(len(pieces_of))
            pieces_of.append(pieces)
            count_of.append(count)

    heap = [(-count, pair) for pair, count in pair_counts.items()]
    heapq.heapify(heap)
    with tqdm(total=vocab_size, initial=len(vocab), desc="word pieces", disable=not progress) as bar:
        while heap and len(vocab) < vocab_size:
            negative_count, pair = heapq.heappop(heap)
            if -negative_count != pair_counts[pair]:
                if pair_counts[pair] > 0:
                    heapq.heappush(heap, (-pair_counts[pair], pair))
                continue
            if -negative_count < min_count:
                break
            piece = join(*pair)
            if piece not in known:  # "ab" + "##c" and "a" + "##bc" make the same piece
                known.add(piece)
                vocab.append(piece)
                bar.update()
            grown = set()
            for number in words_with.pop(pair):
                count, old = count_of[number], pieces_of[number]
                new = merge_pair(old, pair, piece)
                for old_pair in zip(old, old[1:]):
                    pair_counts[old_pair] -= count
                for new_pair in zip(new, new[1:]):
                    pair_counts[new_pair] += count
                    words_with[new_pair].add(number)
                    if piece in new_pair:
                        grown.add(new_pair)
                pieces_of[number] = new
            # A count that fell is corrected when its entry comes up; one that rose needs an entry now.
            for new_pair in grown:
                heapq.heappush(heap, (-pair_counts[new_pair], new_pair))
    return vocab


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
