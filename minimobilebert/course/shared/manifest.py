"""`lessons/course.toml`: the one place where lessons and tasks are numbered, weighted and named.

    course = load()                 # of this project; ValueError with one clear line for the first mistake
    course.task("02.1").function    # "minimobilebert/ops/linear.py:linear_forward"

How an entry is written stands in lessons/AUTHORS.md. A student edition has the same file without what gives the
solutions away, and `edition.json` beside it, which says which lessons were chosen. There hints and the texts that are
shown after success are sealed (base64), so that a student who looks a task up does not read its hints by accident.
"""

import base64
import binascii
import dataclasses
import pathlib
import re

from ...support.project import ROOT, part_of_project
from ...support.regular_files import read_text
from ...support.shapes import ANY, Integer, Text, check, shown, shown_key
from ...support.structured_files import read_json, read_toml
from .cutting import defines

HINTS = 3
_SEAL = "sealed:"
_QUOTES = "'\""

_COUNT = Integer(1, 10_000)
_LESSON = {
    "number": Text(),
    "folder": Text(),
    "title": Text(),
    "minutes": _COUNT,
    "needs?": [str],
    "task?": [{str: ANY}],
}
_TASK = {
    "id": Text(),
    "title": Text(),
    "function": Text(),
    "points": _COUNT,
    "hints": [Text()],
    "after": Text(),
    "minutes": _COUNT,
    "needs?": [str],
    "also_blank?": [Text()],
}
_EDITION = {"lessons": [str], "seed": Integer(0)}


def sealed(text):
    """A text that cannot be read in passing; `course.toml` may hold it in place of the text."""
    return _SEAL + base64.b64encode(text.encode()).decode()


def unsealed(text):
    """The text itself, sealed or not. ValueError where the seal is damaged."""
    if not text.startswith(_SEAL):
        return text
    try:
        return base64.b64decode(text.removeprefix(_SEAL), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError(f"found a damaged seal {shown(text, 40)}, expected the text that came with it") from None


@dataclasses.dataclass(frozen=True)
class Task:
    """One function that a student writes."""

    id: str  # "02.1"
    title: str
    function: str  # "minimobilebert/ops/linear.py:linear_forward"
    points: int
    hints: tuple  # three, each giving away more
    after: str  # shown once it passes
    minutes: int
    needs: tuple = ()  # ids of tasks whose functions this one calls: it cannot pass before them
    also_blank: tuple = ()  # other functions, or whole files, that would give it away
    lesson: str = ""  # "02"

    @property
    def file(self):
        return self.function.partition(":")[0]

    @property
    def name(self):
        return self.function.partition(":")[2]


@dataclasses.dataclass(frozen=True)
class Lesson:
    number: str  # "02"
    folder: str  # "02_linear"
    title: str
    minutes: int
    needs: tuple
    tasks: tuple


@dataclasses.dataclass(frozen=True)
class Course:
    root: pathlib.Path
    lessons: tuple
    edition: dict | None  # what edition.json says, in a student edition

    @property
    def tasks(self):
        """Every task that is to be done here: all of them, or those of a student edition's lessons."""
        chosen = None if self.edition is None else set(self.edition["lessons"])
        tasks = (task for lesson in self.lessons for task in lesson.tasks)
        return tuple(task for task in tasks if chosen is None or task.lesson in chosen)

    def lesson(self, number):
        return next(lesson for lesson in self.lessons if lesson.number == number)

    def task(self, id):
        """ValueError where there is no such task."""
        for task in self.tasks:
            if task.id == id:
                return task
        raise ValueError(
            f"task: found {shown(id)}, expected one of {', '.join(t.id for t in self.tasks) or 'none yet'}"
        )

    def folder(self, task):
        """The lesson folder of a task."""
        return self.root / "lessons" / self.lesson(task.lesson).folder

    def needed_by(self, id):
        """The ids of all tasks that cannot pass without task `id`, itself among them."""
        found = {id}
        for task in self.tasks:  # needs point backwards only, so one pass in order is enough
            if found & set(task.needs):
                found.add(task.id)
        return found


def chosen_lessons(course, text):
    """`1-6`, `2,4-5` or nothing (all) -> the numbers, as in the manifest. ValueError where there is no such lesson."""
    numbers = [lesson.number for lesson in course.lessons]
    if not text:
        return numbers
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part.strip())
        if not match:
            raise ValueError(f"--lessons: found {shown(part)}, expected numbers and ranges such as 1-6 or 2,4-5")
        first, last = int(match[1]), int(match[2] or match[1])
        for number in range(first, last + 1):
            if f"{number:02d}" not in numbers:
                raise ValueError(f"--lessons: found {number}, expected {int(numbers[0])}..{int(numbers[-1])}")
            found.append(f"{number:02d}")
    return sorted(set(found))


def load(root=ROOT):
    """The course of the project in `root`, checked."""
    root = pathlib.Path(root)
    path = part_of_project("lessons/course.toml", root)
    edition = root / "lessons" / "edition.json"
    data = read_toml(path, {"lesson": [{str: ANY}]})
    course = _Reader(path, root, edition.exists()).course(data)
    return dataclasses.replace(course, edition=_read_edition(edition, course)) if edition.exists() else course


def _read_edition(path, course):
    """What edition.json says: which lessons were chosen, and the seed of what was recorded."""
    edition, known = read_json(path, _EDITION), [lesson.number for lesson in course.lessons]
    for number in edition["lessons"]:
        if number not in known:
            raise ValueError(f"{path}: lessons: found {shown(number)}, expected some of {', '.join(known)}")
    return edition


class _Reader:
    """Reads the entries and says what is wrong with the first bad one."""

    def __init__(self, path, root, is_edition):
        self.path, self.root, self.is_edition = path, root, is_edition

    def wrong(self, what, found, expected):
        raise ValueError(f"{self.path}: {what}: found {found}, expected {expected}")

    def course(self, data):
        lessons, numbers, ids, functions = [], [], [], {}
        for entry in data["lesson"]:
            lesson = self.lesson(entry)
            if numbers and lesson.number <= numbers[-1]:
                self.wrong(f"lesson {lesson.number}", f"it after {numbers[-1]}", "lessons in rising order")
            for other in lesson.needs:
                if other not in numbers:
                    self.wrong(f"lesson {lesson.number}: needs", shown(other), "an earlier lesson")
            for task in lesson.tasks:
                if ids and task.id <= ids[-1]:
                    self.wrong(f"task {task.id}", f"it after {ids[-1]}", "tasks in rising order")
                for other in task.needs:
                    if other not in ids:
                        self.wrong(f"task {task.id}: needs", shown(other), "an earlier task")
                if task.function in functions:
                    self.wrong(f"task {task.id}: function", f"that of {functions[task.function]}", "one of its own")
                ids.append(task.id)
                functions[task.function] = task.id
            numbers.append(lesson.number)
            lessons.append(lesson)
        if not lessons:
            self.wrong("lessons", "none", "at least one [[lesson]]")
        return Course(self.root, tuple(lessons), None)

    def lesson(self, entry):
        what = f"lesson {shown(entry.get('number', '?')).strip(_QUOTES)}"
        check(entry, _LESSON, f"{self.path}: {what}")
        number = entry["number"]
        if not re.fullmatch(r"[0-9]{2}", number):
            self.wrong(what, shown(number), "a number of two digits, as a text")
        if not re.fullmatch(rf"{number}_[a-z0-9_]+", entry["folder"]):
            self.wrong(f"{what}: folder", shown(entry["folder"]), f"{number}_ and a name in small letters")
        tasks = tuple(self.task(task, number) for task in entry.get("task", []))
        if tasks and not (self.root / "lessons" / entry["folder"]).is_dir():
            self.wrong(f"{what}: folder", f"no lessons/{entry['folder']}", "a folder, since the lesson has tasks")
        return Lesson(number, entry["folder"], entry["title"], entry["minutes"], tuple(entry.get("needs", ())), tasks)

    def task(self, entry, number):
        what = f"task {shown(entry.get('id', '?')).strip(_QUOTES)}"
        check(entry, _TASK, f"{self.path}: {what}")
        if not re.fullmatch(rf"{number}\.[1-9]", entry["id"]):
            self.wrong(what, shown(entry["id"]), f"{number}.1 to {number}.9 in lesson {number}")
        hints = entry["hints"]
        if len(hints) != HINTS:
            self.wrong(f"{what}: hints", f"{len(hints)} of them", f"{HINTS} texts, each giving away more")
        self.place(f"{what}: function", entry["function"], needs_name=True)
        for place in entry.get("also_blank", ()):
            self.place(f"{what}: also_blank", place, needs_name=False)
        lists = {key: tuple(entry.get(key, ())) for key in ("needs", "also_blank")}
        try:
            texts = {"hints": tuple(map(unsealed, hints)), "after": unsealed(entry["after"])}
        except ValueError as error:
            raise ValueError(f"{self.path}: {what}: {error}") from None
        return Task(**{**entry, **lists, **texts, "lesson": number})

    def place(self, what, place, needs_name):
        if needs_name and ":" not in place:
            self.wrong(what, shown(place), "file.py:function")
        file, _, name = place.partition(":")
        if self.is_edition and not name:
            return
        path = self.root / file
        if not file.startswith("minimobilebert/") or not path.is_file():
            self.wrong(what, f"no file {shown_key(file)}", "a file of the package, from the project's root")
        # A student may be in the middle of an edit; whether the function is there is asked when it is checked.
        if name and not self.is_edition and not defines(read_text(path), name):
            self.wrong(what, f"no {shown_key(name)} in {file}", "a function that the file defines")
