"""The result of grading a submission, in three formats: Gradescope's JSON, a row of a CSV file, a row of a text table.

The CSV and the table are made from the JSON files, so that an interrupted grading can resume from them.
"""

import csv
import dataclasses
import io

from ...support.archive_members import printable
from ..shared.checking import NOT_RUN, PASSED

WIDEST = 40  # characters of a name in the table
LONGEST_LINE = 1000  # characters of a line about a property, which may quote what a student returned


@dataclasses.dataclass
class Grade:
    submission: object
    results: list  # of TaskResult
    factor: float = 1.0
    late: str = ""
    seconds: float = 0.0
    isolation: str = "none"  # of the process that ran the student's code (sandbox/isolation.py)
    failed: str = ""  # the error of the grader itself; the submission is graded again the next time

    @property
    def score(self):
        return round(sum(result.score for result in self.results) * self.factor, 2)

    @property
    def points(self):
        return sum(result.task.points for result in self.results)


def gradescope(grade, policy, settings=""):
    """The results of one student in the format of Gradescope's results.json; settings: the hash from settings_of"""
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
            "number": result.task.id, "name": f"{result.task.title} ({result.task.written_as})", "score": result.score,
            "max_score": result.task.points, "status": "passed" if result.passed else "failed",
            "output": "\n".join(printable(line[:LONGEST_LINE]) for line in lines), "output_format": "text",
            "visibility": "visible",
        })  # fmt: skip
    files = [f"{shown}  (as {file})" for file, (shown, _) in sorted(submission.files.items())]
    graded = f"graded: {printable(submission.path.name)}, sha256 {submission.sha256 or 'none'}"
    output = [grade.failed, graded, *files, submission.problem, *submission.notes, grade.late]
    return {
        "score": grade.score, "output": "\n".join(printable(line) for line in output if line), "output_format": "text",
        "execution_time": round(grade.seconds, 1), "visibility": "visible", "stdout_visibility": "hidden",
        "tests": tests, "extra_data": {
            "name": submission.name, "path": printable(str(submission.path)), "sha256": submission.sha256,
            "graded": _graded(submission), "problem": printable(grade.failed or submission.problem),
            "notes": list(map(printable, submission.notes)), "late": grade.late, "late_factor": grade.factor,
            "isolation": grade.isolation, "failed": bool(grade.failed), "settings": settings,
        },
    }  # fmt: skip


def _graded(submission):
    """A short description of the graded files: their number and folder, or their names"""
    shown = {file: shown for file, (shown, _) in sorted(submission.files.items())}
    roots = {name.removesuffix(file) for file, name in shown.items()}
    if len(shown) > 1 and len(roots) == 1:
        (root,) = roots
        return f"{len(shown)} files in {root}minimobilebert"
    return ", ".join(shown.values())


def as_csv(results):
    """The class as CSV: one row per submission, one column per task. results: those of gradescope()"""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    ids = [test["number"] for test in results[0]["tests"]]
    table.writerow(["name", "score", "points", "late", *ids, "sha256", "problem", "graded", "notes", "isolation"])
    for result in results:
        about = result["extra_data"]
        scores = [f"{test['score']:g}" for test in result["tests"]]
        row = [about["name"], f"{result['score']:g}", _points(result), about["late"], *scores, about["sha256"],
               about["problem"], about["graded"], "; ".join(about["notes"]), about["isolation"]]  # fmt: skip
        # A leading quote prevents a spreadsheet from reading a name as a formula.
        table.writerow([f"'{cell}" if str(cell)[:1] in set("=+-@\t\r") else cell for cell in row])
    return text.getvalue()


def _points(result):
    return sum(test["max_score"] for test in result["tests"])


def format_grades(results):
    """All results as a table, with the graded files."""
    width = min(WIDEST, max(len(result["extra_data"]["name"]) for result in results))
    lines = []
    for result in results:
        about, tests = result["extra_data"], result["tests"]
        passed = sum(test["status"] == "passed" for test in tests)
        lines.append(f"{about['name']:<{width}}  {result['score']:>6g} of {_points(result):<4} {passed:>3} of"
                     f" {len(tests)} tasks  {about['late']}".rstrip())  # fmt: skip
        graded = f" ({about['graded']})" if about["graded"] else ""
        sha256 = about["sha256"][:16] or "none"
        what = "graded" if about["graded"] else "found"
        details = [f"{what} {about['path']}{graded}, sha256 {sha256}", about["problem"], *about["notes"]]
        lines += [f"{'':<{width}}  {line}" for line in details if line]
    return "\n".join(lines)
