"""What the machine offers, found without importing PyTorch, and what of it vLLM cannot use, in one sentence."""

import ctypes
from collections.abc import Mapping
from pathlib import Path

DEVICES = Path("/dev")


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
