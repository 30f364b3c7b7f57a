"""What a finished distillation measured: losses by layer, sizes, retention; written to summary.json and report.html."""

from ..distillation.encoder_transfer import encoder_transfer_losses
from ..model.encoder import encoder_forward
from ..pipeline.measurements import attention_maps
from . import stages
from .measure import cosines, retention
from .names import FIRST, TEACHER
from .report import write_distillation_report
from .sizes import step_megabytes

_HEADS = 4  # whose maps are drawn
_BATCHES = 4  # of the text on which the terms of the loss are measured after training


def _losses_by_layer(params, config, teacher, data, transfer):
    """Each term of each pair of layers, before or after training -> {term: [one number a pair]}"""
    found = {}
    for step in range(_BATCHES):
        batch = data.batches(step)
        inputs = (batch.input_ids, batch.token_type_ids, batch.attention_mask)
        output, _ = encoder_forward(params, config, *inputs)
        of_teacher, _ = encoder_forward(*teacher, *inputs)
        for index, pair in enumerate(transfer.pairs):
            single = transfer._replace(pairs=(pair,), embedding_factor=0.0, direction_factor=0.0, similarity_factor=0.0)
            values, _ = encoder_transfer_losses(output, of_teacher, batch.attention_mask, single)
            for name, value in values.items():
                if name != "loss":
                    found.setdefault(name, [0.0] * len(transfer.pairs))[index] += value / _BATCHES
    return found


def _attention(student, settings, teacher, tokenizer, sentence):
    """Maps of a sentence in the paired layers, side by side: of some heads, or their means if the heads differ"""
    config, teacher_config = settings.student_config, teacher[1]
    tokens, of_teacher = attention_maps(*teacher, tokenizer, sentence)
    _, of_student = attention_maps(student, config, tokenizer, sentence)
    of_teacher = [of_teacher[pair[1]] for pair in settings.pairs]
    of_student = [of_student[pair[0]] for pair in settings.pairs]
    heads = min(config.num_attention_heads, _HEADS)
    note = f"The first {heads} heads of the layers that were compared: layer.head."
    if config.num_attention_heads != teacher_config.num_attention_heads:
        of_teacher, of_student = (
            [maps.mean(axis=0, keepdims=True) for maps in each] for each in (of_teacher, of_student)
        )
        heads, note = (
            1,
            "The mean over all heads of the layers that were compared, because the numbers of heads differ.",
        )
    maps = {"teacher": [each[:heads] for each in of_teacher], "student": [each[:heads] for each in of_student]}
    return {"sentence": sentence, "tokens": tokens, "note": note, **maps}


def summarise(distillation, first, models, said, wanted):
    """Measure the models and write report.html -> the summary, a JSON value

    first: the student's first parameters; models: {stage: the student's parameters after it}
    said: {"sizes", "starts"}, which were said before training
    """
    settings, data, config = distillation.settings, distillation.data, distillation.settings.student_config
    saved, teacher = distillation.saved, distillation.teacher
    by_layer = [
        _losses_by_layer(params, config, teacher, data, settings.transfer) for params in (first, models[stages.STUDENT])
    ]
    summary = {
        "seed": settings.seed, "texts": data.texts, "steps": settings.steps,
        "steps_of_stages": {stages.TRANSFER: settings.transfer_steps},
        "teacher": distillation.asked["teacher"], "student": distillation.asked["student"],
        "settings": settings.described(), "wanted": wanted.described(), "sizes": said["sizes"],
        "step_megabytes": step_megabytes(settings, saved.config),
        "starts": [list(start) for start in said["starts"]], "before": by_layer[0], "after": by_layer[1],
        "retention": {},
    }  # fmt: skip
    points = {}
    if wanted.pairs:
        students = {FIRST: first, **models}
        everyone = {TEACHER: teacher, **{name: (params, config) for name, params in students.items()}}
        for name, (params, of_model) in everyone.items():
            points[name] = cosines(params, of_model, saved.tokenizer, wanted.pairs, saved.sentence)
            summary["retention"][name] = retention(points[name], wanted.pairs.labels)
    summary["seconds"] = {**distillation.seconds, "total": sum(distillation.seconds.values())}
    attention = _attention(models[stages.STUDENT], settings, teacher, saved.tokenizer, wanted.sentence)
    write_distillation_report(distillation.folder, summary, attention, wanted.pairs, points)
    return summary
