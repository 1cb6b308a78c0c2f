"""What the machine offers, found without importing PyTorch: what vLLM cannot use and what makes it faster."""

import ctypes
import ctypes.util
import os
import platform
import re
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

DEVICES = Path("/dev")
BINDING = ("KMP_AFFINITY", "GOMP_CPU_AFFINITY", "OMP_PLACES", "OMP_PROC_BIND")  # by each, the operator binds threads


def has_gpu(environ: Mapping[str, str]) -> bool:
    """Whether an NVIDIA GPU can be seen; CUDA_VISIBLE_DEVICES set to nothing hides it, as CUDA has it."""
    return environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1") and any(DEVICES.glob("nvidia[0-9]*"))


def driver_cuda_version() -> tuple[int, int] | None:
    """The newest CUDA (major, minor) that the installed NVIDIA driver serves; None without a driver.

    Source: cuDriverGetVersion of the CUDA driver API, which gives 1000 × major + 10 × minor.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    version = ctypes.c_int(0)
    if driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    return version.value // 1000, version.value % 1000 // 10


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor as the kernel names it, and how many of its CPUs this process may use."""
    named = re.search(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE)
    num = num_cpus()
    return f"{named[1] if named else platform.machine()}, {num} CPU{'s' if num > 1 else ''}"


def num_cpus() -> int:
    """The CPUs that this process may run on."""
    return len(os.sched_getaffinity(0))


def problem(environ: Mapping[str, str], built_for: str | None, driver: tuple[int, int] | None) -> str | None:
    """One sentence on why vLLM cannot run here, or None.

    `built_for` is the CUDA version that PyTorch was built for ("13.0"), None for a CPU build; `driver` is what
    `driver_cuda_version` gives. A driver serves every CUDA of its own major version (minor version compatibility).
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
    """The name under which the dynamic linker knows tcmalloc, a faster malloc; None where it is not installed."""
    return ctypes.util.find_library("tcmalloc_minimal") or ctypes.util.find_library("tcmalloc")


def intel_openmp(package: str = "intel-openmp") -> str | None:
    """The file of Intel's OpenMP, which vLLM's CPU build for x86 brings along; None where it is not installed."""
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
    """What to set for an engine on a CPU, and a sentence on it for the log.

    vLLM's CPU backend asks for tcmalloc, and on x86 for Intel's OpenMP, in LD_PRELOAD, and runs without them; what the
    operator preloads stays as it is. Source: `CPUWorker.init_device` of vLLM 0.29.0.
    """
    libraries = {"tcmalloc (Debian's package libtcmalloc-minimal4)": tcmalloc()}
    if machine == "x86_64":
        libraries["Intel's OpenMP (the Python package intel-openmp)"] = intel_openmp()
    # LD_PRELOAD is split at colons and spaces: a library in such a folder cannot be named there.
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
    """The variables of Intel's OpenMP, which hold VLLM_CPU_OMP_THREADS_BIND too where it lists CPUs.

    vLLM 0.29.0 makes these of that variable only for workers that it starts, and this engine works in its own process.
    Without such a list the threads are not bound, which leaves more to a busy page on 2 cores (1150 tokens/s against
    910); in a forked process, Intel's OpenMP would bind them by itself.
    """
    # An idle thread spins that many ms, and keeps the page from its core meanwhile. With 64 streams and a busy page on
    # 2 cores, 1 gave 1150 tokens/s and vLLM's 5 gave 1010; 0 gave 1390, but only 81 instead of 130 to a single stream.
    wanted = {"KMP_BLOCKTIME": "1"}
    if not any(name in environ for name in BINDING):
        cpus = environ.get("VLLM_CPU_OMP_THREADS_BIND", "")
        if re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", cpus):
            wanted["KMP_AFFINITY"] = f"granularity=fine,explicit,proclist=[{cpus}]"
            wanted["OMP_NUM_THREADS"] = str(_count(cpus))
        else:
            wanted["KMP_AFFINITY"] = "none"
    return wanted


def _count(cpus: str) -> int:
    """How many CPUs a list like "0-2,5" has."""
    ends = [[int(end) for end in part.split("-")] for part in cpus.split(",")]
    return sum(end[-1] - end[0] + 1 for end in ends)
