"""`lessons/grading.toml`: what a teacher decides about grading, and what being late costs."""

import dataclasses
import datetime
import pathlib
import tomllib


@dataclasses.dataclass(frozen=True)
class Policy:
    """lessons/grading.toml: a field is a line there; all are optional."""

    lessons: str = ""  # as for `student`: "1-6"; empty for all
    seeds: list = dataclasses.field(default_factory=lambda: [1])  # change them each term, and tell nobody
    seconds_per_call: float = 10.0
    seconds_per_submission: float = 600.0
    memory_mb: int = 1024
    due: str = ""  # "2027-03-01T23:59:00+01:00"; empty: no date
    grace_hours: float = 0.0
    percent_lost_per_day_late: float = 0.0  # of the score, for every day or part of one
    days_late_at_most: int = 7  # later than that: 0
    show_hidden: bool = True  # what failed, and where; False: only the property's title


def load_policy(path):
    """ValueError with one line for the first mistake in the file; the defaults where there is none"""
    path = pathlib.Path(path)
    if not path.exists():
        return Policy()
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}, expected TOML") from None
    kinds = {field.name: type(getattr(Policy(), field.name)) for field in dataclasses.fields(Policy)}
    for key, value in data.items():
        if key not in kinds:
            raise ValueError(f"{path}: unknown field {key!r}, expected one of {', '.join(kinds)}")
        kind = kinds[key]
        if kind is float and type(value) is int:
            data[key] = float(value)
        elif type(value) is not kind:
            raise ValueError(f"{path}: {key}: found {value!r}, expected {kind.__name__}")
        if kind in (int, float) and data[key] < 0:
            raise ValueError(f"{path}: {key}: found {value}, expected no negative number")
    policy = Policy(**data)
    if not policy.seeds or not all(type(seed) is int and seed >= 0 for seed in policy.seeds):
        raise ValueError(f"{path}: seeds: found {policy.seeds}, expected at least one whole number")
    if policy.due:
        _date(path, policy.due)
    return policy


def _date(where, text):
    try:
        date = datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        date = None
    if date is None or date.tzinfo is None:
        raise ValueError(f"{where}: found the date {text!r}, expected one such as 2027-03-01T23:59:00+01:00")
    return date


def late_factor(policy, handed_in):
    """The share of the score that is kept -> factor, sentence ("" where it is in time)"""
    if not policy.due or handed_in is None:
        return 1.0, ""
    late = _date("submission", handed_in) - _date("due", policy.due) - datetime.timedelta(hours=policy.grace_hours)
    if late <= datetime.timedelta(0):
        return 1.0, ""
    days = -(-late // datetime.timedelta(days=1))
    lost = 100.0 if days > policy.days_late_at_most else min(100.0, policy.percent_lost_per_day_late * days)
    return 1.0 - lost / 100.0, f"{days} days late: {lost:g} % lost"
