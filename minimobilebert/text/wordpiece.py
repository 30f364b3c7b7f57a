"""WordPiece: split a word into pieces of a fixed vocabulary, from left to right.

    unaffable -> un ##aff ##able          "##" marks a piece that continues a word

Greedy longest match first: take the longest piece that is a prefix of the word, and repeat with the rest. If no piece
matches, or if the word has more than 100 characters, the whole word becomes [UNK].
"""

import hashlib
import re

from ..support.files import write_text
from ..support.regular_files import read_bytes
from ..support.shapes import shown
from .basic_tokenizer import basic_tokenize, basic_tokenize_with_sources
from .corpus import decode_text

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_INPUT_CHARS_PER_WORD = 100
_MAX_CACHED_WORDS = 1_000_000
MOST_BYTES = 2**26  # of vocab.txt; the largest ones on the hub have 2**21

# str.split() would also split at characters that BERT deletes; deletion joins the text before and after them.
_CHUNK = re.compile(r"[^ \t\r\n]+")


class WordPieceTokenizer:
    """BERT's uncased tokeniser. vocab: list of pieces; a piece's id is its index.

    pad_id, unk_id, cls_id, sep_id, mask_id  ids of the special tokens
    vocab_size                               number of pieces
    digest                                   a short hash of all pieces in order
    """

    def __init__(self, vocab, location="vocabulary"):
        """ValueError if a piece occurs twice or a special token is missing; `location` starts the message."""
        self.vocab = list(vocab)
        self.vocab_size = len(self.vocab)
        self._id_of = {}
        for i, piece in enumerate(self.vocab):
            if piece in self._id_of:
                raise ValueError(
                    f"{location}:{i + 1}: found {shown(piece)} a second time (first on line {self._id_of[piece] + 1}), "
                    "expected every piece once"
                )
            self._id_of[piece] = i
        for token in SPECIAL_TOKENS:
            if token not in self._id_of:
                raise ValueError(f"{location}: found no {token} on lines 1 to {self.vocab_size}, expected it once")
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (self._id_of[t] for t in SPECIAL_TOKENS)
        # A checkpoint stores the digest of its vocabulary, so that another vocabulary is detected.
        self.digest = hashlib.sha256("\n".join(self.vocab).encode()).hexdigest()[:16]
        # Words repeat: 3 million words of text have 100,000 different ones, and we split each of them once.
        self._cache, self._cache_with_spans = {}, {}

    def _cut(self, word):
        """A word of `basic_tokenize` -> ids of its pieces, stops: piece k is word[stops[k - 1] : stops[k]].

        [UNK] is one piece for the whole word.
        """
        if len(word) > MAX_INPUT_CHARS_PER_WORD:
            return [self.unk_id], [len(word)]
        ids, stops, start = [], [], 0
        while start < len(word):
            prefix = "##" if start else ""
            for stop in range(len(word), start, -1):
                found = self._id_of.get(prefix + word[start:stop])
                if found is not None:
                    break
            else:
                return [self.unk_id], [len(word)]
            ids.append(found)
            stops.append(stop)
            start = stop
        return ids, stops

    def _cut_with_spans(self, chunk):
        """Text without white space -> ids of its pieces, spans: list of (start, stop) in the chunk.

        Most chunks are a single piece; spans is None for them.
        """
        ids, spans = [], []
        for word, sources in basic_tokenize_with_sources(chunk):
            word_ids, stops = self._cut(word)
            ids += word_ids
            spans += [(sources[a], sources[b - 1] + 1) for a, b in zip([0, *stops], stops, strict=False)]
        return ids, None if spans == [(0, len(chunk))] else spans

    def encode(self, text):
        """text: str -> ids of its pieces, list of int, without [CLS] and [SEP]."""
        ids = []
        cache = self._cache
        for chunk in _CHUNK.findall(text):
            chunk_ids = cache.get(chunk)
            if chunk_ids is None:
                chunk_ids = [i for word in basic_tokenize(chunk) for i in self._cut(word)[0]]
                if len(chunk) <= MAX_INPUT_CHARS_PER_WORD and len(cache) < _MAX_CACHED_WORDS:
                    cache[chunk] = chunk_ids
            ids += chunk_ids
        return ids

    def encode_with_offsets(self, text):
        """text: str -> ids as from `encode`, offsets: list of (start, stop), one per piece

        text[start:stop] is the source of the piece, from its first to its last letter. It includes capitals, accents
        and deleted characters, except after the last letter: "O\u0301!" -> o (0, 1), ! (2, 3); "É" -> e (0, 1).
        Pieces of the same character have the same offsets: "각" is three letters; as three pieces all are (0, 1).
        """
        ids, offsets = [], []
        cache = self._cache_with_spans
        for match in _CHUNK.finditer(text):
            chunk = match.group()
            found = cache.get(chunk)
            if found is None:
                found = self._cut_with_spans(chunk)
                if len(chunk) <= MAX_INPUT_CHARS_PER_WORD and len(cache) < _MAX_CACHED_WORDS:
                    cache[chunk] = found
            chunk_ids, spans = found
            ids += chunk_ids
            if spans is None:
                offsets.append(match.span())
            else:
                start = match.start()
                for a, b in spans:
                    offsets.append((start + a, start + b))
        return ids, offsets

    def tokenize(self, text):
        """text: str -> its pieces, list of str."""
        return [self.vocab[i] for i in self.encode(text)]

    def id_of(self, piece):
        """The id of a piece, or that of [UNK] if the piece is not in the vocabulary."""
        return self._id_of.get(piece, self.unk_id)

    def decode(self, ids, skip_special_tokens=True):
        """ids -> text. Pieces of a word are joined; case and accents are lost."""
        pieces = [self.vocab[i] for i in ids]
        if skip_special_tokens:
            pieces = [piece for piece in pieces if piece not in SPECIAL_TOKENS or piece == "[UNK]"]
        return " ".join(pieces).replace(" ##", "")

    @classmethod
    def load(cls, path):
        """Read a BERT vocab.txt: one piece per line, ids count from 0. ValueError with the file and the line."""
        text = decode_text(read_bytes(path, MOST_BYTES), path)
        # Only "\n" ends a line: some vocabularies have pieces that str.splitlines() would split.
        lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
        for number, line in enumerate(lines, start=1):
            if not line:
                raise ValueError(f"{path}:{number}: found an empty line, expected one piece a line")
        return cls(lines, location=path)

    def save(self, path):
        """Write the vocabulary as a BERT vocab.txt."""
        write_text(path, "".join(piece + "\n" for piece in self.vocab))
