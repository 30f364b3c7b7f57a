"""Initialise the student's embeddings and heads with those of the teacher (Section 3.6, Figure 2).

Student and teacher have the same hidden size H, so the shapes of these parameters are equal. The released code does not
copy the embedding normalisation, because its name differs in the two graphs. We copy it if both models have the same
type of normalisation. The weights of a LayerNorm do not fit a NoNorm, which does not normalise: a NoNorm student starts
with weight 1 and bias 0, as the released student does.
"""


def copied_names(student_shapes, teacher_shapes, student_config, teacher_config):
    """Names of the student's parameters that are copied from the teacher: all that fit, except the blocks."""
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
    """Overwrite the student's embeddings and heads in place with those of the teacher -> the copied names"""
    shapes = [{name: array.shape for name, array in params.items()} for params in (student, teacher)]
    names = copied_names(*shapes, student_config, teacher_config)
    for name in names:
        student[name][...] = teacher[name]
    return names
