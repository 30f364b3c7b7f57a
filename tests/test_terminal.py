"""Progress without a terminal: a line every ten seconds and one at the end, none for what is over at once."""

import pytest

from minimobilebert.support import terminal


@pytest.mark.parametrize(
    ("seconds", "lines"),
    [
        (0.1, []),
        (1.0, ["work: 4/4 (100 %), 0 s left  loss 3"]),
        (6.0, ["work: 2/4 (50 %), 12 s left  loss 1", "work: 4/4 (100 %), 0 s left  loss 3"]),
    ],
)
def test_lines_where_there_is_no_terminal(monkeypatch, capsys, seconds, lines):
    clock = iter(step * seconds for step in range(5))
    monkeypatch.setattr(terminal.time, "perf_counter", lambda: next(clock))
    with terminal.progress_bar("work", 4) as bar:
        for i in range(4):
            bar.update(f"loss {i}")
    assert capsys.readouterr().err.splitlines() == lines


def test_several_steps_at_once(monkeypatch, capsys):
    clock = iter([0.0, 15.0, 30.0])
    monkeypatch.setattr(terminal.time, "perf_counter", lambda: next(clock))
    with terminal.progress_bar("work", 400) as bar:
        bar.update(steps=100)
        bar.update(steps=300)
    assert capsys.readouterr().err.splitlines() == [
        "work: 100/400 (25 %), 45 s left",
        "work: 400/400 (100 %), 0 s left",
    ]
