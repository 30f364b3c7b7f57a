"""Commands of the course, for students and teachers."""

import dataclasses
import functools
import json
import os
import pathlib
import sys

from .options import file_name, json_option, seed_option


def _tasks(course, words):
    """Task ids and lesson numbers ("02.1", "02", "2") -> tasks; [] for all tasks"""
    chosen = []
    for word in words:
        numbers = {word, word.zfill(2)}
        chosen += [task for task in course.tasks if task.lesson in numbers] or [course.task(word)]
    return chosen or list(course.tasks)


def course(arguments):
    from ..course.shared.manifest import load
    from ..course.shared.properties import load_properties
    from ..course.student.line_counts import update_lines
    from ..course.teacher.rehearsing import update_rehearsal
    from ..course.teacher.tables import describe, update

    course = load()
    load_properties(course)
    changed = [*update(course, arguments.write), *update_lines(course, arguments.write)]
    changed += update_rehearsal(course, arguments.write)
    print(describe(course))
    for path in changed:
        print(
            f"{path}: {'written' if arguments.write else 'not up to date; course --write updates it'}", file=sys.stderr
        )
    return 1 if changed and not arguments.write else 0


def _course_arguments(parser):
    parser.add_argument("--write", action="store_true", help="write the tables that are made from lessons/course.toml")


def student(arguments):
    from ..course.shared.manifest import chosen_lessons, load
    from ..course.teacher.edition import write_edition
    from ..course.teacher.solved import solved_files

    course, solved = load(), solved_files if arguments.solved else None
    tasks = write_edition(
        course, chosen_lessons(course, arguments.lessons), arguments.out, arguments.seed, solved=solved,
        github_classroom=arguments.github_classroom,
    )  # fmt: skip
    print(f"{arguments.out}: {len(tasks)} tasks, {sum(task.points for task in tasks)} points")
    return 0


def _student_arguments(parser):
    parser.add_argument("--lessons", default="", metavar="1-6", help="lessons of the edition, such as 1-6 or 2,4 (all)")
    parser.add_argument(
        "--out", default="student", type=file_name, metavar="FOLDER", help="new or empty (default student)"
    )
    parser.add_argument("--solved", action="store_true", help="with the solutions: the submission that gets all points;"
                        " not for students")  # fmt: skip
    parser.add_argument("--github-classroom", action="store_true", help="with a workflow that reports the points of the"
                        " checks to GitHub Classroom")  # fmt: skip
    seed_option(parser, "draws the checks' numbers: another one each term (1)")


def check(arguments):
    from ..course.shared.manifest import load
    from ..course.student.check import Checker, watch, written

    course = load()
    tasks = _tasks(course, arguments.tasks)
    if arguments.watch:
        watch(course, tasks, arguments.seed, functools.partial(print, flush=True))
        return 0
    begun = tasks if arguments.tasks or arguments.all else written(course, tasks)
    if not begun:
        print(f"nothing is written yet; begin with {tasks[0].function}: make check T={tasks[0].id}")
        return 1
    good, rows = True, []
    for task, result, text in Checker(course, arguments.seed).check(begun):
        passed = result is not None and result.passed
        good &= passed
        rows.append({"task": task.id, "passed": passed, "text": text})
        if not arguments.json:
            print(text, flush=True)
    if arguments.json:
        print(json.dumps(rows, indent=2))
    elif len(begun) > 1 or len(begun) < len(tasks):
        print(f"{sum(row['passed'] for row in rows)} of {len(tasks)} tasks pass")
    return 0 if good else 1


def _check_arguments(parser):
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="02.1, or 02 for a lesson (default: all started)")
    parser.add_argument("--all", action="store_true", help="also those that are not started")
    parser.add_argument("--watch", action="store_true", help="check again whenever the file changes, and move on to the"
                        " next task when one passes; Ctrl-C ends it")  # fmt: skip
    seed_option(parser, "draw other numbers (not in a student edition)", default=None)
    json_option(parser)


def hint(arguments):
    from ..course.shared.manifest import load
    from ..course.student.check import next_hint

    course = load()
    if arguments.task is None:
        raise ValueError(f"hint: found no task, expected one of {', '.join(task.id for task in course.tasks)}")
    print(next_hint(course, course.task(arguments.task)))
    return 0


def _hint_arguments(parser):
    parser.add_argument("task", nargs="?", metavar="TASK", help="02.1")


def progress(arguments):
    from ..course.shared.manifest import load
    from ..course.student.check import format_progress, progress
    from ..course.student.progress_map import draw_map

    course = load()
    rows = progress(course)
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        print(f"{draw_map(rows, colour)}\n\n{format_progress(rows)}")
    if course.edition is None:
        print("note: only a student edition stores the results of checks", file=sys.stderr)
    return 0


def _policy(course, path):
    from ..course.teacher.policy import load_policy

    if path is not None and not pathlib.Path(path).exists():
        raise ValueError(f"{path}: found no file, expected a policy such as lessons/grading.toml")
    return load_policy(path or course.root / "lessons" / "grading.toml")


def grade(arguments):
    from ..course.sandbox import isolation
    from ..course.shared.manifest import load
    from ..course.teacher.grades import format_grades
    from ..course.teacher.grading import run
    from ..course.teacher.hand_in_times import read_times

    course = load()
    policy = _policy(course, arguments.policy)
    if policy.due and arguments.handed_in is None:
        print(f"note: due {policy.due}, but without --handed-in nothing counts as late", file=sys.stderr)
    handed_in = read_times(arguments.handed_in)
    if arguments.isolation is not None:
        policy = dataclasses.replace(policy, isolation=arguments.isolation)
    name = isolation.choose(policy.isolation)
    print(f"isolation: {name}: {isolation.EXPLAINED[name]}", flush=True)
    results = run(course, arguments.submissions, arguments.out, policy, handed_in)
    print(format_grades(results))
    print(f"written: {pathlib.Path(arguments.out) / 'grades.csv'} and a .json each")
    failed = sum(result["extra_data"]["failed"] for result in results)
    if failed:
        print(f"{failed} could not be graded; the same command tries them again", file=sys.stderr)
    return 1 if failed else 0


def _grade_arguments(parser):
    parser.add_argument("submissions", nargs="+", type=file_name, metavar="SUBMISSION",
                        help="a folder, .py file, zip or tar; or a folder of these: a row for each entry")  # fmt: skip
    parser.add_argument(
        "--out",
        required=True,
        type=file_name,
        metavar="DIR",
        help="where to write grades.csv and the .json files: a new or empty folder, or one of an interrupted grading",
    )
    parser.add_argument("--policy", type=file_name, metavar="FILE", help="lessons, hidden seeds, limits, late policy"
                        " (default lessons/grading.toml)")  # fmt: skip
    parser.add_argument("--isolation", metavar="NAME", help="best, required (none is an error), bubblewrap, user,"
                        " landlock or none (default: the policy's, or best)")  # fmt: skip
    parser.add_argument("--handed-in", metavar="DATE", help="of all, such as 2027-03-01T20:00:00+01:00, or a CSV file"
                        " with the columns name and handed_in")  # fmt: skip


def gradebook(arguments):
    from ..course.teacher.gradebook import fill
    from ..course.teacher.results import read_results
    from ..support.files import write_text

    results = read_results(arguments.grades)
    text, missing = fill(results, arguments.table, arguments.column)
    write_text(arguments.out, text)
    print(f"{arguments.out}: {len(results) - len(missing)} scores")
    if missing:
        print(f"not in {arguments.table}: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


def _gradebook_arguments(parser):
    parser.add_argument("grades", type=file_name, metavar="GRADES", help="the folder that grade --out wrote")
    parser.add_argument("table", type=file_name, metavar="TABLE", help="Canvas's gradebook or Moodle's worksheet (CSV)")
    parser.add_argument("--column", metavar="NAME", help="the column to fill, such as A1 (default: Grade)")
    parser.add_argument("--out", required=True, type=file_name, metavar="FILE", help="the table with the scores")


def collect(arguments):
    from ..course.shared.manifest import load
    from ..course.teacher.similarity import collect

    course = load()
    found, empty = collect(course, arguments.submissions, arguments.out, _policy(course, arguments.policy))
    print(f"{arguments.out}: {sum(count for _, count in found)} functions of {len(found)} submissions")
    print(f"  JPlag  java -jar jplag.jar -l python3 {arguments.out}")
    print(f"  MOSS   moss -l python -d {arguments.out}/*/*.py")
    if empty:
        print(f"without a function: {', '.join(empty)}", file=sys.stderr)
    return 0


def _collect_arguments(parser):
    parser.add_argument("submissions", nargs="+", type=file_name, metavar="SUBMISSION", help="as for grade")
    parser.add_argument("--out", required=True, type=file_name, metavar="FOLDER", help="new or empty")
    parser.add_argument("--policy", type=file_name, metavar="FILE", help="as for grade: whose lessons")


def gradescope(arguments):
    from ..course.shared.manifest import load
    from ..course.teacher.gradescope import build, grade_there

    course = load()
    if arguments.grade:
        done = grade_there(course, arguments.grade, lambda: _policy(course, None))
        print(f"{done.score:g} of {done.points}")
    else:
        print(build(course, arguments.out))
    return 0


def _gradescope_arguments(parser):
    parser.add_argument(
        "--out", default="autograder.zip", type=file_name, metavar="FILE", help="default autograder.zip"
    )
    parser.add_argument("--grade", type=file_name, metavar="FOLDER", help="on Gradescope: grade FOLDER/submission")


def mutants(arguments):
    from ..course.shared.manifest import load
    from ..course.teacher.grading import Grader
    from ..course.teacher.mutants import format_rows, load_mutants, run, survivors
    from ..course.teacher.policy import Policy
    from ..support.terminal import progress_bar

    course = load()
    with Grader(course, Policy()) as grader:
        found = load_mutants(course, _tasks(course, arguments.tasks))
        with progress_bar("mutants", len(found)) as bar:
            rows = run(course, grader, found, progress=bar.update)
    if arguments.json:
        print(json.dumps([{"task": m.task, "name": m.name, "explains": m.explains, "passes": m.passes,
                           "properties": states} for m, states in rows], indent=2))  # fmt: skip
    else:
        print(format_rows(rows))
    return 1 if survivors(rows) else 0


def _mutants_arguments(parser):
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="02.1, or 02 for a lesson (default: all)")
    json_option(parser)


def course_check(arguments):
    from ..course.shared.manifest import load
    from ..course.teacher.course_check import format_checks, run

    checks = run(load())
    if arguments.json:
        print(json.dumps([{"what": what, "wrong": wrong} for what, wrong in checks], indent=2))
    else:
        print(format_checks(checks))
    return 0 if all(wrong is None for _, wrong in checks) else 1


COMMANDS = {
    "course": ("check the list of lessons and tasks, and show it", "--write", _course_arguments, course),
    "student": ("write the student edition of the project", "--lessons 1-6 --out student", _student_arguments, student),
    "check": ("check the function of a task", "02.1", _check_arguments, check),
    "hint": ("show the next hint of a task", "02.1", _hint_arguments, hint),
    "progress": ("show tasks, points and results", "--json", json_option, progress),
    "grade": ("grade submissions", "submissions --out grades", _grade_arguments, grade),
    "gradebook": (
        "write scores into a table of Canvas or Moodle",
        "grades worksheet.csv --out filled.csv",
        _gradebook_arguments,
        gradebook,
    ),
    "collect": (
        "write the functions of a class for JPlag or MOSS",
        "submissions --out similarity",
        _collect_arguments,
        collect,
    ),
    "gradescope": ("write the autograder for Gradescope", "--out autograder.zip", _gradescope_arguments, gradescope),
    "mutants": ("run all properties on all wrong solutions", "02.1", _mutants_arguments, mutants),
    "course-check": ("check the whole course", "--json", json_option, course_check),
}
