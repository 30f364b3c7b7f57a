"""What grading one submission gave, and its three forms: Gradescope's JSON, a line of the class's CSV, a table."""

import csv
import dataclasses
import io

from .checking import NOT_RUN, PASSED


@dataclasses.dataclass
class Grade:
    submission: object
    results: list  # of TaskResult
    factor: float = 1.0
    late: str = ""
    seconds: float = 0.0

    @property
    def score(self):
        return round(sum(result.score for result in self.results) * self.factor, 2)

    @property
    def points(self):
        return sum(result.task.points for result in self.results)


def gradescope(grade, policy):
    """One student's results in the form of Gradescope's results.json."""
    submission, tests = grade.submission, []
    for result in grade.results:
        lines = []
        for outcome in result.outcomes:
            lines.append(f"{outcome.state:<11} {outcome.title}")
            if outcome.state not in (PASSED, NOT_RUN) and policy.show_hidden:
                lines += [f"            {outcome.headline}"]
                lines += [f"            {label:<10}  {text}" for label, text in outcome.lines]
                lines += [f"            looks like  {outcome.looks_like}"] if outcome.looks_like else []
        tests.append({
            "number": result.task.id, "name": f"{result.task.title} ({result.task.name})", "score": result.score,
            "max_score": result.task.points, "status": "passed" if result.passed else "failed",
            "output": "\n".join(lines), "output_format": "text", "visibility": "visible",
        })  # fmt: skip
    files = "\n".join(f"{shown}  (as {file})" for file, (shown, _) in sorted(submission.files.items()))
    output = [f"graded: {submission.path.name}, sha256 {submission.sha256}", files, submission.problem, grade.late]
    return {
        "score": grade.score, "output": "\n".join(filter(None, output)), "output_format": "text",
        "execution_time": round(grade.seconds, 1), "visibility": "visible", "stdout_visibility": "hidden",
        "tests": tests, "extra_data": {"sha256": submission.sha256, "late_factor": grade.factor},
    }  # fmt: skip


def as_csv(grades):
    """The class as CSV: a row a submission, a column a task."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    ids = [result.task.id for result in grades[0].results]
    table.writerow(["name", "score", "points", "late", *ids, "sha256", "problem"])
    for grade in grades:
        scores = [f"{result.score:g}" for result in grade.results]
        submission = grade.submission
        row = [submission.name, f"{grade.score:g}", grade.points, grade.late, *scores, submission.sha256,
               submission.problem]  # fmt: skip
        # A name that a spreadsheet would take for a formula stays a text.
        table.writerow([f"'{cell}" if str(cell)[:1] in "=+-@" else cell for cell in row])
    return text.getvalue()


def format_grades(grades):
    """All grades as a table, with what was graded."""
    width = max(len(grade.submission.name) for grade in grades)
    lines = []
    for grade in grades:
        passed = sum(result.passed for result in grade.results)
        lines.append(f"{grade.submission.name:<{width}}  {grade.score:>6g} of {grade.points:<4} {passed:>3} of"
                     f" {len(grade.results)} tasks  {grade.late}")  # fmt: skip
        lines.append(f"{'':<{width}}  graded {grade.submission.path}, sha256 {grade.submission.sha256[:16] or 'none'}")
        if grade.submission.problem:
            lines.append(f"{'':<{width}}  {grade.submission.problem}")
    return "\n".join(lines)
