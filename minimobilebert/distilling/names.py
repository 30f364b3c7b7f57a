"""What tables and figures call the models of a distillation."""

from . import stages

TEACHER, FIRST = "teacher", "first_values"
LABELS = {
    TEACHER: "teacher",
    FIRST: "student before training",
    stages.STUDENT: "distilled student",
    stages.VECTORS_ONLY: "sentence vectors only",
    stages.SCRATCH: "without a teacher",
}
