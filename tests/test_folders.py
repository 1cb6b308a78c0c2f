"""Folders as people have them: each model runs, or one sentence says why not, after one attempt."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import load_file, save_file

from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.engine import Engine
from tests.support import final_status, run_application

pytestmark = pytest.mark.xdist_group("processes")

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9054208\n"
Change = Callable[[Path], object]


def config(**values: Any) -> Change:
    """Other values in config.json; None leaves one out."""

    def change(folder: Path) -> None:
        file = folder / "config.json"
        merged = json.loads(file.read_text()) | values
        file.write_text(json.dumps({name: value for name, value in merged.items() if value is not None}))

    return change


def file(name: str, content: str | bytes) -> Change:
    """Another content of a file."""
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def sharded(folder: Path) -> None:
    """The weights in two files that lie elsewhere and are linked, as in Hugging Face's cache."""
    weights, blobs = load_file(folder / WEIGHTS), folder.parent / "blobs"
    blobs.mkdir()
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    where = {name: names[number % 2] for number, name in enumerate(weights)}
    for shard in names:
        save_file({name: weights[name] for name in weights if where[name] == shard}, blobs / shard)
        (folder / shard).symlink_to(blobs / shard)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    (folder / WEIGHTS).unlink()


def without_a_shard(folder: Path) -> None:
    sharded(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def pickled(content: Any) -> Change:
    """A pickle instead of the weights."""

    def change(folder: Path) -> None:
        torch.save(content, folder / "pytorch_model.bin")
        (folder / WEIGHTS).unlink()

    return change


class Attack:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/tmp/streamspace-was-attacked",)


OTHERS = "its weights are not those that its config.json describes: "
BROKEN = "The file {} of 'a model 模型' is missing, broken or only a pointer of Git LFS: fetch it again."
REFUSED: dict[str, tuple[Change, str]] = {
    "a wider model": (config(hidden_size=256), OTHERS),
    "more layers": (config(num_hidden_layers=9), OTHERS),
    "a larger vocabulary": (config(vocab_size=6000), OTHERS),
    "more heads": (config(num_attention_heads=8), OTHERS),
    "another architecture": (config(architectures=["GPT2LMHeadModel"], model_type="gpt2"), OTHERS),
    "a pointer of Git LFS": (file(WEIGHTS, POINTER), BROKEN.format(WEIGHTS)),
    "an empty file": (file(WEIGHTS, b""), BROKEN.format(WEIGHTS)),
    "half a file": (lambda f: os.truncate(f / WEIGHTS, 500_000), BROKEN.format(WEIGHTS)),
    "half a configuration": (file("config.json", "{"), BROKEN.format("config.json")),
    "a list as configuration": (file("config.json", "[]"), BROKEN.format("config.json")),
    "a missing shard": (without_a_shard, BROKEN.format("model-00002-of-00002.safetensors")),
    "an unknown architecture": (config(model_type="foo", architectures=["FooForCausalLM"]), "`foo`"),
    "code of its own": (
        config(model_type="foo", architectures=["Foo"], auto_map={"AutoConfig": "foo.Foo"}),
        "--trust-remote-code",
    ),
    "a GGUF file alone": (lambda f: (f / WEIGHTS).rename(f / "model.gguf"), "say, its GGUF or adapter repository"),
    "no tokenizer": (
        lambda f: (f / "tokenizer.json").unlink(),
        "There is no tokenizer in 'a model 模型': take it from the original",
    ),
    "half a tokenizer": (file("tokenizer.json", '{"version":'), BROKEN.format("tokenizer.json")),
    "an unknown quantization": (config(quantization_config={"quant_method": "banana"}), "method: banana"),
    "a quantization of another vLLM": (
        config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
        "method: bitsandbytes",
    ),
    "a pickle that would run a program": (pickled({"a": Attack()}), "take a repository with safetensors."),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLED_MODEL, tmp_path / "a model 模型"))


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_run_is_told_in_one_sentence_after_one_attempt(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: Change, words: str
) -> None:
    change(folder)
    monkeypatch.chdir(folder.parent)
    engine = Engine(load_config(["--model", f"./{folder.name}"], {}))
    status = final_status(engine)
    assert status.stage == "failed" and words in status.detail, status.detail
    assert engine.num_restarts == 0
    assert "\n" not in status.detail and str(folder.parent) not in status.detail and status.detail.endswith(".")
    assert not Path("/tmp/streamspace-was-attacked").exists()


def test_a_pickle_of_weights_runs(folder: Path) -> None:
    pickled(load_file(folder / WEIGHTS))(folder)
    assert final_status(Engine(load_config(["--model", str(folder)], {}))).stage == "ready"


def test_linked_shards_run_beside_other_files_and_each_end_token_ends_an_answer(folder: Path) -> None:
    sharded(folder)
    for name in ("model.gguf", "pytorch_model.bin", "training_args.bin"):
        (folder / name).write_bytes(b"for another program")
    ids = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    dots = [number for token, number in ids.items() if "." in token]
    file("generation_config.json", json.dumps({"eos_token_id": [2, *dots]}))(folder)
    with run_application("--model", str(folder)) as app:
        asked = {"model": folder.name, "prompt": "Once upon a time", "max_tokens": 400, "temperature": 0}
        (choice,) = httpx.post(f"{app.url}/v1/completions", json=asked, timeout=60).json()["choices"]
    assert choice["finish_reason"] == "stop" and choice["text"] and "." not in choice["text"]
