"""How many processors this process may use: those it may run on, and those its container pays for.

A container (Docker, Kubernetes, a grading machine) often sees all cores of its host and gets the time of a few. Linux
calls that a quota: so many microseconds of processor time in each period. A process with more threads than that is
stopped in the middle of a kernel until the next period begins, and the others wait for it.
"""

import math
import os
import pathlib


def affinity():
    """How many processors the system lets this process run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _folders(root):
    """Folders of the control groups that limit this process' processor time, with those above them -> (version, folder)

    root: where the system's files begin; a test's own.
    """
    groups = {}
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        mount, _, system = line.partition(" - ")
        top, mounted = mount.split()[3:5]
        system, _, options = system.split(None, 2)
        if system == "cgroup2" and "" in groups:
            version, path = 2, groups[""]
        elif system == "cgroup" and "cpu" in options.split(",") and "cpu" in groups:
            version, path = 1, groups["cpu"]
        else:
            continue
        # What is mounted may begin at the container's own group, of which the process sees the host's long name.
        inside = path.removeprefix(top) if top != "/" else path
        folder = root / mounted.lstrip("/")
        inner = folder / inside.strip("/") if ".." not in inside else folder
        yield version, folder
        while inner != folder:
            yield version, inner
            inner = inner.parent


def _quota_of(version, folder):
    """Processors that one group may use, None where it says nothing."""
    if version == 2:
        quota, period = (folder / "cpu.max").read_text().split()
    else:
        quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
    if quota == "max" or int(quota) <= 0 or int(period) <= 0:
        return None
    return int(quota) / int(period)


def quota(root="/"):
    """Processors whose time the container pays for, such as 1.5; None where there is no limit, or none is known."""
    smallest = None
    try:
        for version, folder in _folders(pathlib.Path(root)):
            try:
                found = _quota_of(version, folder)
            except (OSError, ValueError):
                continue  # the topmost group has no such file
            if found is not None:
                smallest = min(found, smallest or found)
    except (OSError, ValueError):
        return None  # not Linux, or a system that hides it
    return smallest


def usable(root="/"):
    """Threads worth having: one for each processor, and no more than the quota, rounded up, pays for."""
    limit = quota(root)
    return affinity() if limit is None else max(1, min(affinity(), math.ceil(limit)))
