"""What a worker gives up for good before a student's code arrives: files, processes, the network, memory, its user.

Everything in this file is enforced by the kernel. Python code in the process cannot undo it. isolation.py chooses:

                  files                              system calls, limits
    bubblewrap    another file system (isolation.py)    yes
    user          chroot, another user                  yes
    landlock      Landlock: only the package            yes
    none          all that the teacher can read         yes, except on other systems than Linux

A step that fails raises OSError, and the worker then ends before it has seen any of the student's code.
"""

import contextlib
import ctypes
import importlib
import os
import struct
import sys

try:
    import resource
except ImportError:  # Windows
    resource = None

# What a student's function may import lazily, and tracemalloc, which measures its memory. A worker that will see no
# files of Python's loads it beforehand.
PRELOADED = """abc bisect cmath collections.abc contextlib copy dataclasses decimal enum fractions functools heapq
 itertools math numbers operator random re statistics string struct textwrap time types typing unicodedata warnings
 encodings.ascii encodings.latin_1 encodings.utf_16 encodings.utf_32 encodings.unicode_escape
 numpy.fft numpy.linalg numpy.random numpy.ma numpy.polynomial numpy.lib.stride_tricks numpy.char numpy.rec
 numpy.dtypes numpy.exceptions numpy.strings tracemalloc""".split()

# Numbers of system calls (asm/unistd.h) that a graded function has no use for: sockets; new processes and programs;
# signals to and memory of other processes; owner, mode and times of files; shared memory; mounts, namespaces, keys;
# prctl, which would undo `end_with_parent`.
_DENIED = {
    "x86_64": [0xC000003E, 317,
        29, 41, 42, 43, 44, 45, 46, 47, 49, 50, 53, 56, 57, 58, 59, 62, 64, 68, 76, 77, 90, 91, 92, 93, 94, 101, 129,
        132, 135, 141, 142, 144, 155, 157, 161, 163, 165, 166, 167, 169, 175, 188, 189, 190, 197, 198, 199, 200, 203,
        234, 235, 240, 241, 246, 248, 249, 250, 251, 253, 256, 260, 261, 268, 272, 279, 280, 288, 294, 297, 298, 300,
        302, 303, 304, 308, 310, 311, 312, 313, 314, 319, 320, 321, 322, 323],
    "aarch64": [0xC00000B7, 277,
        5, 6, 7, 14, 15, 16, 26, 30, 39, 40, 41, 45, 46, 51, 52, 53, 54, 55, 88, 89, 92, 97, 104, 105, 117, 118, 119,
        122, 129, 130, 131, 138, 140, 142, 167, 180, 181, 186, 190, 194, 198, 199, 200, 201, 202, 203, 206, 207, 211,
        212, 217, 218, 219, 220, 221, 224, 238, 239, 240, 241, 242, 261, 262, 264, 265, 268, 270, 271, 272, 273, 274,
        279, 280, 281, 282, 294],
}  # fmt: skip
_DENIED_EVERYWHERE = [424, 425, 428, 429, 430, 432, 433, 434, 435, 438, 440, 442, 447, 452]
_FIRST_X32 = 0x40000000  # system calls of another calling convention, with numbers of their own


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def system_call_filter(machine):
    """The seccomp filter for a processor as BPF instructions; None for an unknown processor"""
    if machine not in _DENIED:
        return None
    architecture, _, *denied = _DENIED[machine]
    denied = sorted({*denied, *_DENIED_EVERYWHERE})

    def instruction(code, jump_if_true, jump_if_false, value):
        return struct.pack("<HBBI", code, jump_if_true, jump_if_false, value)

    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | 1  # 1: EPERM
    lines = [instruction(load, 0, 0, 4), instruction(equal, 0, len(denied) + 3, architecture)]
    lines += [instruction(load, 0, 0, 0), instruction(at_least, len(denied) + 1, 0, _FIRST_X32)]
    lines += [instruction(equal, len(denied) - i, 0, number) for i, number in enumerate(denied)]
    return b"".join([*lines, instruction(answer, 0, 0, allow), instruction(answer, 0, 0, refuse)])


def _checked(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _system_call(number, *arguments):
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return library.syscall(ctypes.c_long(number), *wide)


def forbid_new_privileges():
    """No program that this process starts gets more rights, and the kernel accepts the rules below."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        _checked(library.prctl(38, 1, 0, 0, 0), "no new privileges")


def end_with_parent():
    """Kill this process when the one that started it has ended. A change of the user would undo it, so it is after."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        _checked(library.prctl(1, 9, 0, 0, 0), "end with the grader")


def filter_system_calls():
    """Refuse the denied system calls in all threads -> True, or False if this system has no such filter."""
    program = system_call_filter(os.uname().machine) if sys.platform == "linux" else None
    if program is None or struct.calcsize("P") != 8:
        return False
    buffer = ctypes.create_string_buffer(program, len(program))
    description = _Program(len(program) // 8, ctypes.addressof(buffer))
    all_threads = 1
    number = _DENIED[os.uname().machine][1]
    _checked(_system_call(number, 1, all_threads, ctypes.byref(description)), "system call filter")
    return True


def landlock_version():
    """The version of Landlock that this kernel has; 0 if it has none"""
    return max(0, _system_call(444, None, 0, 1)) if sys.platform == "linux" else 0


def see_only(folder):
    """Landlock: from now on this process can read the files below `folder`, and no others; write none; use no TCP."""
    version = landlock_version()
    if not version:
        raise OSError("Landlock: this kernel has none")
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    rules = struct.pack("<QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    rules = rules[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = _checked(_system_call(444, ctypes.c_char_p(rules), len(rules), 0), "Landlock")
    read_file, read_folder = 4, 8
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    beneath = struct.pack("<Qi", read_file | read_folder, descriptor)
    _checked(_system_call(445, ruleset, 1, ctypes.c_char_p(beneath), 0), "Landlock")
    _checked(_system_call(446, ruleset, 0), "Landlock")
    os.close(descriptor)
    os.close(ruleset)


def change_root(folder):
    """See only `folder`, under the path that it had, so that modules in it are still found."""
    os.chroot(folder)
    os.chdir("/")


def become(user):
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def preload():
    for name in PRELOADED:
        with contextlib.suppress(ImportError):  # numpy.strings is new in NumPy 2
            importlib.import_module(name)


def limit_memory(address_space):
    """The limit that the process may reach before it is another user, who may not raise it again."""
    if resource is not None and address_space:
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))


def limit_resources(seconds):
    """No files are written, no processes started; processor time is bounded even if the grader is gone."""
    if resource is None:
        return
    limits = {"RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0, "RLIMIT_NPROC": 0, "RLIMIT_NOFILE": 64, "RLIMIT_MEMLOCK": 0,
              "RLIMIT_MSGQUEUE": 0, "RLIMIT_CPU": int(seconds) + 1}  # fmt: skip
    for name, value in limits.items():
        if hasattr(resource, name):
            resource.setrlimit(getattr(resource, name), (value, value))
