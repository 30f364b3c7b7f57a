"""Properties that a task's function must fulfil. Each is a function of `t` (trial.py) in lessons/NN_name/properties.py.

    @prop("02.1", weight=2, essential=True)
    def values(t):
        "y is right in float64"
        ...

They run in the order of the file. The first line of the docstring is the title that students see. A function gets no
points unless all its essential properties pass; each passed property then earns the share of its weight. `bundles.py`
registers the standard properties of a forward or backward pass with one call.
"""

import dataclasses
import importlib.util
from collections.abc import Callable

from .manifest import name_of


@dataclasses.dataclass(frozen=True)
class Property:
    task: str
    name: str
    title: str
    weight: int
    essential: bool
    check: Callable
    function: str | None = None  # the name of one of the task's functions; None: the first


_collected = []


def prop(task, *, weight=1, essential=False, name=None, title=None):
    """A decorator; see above. task: "05.1", or "05.1:trigram_backward" if `t` calls another function than the first"""
    task, _, function = task.partition(":")

    def collect(check):
        words = title or (check.__doc__ or "").strip().partition("\n")[0]
        short = name or check.__name__
        if function:
            kind = function.rpartition("_")[2]
            short = f"{kind if kind in ('forward', 'backward') else function}:{short}"
        _collected.append(Property(task, short, words, weight, essential, check, function or None))
        return check

    return collect


def load_properties(course, ids=None):
    """{task id: [Property, ...]} of the tasks `ids` (default: all tasks)

    ValueError if a property belongs to no task or has no title, or if a function of a task has no essential property.
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
        names = {task.id: [name_of(each) for each in task.functions] for task in lesson.tasks}
        for each in _collected:
            if each.task not in ids:
                expected = ", ".join(sorted(ids))
                raise ValueError(f"{path}: {each.name}: found task {each.task!r}, expected one of {expected}")
            if each.function is not None and each.function not in names[each.task]:
                expected = " or ".join(names[each.task])
                raise ValueError(f"{path}: {each.name}: found function {each.function!r}, expected {expected}")
            if not each.title:
                raise ValueError(f"{path}: {each.name}: found no docstring, expected one line that students can read")
            if each.task in found:
                if each.name in {other.name for other in found[each.task]}:
                    raise ValueError(f"{path}: task {each.task}: found {each.name} twice, expected different names")
                found[each.task].append(each)
    for task in course.tasks:
        for name in map(name_of, task.functions) if task.id in found else ():
            own = [each for each in found[task.id] if (each.function or task.name) == name]
            if not any(each.essential for each in own):
                of = f" of {name}" if task.also_write else ""
                raise ValueError(
                    f"task {task.id}: found no essential property{of} in its lesson's properties.py, expected one"
                )
    return found
