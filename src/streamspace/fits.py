"""Whether a model fits into this machine's memory, said before its weights are fetched.

It counts the weights and the least that an engine takes beside them, so it refuses only what cannot work: how much more
is needed is known later. `machine` is for the engine's thread, because it asks `nvidia-smi` for the memory of GPUs.
"""

import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from streamspace.config import Config
from streamspace.errors import TooBig
from streamspace.hardware import all_ram_bytes, free_ram_bytes, has_gpu
from streamspace.types import size

# The least for a KV cache and the work, beside the weights: on a GPU, CUDA alone takes some hundred MB.
LEAST_RAM_BYTES, LEAST_GPU_BYTES = 64 << 20, 512 << 20
SMI = ("nvidia-smi", "--format=csv,noheader,nounits")
# The hub's names of data types, and safetensors' own → bytes of a value; a type that is not here counts as one byte.
BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "BF16": 2, "F16": 2, "I16": 2, "U16": 2}
FLOATS = ("F64", "F32", "BF16", "F16")
SHRUNK = {"fp8": 1.0, "bitsandbytes": 0.5}  # --quantization that is done while loading → bytes of a value
# The GPUs of a Space: GB of all together, their number, the name.
SPACES = (
    (16, 1, "Nvidia T4"),
    (24, 1, "Nvidia L4"),
    (48, 1, "Nvidia L40S"),
    (80, 1, "Nvidia A100"),
    (192, 4, "4x Nvidia L40S"),
    (384, 8, "8x Nvidia L40S"),
)


@dataclass(frozen=True)
class Weights:
    """The weights of a model as they are stored: the number of values by data type, or else the bytes of the files."""

    file_bytes: int
    values: Mapping[str, int]  # by the hub's name of the data type; empty if that is not known

    def bytes_as(self, dtype: str, quantization: str) -> int:
        """Their size in memory. vLLM's "auto" makes two bytes of each float of more."""
        float_bytes = SHRUNK.get(quantization, 4.0 if dtype in ("float32", "float") else 2.0)
        known = sum(num * (float_bytes if kind in FLOATS else BYTES.get(kind, 1)) for kind, num in self.values.items())
        # Without the types they may be of four bytes, of which two are left.
        return int(known if self.values else self.file_bytes * min(float_bytes / 4, 1))


@dataclass(frozen=True)
class Machine:
    """What there is for the weights."""

    num_gpus: int  # 0: they go to the RAM
    free_bytes: int  # of each GPU, or of the RAM


def machine(environ: Mapping[str, str], is_empty: bool = False) -> Machine | None:
    """The memory that is free now, or all of it as on an empty machine; None if it is not known."""
    if not has_gpu(environ):
        return Machine(0, all_ram_bytes() if is_empty else free_ram_bytes())
    chosen = environ.get("CUDA_VISIBLE_DEVICES", "")
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        query = f"--query-gpu=memory.{'total' if is_empty else 'free'}"
        command = [*SMI, query, *([f"--id={chosen}"] if chosen else [])]
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()
        if told:
            return Machine(len(told), min(map(int, told)) << 20)
    return None


def check(config: Config, weights: Weights, machine: Machine | None) -> None:
    """Raises TooBig if the weights cannot fit, unless the operator has it tried; the sentence says what would help."""
    flag = config.flag_value
    if machine is None or config.try_anyway or flag("--config"):  # a file of flags, which only vLLM reads
        return
    num_parts = int(flag("--tensor-parallel-size", "-tp") or 1) * int(flag("--pipeline-parallel-size", "-pp") or 1)
    offload_bytes = int(float(flag("--cpu-offload-gb") or 0) * (1 << 30))
    quantization = flag("--quantization", "-q")
    beside_bytes = (LEAST_GPU_BYTES if machine.num_gpus else LEAST_RAM_BYTES) - offload_bytes

    def needed(quantization: str, num_parts: int) -> int:
        weight_bytes = weights.bytes_as(flag("--dtype"), quantization)
        return weight_bytes // num_parts + beside_bytes

    if needed(quantization, num_parts) <= machine.free_bytes:
        return
    template = "The model {model} does not fit: it needs at least {needed} {where}, and {free} are free; {advice}."
    raise TooBig(
        template,
        model=config.model_name,
        needed=size(needed(quantization, num_parts), 0),
        where="of the RAM" if not machine.num_gpus else "of the GPU" if num_parts == 1 else "of each GPU",
        free=size(machine.free_bytes, 0),
        advice=_advice(config, machine, needed, quantization),
    )


def _advice(config: Config, machine: Machine, needed: Callable[[str, int], int], quantization: str) -> str:
    """What would make it fit here, as the end of a sentence."""
    ways = []
    for num_parts in (2, 4, 8):
        if num_parts <= machine.num_gpus and needed(quantization, num_parts) <= machine.free_bytes:
            ways.append(f"--tensor-parallel-size {num_parts}")
            break
    if machine.num_gpus and not quantization:
        ways += [f"--quantization {way}" for way in SHRUNK if needed(way, 1) <= machine.free_bytes][:1]
    if config.space_id:
        larger = (name for gb, parts, name in SPACES if needed(quantization, parts) <= gb / parts * 0.9e9)
        ways += [f"a larger hardware in the Space's settings ({name})" for name in larger][:1]
    ways.append("a smaller or quantized (AWQ, GPTQ) repository")
    return f"{' or '.join(ways)} would help, and --try-anyway (TRY_ANYWAY=1) has it tried all the same"
