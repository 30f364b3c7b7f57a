"""The plan as a table and as a chart."""

from ..support.drawing import INK, as_svg, plain, pyplot
from ..support.tables import aligned
from .plan import algorithms

_NOTES = """\
seconds: of one step. gradients: the parts of one rank. fixed: the batch, clipping and the update, which every rank does
for itself. communication: the share of sums and network. efficiency: T(1) / (N T(N)). epoch: {tokens:,} tokens
({source}), {steps:,.0f} steps.
The network is taken to be as fast as all ports together, and its bandwidth to be what a program gets: of 10 Gbit of
Ethernet that is about 9.4. Times of one rank were {measured}."""
_OVERLAP = "Overlap is an ideal bound: as much of the network as fits hides behind the backward of a rank's last part."
_CORPUS = "Wikipedia and BooksCorpus as the BERT paper counts them: 3.3 billion words, in 40 epochs of 25,000 steps"


def _time(seconds):
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return "0"


def _rate(network):
    bits = 8 * network.bandwidth
    for unit, factor in (("Gbit", 1e9), ("Mbit", 1e6)):
        if bits >= factor:
            return f"{bits / factor:g} {unit}"
    return f"{bits / 1e3:g} kbit"


def _heading(request):
    job = request.job
    overlap = ", overlap" if job.overlap else ""
    return (
        f"{request.name}: {job.numbers:,} parameters with heads, {job.batch:,} x {request.length} tokens a step, parts"
        f" of {job.part} rows; {_rate(request.network)}/s, {_time(request.network.latency)}; {job.reduction}{overlap}"
    )


def _steps(plan):
    parts = ("gradients", "sums", "network", "fixed")
    rows = [["ranks", "seconds", *parts, "communication", "efficiency", "epoch, hours"]]
    for row in plan.rows:
        rows.append([
            str(row["ranks"]), f"{row['seconds']:.4g}", *(f"{row[part]:.3g}" for part in parts),
            f"{row['communication']:.1%}", f"{row['efficiency']:.1%}", f"{row['epoch_hours']:,.1f}",
        ])  # fmt: skip
    return aligned(rows, (), ruled=True)


def _end(plan):
    if plan.stops is None:
        most = min(4096, plan.request.job.batch)
        return f"It scales: efficiency is at least 50 % up to {most:,} ranks."
    return f"It stops scaling at {plan.stops:,} ranks (the first power of two with an efficiency below 50 %)."


def _memory(plan):
    kinds = ("parameters", "gradients", "moments", "activations", "sums", "total", "sharded")
    rows = [["ranks", *(f"{kind} MB" for kind in kinds[:-1]), "with ZeRO stage 1 MB"]]
    for row in plan.rows:
        rows.append([str(row["ranks"]), *(f"{row['memory'][kind] / 1e6:,.0f}" for kind in kinds)])
    last = plan.rows[-1]
    saved = last["memory"]["total"] - last["memory"]["sharded"]
    note = [
        "Without temporary arrays, and what the kernels keep for the next step.",
        f"ZeRO stage 1 (shard_optimizer=true): each of {last['ranks']} ranks keeps the moments of its own parameters"
        f" and saves {saved / 1e6:,.0f} MB.",
        "The ranks then send each other what they have updated: half as much traffic again, which is not in the times.",
    ]
    return [*aligned(rows, (), ruled=True), "", *note]


def _algorithms(plan):
    found = algorithms(plan.request)
    rows = [["ranks", *(f"{name} s" for name in found)]]
    for row, *seconds in zip(plan.rows, *found.values(), strict=True):
        rows.append([str(row["ranks"]), *(f"{value:.4g}" for value in seconds)])
    note = "Network alone, float32, one node of the tree a rank: what each algorithm would take (distributed/cost.py)."
    return [*aligned(rows, (), ruled=True), "", note]


def format_plan(plan, source, measured):
    """All tables -> text; source: of the number of tokens; measured: how the times of one rank were found"""
    request = plan.request
    steps = request.tokens / (request.job.batch * request.length)
    notes = _NOTES.format(tokens=request.tokens, source=source or _CORPUS, steps=steps, measured=measured)
    notes += f"\n{_OVERLAP}" if request.job.overlap else ""
    first = [_heading(request), "", *_steps(plan), "", _end(plan), *notes.splitlines()]
    return "\n\n".join("\n".join(part) for part in (first, _memory(plan), _algorithms(plan)))


def svg_of(plan):
    """Time of a step, divided into what it is spent on, and efficiency, over ranks -> svg"""
    plt = pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.0, 3.0))
    ranks = [row["ranks"] for row in plan.rows]
    colours = {"seconds": INK, "gradients": "#1b6ca8", "network": "#c4531b", "fixed": "#7a7a7a"}
    for key, colour in colours.items():
        values = [row[key] or None for row in plan.rows]
        left.plot(ranks, values, "o-", color=colour, markersize=3, linewidth=1.4, label=key.replace("seconds", "step"))
    left.set(xlabel="ranks", ylabel="seconds a step", yscale="log")
    right.plot(ranks, [100 * row["efficiency"] for row in plan.rows], "o-", color=INK, markersize=3, linewidth=1.4)
    right.axhline(50, color="#c4531b", linewidth=0.8, linestyle=":")
    right.set(xlabel="ranks", ylabel="efficiency, %", ylim=(0, 105))
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(ranks, [str(each) for each in ranks], rotation=45)
        axes.minorticks_off()
    left.legend(fontsize=7)
    job, network = plan.request.job, plan.request.network
    heading = f"{plan.request.name}, {job.batch:,} rows a step, {_rate(network)}/s, {job.reduction}"
    figure.suptitle(plain(heading), fontsize=9)
    figure.tight_layout()
    return as_svg(plt, figure)
