"""From documents to sentence pairs, as BERT's create_pretraining_data makes them.

An example is [CLS] A [SEP] B [SEP]. A and B are runs of whole sentences; BERT calls each a "sentence".

    label 0 (is next)   B is the text that follows A
    label 1 (random)    B comes from another document

For every document, with `target` = sequence_length - 3 pieces (in 10 % of the documents a random shorter length):

    1. collect sentences until they have `target` pieces, or the document ends: one chunk
    2. cut the chunk at a random sentence boundary: A is the part before it
    3. a coin decides: B is the rest of the chunk, or (always if the chunk is one sentence) sentences of a random
       other document, from a random sentence on. The unused rest of the chunk is put back and used next
    4. while A and B together are too long, drop a piece from the longer one, at its front or its back by a coin

Both A and B are runs of neighbouring pieces in the tokenised text, so an example is stored as four offsets.
"""

from typing import NamedTuple

import numpy as np
from tqdm import tqdm

SHORT_SEQUENCE_PROBABILITY = 0.1


class TokenizedDocuments(NamedTuple):
    pieces: np.ndarray  # [N] int32, the piece ids of all sentences one after the other
    sentence_offsets: np.ndarray  # [S + 1] int64, sentence s is pieces[sentence_offsets[s] : sentence_offsets[s + 1]]
    document_offsets: np.ndarray  # [D + 1] int64, document d has sentences document_offsets[d] to [d + 1] - 1


class PretrainingExamples(NamedTuple):
    pieces: np.ndarray  # [N] int32, that of the documents
    a_spans: np.ndarray  # [E, 2] int64, A is pieces[start:stop]
    b_spans: np.ndarray  # [E, 2] int64, B is pieces[start:stop]
    next_sentence_labels: np.ndarray  # [E] int32, 0 = B follows A, 1 = B is random
    sequence_length: int  # no example is longer than this, with [CLS] and two [SEP]


def tokenize_documents(documents, tokenizer, progress=True):
    """Cut documents into sentences and sentences into pieces. list of Document -> TokenizedDocuments.

    Sentences without a piece and documents without a sentence are left out.
    """
    ids, sentence_offsets, document_offsets = [], [0], [0]
    for document in tqdm(documents, desc="tokenising", unit="document", disable=None if progress else True):
        for sentence in document.sentences():
            sentence_ids = tokenizer.encode(sentence)
            if sentence_ids:
                ids.append(np.array(sentence_ids, np.int32))
                sentence_offsets.append(sentence_offsets[-1] + len(sentence_ids))
        if len(sentence_offsets) - 1 > document_offsets[-1]:
            document_offsets.append(len(sentence_offsets) - 1)
    if not ids:
        raise ValueError(f"found no words in {len(documents)} document(s), expected at least one sentence")
    return TokenizedDocuments(
        np.concatenate(ids), np.array(sentence_offsets, np.int64), np.array(document_offsets, np.int64)
    )


def truncate_pair(a_span, b_span, max_pieces, rng):
    """Shorten two spans (start, stop) to `max_pieces` together.

    BERT drops one piece at a time from the longer span (from B when they are equal), each time at the front or
    the back by a fair coin. How many each span loses does not depend on the coins, so we compute that first
    and draw all the coins of a span at once.
    """
    a_length, b_length = a_span[1] - a_span[0], b_span[1] - b_span[0]
    if a_length + b_length <= max_pieces:
        return a_span, b_span
    # The longer one is cut down to the shorter one; from there on they take turns, B first.
    a_left = min(a_length, max(max_pieces - b_length, (max_pieces + 1) // 2))
    b_left = max_pieces - a_left
    spans = []
    for (start, stop), left in ((a_span, a_left), (b_span, b_left)):
        dropped = stop - start - left
        front = int(rng.integers(2, size=dropped).sum())  # a coin for each
        spans.append((start + front, stop - (dropped - front)))
    return tuple(spans)


def _other_document(document, count, rng):
    """A random document that is not `document`; the same one only if there is no other."""
    if count == 1:
        return document
    other = int(rng.integers(count - 1))
    return other + (other >= document)


def make_pretraining_examples(documents, sequence_length, rng, short_probability=SHORT_SEQUENCE_PROBABILITY):
    """Sentence pairs from all documents, in their order. BERT makes ten such passes; call it again for another one.

    documents: TokenizedDocuments; sequence_length: with [CLS] and two [SEP] -> PretrainingExamples
    """
    if sequence_length < 5:
        raise ValueError(f"sequence_length: found {sequence_length}, expected at least 5 ([CLS] a [SEP] b [SEP])")
    max_pieces = sequence_length - 3
    offsets = documents.sentence_offsets.tolist()  # Python's integers are faster here than NumPy's
    document_offsets = documents.document_offsets.tolist()
    count = len(document_offsets) - 1
    a_spans, b_spans, labels = [], [], []

    for document in range(count):
        target = max_pieces
        if rng.random() < short_probability:
            target = int(rng.integers(2, max_pieces + 1))
        sentence, last = document_offsets[document], document_offsets[document + 1]
        while sentence < last:
            # 1. The chunk is sentences `sentence` to `stop` - 1.
            stop = sentence + 1
            while stop < last and offsets[stop] - offsets[sentence] < target:
                stop += 1
            # 2. A ends before sentence `a_stop`.
            a_stop = stop if stop == sentence + 1 else int(rng.integers(sentence + 1, stop))
            a_span = (offsets[sentence], offsets[a_stop])
            # 3. B
            is_random = stop == sentence + 1 or rng.random() < 0.5
            if is_random:
                other = _other_document(document, count, rng)
                b_start = int(rng.integers(document_offsets[other], document_offsets[other + 1]))
                wanted = target - (a_span[1] - a_span[0])
                b_stop = b_start + 1
                while b_stop < document_offsets[other + 1] and offsets[b_stop] - offsets[b_start] < wanted:
                    b_stop += 1
                b_span = (offsets[b_start], offsets[b_stop])
                sentence = a_stop  # what the chunk has after A is put back
            else:
                b_span = (a_span[1], offsets[stop])
                sentence = stop
            # 4. Truncation is to the full length, also when the target is shorter.
            a_span, b_span = truncate_pair(a_span, b_span, max_pieces, rng)
            a_spans.append(a_span)
            b_spans.append(b_span)
            labels.append(int(is_random))

    return PretrainingExamples(
        documents.pieces,
        np.array(a_spans, np.int64).reshape(-1, 2),
        np.array(b_spans, np.int64).reshape(-1, 2),
        np.array(labels, np.int32),
        sequence_length,
    )
