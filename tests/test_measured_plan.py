"""`plan` against measured steps: 2 and 4 ranks of this machine, and 4 hosts with a network of a known speed.

The ratio of a forecast to a step is the median over turns of one run (tests/measured_step.py), in which the step and its
parts take turns. Other programs on the machine disturb it, so a setting may be measured up to ATTEMPTS times.
"""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys

import network_hosts
import pytest
from documents import ROOT

ATTEMPTS, WITHIN, PATIENCE = 3, 0.2, 150  # PATIENCE: seconds of one attempt
SCRIPT = str(ROOT / "tests" / "measured_step.py")
STEP = {"model": "classroom-1", "batch": 16, "length": 64, "parts": 4, "turns": 7, "network": None}
# Without other processes of their own in between: otherwise MPI's hosts, which share one kernel, would share memory.
OVER_TCP = {"MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp", "UCX_TLS": "tcp,self"}


def _mpiexec():
    """mpiexec of the same environment as this Python, or the one in the path -> str or None"""
    beside = pathlib.Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def _why_no_mpi():
    if not os.environ.get("MINIMOBILEBERT_MEASURE"):
        return "it compares times, which other programs disturb: MINIMOBILEBERT_MEASURE=1 on a quiet machine"
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed: make setup EXTRAS=distributed"
    return None if _mpiexec() else "there is no mpiexec: pip install mpich"


def _why_no_hosts():
    if reason := _why_no_mpi() or network_hosts.why_not():
        return reason
    version = subprocess.run([_mpiexec(), "--version"], capture_output=True, text=True, check=False).stdout
    return None if "HYDRA" in version else "only MPICH's mpiexec (Hydra) is known to start ranks in namespaces"


NO_MPI, NO_HOSTS = _why_no_mpi(), _why_no_hosts()
needs_mpi = pytest.mark.skipif(NO_MPI is not None, reason=str(NO_MPI))
needs_hosts = pytest.mark.skipif(NO_HOSTS is not None, reason=str(NO_HOSTS))


def _run(words, environment=()):
    """Run a command that prints JSON in its last line -> dict"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PMI_", "OMPI_", "PMIX_"))}
    environment = clean | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"} | dict(environment)
    done = subprocess.run(
        words, capture_output=True, text=True, env=environment, timeout=PATIENCE, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def _check_forecast(measure, network):
    """A forecast within 20 % in one of ATTEMPTS runs; network: as in measured_step.py -> what was found"""
    ratios = []
    for _ in range(ATTEMPTS):
        found = measure()
        ratios.append(found[network]["ratio"])
        print(json.dumps(found))
        if abs(ratios[-1] - 1.0) <= WITHIN:
            return found
    pytest.fail(f"forecast / measured: found {ratios}, expected 1 within {WITHIN}")


@pytest.fixture(scope="module")
def one_process():
    """The parameters after the same steps without any other rank"""
    return _run([sys.executable, SCRIPT, json.dumps(STEP | {"reduction": "deterministic"})])["digest"]


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("reduction", ["deterministic", "fast", "bfloat16"])
def test_the_forecast_of_ranks_on_this_machine(ranks, reduction, one_process):
    settings = json.dumps(STEP | {"reduction": reduction})
    words = [_mpiexec(), "-n", str(ranks), sys.executable, SCRIPT, settings]
    found = _check_forecast(lambda: _run(words), "measured")
    assert reduction != "deterministic" or found["digest"] == one_process


def _launcher(folder, names):
    """A script in place of ssh: it runs a command in the namespace that has an address -> its name"""
    script = folder / "launch"
    cases = "\n".join(f"{network_hosts.ADDRESS.format(i)}) name={name} ;;" for i, name in enumerate(names, 1))
    script.write_text(
        "#!/bin/sh\n[ \"$1\" = -x ] && shift\ncase $1 in\n" + cases
        + '\n*) echo "no host $1" >&2; exit 1 ;;\nesac\nshift\nexec ip netns exec $name sh -c "$*"\n',
        encoding="utf-8",
    )  # fmt: skip
    script.chmod(0o755)
    return str(script)


@needs_hosts
@pytest.mark.parametrize(("bandwidth", "delay"), [(25e6, 1e-3), (12.5e6, 1e-2), (6.25e6, 2e-3)])
def test_the_forecast_of_four_hosts(bandwidth, delay, tmp_path, one_process):
    """200, 100 and 50 Mbit/s. No time of a long message is measured for the forecast, only of the shortest."""
    settings = json.dumps(STEP | {"reduction": "deterministic", "network": [bandwidth, delay, 0.0]})
    with network_hosts.hosts(4, bandwidth, delay) as names:
        addresses = ",".join(network_hosts.ADDRESS.format(i) for i in range(1, 5))
        words = ["ip", "netns", "exec", names[0], _mpiexec(), "-launcher", "ssh", "-launcher-exec",
                 _launcher(tmp_path, names), "-hosts", addresses, "-n", "4", sys.executable, SCRIPT, settings]  # fmt: skip
        found = _check_forecast(lambda: _run(words, OVER_TCP), "bandwidth given")
    assert found["ranks"] == 4 and found["digest"] == one_process
    assert found["network"]["bandwidth"] < 1.05 * bandwidth  # no shorter way, such as shared memory
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert not any(name in left for name in names)
