"""The scripts that Gradescope runs (see its "Autograder Specifications"): setup.sh once, run_autograder per submission.

The default image is Ubuntu 22.04 with Python 3.10, which is too old. Gradescope's harness needs the system's python3,
so we install another Python in addition, from the first source that works.
"""

OLDEST, WANTED = "3.11", "3.12"

SETUP = f"""#!/usr/bin/env bash
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
venv=/autograder/venv

# A Python that is new enough and can make environments, or nothing.
find_python() {{
    for name in python3.14 python{WANTED} python3.13 python3.11 python3; do
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
}}

try() {{
    [ -n "$(find_python)" ] || "$@" || echo "setup.sh: '$*' did not bring a Python" >&2
}}

from_system() {{ apt-get install -yq python3 python3-venv; }}
from_deadsnakes() {{
    apt-get install -yq software-properties-common && add-apt-repository -y ppa:deadsnakes/ppa &&
        apt-get update -q && apt-get install -yq python{WANTED} python{WANTED}-venv
}}
from_ubuntu() {{ apt-get install -yq python{OLDEST} python{OLDEST}-venv; }}

apt-get update -q || true
try from_system
try from_deadsnakes
try from_ubuntu
python="$(find_python)"
if [ -n "$python" ]; then
    "$python" -m venv "$venv"
elif python3 -m pip install -q uv && python3 -m uv venv -q --seed --python {WANTED} "$venv"; then
    python="uv's Python {WANTED}"
else
    found="$(python3 --version 2>&1 || true)"
    echo "setup.sh: found ${{found:-no Python}}, expected {OLDEST} or newer, and none could be installed." >&2
    echo "Choose an image that has one: Configure Autograder, Base Image." >&2
    exit 1
fi
echo "setup.sh: $("$venv/bin/python" --version) from $python"
"$venv/bin/python" -m pip install -q "numpy>=1.26" "tqdm>=4.60"
chmod 700 /autograder/source
"""

RUN = """#!/usr/bin/env bash
# A results.json is there whatever happens: this one first, the grader's own after every task, at the end the whole.
mkdir -p /autograder/results
cat > /autograder/results/results.json << 'END'
{"score": 0, "stdout_visibility": "hidden", "output": "Nothing was graded: the autograder did not start, or was \
stopped at once (no Python, no memory, no time). This is not your mistake; please tell your teacher."}
END
chmod 700 /autograder/source /autograder/submission /autograder/results
cd /autograder/source
MINIMOBILEBERT_BACKEND=numpy /autograder/venv/bin/python -m minimobilebert gradescope --grade /autograder
"""
