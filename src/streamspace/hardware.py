"""What the machine offers, found without importing PyTorch: what vLLM cannot use, and what makes it faster."""

import ctypes
import ctypes.util
import os
import platform
import re
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

DEVICES = Path("/dev")
BINDING = ("KMP_AFFINITY", "GOMP_CPU_AFFINITY", "OMP_PLACES", "OMP_PROC_BIND")  # each lets the operator bind threads
MOST_CACHED = 1 << 18  # tokens of a KV cache on a CPU: for 128 requests, which vLLM runs at once, of 2,048 tokens each
SPARE = 1 << 12  # tokens besides: vLLM keeps one block of its cache back
LEAST_KV_CACHE = 1 << 28  # bytes; where there is not even as much, vLLM says so


def has_gpu(environ: Mapping[str, str]) -> bool:
    """Whether there is an NVIDIA GPU; as for CUDA, an empty CUDA_VISIBLE_DEVICES hides it."""
    return environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1") and any(DEVICES.glob("nvidia[0-9]*"))


def driver_cuda_version() -> tuple[int, int] | None:
    """The newest CUDA (major, minor) that the installed NVIDIA driver serves; None without a driver.

    cuDriverGetVersion of the CUDA driver API gives 1000 × major + 10 × minor.
    """
    version = ctypes.c_int(0)
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except OSError:
        return None
    return None if failed else (version.value // 1000, version.value % 1000 // 10)


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name from the kernel, and how many of its CPUs this process may use."""
    named = re.search(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE)
    num = num_cpus()
    return f"{named[1] if named else platform.machine()}, {num} CPU{'s' if num > 1 else ''}"


def num_cpus() -> int:
    """How many CPUs this process may run on."""
    return len(os.sched_getaffinity(0))


def kv_cache_bytes(free: int, weights: int, model: Mapping[str, Any], num_bytes: int) -> int:
    """How much memory an engine on a CPU gets for its KV cache, of the `free` bytes before `weights` are loaded.

    That is half of what the weights leave, for requests need memory too; but no more than for MOST_CACHED tokens, or
    for the whole context if it is longer. `model` is the model's config.json; a number has `num_bytes`.
    """
    room = max((free - weights) // 2, LEAST_KV_CACHE)
    text: Mapping[str, Any] = model.get("text_config") or model
    try:
        num_heads = text["num_attention_heads"]
        head_size = text.get("head_dim") or text["hidden_size"] // num_heads
        num_values = 2 * text["num_hidden_layers"] * (text.get("num_key_value_heads") or num_heads) * head_size
        num_tokens = max(MOST_CACHED, text["max_position_embeddings"]) + SPARE
        return int(min(room, num_tokens * num_values * num_bytes))
    except (KeyError, TypeError, ZeroDivisionError):  # another architecture
        return room


def problem(environ: Mapping[str, str], built_for: str | None, driver: tuple[int, int] | None) -> str | None:
    """One sentence on why vLLM cannot run here, or None.

    `built_for` is the CUDA version that PyTorch was built for ("13.0"), None for a CPU build; `driver` is the result of
    `driver_cuda_version`. A driver serves every CUDA of its own major version (minor version compatibility).
    """
    if environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "true"):
        return (
            "This Space runs on ZeroGPU, which lends a GPU for seconds at a time, and vLLM needs one that stays: "
            "choose another hardware in the Space's settings, for example Nvidia L4 (l4x1)."
        )
    if built_for is None or not has_gpu(environ):
        return None
    if driver is None:
        return "There is an NVIDIA GPU, but no driver that CUDA can load (libcuda.so.1): install the NVIDIA driver."
    if driver[0] < int(built_for.partition(".")[0]):
        return (
            f"The NVIDIA driver serves CUDA up to {driver[0]}.{driver[1]}, but PyTorch was built for CUDA {built_for}: "
            f"update the driver, or install a PyTorch that is built for CUDA {driver[0]}."
        )
    return None


def tcmalloc() -> str | None:
    """The dynamic linker's name for tcmalloc, a faster malloc; None if it is not installed."""
    return ctypes.util.find_library("tcmalloc_minimal") or ctypes.util.find_library("tcmalloc")


def intel_openmp(package: str = "intel-openmp") -> str | None:
    """The file of Intel's OpenMP, which vLLM's CPU build for x86 depends on; None if it is not installed."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        return None
    paths = [Path(str(file.locate())).resolve() for file in files if file.name == "libiomp5.so"]
    return next((str(path) for path in paths if path.is_file()), None)


def cpu_environment(
    environ: Mapping[str, str],
    machine: str = platform.machine(),
    tcmalloc: Callable[[], str | None] = tcmalloc,
    intel_openmp: Callable[[], str | None] = intel_openmp,
) -> tuple[dict[str, str], str]:
    """The variables to set for an engine on a CPU, and a sentence about them for the log.

    vLLM's CPU backend recommends tcmalloc, and on x86 Intel's OpenMP, in LD_PRELOAD, and runs without them too; an
    LD_PRELOAD of the operator stays as it is. Source: `CPUWorker.init_device` of vLLM 0.29.0.
    """
    libraries = {"tcmalloc (Debian's package libtcmalloc-minimal4)": tcmalloc()}
    if machine == "x86_64":
        libraries["Intel's OpenMP (the Python package intel-openmp)"] = intel_openmp()
    # LD_PRELOAD is split at colons and spaces, so it cannot name a library whose path has one.
    found = [library for library in libraries.values() if library and not set(library) & set(": ")]
    missing = [name for name, library in libraries.items() if library not in found]
    preload = environ.get("LD_PRELOAD", ":".join(found))
    wanted = {"LD_PRELOAD": preload} if preload else {}
    if "libiomp" in preload:
        wanted |= _openmp_environment(environ)
    sentence = f"preloads {preload or 'nothing'}"
    if missing and "LD_PRELOAD" not in environ:
        sentence += f"; it runs without {' and without '.join(missing)}, which vLLM recommends"
    return wanted, sentence


def _openmp_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of Intel's OpenMP, from VLLM_CPU_OMP_THREADS_BIND if that lists CPUs.

    vLLM 0.29.0 does so only for the workers that it starts, but this engine works in its own process. Without a list
    the threads are not bound: with a busy page on 2 cores that gave 1150 tokens/s against 910. In a forked process
    Intel's OpenMP would bind them by itself.
    """
    # An idle thread spins for so many ms, and the page cannot have its core meanwhile. With 64 streams and a busy page
    # on 2 cores, 1 gave 1150 tokens/s, vLLM's 5 gave 1010, and 0 gave 1390, but 81 instead of 130 to a single stream.
    wanted = {"KMP_BLOCKTIME": "1"}
    if any(name in environ for name in BINDING):
        return wanted
    cpus = environ.get("VLLM_CPU_OMP_THREADS_BIND", "")
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", cpus):
        return wanted | {"KMP_AFFINITY": "none"}
    ends = [[int(end) for end in part.split("-")] for part in cpus.split(",")]  # "0-2,5": [[0, 2], [5]]
    num_threads = sum(end[-1] - end[0] + 1 for end in ends)
    affinity = f"granularity=fine,explicit,proclist=[{cpus}]"
    return wanted | {"KMP_AFFINITY": affinity, "OMP_NUM_THREADS": str(num_threads)}
