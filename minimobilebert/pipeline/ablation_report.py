"""The tables of `ablate` as Markdown, and a plot of the losses of all seeds."""

import numpy as np

from ..support.files import write_text
from ..support.tables import markdown
from .ablations import FULL, TABLES
from .figures import ablation_panels

_COLUMNS = {"mlm_loss": "masked-word loss", "nsp_accuracy": "next sentence"}


def mean_and_spread(values):
    """mean, standard deviation over seeds (0 for a single seed)"""
    values = np.asarray(values, np.float64)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _cells(summary, run):
    for key in _COLUMNS:
        yield "{:.3f} ± {:.3f}".format(*mean_and_spread(summary["scores"][run][key]))
    # Runs with the same seed are paired: the difference to the full method removes most of the spread between seeds.
    losses = np.asarray(summary["scores"][run]["mlm_loss"]) - np.asarray(summary["scores"][FULL]["mlm_loss"])
    yield "" if run == FULL else "{:+.3f} ± {:.3f}".format(*mean_and_spread(losses))


def _latency_cells(summary, run):
    block = "no_norm-relu" if run == FULL else run
    for blocks in summary["latency"].values():
        latency = blocks[block]
        ratio = f"{latency['ratio']:.2f} ({latency['ratio_low']:.2f}-{latency['ratio_high']:.2f})"
        yield f"{latency['milliseconds']:.1f} ms, {ratio}"


def table_lines(summary, number):
    """Markdown lines of one table."""
    table = TABLES[number]
    heads = ["", *_COLUMNS.values(), "loss above the last row"]
    if number == 7:
        heads += [f"latency, {title}" for title in summary["latency"]]
    heads += [f"paper: {column}" for column in table.paper_columns]
    if number == 7:
        heads.append("paper: ratio")
    rows = [heads]
    for row in table.rows:
        cells = [row.label, *_cells(summary, row.run)]
        if number == 7:
            cells += _latency_cells(summary, row.run)
        cells += [f"{value:g}" for value in row.paper]
        if number == 7:
            cells.append(f"{row.paper[0] / table.rows[0].paper[0]:.2f}")
        rows.append(cells)
    return [f"### {table.title}", "", *markdown(rows), ""]


def format_ablations(summary):
    """All tables as Markdown."""
    teacher = "{:.3f} ± {:.3f}".format(*mean_and_spread(summary["scores"]["teacher"]["mlm_loss"]))
    lines = [
        f"Held-out masked-word loss in nats (lower is better) and next-sentence accuracy; mean ± standard deviation"
        f" over {len(summary['seeds'])} seeds. The teacher's loss is {teacher}.",
        "",
    ]
    for number in TABLES:
        lines += table_lines(summary, number)
    return "\n".join(lines)


def write_ablation_report(folder, summary):
    """Write `ablations.md` and `ablations.svg`."""
    write_text(folder / "ablations.md", format_ablations(summary))
    panels = {
        table.title: {row.label: summary["scores"][row.run]["mlm_loss"] for row in table.rows}
        for table in TABLES.values()
    }
    write_text(folder / "ablations.svg", ablation_panels(panels, "held-out masked-word loss (nats)"))
