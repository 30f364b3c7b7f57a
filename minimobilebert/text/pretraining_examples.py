"""From documents to sentence pairs, as in BERT's create_pretraining_data.

An example is [CLS] A [SEP] B [SEP]. A and B are runs of whole sentences; BERT calls each a "sentence".

    label 0 (is next)   B is the text after A
    label 1 (random)    B is from another document

For each document, with `target` = sequence_length - 3 pieces (in 10 % of the documents a random shorter length):

    1. collect sentences until they have `target` pieces or the document ends: this is a chunk
    2. split the chunk at a random sentence boundary: A is the part before it
    3. with probability 0.5, B is the rest of the chunk. Otherwise, and always if the chunk is one sentence, B starts at
       a random sentence of another random document, and the rest of the chunk belongs to the next chunk
    4. while A and B together are too long, remove a piece of the longer one, at random from its start or its end

A and B are contiguous in the tokenised text, so an example is stored as four offsets.
"""

from typing import NamedTuple

import numpy as np
from tqdm import tqdm

SHORT_SEQUENCE_PROBABILITY = 0.1


class TokenizedDocuments(NamedTuple):
    pieces: np.ndarray  # [N] int32, the piece ids of all sentences one after the other
    sentence_offsets: np.ndarray  # [S + 1] int64, sentence s is pieces[sentence_offsets[s] : sentence_offsets[s + 1]]
    document_offsets: np.ndarray  # [D + 1] int64, sentences of document d: document_offsets[d] to [d + 1] - 1


class PretrainingExamples(NamedTuple):
    pieces: np.ndarray  # [N] int32, those of the documents
    a_spans: np.ndarray  # [E, 2] int64, A is pieces[start:stop]
    b_spans: np.ndarray  # [E, 2] int64, B is pieces[start:stop]
    next_sentence_labels: np.ndarray  # [E] int32, 0 = B follows A, 1 = B is random
    sequence_length: int  # the maximum length of an example, including [CLS] and two [SEP]


def tokenize_documents(documents, tokenizer, progress=True):
    """Split documents into sentences, and sentences into pieces. list of Document -> TokenizedDocuments

    Sentences without pieces and documents without sentences are dropped.
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
    """Truncate two spans (start, stop) to `max_pieces` pieces together.

    BERT removes one piece at a time from the longer span (from B if they are equal), from its start or its end with
    equal probability. The number of removed pieces is not random, so we compute it first and then draw all choices of a
    span at once.
    """
    a_length, b_length = a_span[1] - a_span[0], b_span[1] - b_span[0]
    if a_length + b_length <= max_pieces:
        return a_span, b_span
    # The longer span loses pieces until both are equal; then they lose pieces alternately, B first.
    a_left = min(a_length, max(max_pieces - b_length, (max_pieces + 1) // 2))
    b_left = max_pieces - a_left
    spans = []
    for (start, stop), left in ((a_span, a_left), (b_span, b_left)):
        dropped = stop - start - left
        front = int(rng.integers(2, size=dropped).sum())  # 1: from the start, 0: from the end
        spans.append((start + front, stop - (dropped - front)))
    return tuple(spans)


def _other_document(document, count, rng):
    """A random document other than `document`, unless it is the only one."""
    if count == 1:
        return document
    other = int(rng.integers(count - 1))
    return other + (other >= document)


def make_pretraining_examples(documents, sequence_length, rng, short_probability=SHORT_SEQUENCE_PROBABILITY):
    """Sentence pairs from all documents in order: one pass. BERT makes ten passes; each call is a new one.

    documents: TokenizedDocuments; sequence_length: including [CLS] and two [SEP] -> PretrainingExamples
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
                sentence = a_stop  # the rest of the chunk belongs to the next chunk
            else:
                b_span = (a_span[1], offsets[stop])
                sentence = stop
            # 4. We truncate to the full length, even if the target is shorter.
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
