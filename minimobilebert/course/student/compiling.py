"""Can Numba compile a kernel that a student wrote? The checks run it as plain Python, which takes more than Numba does.

why_not(root, "minimobilebert/kernels/teaching/ladder.py:multiply_loop_order")    -> "" or the reason, in one line
"""

import ast
import os
import pathlib
import subprocess
import sys

from ..shared.cutting import find

SECONDS = 120
_LONGEST = 200
# In a process of its own: without MINIMOBILEBERT_BACKEND=numpy, and with the file as it is now.
_COMPILE = """
import importlib, inspect, sys
import numpy as np
module, name = sys.argv[1:]
kernel = getattr(importlib.import_module(module), name)
if hasattr(kernel, "py_func"):
    import numba
    arrays = [np.zeros((2, 2), np.float32)] * len(inspect.signature(kernel.py_func).parameters)
    try:
        kernel.compile(tuple(map(numba.typeof, arrays)))
    except numba.core.errors.NumbaError as error:
        print("\\n".join(line for line in str(error).splitlines() if line.strip()))
"""


def is_kernel(root, function):
    """True for "file.py:name" with the decorator @jit"""
    file, _, name = function.partition(":")
    node = find(ast.parse((pathlib.Path(root) / file).read_text(encoding="utf-8")), name)
    return node is not None and any(getattr(each, "id", "") == "jit" for each in getattr(node, "decorator_list", ()))


def why_not(root, function):
    """Why Numba cannot compile the kernel; "" if it can, or where there is no Numba"""
    file, _, name = function.partition(":")
    environment = {key: value for key, value in os.environ.items() if key != "MINIMOBILEBERT_BACKEND"}
    environment["PYTHONPATH"] = str(root)
    module = file.removesuffix(".py").replace("/", ".")
    try:
        ran = subprocess.run([sys.executable, "-c", _COMPILE, module, name], capture_output=True, text=True, cwd=root,
                             env=environment, timeout=SECONDS, stdin=subprocess.DEVNULL)  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS} seconds"
    return _in_a_line(ran.stdout)


def _in_a_line(text):
    """The line of Numba's message that names the cause, and the line of the file"""
    lines = [line.strip() for line in text.splitlines()]
    headings = ("Failed in", "During:", "File ", "-", "<source", "^", "This error")
    said = [line for line in lines if line and not line.startswith(headings)]
    where = next((line for line in lines if line.startswith("File ") and "line" in line), "")
    return " ".join(part for part in (said[0] if said else "", where) if part)[:_LONGEST]
