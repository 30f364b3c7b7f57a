"""`distil`: a student for a teacher of the reader's own, from text alone.

    out/config.json             the settings; a run with other settings in the same folder is an error
    out/vocab.txt               the teacher's
    out/text/                   the text in word pieces, unless it was prepared before
    out/first_values.npz        the student before training
    out/transfer/               the stages (stages.py); student/ is what `--model OUT` loads
    out/student/
    out/student_vectors_only/   with --vectors-only
    out/student_scratch/        with --baseline
    out/summary.json, out/report.html, out/manifest.json

After an interruption, even by `kill -9`, the same command resumes from the last checkpoint and ends with the same bits.
A finished run can be measured again: with other pairs, another sentence, more students beside it.
"""

import dataclasses
import pathlib
import time
from typing import Any, NamedTuple

from ..distributed.communicator import leader_only
from ..distributed.parts import check_parts
from ..kernels.runtime.precision import use_precision
from ..pipeline.needs import check_distillation
from ..pipeline.result_files import DISTILLATION_SUMMARY, read_result
from ..pipeline.run import CONFIG, VOCABULARY, RunFolder, begun_with, check_same_contents, text_folders
from ..support.files import name_of, sha256_of, write_json
from ..support.locks import claimed
from ..support.tables import aligned
from ..support.terminal import say
from ..training.checkpoints import load_checkpoint, save_checkpoint
from ..training.manifest import is_finished
from ..training.model_folder import load_model
from ..training.stage_folder import check_same_configuration
from . import stages
from .first_values import Start, start_from_teacher
from .settings import OUTPUTS, settings_for
from .sizes import rows_of_sizes, sizes_beside_teacher, step_megabytes
from .summary import summarise
from .texts import fingerprint_of_teacher, read_text
from .word_vectors import output_word_vectors

SUMMARY, FIRST_VALUES = "summary.json", "first_values.npz"
EXAMPLE_SENTENCE = "The people of the United States have a right to expect that their government will be honest."


class Wanted(NamedTuple):
    """What the report shows beside the student; it does not change the student."""

    sentence: str = EXAMPLE_SENTENCE
    baseline: bool = False
    vectors_only: bool = False
    pairs: Any = None  # Pairs

    def described(self):
        """-> a JSON value: equal for equal reports"""
        pairs = self.pairs and {"name": self.pairs.name, "files": [sha256_of(path)[:16] for path in self.pairs.files]}
        return {"sentence": self.sentence, "baseline": self.baseline, "vectors_only": self.vectors_only, "pairs": pairs}


class Distillation(RunFolder):
    """A run of `distil`; saved: the teacher, a SavedModel"""

    def __init__(self, folder, settings, asked, saved):
        super().__init__(folder, settings, asked)
        self.saved = saved

    @property
    def teacher(self):
        """Parameters, ModelConfig"""
        return self.saved.params, self.saved.config

    def inputs(self):
        """The inputs of the run -> {name: fingerprint}"""
        return begun_with(self.folder)

    def configuration(self, *arguments, **read):
        """As in RunFolder; the student makes vectors of texts as its teacher does."""
        sentence = self.saved.sentence
        return super().configuration(*arguments, **read) | (
            {"sentence": dataclasses.asdict(sentence)} if sentence else {}
        )


def run(*, teacher, out, text=None, column=None, wanted=None, student="mobile", seed=1, settings=None, **options):
    """The command `distil`.

    teacher: a model folder or a run; text: paths (None: the shipped texts); column: of tables; wanted: Wanted
    student: a name of students.NAMES; settings: {name: text} from `--set`; options: layers, steps, or None
    -> the summary, a dict. ValueError for bad input, before anything is trained.
    """
    out, wanted = pathlib.Path(out), wanted or Wanted()
    saved = load_model(teacher)
    chosen = settings_for(saved, student=student, seed=seed, changes=settings, **options)
    if wanted.vectors_only and chosen.strategy == "none" and not chosen.has_words:
        raise ValueError("--vectors-only: found it with strategy none, which is the same, expected another one")
    names = [name_of(path) for path in text_folders(text)]
    asked = {"teacher": name_of(teacher), "student": student, **chosen.described(), "text": names or "shipped",
             "column": column}  # fmt: skip
    distillation = Distillation(out, chosen, asked, saved)
    with claimed(out), use_precision("float32"):  # of all but training, which has that of the settings
        check_distillation(out, chosen, saved.config)
        start = time.perf_counter()
        data = read_text(text_folders(text), saved.tokenizer, chosen, out, column)
        reading = time.perf_counter() - start
        contents = {"text": data.fingerprint, "teacher": fingerprint_of_teacher(saved)}
        if is_finished(out, [CONFIG, VOCABULARY, SUMMARY]):
            check_same_contents(out, {**begun_with(out), **contents})
            known = read_result(out / SUMMARY, DISTILLATION_SUMMARY)
            if known["wanted"] == wanted.described():
                say(f"{out} holds this run already; delete the folder to run it again")
                return known
        check_parts(chosen.parts)
        distillation.start(data, teacher=contents["teacher"])
        distillation.note_seconds("text", reading)
        return _distil(distillation, wanted)


def _distil(distillation, wanted):
    """Run the unfinished stages -> the summary"""
    settings, teacher_config = distillation.settings, distillation.saved.config
    sizes = sizes_beside_teacher(teacher_config, distillation.asked["student"], settings.student_config)
    say("\n".join(aligned(rows_of_sizes(sizes), ruled=True)))
    say(f"memory: a training step needs {step_megabytes(settings, teacher_config):,.0f} MB")
    first, starts = distillation.timed("first values", first_values, distillation)
    for start in starts:
        say(f"start: {start.part}: {start.origin}")
    for line in _lines_of_loss(settings, teacher_config, distillation.saved.sentence):
        say(line)
    models = {stages.STUDENT: stages.teach(distillation, stages.student_stages(settings), first)}
    if wanted.vectors_only:
        models[stages.VECTORS_ONLY] = stages.teach(distillation, [stages.vectors_only_stage(settings)], first)
    if wanted.baseline:
        models[stages.SCRATCH] = stages.train_from_scratch(distillation)
    leader_only()
    summary = summarise(distillation, first, models, {"sizes": sizes, "starts": starts}, wanted)
    write_json(distillation.folder / SUMMARY, summary)
    distillation.finish(SUMMARY, "report.html")
    return summary


def _made_first_values(distillation):
    """The student before training -> parameters, list of Start"""
    settings, data, saved = distillation.settings, distillation.data, distillation.saved
    student = stages.random_student(settings, "masked-words" if settings.has_words else None)
    outputs = None
    if settings.words_start == OUTPUTS:
        counts = data.plain.shards.piece_counts()
        outputs = output_word_vectors(saved.params, saved.config, saved.tokenizer, counts)
    models = student, settings.student_config, saved.params, saved.config
    return student, start_from_teacher(models, settings.pairs, data.batches(0), outputs)


def first_values(distillation):
    """The student before training, made once and kept in `first_values.npz` -> parameters, list of Start"""
    path = distillation.folder / FIRST_VALUES
    configuration = distillation.configuration(distillation.settings.student_config, "first values", {})
    if path.exists():
        params, metadata = load_checkpoint(path)
        check_same_configuration(path, metadata["configuration"], configuration)
        return params, [Start(*start) for start in metadata["starts"]]
    params, starts = _made_first_values(distillation)
    save_checkpoint(path, params, {"configuration": configuration, "starts": [list(start) for start in starts]})
    return params, starts


def _lines_of_loss(settings, teacher, sentence):
    """What is compared with what, aloud -> lines"""
    config = settings.student_config
    if sentence and sentence.prompt:
        yield f"note: the teacher expects {sentence.prompt!r} before a text, which the training text does not have"
    if settings.random_words:
        yield f"text: {settings.random_words:.0%} of the words are replaced by random ones, drawn anew in each step"
    for name, transfer in settings.losses.items():
        factors = {field: getattr(transfer, field) for field in transfer._fields if field.endswith("_factor")}
        terms = [f"{factor:g} x {field.removesuffix('_factor')}" for field, factor in factors.items() if factor]
        yield f"{name}: {' + '.join(terms)}"
    if not any(transfer.reads_layers for transfer in settings.losses.values()):
        return
    pairs = ", ".join(f"{layer + 1} with {of_teacher + 1}" for layer, of_teacher in settings.pairs)
    yield f"layers: student's with teacher's: {pairs}"
    if config.num_attention_heads != teacher.num_attention_heads:
        heads = f"{config.num_attention_heads} heads and the teacher's {teacher.num_attention_heads}"
        yield (f"note: {heads}: relations of queries, keys and values instead of attention maps"
               f" ({settings.relation_heads} relation heads)")  # fmt: skip
    if config.hidden_size != teacher.hidden_size:
        yield (f"note: widths {config.hidden_size} and the teacher's {teacher.hidden_size}: no feature maps, and"
               " similarities of sentence vectors instead of directions")  # fmt: skip
