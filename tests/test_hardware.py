"""What the machine offers, and the sentence when vLLM cannot use it."""

import platform
import re
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from streamspace.hardware import (
    BINDING,
    LEAST_KV_CACHE,
    MOST_CACHED,
    SPARE,
    VARIED,
    cpu_dtype,
    cpu_environment,
    cpu_name,
    has_gpu,
    instructions,
    int4_problem,
    intel_openmp,
    kv_cache_bytes,
    may_copy,
    num_cpus,
    own_address,
    problem,
    tcmalloc,
)
from streamspace.threads import VARY

DEVICES_WITH_GPU = ["nvidia0", "nvidiactl", "null"]


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in DEVICES_WITH_GPU:
        (tmp_path / name).touch()
    monkeypatch.setattr("streamspace.hardware.DEVICES", tmp_path)
    return tmp_path


def test_a_gpu_is_a_numbered_device_that_cuda_may_see(gpu: Path) -> None:
    assert has_gpu({})
    assert has_gpu({"CUDA_VISIBLE_DEVICES": "0,1"})
    assert not has_gpu({"CUDA_VISIBLE_DEVICES": ""})
    (gpu / "nvidia0").unlink()
    assert not has_gpu({})


def test_the_engines_own_address_is_of_the_network_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_address() == {"VLLM_HOST_IP": "127.0.0.1"}

    def no_ipv4(address: object) -> None:
        raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(socket, "create_server", no_ipv4)
    assert own_address() == {"VLLM_HOST_IP": "::1", "GLOO_SOCKET_IFNAME": "lo"}


def test_zerogpu_is_explained(gpu: Path) -> None:
    assert "ZeroGPU" in str(problem({"SPACES_ZERO_GPU": "true"}, "13.0", (13, 0)))


def test_a_driver_that_is_too_old_is_named_with_both_versions(gpu: Path) -> None:
    sentence = str(problem({}, "13.0", (12, 9)))
    assert "CUDA up to 12.9" in sentence and "built for CUDA 13.0" in sentence


@pytest.mark.parametrize("driver", [(13, 0), (13, 2), (14, 0)])
def test_a_driver_that_is_new_enough_is_no_problem(gpu: Path, driver: tuple[int, int]) -> None:
    assert problem({}, "13.0", driver) is None
    assert problem({}, "13.1", driver) is None  # minor version compatibility


def test_a_gpu_without_a_driver_is_a_problem_and_a_cpu_build_is_none(gpu: Path) -> None:
    assert "no driver" in str(problem({}, "13.0", None))
    assert problem({}, None, None) is None


GNU = {"OMP_NUM_THREADS": "1"}  # for two CPUs without Intel's OpenMP


def on_cpu(
    machine: str = "x86_64",
    tcmalloc: str | None = "libtcmalloc_minimal.so.4",
    openmp: str | None = "/env/lib/libiomp5.so",
    cpus: int = 2,
    counts: bool = False,
    **environ: str,
) -> tuple[dict[str, str], str]:
    return cpu_environment(environ, machine, lambda: tcmalloc, lambda: openmp, cpus, lambda: counts)


def test_what_vllm_asks_for_is_preloaded_and_said() -> None:
    wanted, sentence = on_cpu()
    assert wanted["LD_PRELOAD"] == "libtcmalloc_minimal.so.4:/env/lib/libiomp5.so"
    assert sentence == f"preloads {wanted['LD_PRELOAD']}; computes with 1 thread (one CPU is left to the page)"
    assert on_cpu(cpus=3)[1].endswith(
        "with 2 threads (one CPU is left to the page), which spin shortly while they wait"
    )


def test_a_library_that_is_absent_is_said_with_what_brings_it() -> None:
    wanted, sentence = on_cpu(tcmalloc=None)
    assert wanted["LD_PRELOAD"] == "/env/lib/libiomp5.so"
    assert "without tcmalloc (Debian's package libtcmalloc-minimal4)" in sentence and "Intel" not in sentence

    wanted, sentence = on_cpu(openmp=None)
    assert wanted == {"LD_PRELOAD": "libtcmalloc_minimal.so.4", **GNU}
    assert (
        "without Intel's OpenMP (the Python package intel-openmp)" in sentence and "tcmalloc-minimal4" not in sentence
    )


def test_where_nothing_is_found_nothing_is_set() -> None:
    wanted, sentence = on_cpu(tcmalloc=None, openmp=None)
    assert wanted == GNU and "tcmalloc" in sentence and "Intel's OpenMP" in sentence


def test_intels_openmp_is_for_x86_alone() -> None:
    wanted, sentence = on_cpu("aarch64")
    assert wanted == {"LD_PRELOAD": "libtcmalloc_minimal.so.4", **GNU} and "Intel" not in sentence


@pytest.mark.parametrize("folder", ["/my env", "/a:b"])
def test_a_folder_that_cannot_stand_in_ld_preload_is_left_out(folder: str) -> None:
    assert on_cpu(openmp=f"{folder}/libiomp5.so")[0] == {"LD_PRELOAD": "libtcmalloc_minimal.so.4", **GNU}


def test_what_the_operator_preloads_stays_and_nothing_is_added() -> None:
    wanted, sentence = on_cpu(LD_PRELOAD="libjemalloc.so.2")
    assert wanted == {"LD_PRELOAD": "libjemalloc.so.2", **GNU} and sentence.startswith(
        "preloads libjemalloc.so.2; comp"
    )
    assert on_cpu(tcmalloc=None, LD_PRELOAD="x.so")[1].startswith("preloads x.so; comp")
    wanted, sentence = on_cpu(LD_PRELOAD="")
    assert wanted == GNU and sentence.startswith("preloads nothing; comp")
    assert on_cpu(tcmalloc=None, LD_PRELOAD="/opt/libiomp5.so")[0]["KMP_AFFINITY"] == "none"


@pytest.mark.parametrize("bind", ["", "auto", "nobind", "0-3|4-7", "nonsense"])
def test_threads_are_not_bound_without_a_list_of_cpus(bind: str) -> None:
    wanted, _ = on_cpu(VLLM_CPU_OMP_THREADS_BIND=bind)
    assert wanted["KMP_AFFINITY"] == "none" and wanted["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(("bind", "num_threads"), [("0", "1"), ("0-1", "2"), ("0-2,5,8-9", "6")])
def test_vllms_list_of_cpus_binds_one_thread_to_each(bind: str, num_threads: str) -> None:
    wanted, _ = on_cpu(VLLM_CPU_OMP_THREADS_BIND=bind)
    assert wanted["KMP_AFFINITY"].endswith(f"explicit,proclist=[{bind}]")
    assert wanted["OMP_NUM_THREADS"] == num_threads


@pytest.mark.parametrize("name", ["KMP_AFFINITY", "GOMP_CPU_AFFINITY", "OMP_PLACES", "OMP_PROC_BIND"])
def test_threads_that_the_operator_binds_through_openmp_are_left_alone(name: str) -> None:
    bound: dict[str, Any] = {name: "x", "VLLM_CPU_OMP_THREADS_BIND": "0"}
    wanted, _ = on_cpu(**bound)
    assert not {"KMP_AFFINITY", "OMP_NUM_THREADS"} & set(wanted)


def test_intels_openmp_is_found_where_pip_put_it() -> None:
    """vLLM's CPU build for x86 depends on it; elsewhere it need not be there, and nothing may break."""
    installed = {distribution.metadata["Name"] for distribution in metadata.distributions()}
    assert ("intel-openmp" in installed) == ((found := intel_openmp()) is not None)
    assert found is None or Path(found).is_file()
    assert intel_openmp("no-such-package") is None


def test_the_dynamic_linker_knows_tcmalloc_by_the_name_that_is_given() -> None:
    if (found := tcmalloc()) is None:
        pytest.skip("tcmalloc is not installed")
    assert "libtcmalloc" in found  # what vLLM looks for in LD_PRELOAD
    program = [sys.executable, "-c", "print(open('/proc/self/maps').read())"]
    run = subprocess.run(program, env={"LD_PRELOAD": found}, capture_output=True, text=True, check=True)
    assert found in run.stdout and not run.stderr


def test_the_processor_is_called_as_the_kernel_does(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU 9000\nprocessor\t: 1\nmodel name\t: Some CPU 9000\n")
    assert re.fullmatch(r"Some CPU 9000, \d+ CPUs?", cpu_name(cpuinfo))
    cpuinfo.write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")  # as on ARM
    assert re.fullmatch(rf"{platform.machine()}, \d+ CPUs?", cpu_name(cpuinfo))


SHAPE = {
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 2048,
}
A_TOKEN = 2 * 4 * 2 * 64 * 2  # bytes: keys and values, layers, heads, size, two bytes each
GIB = 1 << 30


def test_a_small_model_gets_the_kv_cache_that_it_can_use() -> None:
    assert kv_cache_bytes(64 * GIB, GIB, SHAPE, 2) == (MOST_CACHED + SPARE) * A_TOKEN
    assert kv_cache_bytes(64 * GIB, GIB, {"text_config": SHAPE}, 4) == 2 * (MOST_CACHED + SPARE) * A_TOKEN
    longer = SHAPE | {"max_position_embeddings": 2 * MOST_CACHED}
    assert kv_cache_bytes(64 * GIB, GIB, longer, 2) == (2 * MOST_CACHED + SPARE) * A_TOKEN


def test_a_model_without_grouped_heads_is_counted_by_its_width() -> None:
    old = {"num_hidden_layers": 4, "num_attention_heads": 2, "hidden_size": 128, "max_position_embeddings": 2048}
    assert kv_cache_bytes(64 * GIB, GIB, old, 2) == (MOST_CACHED + SPARE) * A_TOKEN


@pytest.mark.parametrize("model", [SHAPE | {"num_hidden_layers": 400}, {"state_size": 16}, {}])
def test_a_large_or_unknown_model_gets_half_of_what_its_weights_leave(model: dict[str, object]) -> None:
    assert kv_cache_bytes(5 * GIB, GIB, model, 2) == 2 * GIB
    assert kv_cache_bytes(GIB, GIB, model, 2) == LEAST_KV_CACHE


@pytest.mark.parametrize(
    ("cpus", "num_threads", "blocktime"), [(1, "1", "0"), (2, "1", "1"), (3, "2", "1"), (64, "63", "1")]
)
def test_threads_leave_a_cpu_to_the_page_and_do_not_spin_where_none_is_left(
    cpus: int, num_threads: str, blocktime: str
) -> None:
    wanted, sentence = on_cpu(cpus=cpus)
    assert (wanted["OMP_NUM_THREADS"], wanted["KMP_BLOCKTIME"]) == (num_threads, blocktime)
    assert f"computes with {num_threads} thread" in sentence
    wanted, sentence = on_cpu(cpus=cpus, openmp=None)
    assert wanted.get("OMP_WAIT_POLICY") == ("passive" if blocktime == "0" else None)


def test_on_two_cpus_the_number_of_threads_varies() -> None:
    wanted, sentence = on_cpu(counts=True)
    assert wanted.items() >= VARIED.items()
    assert sentence.endswith("computes with 2 threads, and with 1 while other work needs a CPU")
    assert on_cpu(counts=True, VLLM_CPU_OMP_THREADS_BIND="auto") == (wanted, sentence)


@pytest.mark.parametrize("cpus", [1, 3, 4, 64])
def test_the_number_of_threads_varies_on_two_cpus_alone(cpus: int) -> None:
    assert on_cpu(cpus=cpus, counts=True) == on_cpu(cpus=cpus)


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "VLLM_CPU_OMP_THREADS_BIND", *BINDING])
def test_the_operators_threads_do_not_vary(name: str) -> None:
    chosen: dict[str, Any] = {name: "1"}
    assert on_cpu(counts=True, **chosen) == on_cpu(**chosen)
    assert VARY not in on_cpu(counts=True, **chosen)[0]


def test_gnus_threads_do_not_vary() -> None:
    assert on_cpu(openmp=None, counts=True) == on_cpu(openmp=None)


def test_the_operators_number_of_threads_is_told_and_decides_how_they_wait() -> None:
    wanted, sentence = on_cpu(cpus=4, OMP_NUM_THREADS="4")
    assert wanted["KMP_BLOCKTIME"] == "0" and "with 4 threads (OMP_NUM_THREADS), which do not spin" in sentence
    assert "(VLLM_CPU_OMP_THREADS_BIND)" in on_cpu(VLLM_CPU_OMP_THREADS_BIND="0")[1]


def test_a_containers_share_of_the_cpus_is_the_number_of_cpus(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    everything = num_cpus(quota)
    quota.write_text("max 100000\n")
    assert num_cpus(quota) == everything
    quota.write_text("50000 100000\n")
    assert num_cpus(quota) == 1


def test_the_processors_instructions_are_read_as_the_kernel_has_them(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512f\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert instructions(cpuinfo) == {"fpu", "avx2", "avx512f"}
    cpuinfo.write_text("Features\t: fp asimd bf16\n")
    assert instructions(cpuinfo) == {"fp", "asimd", "bf16"}
    cpuinfo.write_text("uarch\t: sifive\n")
    assert instructions(cpuinfo) == frozenset()


@pytest.mark.parametrize(
    ("known", "model", "weights", "dtype", "words"),
    [
        ("avx2", SHAPE, 1, "float32", "no instructions for bfloat16"),
        ("avx2 avx512f avx512_vnni", SHAPE, 1, "float32", "no instructions for bfloat16"),
        ("asimd", {"text_config": SHAPE}, 1, "float32", "no instructions for bfloat16"),
        ("avx512f avx512_bf16", SHAPE, 1, "auto", "computes with bfloat16 itself (avx512_bf16)"),
        ("avx512f amx_bf16 amx_tile", SHAPE, 1, "auto", "(amx_bf16)"),
        ("asimd bf16", SHAPE, 1, "auto", "(bf16)"),
        ("avx2", SHAPE | {"torch_dtype": "float32"}, 1, "auto", "own is float32"),
        ("avx2", SHAPE | {"quantization_config": {}}, 1, "auto", "has quantization_config"),
        ("avx2", {"text_config": SHAPE | {"num_experts": 8}}, 1, "auto", "has num_experts"),
        ("avx2", SHAPE, 5, "auto", "would take 10.7 of 17.2 GB"),
    ],
)
def test_the_data_type_is_chosen_by_the_processor_the_model_and_the_memory(
    known: str, model: dict[str, object], weights: int, dtype: str, words: str
) -> None:
    chosen, reason = cpu_dtype(known.split(), model, weights * GIB, 16 * GIB)
    assert chosen == dtype and words in reason


@pytest.mark.parametrize(
    ("known", "model", "weights", "may"),
    [
        ("avx2", {"dtype": "bfloat16"}, 2, True),
        ("avx2 avx512f", {"torch_dtype": "bfloat16"}, 2, True),
        ("avx2", {"text_config": {"dtype": "bfloat16"}}, 2, True),
        ("asimd", {"dtype": "bfloat16"}, 2, False),
        ("avx2", {"dtype": "float16"}, 2, False),
        ("avx2", {}, 2, False),
        ("avx2", {"dtype": "bfloat16"}, 3, False),
    ],
)
def test_a_copy_of_the_weights_is_kept_where_it_is_quicker_and_fits(
    known: str, model: dict[str, object], weights: int, may: bool
) -> None:
    assert may_copy(known.split(), model, weights * GIB, 16 * GIB) == may


@pytest.mark.parametrize(
    "quantization",
    [
        {"quant_method": "awq", "bits": 4},
        {"quant_method": "awq", "w_bit": 4},
        {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 4}}}},
    ],
)
def test_weights_of_four_bits_are_refused_where_vllm_has_no_kernel_for_them(quantization: dict[str, object]) -> None:
    model = SHAPE | {"quantization_config": quantization}
    sentence = str(int4_problem({"avx2"}, model, "x86_64"))
    assert str(quantization["quant_method"]) in sentence and "AVX-512" in sentence and "W8A8" in sentence
    assert "not quantised" in sentence and "(W8A8) are slow" in sentence
    assert int4_problem({"avx2", "avx512f"}, model, "x86_64") is None
    assert int4_problem({"asimd"}, model, "aarch64") is None


def test_other_weights_are_no_problem() -> None:
    eight = {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8}}}}
    for model in ({}, {"quantization_config": None}, {"quantization_config": eight}, SHAPE):
        assert int4_problem({"avx2"}, model, "x86_64") is None


# Each of the two programs below begins so.
LIBC = """
import ctypes, psutil, sys
from streamspace import hardware
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
"""
PICTURES = """
if sys.argv[1] == "give back":
    hardware.give_large_blocks_back()
libc.free(libc.malloc(30 << 20))  # from now on, glibc puts blocks up to this size among the small ones
before = psutil.Process().memory_info().rss
blocks = []
for _ in range(5):
    blocks.append(libc.malloc(20 << 20))
    libc.memset(blocks[-1], 1, 20 << 20)
    libc.malloc(100_000)
for block in blocks:
    libc.free(block)
print((psutil.Process().memory_info().rss - before) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
@pytest.mark.parametrize(("how", "least", "most"), [("give back", 0, 2), ("keep", 50, 200)])
def test_a_large_block_goes_back_to_the_system(how: str, least: int, most: int) -> None:
    told = subprocess.run(
        [sys.executable, "-c", LIBC + PICTURES, how], capture_output=True, text=True, check=True
    ).stdout
    assert least <= int(told) <= most


KEPT = """
hardware.give_large_blocks_back()
before = psutil.Process().memory_info().rss
blocks = []
for _ in range(1000):
    blocks.append(libc.malloc(100_000))
    libc.memset(blocks[-1], 1, 100_000)
    libc.malloc(2000)  # which lives on
for block in blocks:
    libc.free(block)
if sys.argv[1] == "give back":
    hardware.give_free_memory_back()
print((psutil.Process().memory_info().rss - before) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
@pytest.mark.parametrize(("how", "least", "most"), [("give back", 0, 15), ("keep", 80, 200)])
def test_what_is_free_between_blocks_that_live_goes_back_to_the_system(how: str, least: int, most: int) -> None:
    told = subprocess.run([sys.executable, "-c", LIBC + KEPT, how], capture_output=True, text=True, check=True).stdout
    assert least <= int(told) <= most
