"""Which layer of the teacher each layer of the student imitates.

    uniform     student layer l of L, teacher layers M:  (l + 1) M / L, rounded up        both count from 1 in messages
                6 of 6: 1 2 3 4 5 6      3 of 6: 2 4 6      4 of 6: 2 3 5 6      1 of 6: 6

The last layer imitates the last one. Or a list of teacher layers, one for each layer of the student, ascending.
"""

from ..support.numbers import COUNT, numbers_of

UNIFORM = "uniform"


def layer_pairs(layers, student_layers, teacher_layers):
    """layers: "uniform" or numbers such as "1,3,5", counted from 1 -> ((layer, layer of the teacher), ...), from 0

    ValueError for another number of layers, for a layer that the teacher does not have, and if they do not ascend
    """
    if layers == UNIFORM:
        if student_layers > teacher_layers:
            raise ValueError(
                f"num_hidden_layers: found {student_layers}, expected at most the teacher's {teacher_layers}"
            )
        return tuple((i, -(-(i + 1) * teacher_layers // student_layers) - 1) for i in range(student_layers))
    chosen = numbers_of(layers, COUNT, "--layers")
    if len(chosen) != student_layers or chosen != sorted(chosen) or chosen[-1] > teacher_layers:
        raise ValueError(
            f"--layers: found {layers}, expected {student_layers} ascending numbers from 1 to {teacher_layers}, one for"
            " each layer of the student"
        )
    return tuple((i, number - 1) for i, number in enumerate(chosen))
