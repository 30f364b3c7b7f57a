"""`lessons/course.toml`: the numbers, points and names of all lessons and tasks.

    course = load()                 # of this project; ValueError with one clear line for the first mistake
    course.task("02.1").function    # "minimobilebert/ops/linear.py:linear_forward"

lessons/AUTHORS.md describes the format. A student edition has this file without the parts that reveal solutions, and
`edition.json` with the chosen lessons. In an edition, hints and the texts that are shown after success are encoded
(base64), so that a student who reads the file does not see hints by accident.
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
KINDS = ("transcription", "derivation", "design")  # what a task asks for; lessons/AUTHORS.md defines them
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
    "kind": Text(),
    "function": Text(),
    "also_write?": [Text()],
    "points": _COUNT,
    "hints": [Text()],
    "after": Text(),
    "minutes": _COUNT,
    "needs?": [str],
    "also_blank?": [Text()],
    "hide?": [Text()],
    "not_by?": [Text()],
}
_EDITION = {"lessons": [str], "seed": Integer(0)}


def sealed(text):
    """Encode a text, so that nobody reads it by accident. `course.toml` may contain it instead of the text."""
    return _SEAL + base64.b64encode(text.encode()).decode()


def unsealed(text):
    """The plain text of a sealed or unsealed text. ValueError if the seal is damaged."""
    if not text.startswith(_SEAL):
        return text
    try:
        return base64.b64decode(text.removeprefix(_SEAL), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError(f"found a damaged seal {shown(text, 40)}, expected the text that came with it") from None


def file_of(function):
    """ "minimobilebert/ops/linear.py:linear_forward" -> "minimobilebert/ops/linear.py" """
    return function.partition(":")[0]


def name_of(function):
    """ "minimobilebert/ops/linear.py:linear_forward" -> "linear_forward" """
    return function.partition(":")[2]


@dataclasses.dataclass(frozen=True)
class Task:
    """A task: a function that a student writes, or a few that belong together."""

    id: str  # "02.1"
    title: str
    function: str  # "minimobilebert/ops/linear.py:linear_forward"
    points: int
    hints: tuple  # three, each with more help
    after: str  # shown when the task passes
    minutes: int
    kind: str = ""  # one of KINDS
    needs: tuple = ()  # ids of the tasks whose functions this one calls; it cannot pass before them
    also_write: tuple = ()  # more functions of this task, in the order in which they are checked
    also_blank: tuple = ()  # other functions, or whole files, that would reveal the solution
    hide: tuple = ()  # words of docstrings in its files that would reveal the solution
    not_by: tuple = ()  # functions of which one call would be the whole answer: the solution must not call them
    lesson: str = ""  # "02"

    @property
    def file(self):
        return file_of(self.function)

    @property
    def name(self):
        return name_of(self.function)

    @property
    def functions(self):
        """All functions that the student writes: the one that it is named after first"""
        return (self.function, *self.also_write)

    @property
    def files(self):
        """The files of these functions, each once"""
        return tuple(dict.fromkeys(map(file_of, self.functions)))

    @property
    def written_as(self):
        """The names of its functions in a line of text"""
        return ", ".join(map(name_of, self.functions))

    def names_in(self, file):
        """The names of its functions in one file"""
        return [name_of(function) for function in self.functions if file_of(function) == file]

    def with_function(self, name):
        """This task as the task of one of its functions, by name: what a property of that function is given"""
        return dataclasses.replace(self, function=next(each for each in self.functions if name_of(each) == name))


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
    edition: dict | None  # contents of edition.json in a student edition

    @property
    def tasks(self):
        """All tasks; in a student edition, those of its lessons."""
        chosen = None if self.edition is None else set(self.edition["lessons"])
        tasks = (task for lesson in self.lessons for task in lesson.tasks)
        return tuple(task for task in tasks if chosen is None or task.lesson in chosen)

    def lesson(self, number):
        return next(lesson for lesson in self.lessons if lesson.number == number)

    def task(self, id):
        """The task with this id. ValueError if there is none."""
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
        """The ids of all tasks that cannot pass without task `id`, including itself."""
        found = {id}
        for task in self.tasks:  # a task needs only earlier ones, so one pass in order is enough
            if found & set(task.needs):
                found.add(task.id)
        return found


def chosen_lessons(course, text):
    """`1-6`, `2,4-5` or "" (all) -> lesson numbers as in the manifest. ValueError if there is no such lesson."""
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
    """Read and check the course of the project in `root` -> Course"""
    root = pathlib.Path(root)
    path = part_of_project("lessons/course.toml", root)
    edition = root / "lessons" / "edition.json"
    data = read_toml(path, {"lesson": [{str: ANY}]})
    course = _Reader(path, root, edition.exists()).course(data)
    return dataclasses.replace(course, edition=_read_edition(edition, course)) if edition.exists() else course


def _read_edition(path, course):
    """Read edition.json: the chosen lessons, and the seed of the recordings."""
    edition, known = read_json(path, _EDITION), [lesson.number for lesson in course.lessons]
    for number in edition["lessons"]:
        if number not in known:
            raise ValueError(f"{path}: lessons: found {shown(number)}, expected some of {', '.join(known)}")
    return edition


class _Reader:
    """Reads the entries; ValueError for the first wrong one."""

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
                for function in task.functions:
                    if function in functions:
                        self.wrong(f"task {task.id}: function", f"that of {functions[function]}", "one of its own")
                    functions[function] = task.id
                ids.append(task.id)
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
        if entry["kind"] not in KINDS:
            self.wrong(f"{what}: kind", shown(entry["kind"]), f"one of {', '.join(KINDS)}")
        hints = entry["hints"]
        if len(hints) != HINTS:
            self.wrong(f"{what}: hints", f"{len(hints)} of them", f"{HINTS} texts, each giving away more")
        self.location(f"{what}: function", entry["function"], needs_name=True)
        for location in entry.get("also_write", ()):
            self.location(f"{what}: also_write", location, needs_name=True)
        for words in entry.get("hide", ()) if not self.is_edition else ():
            files = dict.fromkeys(map(file_of, (entry["function"], *entry.get("also_write", ()))))
            count = sum(read_text(self.root / file).count(words) for file in files)
            if count != 1:
                self.wrong(f"{what}: hide", f"{shown(words)} {count} times in its files", "it once")
        for location in entry.get("also_blank", ()):
            self.location(f"{what}: also_blank", location, needs_name=False)
        for location in entry.get("not_by", ()):
            self.location(f"{what}: not_by", location, needs_name=True)
        lists = {key: tuple(entry.get(key, ())) for key in ("needs", "also_write", "also_blank", "hide", "not_by")}
        try:
            texts = {"hints": tuple(map(unsealed, hints)), "after": unsealed(entry["after"])}
        except ValueError as error:
            raise ValueError(f"{self.path}: {what}: {error}") from None
        return Task(**{**entry, **lists, **texts, "lesson": number})

    def location(self, what, location, needs_name):
        if needs_name and ":" not in location:
            self.wrong(what, shown(location), "file.py:function")
        file, _, name = location.partition(":")
        if self.is_edition and not name:
            return
        path = self.root / file
        if not file.startswith("minimobilebert/") or not path.is_file():
            self.wrong(what, f"no file {shown_key(file)}", "a file of the package, from the project's root")
        # In an edition the student may be editing the file; `check` tests whether the function exists.
        if name and not self.is_edition and not defines(read_text(path), name):
            self.wrong(what, f"no {shown_key(name)} in {file}", "a function that the file defines")
