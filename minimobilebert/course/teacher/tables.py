"""Tables and headers that are generated from the manifest, between two markers in a Markdown file.

    <!-- course:table -->   ...   <!-- /course:table -->       in lessons/README.md: all lessons
    <!-- course:lesson -->  ...   <!-- /course:lesson -->      in a lesson's README.md: its title, minutes, tasks
    <!-- course:plan -->    ...   <!-- /course:plan -->        in lessons/TEACHING.md: weeks, assignments, kinds

`write=False` only returns the files that differ; a test uses it.
"""

import re

from ...support.files import write_text
from ..shared.manifest import KINDS

# The lessons of thirteen weeks, and the weeks of each assignment.
WEEKS = (("00", "01"), ("02", "03"), ("04", "05"), ("06",), ("07",), ("08", "09"), ("10",), ("11", "12"), ("13", "14"),
         ("15", "16", "17"), ("18",), ("19", "20"), ("21", "22"))  # fmt: skip
ASSIGNMENTS = ((1, 2), (3, 4), (5, 7), (8, 9), (10, 10), (11, 11), (12, 13))  # first and last week


def lessons_table(course):
    """All lessons with their tasks and points."""
    lines = ["| lesson | title | minutes | tasks | points |", "|---|---|---|---|---|"]
    for lesson in course.lessons:
        has_readme = (course.root / "lessons" / lesson.folder / "README.md").exists()
        title = f"[{lesson.title}]({lesson.folder}/README.md)" if has_readme else lesson.title
        tasks = ", ".join(task.id for task in lesson.tasks)
        minutes = lesson.minutes + sum(task.minutes for task in lesson.tasks)
        points = sum(task.points for task in lesson.tasks) or ""
        lines.append(f"| {lesson.number} | {title} | {minutes} | {tasks} | {points} |")
    points, count = sum(task.points for task in course.tasks), len(course.tasks)
    return "\n".join([*lines, "", f"{count} tasks, {points} points."])


def lesson_header(course, lesson):
    """Title, minutes, required lessons, and the tasks of one lesson."""
    lines = [f"# Lesson {lesson.number}: {lesson.title}", ""]
    before = [course.lesson(number) for number in lesson.needs]
    links = ", ".join(f"[{other.number}](../{other.folder}/README.md)" for other in before)
    lines.append(f"{lesson.minutes} minutes to read{f'; comes after {links}' if links else ''}.")
    if lesson.tasks:
        lines += ["", "| task | what to write | points | minutes | its check |", "|---|---|---|---|---|"]
        for task in lesson.tasks:
            cell = f"{task.title}: {', '.join(f'`{function}`' for function in task.functions)}"
            lines.append(f"| {task.id} | {cell} | {task.points} | {task.minutes} | `make check T={task.id}` |")
    return "\n".join(lines)


def _range(first, last):
    return f"{first}-{last}" if first != last else str(first)


def teaching_plan(course):
    """The weeks with their hours, and the assignments with their points."""
    lines = ["| week | lessons | hours | points |", "|---|---|---|---|"]
    for week, numbers in enumerate(WEEKS, 1):
        titles = "; ".join(f"{number} {course.lesson(number).title}" for number in numbers)
        minutes = sum(course.lesson(number).minutes for number in numbers)
        minutes += sum(task.minutes for task in course.tasks if task.lesson in numbers)
        points = sum(task.points for task in course.tasks if task.lesson in numbers)
        lines.append(f"| {week} | {titles} | {minutes / 60:.1f} | {points} |")
    lines += ["", "| assignment | weeks | `lessons` | tasks | points |", "|---|---|---|---|---|"]
    for number, (first, last) in enumerate(ASSIGNMENTS, 1):
        lessons = [lesson for week in WEEKS[first - 1 : last] for lesson in week]
        tasks = [task for task in course.tasks if task.lesson in lessons]
        ids, points = ", ".join(task.id for task in tasks), sum(task.points for task in tasks)
        weeks, chosen = (_range(*ends) for ends in ((first, last), (int(lessons[0]), int(lessons[-1]))))
        lines.append(f'| A{number} | {weeks} | `"{chosen}"` | {ids} | {points} |')
    points = f"{sum(task.points for task in course.tasks)} points in all."
    return "\n".join([*lines, "", points, "", *kinds_table(course)])


def by_kind(course):
    """{kind: its tasks}"""
    return {kind: [task for task in course.tasks if task.kind == kind] for kind in KINDS}


def kinds_table(course):
    """-> lines of a table: what tasks ask for, how many they are, and their points"""
    lines = ["| kind | tasks | points | which |", "|---|---|---|---|"]
    for kind, tasks in by_kind(course).items():
        ids = ", ".join(task.id for task in tasks)
        lines.append(f"| {kind} | {len(tasks)} | {sum(task.points for task in tasks)} | {ids} |")
    return lines


def update(course, write):
    """-> the files that differ from the manifest; write: update them. ValueError if a file lacks the markers."""
    changed = []
    for path, name, text in _blocks(course):
        old = path.read_text(encoding="utf-8")
        pattern = rf"(<!-- course:{name} -->\n).*?(<!-- /course:{name} -->)"
        new, count = re.subn(pattern, lambda match, text=text: f"{match[1]}{text}\n{match[2]}", old, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"{path}: found {count} places between <!-- course:{name} --> and its end, expected one")
        if new != old:
            changed.append(path)
            if write:
                write_text(path, new)
    return changed


def _blocks(course):
    folder = course.root / "lessons"
    yield folder / "README.md", "table", lessons_table(course)
    if (folder / "TEACHING.md").exists():
        yield folder / "TEACHING.md", "plan", teaching_plan(course)
    for lesson in course.lessons:
        path = folder / lesson.folder / "README.md"
        if path.exists():
            yield path, "lesson", lesson_header(course, lesson)


def describe(course):
    """-> the list of lessons and tasks as text, for the command `course`"""
    lines, widest = [], max(map(len, KINDS))
    for lesson in course.lessons:
        lines.append(f"{lesson.number}  {lesson.title}")
        for task in lesson.tasks:
            needs = f"  needs {', '.join(task.needs)}" if task.needs else ""
            functions = ", ".join(task.functions)
            lines.append(f"    {task.id}  {task.points:>2} points  {task.kind:<{widest}}  {functions}{needs}")
    for kind, tasks in by_kind(course).items():
        lines.append(f"{kind:<{widest}}  {len(tasks):>2} tasks, {sum(task.points for task in tasks):>3} points")
    points = sum(task.points for task in course.tasks)
    return "\n".join([*lines, f"{len(course.lessons)} lessons, {len(course.tasks)} tasks, {points} points"])
