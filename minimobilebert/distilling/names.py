"""What tables and figures call the models of a distillation."""

from . import stages

LABELS = {
    "teacher": "teacher",
    stages.STUDENT: "distilled student",
    stages.VECTORS_ONLY: "sentence vectors only",
    stages.SCRATCH: "without a teacher",
}
