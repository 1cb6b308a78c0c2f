"""What the machine offers, found without importing PyTorch: what vLLM cannot use, and what makes it faster."""

import ctypes
import ctypes.util
import math
import os
import platform
import re
import socket
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from streamspace.threads import VARY, counts_waiting

DEVICES = Path("/dev")
CGROUP = Path("/sys/fs/cgroup")
BINDING = ("KMP_AFFINITY", "GOMP_CPU_AFFINITY", "OMP_PLACES", "OMP_PROC_BIND")  # each lets the operator bind threads
MOST_CACHED = 1 << 17  # tokens of a KV cache on a CPU: for 128 requests, which vLLM runs at once, of 1,024 tokens each
SPARE = 1 << 12  # tokens besides: vLLM keeps one block of its cache back
CPU_LIST = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")  # such as 0-2,5
# On two CPUs: two threads take 0.75 times as long as one if they spin and each has a CPU, and 3 to 10 times as long if
# something else needs one (SmolLM2-135M, a virtual machine). More CPUs were not measured.
VARIED = {"OMP_NUM_THREADS": "2", "KMP_BLOCKTIME": "1", "KMP_AFFINITY": "none", VARY: "vary"}
SAY_VARIED = "computes with 2 threads, and with 1 while other work needs a CPU"
BF16_COPY = "streamspace_bfloat16_copy"  # in vLLM's additional_config
NATIVE_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # the last is ARM's
# Keys in config.json of models that run on a CPU only in the data type that they were made for, as far as is known.
ONLY_AS_IT_IS = {"quantization_config", "kv_lora_rank", "num_experts", "num_local_experts", "n_routed_experts"}
LEAST_KV_CACHE = 1 << 28  # bytes; where there is not even as much, vLLM says so
LARGE_BLOCK = 1 << 20  # bytes
M_MMAP_THRESHOLD = -3  # of <malloc.h>
CUDA_NOT_INITIALIZED = 3  # CUDA_ERROR_NOT_INITIALIZED of <cuda.h>


def has_gpu(environ: Mapping[str, str]) -> bool:
    """Whether there is an NVIDIA GPU; as for CUDA, an empty CUDA_VISIBLE_DEVICES hides it."""
    return environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1") and any(DEVICES.glob("nvidia[0-9]*"))


def uses_gpu(load: Callable[[str], Any] = ctypes.CDLL) -> bool:
    """Whether this process has begun to use an NVIDIA GPU: until cuInit the CUDA driver API refuses every other call.

    The open descriptors do not tell it: NVML, which vLLM asks about the GPU, opens those of CUDA, too.
    """
    with suppress(OSError, AttributeError):
        return bool(load("libcuda.so.1").cuDeviceGetCount(ctypes.byref(ctypes.c_int(0))) != CUDA_NOT_INITIALIZED)
    return False


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


def num_cpus(quota: Path = CGROUP / "cpu.max") -> int:
    """How many CPUs' time this process may use: those it may run on, or a container's share of them if that is less."""
    num = len(os.sched_getaffinity(0))
    try:
        limit, period = quota.read_text().split()
        return max(1, min(num, math.ceil(int(limit) / int(period))))
    except (OSError, ValueError):  # no such file, or "max": no limit
        return num


def free_ram_bytes(cgroup: Path = CGROUP) -> int:
    """The RAM that this process may still take, with that of files that the kernel would give up for it."""
    free_bytes = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError, AttributeError):  # no cgroup, or one without a limit ("max")
        most_bytes, used_bytes = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
        cached = re.search(r"^inactive_file (\d+)$", (cgroup / "memory.stat").read_text(), re.MULTILINE)
        free_bytes = min(free_bytes, most_bytes - used_bytes + int(cached[1] if cached else 0))
    return max(free_bytes, 0)


def all_ram_bytes(cgroup: Path = CGROUP) -> int:
    """The RAM of this machine, or of its container."""
    all_bytes = int(psutil.virtual_memory().total)
    with suppress(OSError, ValueError):  # no cgroup, or one without a limit ("max")
        return min(all_bytes, int((cgroup / "memory.max").read_text()))
    return all_bytes


def instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The kernel's names for what the processor can do, such as "avx2"."""
    found = re.search(r"^(?:flags|Features)\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def cpu_dtype(known: Collection[str], model: Mapping[str, Any], weights: int, free: int) -> tuple[str, str]:
    """vLLM's data type for a model on a CPU, and why; `known` are its instructions, sizes are in bytes.

    vLLM computes in what the weights have, mostly bfloat16. A CPU without instructions for that converts every number:
    reading 150 tokens took 2.8 times as long as in float32 with AVX-512, 4.7 times with AVX2. Writing takes as long in
    either for several requests at once. For a single one float32 took 1.3 times as long, with AVX2 1.7 times.
    """
    if native := sorted(NATIVE_BF16 & set(known)):
        return "auto", f"the CPU computes with bfloat16 itself ({native[0]})"
    text = model.get("text_config") or model
    if other := sorted(ONLY_AS_IT_IS & {*model, *text}):
        return "auto", f"the model has {other[0]}"
    if model.get("dtype", model.get("torch_dtype")) == "float32":
        return "auto", "the model's own is float32"
    if 2 * weights > free // 2:
        return "auto", f"in float32 its weights would take {2 * weights / 1e9:.1f} of {free / 1e9:.1f} GB that are free"
    return "float32", "the CPU has no instructions for bfloat16 and would convert every number"


def may_copy(known: Collection[str], model: Mapping[str, Any], weights: int, free: int) -> bool:
    """Whether weights in bfloat16 are kept, too, beside those in float32 that `cpu_dtype` has chosen.

    Reading a prompt is quicker in float32. A single request's next token is quicker in bfloat16: all weights are read
    for it, and these are half as many bytes. One layer took 0.4 to 0.5 times as long with AVX2, 0.7 to 0.9 times with
    AVX-512; ARM was not measured.
    """
    text = model.get("text_config") or model
    own = model.get("dtype", model.get("torch_dtype", text.get("dtype", text.get("torch_dtype"))))
    return "avx2" in known and own == "bfloat16" and 3 * weights <= free // 2


def int4_problem(known: Collection[str], model: Mapping[str, Any], machine: str = platform.machine()) -> str | None:
    """One sentence if the model's weights have 4 bits and vLLM's kernels for them are not in its build for AVX2.

    It does not advise 8 bits: the kernels for them need AVX-512 to be quick (125 to 160 ms a token without, not 27).
    """
    quantization = model.get("quantization_config") or {}
    groups = (quantization.get("config_groups") or {}).values()
    bits = [quantization.get(name) for name in ("bits", "w_bit")]
    bits += [(group.get("weights") or {}).get("num_bits") for group in groups]
    if machine != "x86_64" or "avx512f" in known or 4 not in bits:
        return None
    return (
        f"The model's weights have 4 bits ({quantization.get('quant_method')}), for which vLLM needs AVX-512 on a CPU, "
        "and this one has none: take a version of the model that is not quantised, or a smaller model; 8 bits (W8A8) "
        "are slow without AVX-512, too."
    )


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


def own_address() -> dict[str, str]:
    """The variables of the address that the engine's processes use, for which vLLM would ask the network.

    Where there is no IPv4, PyTorch has to be told, too: it would take 127.0.0.1.
    """
    with suppress(OSError), socket.create_server(("127.0.0.1", 0)):
        return {"VLLM_HOST_IP": "127.0.0.1"}
    return {"VLLM_HOST_IP": "::1", "GLOO_SOCKET_IFNAME": "lo"}


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


def give_large_blocks_back() -> None:
    """Have this process give memory back to the system as soon as a large block of it, as a picture or body, is freed.

    By itself, glibc puts blocks as large as those that were freed before, up to 32 MiB, among the small ones, each of
    which may hold what is below it: hundreds of megabytes, after 1,000 pictures or ten minutes of attackers. Another
    malloc is left as it is.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def give_free_memory_back() -> None:
    """Give what is free of this process's memory back to the system; blocks, and other threads that ask for memory.

    By itself, glibc gives back the end of an arena alone. A small block that lives, such as a word in a tokenizer's
    cache, keeps all that was below it. Another malloc is left as it is.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


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
    cpus: int | None = None,
    counts_waiting: Callable[[], bool] = counts_waiting,
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
    cpus, is_intels = cpus or num_cpus(), "libiomp" in preload
    may_vary = cpus == 2 and is_intels and not _chooses_threads(environ) and counts_waiting()
    threads, reason = (VARIED, SAY_VARIED) if may_vary else _openmp_threads(environ, cpus, is_intels)
    sentence = f"preloads {preload or 'nothing'}"
    if missing and "LD_PRELOAD" not in environ:
        sentence += f"; it runs without {' and without '.join(missing)}, which vLLM recommends"
    return wanted | threads, f"{sentence}; {reason}"


def _chooses_threads(environ: Mapping[str, str]) -> bool:
    """Whether the operator has set how many threads compute, or where."""
    listed = environ.get("VLLM_CPU_OMP_THREADS_BIND", "")
    is_number = environ.get("OMP_NUM_THREADS", "").isdigit()
    return is_number or CPU_LIST.fullmatch(listed) is not None or any(name in environ for name in BINDING)


def _openmp_threads(environ: Mapping[str, str], cpus: int, is_intels: bool) -> tuple[dict[str, str], str]:
    """The variables for the number of threads, their CPUs and how they wait; and a part of a sentence about it.

    vLLM 0.29.0 sets these only for the workers that it starts, but this engine works in its own process. Without a list
    of CPUs the threads are not bound: with a busy page on 2 CPUs that gave 1150 tokens/s against 910. In a forked
    process Intel's OpenMP would bind them by itself.
    """
    binds = any(name in environ for name in BINDING)
    listed = environ.get("VLLM_CPU_OMP_THREADS_BIND", "") if is_intels and not binds else ""
    num, reason = _num_threads(environ, listed, cpus)
    # A thread without work spins, and nobody else can have its CPU meanwhile: where other work needs that CPU, an
    # operation took 8 to 16 ms, against 0.5 to 0.9 ms of threads that sleep at once.
    is_tight = num >= cpus
    wanted = {} if binds else {"OMP_NUM_THREADS": str(num)}
    if is_intels:
        wanted["KMP_BLOCKTIME"] = "0" if is_tight else "1"  # ms of spinning
    elif is_tight:
        wanted["OMP_WAIT_POLICY"] = "passive"
    if is_intels and not binds:
        is_list = CPU_LIST.fullmatch(listed)
        wanted["KMP_AFFINITY"] = f"granularity=fine,explicit,proclist=[{listed}]" if is_list else "none"
    if num == 1:
        return wanted, f"computes with 1 thread ({reason})"
    waits = "do not spin" if is_tight else "spin shortly"
    return wanted, f"computes with {num} threads ({reason}), which {waits} while they wait"


def _num_threads(environ: Mapping[str, str], listed: str, cpus: int) -> tuple[int, str]:
    """How many threads compute, and the reason: the variable of the operator's, or what suits so many CPUs."""
    if (own := environ.get("OMP_NUM_THREADS", "")).isdigit():
        return int(own), "OMP_NUM_THREADS"
    if CPU_LIST.fullmatch(listed):
        ends = [[int(end) for end in part.split("-")] for part in listed.split(",")]  # "0-2,5": [[0, 2], [5]]
        return sum(end[-1] - end[0] + 1 for end in ends), "VLLM_CPU_OMP_THREADS_BIND"
    # With two CPUs, too: threads wait for each other hundreds of times a token, and one whose CPU others use keeps all
    # waiting.
    return (cpus - 1, "one CPU is left to the page") if cpus > 1 else (1, "as many as there are CPUs")
