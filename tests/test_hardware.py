"""What the machine offers, and the sentence when vLLM cannot use it."""

from pathlib import Path

import pytest

from streamspace.hardware import has_gpu, problem

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
