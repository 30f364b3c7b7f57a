"""`gradcheck`: a table of all backward passes against finite differences, for random shapes and both back ends."""

from ..support.tables import aligned
from ..support.terminal import progress_bar
from .cases import CASES, check_every_backward

LIMIT = 1e-6  # float64 with a step of 1e-5 leaves errors near 1e-9; a wrong backward is off by far more


def run_all(seed, repeats=20):
    """Check all cases with `repeats` seeds -> a list of {"operation", "gradients", "numpy", "numba", "checks", "ok"}

    numpy, numba: the worst relative error over all seeds and gradients
    failures: the first one of each back end, in full
    """
    rows = {
        name: {"operation": name, "gradients": [], "checks": 0, "numpy": 0.0, "numba": 0.0, "ok": True, "failures": []}
        for name in sorted(CASES)
    }
    with progress_bar("gradcheck", repeats) as bar:
        for number in range(repeats):
            for name, backend, check in check_every_backward(seed + number):
                row = rows[name]
                row["gradients"] = sorted({*row["gradients"], *check.errors})
                row["checks"] += 1
                row[backend] = max(row[backend], check.worst)
                if not check.passed or check.worst > LIMIT:
                    row["ok"] = False
                    if not any(failure.startswith(backend) for failure in row["failures"]):
                        row["failures"].append(f"{backend}: {check}")
            bar.update()
    return list(rows.values())


def format_rows(rows):
    """The rows as an aligned table, followed by all failures."""
    table = [["operation", "gradients", "checks", "numpy", "numba", ""]]
    for row in rows:
        worst = [f"{row[backend]:.1e}" for backend in ("numpy", "numba")]
        ok = "ok" if row["ok"] else "FAIL"
        table.append([row["operation"], ", ".join(row["gradients"]), str(row["checks"]), *worst, ok])
    lines = aligned(table, left=(0, 1, -1))
    lines.append(f"\nworst relative error per back end, float64; the limit is {LIMIT:.0e}")
    failures = [failure for row in rows for failure in row["failures"]]
    return "\n".join([*lines, *failures])
