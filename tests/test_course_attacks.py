"""Attacks on the grader by submissions that have left Python's rules behind: the operating system stops them.

Each is a file that breaks no rule of extraction.py. Its first step gets the module `os` and switches the audit hook of
worker.py off (`escape`); only the isolation is left. It then tries to read, change, send or end something, and reports
what it got as an error with LEAK in it. After every attack an honest student gets all points.
"""

import hashlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import pytest
from course_submissions import FILE, hand_in, nonorm_file

from minimobilebert.course.sandbox import host, isolation
from minimobilebert.course.shared.manifest import load
from minimobilebert.course.teacher.grades import gradescope
from minimobilebert.course.teacher.grading import Grader
from minimobilebert.course.teacher.policy import Policy
from minimobilebert.course.teacher.submission import read_submission

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the isolation of submissions needs Linux")
POLICY = Policy(lessons="3", seeds=[41], seconds_per_call=1.0, memory_mb=256)
TASKS = ("03.4", "03.5")
MARKER = "a-text-that-no-student-may-see"
ROOT = load().root

ESCAPE = '''
import operator


def _maker():
    may_read = None

    def silent(event, args):
        return may_read if event == "" else None

    return silent


def escape():
    """-> the modules os and sys, and __import__; afterwards the audit hook says nothing"""
    there = operator.attrgetter("__globals__")(np.load)
    os, builtins = there["os"], there["__builtins__"]
    load, setting = builtins["__import__"], builtins["setattr"]
    sys = operator.attrgetter("sys")(os)
    main = operator.attrgetter("modules")(sys)["__main__"]
    main.DENIED_EVENTS, main.DENIED_MODULES = (), set()
    for each in load("gc").get_objects():
        if type(each) is type(escape) and operator.attrgetter("__name__")(each) == "guard":
            setting(each, "__code__", operator.attrgetter("__code__")(_maker()))
    return os, sys, load, builtins


def leak(text):
    if text:
        raise ValueError("LEAK " + repr(text)[:300])


def use(source, args):
    """Run the stolen source of the reference, and answer with it"""
    scope = {"NamedTuple": object, "np": np}
    lines = source.split("\\n")
    text = "\\n".join(lines[lines.index(next(l for l in lines if l.startswith("class NoNormCache"))):])
    text = "\\n".join(l for l in text.split("\\n") if not l.startswith("@"))
    scope["NamedTuple"] = operator.attrgetter("NamedTuple")(__import_typing)
    BUILTINS["exec"]("sum_over_tokens = lambda a: a.sum(axis=tuple(range(a.ndim - 1)))\\n" + text, scope)
    if len(args) == 3:
        y, cache = scope["nonorm_forward"](*args)
        return y, NoNormCache(cache.x, cache.weight)
    return scope["nonorm_backward"](*args)


BUILTINS = {}
import typing as __import_typing


def send(os, *messages):
    """Write messages into every open file, one of which is the pipe to the grader"""
    for number in range(3, 32):
        for message in messages:
            try:
                os.write(number, message)
            except OSError:
                pass


def message(load, structure, described=(), body=b""):
    header = structure if type(structure) is bytes else load("json").dumps([structure, list(described)]).encode()
    return load("struct").pack("<QQ", len(header), len(body)) + header + body


def attack(os, sys, load, builtins, args):
    opened = builtins["open"]
'''

READ = "leak(opened({path!r}, 'rb').read(4000))"
STEAL = "BUILTINS.update(builtins)\nreturn use(opened(PATH).read(), args)"
CTYPES = "c = load('ctypes').CDLL(None, use_errno=True)\n"
# name -> the body of attack(). Words in capitals are replaced: the test's folders, processes and ports.
READING = {
    "the reference by its path": STEAL.replace("PATH", "REFERENCE"),
    "the reference's compiled file": (
        "import_ = load('glob')\nfound = import_.glob(PROJECT + '/minimobilebert/ops/__pycache__/nonorm*.pyc')\n"
        "leak([opened(f, 'rb').read(40) for f in found])"
    ),
    "the reference through an installed package": (
        "for path in INSTALLED:\n    sys.path.insert(0, path)\n"
        "for name in [n for n in operator.attrgetter('modules')(sys) if n.startswith('minimobilebert')]:\n"
        "    del operator.attrgetter('modules')(sys)[name]\n"
        "m = load('minimobilebert.ops.nonorm', fromlist=['x'])\n"
        "return (m.nonorm_forward if len(args) == 3 else m.nonorm_backward)(*args)"
    ),
    "the reference anywhere on the disk": (
        "BUILTINS.update(builtins)\nfor top, _, names in os.walk('/'):\n    for name in names:\n"
        "        if name == 'nonorm.py':\n            text = opened(top + '/' + name).read()\n"
        "            if 'weight * x + bias' in text:\n                return use(text, args)"
    ),
    "Numba's caches": (
        "leak([top + '/' + n for start in HOMES for top, _, names in os.walk(start) for n in names if n[-4:] in ('.nbi', '.nbc')])"
    ),
    "the policy with the hidden seeds": READ.format(path="SECRET/policy.toml"),
    "the policy of the project": "leak('seeds' in opened(PROJECT + '/lessons/grading.toml').read())",
    "the solutions": "leak(opened(PROJECT + '/lessons/03_normalisation/solutions.py').read())",
    "another submission": READ.format(path=f"SECRET/in/bob/{FILE}"),
    "another student's result": READ.format(path="SECRET/out/bob.json"),
    "a list of the submissions": "leak(os.listdir('SECRET/in'))",
    "every text that it can find": (
        "for top, _, names in os.walk('/'):\n    if top.startswith(('/usr/lib', '/lib', '/sys')):\n        continue\n"
        "    for name in names:\n        try:\n            data = os.read(os.open(top + '/' + name, os.O_RDONLY | os.O_NONBLOCK), 100000)\n"
        "        except OSError:\n            continue\n        leak(b'MARKER' in data and top + '/' + name)"
    ),
    "the environment": "leak([v for v in os.environ.values() if 'MARKER' in v])",
    "its own environment by /proc": "leak(b'MARKER' in opened('/proc/self/environ', 'rb').read())",
    "every environment": (
        "for pid in os.listdir('/proc'):\n    try:\n        leak(b'MARKER' in opened(f'/proc/{pid}/environ', 'rb').read())\n"
        "    except OSError:\n        pass"
    ),
    "the grader's command line": "leak(opened('/proc/GRADER/cmdline').read())",
    "the grader's memory": "leak(opened('/proc/GRADER/maps').read())",
    "the grader's files": "leak(os.listdir('/proc/GRADER/fd'))",
    "its own open files": (
        "leak([n for n in range(3, 64) if n not in PIPES and os.path.exists(f'/proc/self/fd/{n}') "
        "and 'pipe:' not in os.readlink(f'/proc/self/fd/{n}') and 'null' not in os.readlink(f'/proc/self/fd/{n}')])"
    ),
    "another root": "leak(os.listdir('/proc/1/root/home') or os.listdir('/proc/1/root/tmp'))",
    "the grader's memory by a system call": (
        CTYPES
        + "buffer = load('ctypes').create_string_buffer(8)\nleak(c.process_vm_readv(GRADER, buffer, 1, buffer, 1, 0) >= 0 or "
        "c.ptrace(16, GRADER, 0, 0) == 0)"
    ),
    "a file through NumPy": "leak(operator.attrgetter('fromfile')(np)('SECRET/policy.toml', 'u1').tobytes())",
    "a file through a hard link": "os.link('SECRET/policy.toml', '/tmp/link')\nleak(opened('/tmp/link').read())",
    "the disk itself": (
        "for name in ('/dev/mem', '/dev/vda', '/dev/sda', '/dev/nvme0n1', '/dev/kmsg'):\n    try:\n"
        "        leak(os.open(name, os.O_RDONLY | os.O_NONBLOCK) and name)\n    except OSError:\n        pass"
    ),
    "a device of its own": "os.mknod('/tmp/disk', 0o60666, os.makedev(254, 0))\nleak(opened('/tmp/disk', 'rb').read(10))",
    "the folders above a new root": (
        "os.mkdir('/tmp/x')\nos.chroot('/tmp/x')\nfor _ in range(20):\n    os.chdir('..')\nos.chroot('.')\nleak(os.listdir('home'))"
    ),
    "the caller's frames": (
        "frame, seen = operator.attrgetter('_getframe')(sys)(), []\nwhile frame:\n"
        "    seen += [n for n, v in operator.attrgetter('f_locals')(frame).items() if repr(type(v)).split('.')[-1][:-2] in ('Trial', 'Live', 'Policy')]\n"
        "    frame = operator.attrgetter('f_back')(frame)\nleak(seen)"
    ),
    "all objects": "leak([o for o in load('gc').get_objects() if repr(type(o))[-8:-2] in ('.Trial', '.Live', 'Policy')])",
    "the message of the next property": "leak(os.read(3, 100) and 0)\nreturn 1",
}
ENDING = {
    "kills the grader": "os.kill(GRADER, 9)\nos.kill(os.getppid() or GRADER, 9)",
    "kills everything": "os.kill(-1, 9)",
    "stops the grader": "os.kill(GRADER, 19)",
    "interrupts the grader's group": "os.killpg(os.getpgid(0), 2)\nos.kill(GRADER, 2)",
    "signals through a descriptor": (
        CTYPES + "fd = c.syscall(434, GRADER, 0)\nleak(fd >= 0 and c.syscall(424, fd, 9, None, 0) == 0)"
    ),
    "limits the grader": "load('resource').prlimit(GRADER, 0, (1, 1))\nleak('limited')",
    "slows the grader down": "os.setpriority(os.PRIO_PROCESS, GRADER, 19)\nleak('slow')",
    "puts the grader on one processor": "os.sched_setaffinity(GRADER, {0})\nleak('moved')",
    "a fork bomb": "while True:\n    os.fork()",
    "a thread bomb": "t = load('threading')\nwhile True:\n    t.Thread(target=load('time').sleep, args=(100,)).start()",
    "leaves a process behind": (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        load('time').sleep(2)\n"
        "        opened('HARM', 'w').write('x')\n    os._exit(0)"
    ),
    "runs a program": "load('subprocess').run(['/bin/sh', '-c', 'touch HARM'])",
    "becomes a program": "os.execv(sys.executable, [sys.executable, '-c', 'open(\"HARM\", \"w\")'])",
    "ignores signals and does not end": (
        "s = load('signal')\nfor n in range(1, 32):\n    try:\n        s.signal(n, s.SIG_IGN)\n    except (OSError, ValueError):\n        pass\n"
        "while True:\n    pass"
    ),
    "fills the memory": "m = load('mmap')\nkeep = []\nwhile True:\n    keep.append(m.mmap(-1, 1 << 26))\n    keep[-1][:] = bytes(1 << 26)",
    "fills shared memory": CTYPES + "leak(c.shmget(0, 1 << 30, 0o1666) >= 0)",
    "fills a file in memory": "fd = os.memfd_create('x')\nwhile True:\n    leak(os.write(fd, bytes(1 << 20)))",
    "fills the disk": (
        "for folder in ('/tmp', '.', '/dev/shm', '/var/tmp', '/grader/package', 'PACKAGE', 'SECRET/out'):\n    try:\n"
        "        leak(os.write(os.open(folder + '/HARMLESS', os.O_WRONLY | os.O_CREAT), b'x' * 100))\n    except OSError:\n        pass"
    ),
    "fills the disk with names": (
        "for folder in ('/tmp', '.', '/dev/shm', '/var/tmp', '/grader/package', 'PACKAGE'):\n    try:\n"
        "        os.mkdir(folder + '/a')\n    except OSError:\n        continue\n    leak(folder)"
    ),
    "outlives the grader": CTYPES + "leak(c.prctl(1, 0, 0, 0, 0) == 0)",
    "hides the grader's end": "parent = os.getppid()\nos.getppid = lambda: parent\nwhile True:\n    pass",
    "ignores the limit of processor time": "s = load('signal')\ns.signal(s.SIGXCPU, s.SIG_IGN)\nwhile True:\n    pass",
    "raises its limits": (
        "r = load('resource')\nfor which in (r.RLIMIT_AS, r.RLIMIT_NPROC, r.RLIMIT_FSIZE, r.RLIMIT_CPU):\n    try:\n"
        "        r.setrlimit(which, (r.RLIM_INFINITY, r.RLIM_INFINITY))\n    except (OSError, ValueError):\n        continue\n    leak(which)"
    ),
    "becomes root": "for f in (os.setuid, os.setgid, os.seteuid):\n    try:\n        f(0)\n    except OSError:\n        continue\n    leak('root')",
    "a name space of its own": CTYPES + "leak(c.unshare(0x10000000) == 0 or c.unshare(0x40000000) == 0)",
    "mounts": CTYPES
    + "leak(c.mount(b'none', b'/tmp', b'tmpfs', 0, b'') == 0 or c.mount(b'/', b'/tmp', b'', 4096, b'') == 0)",
}
CHANGING = {
    "writes results": "opened('SECRET/out/ada.json', 'w').write('{}')\nleak('written')",
    "empties results": "os.close(os.open('SECRET/out/bob.json', os.O_WRONLY | os.O_TRUNC))\nleak('emptied')",
    "removes results": "os.remove('SECRET/out/bob.json')\nleak('removed')",
    "hides results": "os.chmod('SECRET/out/bob.json', 0)\nos.utime('SECRET/out/bob.json', (0, 0))\nleak('hidden')",
    "the package of the next student": (
        "for folder in (PACKAGED, os.path.dirname(os.path.abspath(operator.attrgetter('__file__')(operator.attrgetter('modules')(sys)['minimobilebert'])))):\n"
        "    for name in ('course/sandbox/worker.py', 'course/sandbox/wire.py', 'ops/nonorm.py'):\n        try:\n"
        "            os.close(os.open(folder + '/' + name, os.O_WRONLY | os.O_TRUNC))\n        except OSError:\n            continue\n        leak(name)"
    ),
    "moves the package of the next student": (
        "folder = os.path.dirname(os.path.abspath(operator.attrgetter('__file__')(operator.attrgetter('modules')(sys)['minimobilebert'])))\n"
        "os.rename(folder + '/ops/nonorm.py', folder + '/ops/old.py')\nleak('moved')"
    ),
    "Python's own modules": (
        "path = operator.attrgetter('__file__')(os)\nos.close(os.open(path, os.O_WRONLY | os.O_APPEND))\nleak(path)"
    ),
    "NumPy": "path = operator.attrgetter('__file__')(np)\nos.close(os.open(path, os.O_WRONLY | os.O_APPEND))\nleak(path)",
    "the project": "os.close(os.open(REFERENCE, os.O_WRONLY | os.O_APPEND))\nleak('opened')",
}
SENDING = {
    "a connection": "s = load('socket')\nleak(s.create_connection(('127.0.0.1', PORT), 1).send(b'x'))",
    "a datagram": "s = load('socket')\nleak(s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT)))",
    "a local socket": "s = load('socket')\nt = s.socket(s.AF_UNIX)\nt.connect('SECRET/socket')\nleak(t.send(b'x'))",
    "an abstract socket": "s = load('socket')\nt = s.socket(s.AF_UNIX)\nt.connect('\\0minimobilebert-test-GRADER')\nleak(t.send(b'x'))",
    "a server of its own": "s = load('socket')\nt = s.socket()\nt.bind(('127.0.0.1', 0))\nt.listen()\nleak(t.getsockname())",
    "a name server": "leak(load('socket').getaddrinfo('localhost', 80) and load('socket').socket())",
}
ANSWERING = {
    "an answer of its own": "send(os, *[message(load, {'result': [True, None]})] * 3)\nreturn 1",
    "an endless message": "send(os, load('struct').pack('<QQ', 100, (1 << 26) - 100))\nwhile True:\n    send(os, bytes(1 << 16))",
    "a message of 2**64 bytes": "send(os, b'\\xff' * 16 + bytes(100))\nreturn 1",
    "JSON nested a million times": "send(os, message(load, b'[' * 1000000))\nreturn 1",
    "dictionaries nested deeply": "send(os, message(load, b'[' + b'{\"list\":[' * 30000 + b']}' * 30000 + b',[]]'))\nreturn 1",
    "a number with a million digits": "send(os, message(load, b'[{\"result\":' + b'9' * 1000000 + b'},[]]'))\nreturn 1",
    "an object to unpickle": "send(os, message(load, {'result': {'tuple': [{'array': 0}, None]}}, [['|O', [1], None]], b'x' * 8))\nreturn 1",
    "a structured type": (
        "send(os, message(load, {'result': {'tuple': [{'array': 0}, None]}}, [[[['f', '<f8'], ['g', '|O']], [1], None]], b'x' * 16))\nreturn 1"
    ),
    "an array of 2**60 numbers": "send(os, message(load, {'result': {'list': [{'array': 0}, None]}}, [['<f8', [1 << 60], None]], b'x' * 8))\nreturn 1",
    "an array of no rows and 2**62 columns": (
        "send(os, message(load, {'result': {'list': [{'array': 0}, None]}}, [['<f8', [0, 1 << 62, 1 << 62], None]]))\nreturn 1"
    ),
    "an array with a negative size": "send(os, message(load, {'result': {'list': [{'array': 0}, None]}}, [['<f8', [-1, -1], None]], b'x' * 8))\nreturn 1",
    "a layout that does not exist": (
        "send(os, message(load, {'result': {'list': [{'array': 0}, None]}}, [['<f8', [1], [[7], [9], True]]], b'x' * 8))\nreturn 1"
    ),
    "a class": "send(os, message(load, {'result': {'record': 'os:system', 'fields': [['__class__', 'x']]}}))\nreturn 1",
    "a record with methods": (
        "send(os, message(load, {'result': {'list': [{'record': 'a:b', 'fields': [['shape', 'x'], ['items', 1], ['dtype', 2]]}, None]}}))\nreturn 1"
    ),
    "calls of the grader's functions": "send(os, *[message(load, {'ask': n, 'args': {'list': []}}) for n in (0, -1, 10 ** 30, 'x', [])])\nreturn 1",
    "endless calls of the grader's functions": "while True:\n    send(os, message(load, {'ask': 0, 'args': {'list': []}}))",
    "an error of four megabytes": "send(os, message(load, {'error': ['E' * 1000000, 'LONG' * 700000, 'W' * 100000]}))\nreturn 1",
    "an error that draws on the terminal": "raise ValueError('\\x1b[2J\\x1b]0;title\\x07 \\u202e')",
    "an error without an end": "send(os, message(load, {'error': 3}), message(load, {'error': [1, 2]}), message(load, {'error': [[], {}, None]}))\nreturn 1",
    "not a number": "return (args[0] * np.nan, None) if len(args) == 3 else tuple(a * np.nan for a in (args[0], args[0], args[0]))",
    "not a number, of a wider type": "return np.full(args[0].shape, np.nan, np.longdouble), np.full(3, np.inf, np.complex128), np.nan",
    "a subclass that is equal to everything": (
        "class Equal(np.ndarray):\n    def __eq__(self, other): return np.True_\n    def __ne__(self, other): return np.False_\n"
        "    def __sub__(self, other): return 0 * np.asarray(self)\nreturn args[0].view(Equal), args[0].view(Equal), args[0].view(Equal)"
    ),
    "a patched wire": (
        "main = operator.attrgetter('modules')(sys)['__main__']\nwire = operator.attrgetter('modules')(sys)['minimobilebert.course.sandbox.wire']\n"
        "wire.flatten = lambda *a, **k: (True, [])\nmain.Server.answer = lambda *a: (True, None)\nreturn 1"
    ),
    "a patched comparison": (
        "for name in ('abs', 'isfinite', 'array_equal', 'allclose', 'where', 'any', 'all'):\n    builtins['setattr'](np, name, lambda *a, **k: True)\nreturn 1, 2, 3"
    ),
    "a process that sleeps": "load('time').sleep(1000)",
    "a process that is gone": "os._exit(0)",
    "a process that stops itself": CTYPES + "c.abort()",
    "a crash": "load('ctypes').string_at(1)",
    "a message that takes hours": (
        "send(os, load('struct').pack('<QQ', 1000, 0))\nwhile True:\n    send(os, b' ')\n    load('time').sleep(0.2)"
    ),
    "numbers that are none": "send(os, message(load, b'[{\"result\":{\"list\":[NaN,Infinity]}},[]]'))\nreturn 1",
    "a dictionary of a hundred thousand": (
        "send(os, message(load, {'result': {'list': [{'dict': [[str(i), i] for i in range(100000)]}, None]}}))\nreturn 1"
    ),
    "half a character": "raise ValueError('\\ud800' + MARKED)".replace("MARKED", "'\\udfff'"),
    "a record with a name for the terminal": (
        "send(os, message(load, {'result': {'list': [{'record': 'a:\\x1b[2J', 'fields': [['\\x1b[2J\\u202e', 1]]}, None]}}))\nreturn 1"
    ),
    "no stack": "operator.attrgetter('setrecursionlimit')(sys)(10 ** 9)\ndef f(n):\n    return f(n + 1)\nf(0)",
    "closed pipes": "for n in range(64):\n    try:\n        os.close(n)\n    except OSError:\n        pass",
}  # fmt: skip
ATTACKS = {
    f"{kind}: {name}": body
    for kind, table in (("reads", READING), ("ends", ENDING), ("changes", CHANGING), ("sends", SENDING), ("answers", ANSWERING))
    for name, body in table.items()
}  # fmt: skip
# These work without isolation, so each of them would be seen.
WORK_WITHOUT = ["reads: the reference by its path", "reads: another submission", "reads: the policy with the hidden seeds",
                "reads: a list of the submissions", "reads: the solutions", "reads: the grader's command line"]  # fmt: skip
ISOLATIONS = [name for name in isolation.NAMES if name != "none"]
BEST = isolation.choose()
# What the grader makes of an answer does not depend on the isolation.
CASES = [(isolation, name) for isolation in ISOLATIONS for name in ATTACKS
         if isolation == BEST or not name.startswith("answers")]  # fmt: skip


def submission_of(body):
    """The file of an attack: both functions call attack()"""
    text = "\n".join("    " + line for line in body.split("\n"))
    whole = nonorm_file("\ndef nonorm_forward(x, weight, bias):\n    return attack(*escape(), (x, weight, bias))\n",
                        "\ndef nonorm_backward(dy, cache):\n    return attack(*escape(), (dy, cache))\n")  # fmt: skip
    return whole.replace("\ndef nonorm_forward", ESCAPE + text + "\n\n\ndef nonorm_forward", 1)


def unchanged(*folders):
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            status = path.lstat()
            digest.update(f"{path} {status.st_mode} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()


@pytest.fixture(scope="module", params=ISOLATIONS)
def grader(request):
    if reason := isolation.missing(request.param):
        pytest.skip(f"no {request.param}: {reason}")
    tasks = TASKS if request.param == BEST else TASKS[:1]  # the others: the same with one function, in half the time
    patience, host.PATIENCE = host.PATIENCE, 4.0  # for what sleeps
    with Grader(load(), Policy(**{**vars(POLICY), "isolation": request.param})) as grader:
        grader.tasks = [task for task in grader.tasks if task.id in tasks]
        yield grader
    host.PATIENCE = patience


@pytest.fixture(scope="module")
def surroundings():
    """Folders, sockets and an environment with something to find -> the words to replace in an attack"""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="minimobilebert-secret-"))
    folder.chmod(0o755)  # a careless teacher's: everybody on this machine may read it
    for path, text in (("policy.toml", f"seeds = [41]  # {MARKER}\n"), (f"in/bob/{FILE}", f"# {MARKER}\n" + nonorm_file()),
                       ("out/bob.json", json.dumps({"output": MARKER}))):  # fmt: skip
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket(socket.AF_UNIX) as local, \
            socket.socket(socket.AF_UNIX) as abstract:  # fmt: skip
        tcp.bind(("127.0.0.1", 0))
        udp.bind(tcp.getsockname())
        local.bind(str(folder / "socket"))
        abstract.bind(f"\0minimobilebert-test-{os.getpid()}")
        for server in (tcp, local, abstract):
            server.listen()
        for server in (tcp, udp, local, abstract):
            server.settimeout(0.0)
        os.environ["MINIMOBILEBERT_SECRET"] = MARKER
        yield {
            "folder": folder, "servers": (tcp, udp, local, abstract),
            "words": {
                "SECRET": str(folder), "MARKER": MARKER, "HARMLESS": "harmless", "HARM": str(folder / "harm"),
                "GRADER": str(os.getpid()), "REFERENCE": repr(str(ROOT / FILE)), "PROJECT": repr(str(ROOT)),
                "INSTALLED": repr([str(ROOT), *(path for path in sys.path if "site-packages" in path)]),
                "HOMES": repr([str(ROOT), os.path.expanduser("~"), "/tmp", os.environ.get("NUMBA_CACHE_DIR", "/var/cache")]),
                "PORT": str(tcp.getsockname()[1]), "PIPES": "()",
            },
        }  # fmt: skip
        del os.environ["MINIMOBILEBERT_SECRET"]
        shutil.rmtree(folder)


def ready(name, surroundings, package):
    body = ATTACKS[name]
    for word, text in {**surroundings["words"], "PACKAGED": repr(str(package / "minimobilebert")), "PACKAGE": str(package)}.items():  # fmt: skip
        body = body.replace(word, text)
    return submission_of(body)


def reasons(graded):
    return " ".join(f"{o.headline} {o.looks_like} {o.lines}" for result in graded.results for o in result.outcomes)


def grade(grader, path):
    return grader.grade(read_submission(path, grader.files))


def states():
    """{number of a process: (its parent, its state, when it started)}"""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            found[int(folder.name)] = (int(fields[1]), fields[0].decode(), int(fields[19]))
        except OSError:
            pass
    return found


def runs_other_tests(number):
    """Whether a process is the second half of this test run (workers.py), whose tests start processes of their own"""
    try:
        return b"--worker-of=" in pathlib.Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False


def started_by(pid):
    """The processes that a process has started, and those that these have started: {(number, when it started)}"""
    processes, found = states(), {pid}
    processes = {number: state for number, state in processes.items() if not runs_other_tests(number)}
    while more := {number for number, (parent, *_) in processes.items() if parent in found} - found:
        found |= more
    return {(number, processes[number][2]) for number in found - {pid}}


def running(some):
    """Those of `some` processes that still run"""
    processes = states()
    return {(n, start) for n, start in some if n in processes and processes[n][2] == start and processes[n][1] != "Z"}


@pytest.mark.parametrize(("grader", "name"), CASES, indirect=["grader"], scope="module")
def test_an_attack_gets_nothing_and_the_next_student_everything(grader, surroundings, tmp_path, name):
    package, folder = grader.root, surroundings["folder"]
    before, priority = unchanged(package, folder), (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0))
    text = ready(name, surroundings, package)
    graded = grade(grader, hand_in(tmp_path / "ada", text))
    found = reasons(graded)
    assert "which no task has a use for" not in found, "the static rules stopped it: it proves nothing"
    assert graded.score == 0, found
    assert "LEAK" not in found and "not allowed in grading" not in found, found
    assert unchanged(package, folder) == before and not (folder / "harm").exists()
    assert (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0)) == priority
    for server in surroundings["servers"]:
        with pytest.raises(BlockingIOError):
            server.recv(1) if server.type == socket.SOCK_DGRAM else server.accept()
    shown = json.dumps(gradescope(graded, POLICY), ensure_ascii=False)
    assert len(shown) < 100_000 and "\x1b" not in shown and "\u202e" not in shown
    honest = grade(grader, hand_in(tmp_path / "eve", nonorm_file()))
    assert honest.score == honest.points, reasons(honest)


def test_the_escape_works_and_no_attack_fails_for_another_reason(grader, tmp_path):
    """An honest solution behind the same first step: it has the module os, and the audit hook is silent."""
    body = (
        "assert os.getpid() and load('socket').AF_INET and load('ctypes').CDLL and os.path.exists('.') is not None\n"
        "if len(args) == 3:\n    x, weight, bias = args\n    return weight * x + bias, NoNormCache(x, weight)\n"
        "dy, cache = args\ntokens = tuple(range(dy.ndim - 1))\n"
        "return dy * cache.weight, (dy * cache.x).sum(axis=tokens), dy.sum(axis=tokens)"
    )
    if grader.isolation != "bubblewrap":  # Python's own files cannot be read any more
        body = body.replace("load('socket').AF_INET and load('ctypes').CDLL and ", "")
    graded = grade(grader, hand_in(tmp_path, submission_of(body)))
    assert graded.score == graded.points, reasons(graded)


@pytest.mark.parametrize("name", WORK_WITHOUT)
def test_without_isolation_they_work(surroundings, tmp_path, name):
    """So these tests can fail."""
    with Grader(load(), Policy(**{**vars(POLICY), "isolation": "none"})) as grader:
        grader.tasks = [task for task in grader.tasks if task.id in TASKS]
        graded = grade(grader, hand_in(tmp_path, ready(name, surroundings, grader.root)))
    assert graded.score > 0 or "LEAK" in reasons(graded), reasons(graded)


@pytest.mark.parametrize(
    "body", ["while True:\n    pass", ATTACKS["ends: hides the grader's end"], "load('time').sleep(1000)"]
)
def test_nothing_runs_after_a_grader_that_was_killed(grader, surroundings, tmp_path, body):
    folder = hand_in(tmp_path / "ada", submission_of(body))
    code = (
        "import sys\nfrom minimobilebert.course.teacher.grading import run\nfrom minimobilebert.course.shared.manifest import load\n"
        "from minimobilebert.course.teacher.policy import Policy\n"
        f"run(load(), [{str(folder)!r}], {str(tmp_path / 'out')!r}, Policy(lessons='3', seconds_per_call=60.0, isolation={grader.isolation!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline, count = time.monotonic() + 90, 3 if grader.isolation == "bubblewrap" else 1
    while len(started_by(process.pid)) < count and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(4.0)  # the function is called by now
    started = started_by(process.pid)
    assert len(running(started)) == count
    process.kill()
    process.wait()
    while running(started) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running(started)


def test_nothing_runs_afterwards(grader, surroundings, tmp_path):
    before = started_by(os.getpid())
    grade(grader, hand_in(tmp_path, ready("ends: ignores signals and does not end", surroundings, grader.root)))
    deadline = time.monotonic() + 10
    while running(started_by(os.getpid()) - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running(started_by(os.getpid()) - before)
