"""What the student does not learn but receives: the teacher's embeddings and heads (Section 3.6, Figure 2).

Student and teacher share the width H between blocks, so these parameters fit as they are. The released code
misses the embedding normalisation, whose name differs in its two graphs; here it is copied when both models
use the same kind of normalisation. A NoNorm student cannot take over a LayerNorm's statistics, so it starts
from weight 1 and bias 0, as the released student does.
"""


def copied_names(student_shapes, teacher_shapes, student_config, teacher_config):
    """Names of the student's parameters that come from the teacher: all but the blocks."""
    names = []
    for name, shape in student_shapes.items():
        if ".encoder.layer." in name or teacher_shapes.get(name) != shape:
            continue
        same_norm = student_config.normalization_type == teacher_config.normalization_type
        if name.startswith(f"{student_config.prefix}.embeddings.LayerNorm.") and not same_norm:
            continue
        names.append(name)
    return names


def copy_from_teacher(student, teacher, student_config, teacher_config):
    """Overwrite the student's embeddings and heads by the teacher's, in place -> the names copied."""
    shapes = [{name: array.shape for name, array in params.items()} for params in (student, teacher)]
    names = copied_names(*shapes, student_config, teacher_config)
    for name in names:
        student[name][...] = teacher[name]
    return names
