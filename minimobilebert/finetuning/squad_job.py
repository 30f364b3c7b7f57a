"""SQuAD v1.1 and v2.0 as a `Job` (jobs.py): where the answer starts and ends."""

import functools
import pathlib

from ..inference.answer import span_scores_of
from ..inference.logits import span_logits
from ..model.question_answering import question_answering_step
from ..support.terminal import say
from ..tasks.squad_batches import SquadExamples
from ..tasks.squad_data import read_ids, read_squad, split_by_article
from ..tasks.squad_decoding import decode
from ..tasks.squad_features import make_features
from ..tasks.squad_scores import squad_scores
from .details import question_details

_VERSIONS = {"squad1": "1.1", "squad2": "2.0"}
_NULL_THRESHOLD = 0.0  # as in the released code: "no answer" if it scores higher than the best answer


class SquadJob:
    head, num_labels, labels, pairs = "question-answering", None, None, True

    def __init__(self, settings, files, tokenizer):
        self.settings, self.files, self.tokenizer = settings, files, tokenizer
        self.version = _VERSIONS[settings.task]
        self.step_function, self.logits = question_answering_step, span_logits

    def _source(self, split):
        """The file of a split, "train" or "dev": with split_articles, both are in the training file."""
        return "train" if self.files.split_articles else split

    def _path(self, split):
        """The path of the file of a split."""
        source = self._source(split)
        given = getattr(self.files, f"{source}_file")
        return pathlib.Path(given) if given else self.files.folder() / f"{source}-v{self.version}.json"

    def paths(self):
        """The files of the training and dev splits -> list of paths"""
        return sorted({self._path(split) for split in ("train", "dev")})

    def _read(self, split, training):
        path = self._path(split)
        if not path.exists():
            option = f"--{self._source(split)}-file"
            raise ValueError(f"{path}: found no file, expected SQuAD v{self.version} ({option} names another)")
        leave_out = read_ids(self.files.leave_out) if training and self.files.leave_out else ()
        dataset = read_squad(path, training=training, leave_out=leave_out)
        if dataset.version != self.version:
            raise ValueError(
                f"{path}: found SQuAD v{dataset.version}, expected v{self.version} for {self.settings.task}"
            )
        if self.files.split_articles:
            dataset = split_by_article(dataset, self.files.split_articles)[split == "dev"]
        return dataset

    def _features(self, split, training, rows=None):
        settings, dataset = self.settings, self._read(split, training)
        if rows is not None:
            dataset = dataset._replace(questions=dataset.questions[:rows])
        features = make_features(dataset, self.tokenizer, settings.max_length, settings.stride, settings.max_query)
        counts = features.counts
        say(f"{settings.task} {split}: {counts.questions} questions in {counts.windows} windows of at most"
            f" {settings.max_length} pieces")  # fmt: skip
        if counts.questions_cut:
            say(f"note: {counts.questions_cut} questions cut to {settings.max_query} pieces (--max-query)")
        if counts.answers_lost:
            say(f"note: {counts.answers_lost} answers fit into no window, and are trained as if there were none")
        return features

    @functools.cached_property
    def examples(self):
        """The windows of the training file -> SquadExamples"""
        return SquadExamples(self._features("train", True, self.settings.rows))

    @functools.cached_property
    def dev(self):
        """The windows that are scored -> SquadFeatures"""
        return self._features("dev", False)

    def decoded(self, logits, features, null_threshold=_NULL_THRESHOLD):
        """The answers to all questions -> SquadAnswers"""
        return decode(features, span_scores_of(logits, features), null_threshold=null_threshold)

    def _best_answers(self, logits):
        """The best answers of the dev split, also where "no answer" has more points: the scores abstain"""
        return self.decoded(logits, self.dev, null_threshold=float("inf"))

    def _scores(self, found):
        return squad_scores(self.dev.dataset, found.answers, found.null_odds, _NULL_THRESHOLD)

    def evaluate(self, logits):
        """-> {"dev": exact match, F1 and what they are made of}"""
        return {"dev": self._scores(self._best_answers(logits))}

    def details(self, logits):
        """-> {"dev": scores, number of questions, what is right and wrong (details.py)}"""
        found, dataset = self._best_answers(logits), self.dev.dataset
        result = {"scores": self._scores(found), "rows": len(dataset.questions)}
        return {"dev": result | question_details(dataset, found, _NULL_THRESHOLD)}

    def selection(self, scores):
        """F1"""
        return scores["dev"]["f1"]
