"""Where the memory of this process is, for benchmarks/soak.py: in use or free but kept, and by whom."""

import ctypes
import os
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from streamspace.hardware import give_free_memory_back

ARENAS = re.compile(r"(\d+) arenas \* (\d+) bytes/arena")
IN_USE = re.compile(r"# bytes in allocated blocks\s+= +([\d,]+)")


class _Mallinfo(ctypes.Structure):
    """The struct mallinfo2 of glibc's <malloc.h>."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def memory() -> dict[str, float]:
    """What is resident, in MB, and how much of it glibc's malloc and Python's allocator have in use or keep."""
    status = dict(re.findall(r"(?m)^(\w+):\s+(\d+) kB", Path("/proc/self/status").read_text()))
    told = {name: int(status[key]) / 1024 for name, key in RESIDENT.items()}
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Mallinfo
    info = libc.mallinfo2()
    told |= {"malloc's, in use": info.uordblks / 2**20, "malloc's, free": info.fordblks / 2**20}
    told |= {"malloc's large blocks": info.hblkhd / 2**20}
    pools = _python_allocator()
    (number, size), used = ARENAS.findall(pools)[-1], IN_USE.findall(pools)[-1]
    of_python, in_use = int(number) * int(size) / 2**20, int(used.replace(",", "")) / 2**20
    told |= {"Python's, in use": in_use, "Python's, free": of_python - in_use}
    told |= {f"mapped: {name}": mb for name, mb in _mappings().most_common(6)}
    return {name: round(mb, 1) for name, mb in told.items()} | {"threads": len(os.listdir("/proc/self/task"))}


RESIDENT = {"RSS": "VmRSS", "anonymous": "RssAnon", "of files": "RssFile", "shared": "RssShmem"}


def give_back() -> float:
    """Give back what is free, as the app does; the seconds that it took."""
    began_s = time.perf_counter()
    give_free_memory_back()
    return time.perf_counter() - began_s


def _python_allocator() -> str:
    """What CPython prints about its allocator, which it writes to the file descriptor of stderr alone."""
    sys.stderr.flush()
    with tempfile.TemporaryFile("w+") as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            sys._debugmallocstats()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        return file.read()


def _mappings() -> Counter[str]:
    """Resident MB by what is mapped: arenas of malloc are told from other anonymous memory by where they begin."""
    sizes: Counter[str] = Counter()
    name = ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if head := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)", line):
            begin, end = int(head[1], 16), int(head[2], 16)
            name = head[4].rpartition("/")[2]
            if not head[4]:
                name = "an arena of malloc" if begin % (64 << 20) == 0 and end - begin < 64 << 20 else "anonymous"
        elif line.startswith("Rss:"):
            sizes[name] += int(line.split()[1]) / 1024  # type: ignore[assignment]
        elif line.startswith("AnonHugePages:"):
            sizes["in huge pages"] += int(line.split()[1]) / 1024  # type: ignore[assignment]
    return sizes
