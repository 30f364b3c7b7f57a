"""Properties that a task's function must fulfil. Each is a function of `t` (trial.py) in lessons/NN_name/properties.py.

    @prop("02.1", weight=2, essential=True)
    def values(t):
        "y is right in float64"
        ...

They run in the order of the file. The first line of the docstring is the title that students see. A task gets no points
unless all essential properties pass; each passed property then earns the share of its weight. `bundles.py` registers
the standard properties of a forward or backward pass with one call.
"""

import dataclasses
import importlib.util
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Property:
    task: str
    name: str
    title: str
    weight: int
    essential: bool
    check: Callable


_collected = []


def prop(task, *, weight=1, essential=False, name=None, title=None):
    """A decorator; see above."""

    def collect(function):
        words = title or (function.__doc__ or "").strip().partition("\n")[0]
        _collected.append(Property(task, name or function.__name__, words, weight, essential, function))
        return function

    return collect


def load_properties(course, ids=None):
    """{task id: [Property, ...]} of the tasks `ids` (default: all tasks)

    ValueError if a property belongs to no task or has no title, or if a task has no essential property.
    """
    wanted = {task.id for task in course.tasks} if ids is None else set(ids)
    found = {task.id: [] for task in course.tasks if task.id in wanted}
    for lesson in course.lessons:
        if not any(task.id in wanted for task in lesson.tasks):
            continue
        path = course.root / "lessons" / lesson.folder / "properties.py"
        if not path.is_file():
            raise ValueError(f"{path}: found no file, expected the properties of lesson {lesson.number}'s tasks")
        _collected.clear()
        spec = importlib.util.spec_from_file_location(f"lesson_{lesson.folder}_properties", path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        ids = {task.id for task in lesson.tasks}
        for each in _collected:
            if each.task not in ids:
                expected = ", ".join(sorted(ids))
                raise ValueError(f"{path}: {each.name}: found task {each.task!r}, expected one of {expected}")
            if not each.title:
                raise ValueError(f"{path}: {each.name}: found no docstring, expected one line that students can read")
            if each.task in found:
                if each.name in {other.name for other in found[each.task]}:
                    raise ValueError(f"{path}: task {each.task}: found {each.name} twice, expected different names")
                found[each.task].append(each)
    for id, properties in found.items():
        if not any(each.essential for each in properties):
            raise ValueError(f"task {id}: found no essential property in its lesson's properties.py, expected one")
    return found
