"""From documents to batches: the data of all training stages of a run."""

from typing import Any, NamedTuple

import numpy as np

from ..support.terminal import say
from ..tasks.eras import EraTask, make_era_task
from ..text.batches import PretrainingBatches, evaluation_batches
from ..text.corpus import read_documents, shipped_documents, split_documents
from ..text.pretraining_examples import make_pretraining_examples, tokenize_documents
from ..text.wordpiece import WordPieceTokenizer
from ..text.wordpiece_trainer import count_words, train_wordpiece
from ..training import fingerprints
from .run import begun_with, check_same_contents, known_vocabulary, text_folders

_EXAMPLES_STREAM = 4


class TextData(NamedTuple):
    tokenizer: Any
    train_ids: np.ndarray  # all pieces of the training documents, for the unigram baseline
    batches: PretrainingBatches  # step -> batch
    evaluation: list  # fixed batches of held-out documents, with fixed masks
    task: EraTask | None  # None for a user's own text, which has no labels
    fingerprint: str = ""  # of the documents


def _examples(documents, tokenizer, settings, part):
    tokenized = tokenize_documents(documents, tokenizer)
    rng = np.random.default_rng([settings.seed, _EXAMPLES_STREAM, part])
    return tokenized, make_pretraining_examples(tokenized, settings.sequence_length, rng)


def documents_of(text):
    """A user's folders of .txt files, or one folder, or None for the shipped texts -> documents, their fingerprint"""
    folders = text_folders(text)
    documents = read_documents(*folders) if folders else shipped_documents()
    return documents, fingerprints.of_texts(documents)


def prepare_text(settings, text, folder):
    """Read documents, split them, train the vocabulary on the training part, make examples and batches.

    text: a user's folders of .txt files, or one folder, or None for the shipped texts
    folder: that of the run; if its vocab.txt exists, it is used
    -> TextData, the same for all models of the run. DamagedRun if vocab.txt was modified.
    """
    documents, fingerprint = documents_of(text)
    check_same_contents(folder, {**begun_with(folder), "text": fingerprint})
    return data_of(documents, settings, known_vocabulary(folder), fingerprint, has_task=not text_folders(text))


def data_of(documents, settings, tokenizer=None, fingerprint="", has_task=True):
    """Documents -> TextData, as in `prepare_text`. tokenizer: None to train it; has_task: with the era task"""
    training, held_out = split_documents(documents, settings.held_out_fraction, settings.seed)
    say(f"text: {len(training)} documents to train on, {len(held_out)} held out")
    if tokenizer is None:
        tokenizer = WordPieceTokenizer(train_wordpiece(count_words(training), settings.vocab_size))

    tokenized, examples = _examples(training, tokenizer, settings, part=0)
    _, held_out_examples = _examples(held_out, tokenizer, settings, part=1)
    say(f"text: {len(tokenized.pieces):,} word pieces, {len(examples.next_sentence_labels):,} sentence pairs")
    sizes = (settings.batch_size, settings.sequence_length, settings.max_predictions, settings.seed)
    batches = PretrainingBatches(examples, tokenizer, *sizes)
    evaluation = evaluation_batches(held_out_examples, tokenizer, *sizes, count=settings.evaluation_batches)
    task = None
    if has_task:
        held_out_names = {document.name for document in held_out}
        task = make_era_task(
            documents, held_out_names, tokenizer, settings.task_batch_size, settings.sequence_length, settings.seed
        )
        say(f"text: era task, {task.num_training} sentences to train on, {task.num_test} to test")
    return TextData(tokenizer, tokenized.pieces, batches, evaluation, task, fingerprint)
