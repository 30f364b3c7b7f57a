"""`lessons/grading.toml`: the grading policy, including late submissions."""

import dataclasses
import datetime
import pathlib

from ...support.shapes import Integer, Number, shown
from ...support.structured_files import read_toml
from ..sandbox import isolation


@dataclasses.dataclass(frozen=True)
class Policy:
    """The fields of lessons/grading.toml; all are optional."""

    lessons: str = ""  # as for `student`: "1-6"; empty for all
    seeds: list = dataclasses.field(default_factory=lambda: [1])  # change them each term, and keep them secret
    seconds_per_call: float = 10.0
    seconds_per_submission: float = 540.0  # Gradescope's default limit is 600
    memory_mb: int = 1024
    isolation: str = isolation.BEST  # or "required", or the name of one (sandbox/isolation.py)
    due: str = ""  # "2027-03-01T23:59:00+01:00"; empty: no date
    grace_hours: float = 0.0
    percent_lost_per_day_late: float = 0.0  # of the score, for every day or part of one
    days_late_at_most: int = 7  # later than that: 0
    show_hidden: bool = True  # what failed, and where; False: only the property's title


_SHAPE = {
    "lessons?": str,
    "seeds?": [Integer(0)],
    "seconds_per_call?": Number(0, 86_400),
    "seconds_per_submission?": Number(0, 86_400),
    "memory_mb?": Integer(0, 2**20),
    "isolation?": str,
    "due?": str,
    "grace_hours?": Number(0, 10_000),
    "percent_lost_per_day_late?": Number(0, 100),
    "days_late_at_most?": Integer(0, 10_000),
    "show_hidden?": bool,
}


def load_policy(path):
    """Read the policy; the defaults if the file does not exist. ValueError of one line for the first error in it."""
    path = pathlib.Path(path)
    if not path.exists():
        return Policy()
    policy = Policy(**read_toml(path, _SHAPE))
    if not policy.seeds:
        raise ValueError(f"{path}: seeds: found [], expected at least one whole number")
    if policy.isolation not in isolation.WANTED:
        raise ValueError(f"{path}: isolation: found {shown(policy.isolation)}, expected one of"
                         f" {', '.join(isolation.WANTED)}")  # fmt: skip
    if policy.due:
        parse_date(path, policy.due)
    return policy


def parse_date(where, text):
    try:
        date = datetime.datetime.fromisoformat(text)
    except ValueError:
        date = None
    if date is None or date.tzinfo is None:
        raise ValueError(f"{where}: found the date {shown(text)}, expected one such as 2027-03-01T23:59:00+01:00")
    return date


def late_factor(policy, handed_in):
    """The factor of the score for a late submission -> factor, text ("" if it is in time)"""
    if not policy.due or handed_in is None:
        return 1.0, ""
    late = (
        parse_date("--handed-in", handed_in)
        - parse_date("due", policy.due)
        - datetime.timedelta(hours=policy.grace_hours)
    )
    if late <= datetime.timedelta(0):
        return 1.0, ""
    days = -(-late // datetime.timedelta(days=1))
    lost = 100.0 if days > policy.days_late_at_most else min(100.0, policy.percent_lost_per_day_late * days)
    return 1.0 - lost / 100.0, f"{days} day{'' if days == 1 else 's'} late: {lost:g} % lost"
