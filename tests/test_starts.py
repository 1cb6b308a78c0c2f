"""What is kept from one start for the next, and that it never stops one."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from streamspace import healing, starts
from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.engine import Engine
from streamspace.translation import say_in
from streamspace.types import Status
from tests.support import final_status


def test_a_space_with_storage_keeps_it_there_and_others_where_vllm_does(tmp_path: Path) -> None:
    space = {"SPACE_ID": "me/chat"}
    kept = starts.variables(space, tmp_path)
    assert kept == {starts.ROOT: f"{tmp_path}/streamspace/vllm", starts.PLAN: "1"}
    assert starts.variables(space, tmp_path / "none") == starts.variables({}, tmp_path) == {starts.PLAN: "1"}
    assert starts.folder(kept) == tmp_path / "streamspace" / "vllm"
    assert starts.folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/vllm")
    assert starts.folder({"HOME": "/ignored"}) == Path.home() / ".cache" / "vllm"


def test_where_vllm_cannot_keep_it_there_is_a_folder_for_one_start(tmp_path: Path) -> None:
    found = starts.variables({"XDG_CACHE_HOME": "/dev/null/nowhere"}, tmp_path)
    assert starts.folder(found).is_dir() and starts.folder(found).name.startswith(starts.PASSING)
    assert starts.variables({"XDG_CACHE_HOME": str(tmp_path / "new")}, tmp_path) == {starts.PLAN: "1"}
    assert starts.variables({starts.ROOT: "/dev/null/nowhere"}, tmp_path) == {starts.PLAN: "1"}, "as the operator wants"


def test_the_median_of_the_last_five_starts_is_told(tmp_path: Path) -> None:
    environ = {starts.ROOT: str(tmp_path / "new")}
    assert starts.usual_s(environ, "a") == 0
    for took_s in (900, 50, 60, 70, 80, 90):
        starts.remember(environ, "a", took_s)
    starts.remember(environ, "b", 7.4)
    assert (starts.usual_s(environ, "a"), starts.usual_s(environ, "b"), starts.usual_s(environ, "c")) == (70, 7, 0)
    for number in range(starts.MOST_KINDS):
        starts.remember(environ, f"kind {number}", 1)
    assert starts.usual_s(environ, "a") == 0, "the file stays small"
    assert [path.name for path in (tmp_path / "new").iterdir()] == [starts.TIMES]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a": "x"}', b'{"a": ["x"]}', b"\xff\xfe", b"null"])
def test_a_broken_or_foreign_file_of_times_says_nothing(tmp_path: Path, content: bytes) -> None:
    environ = {starts.ROOT: str(tmp_path)}
    (tmp_path / starts.TIMES).write_bytes(content)
    assert starts.usual_s(environ, "a") == 0
    starts.remember(environ, "a", 3)
    assert starts.usual_s(environ, "a") == 3


def test_times_that_cannot_be_written_are_not_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", Path("/dev/null/nowhere")):
        starts.remember({starts.ROOT: str(root)}, "a", 3)
        assert starts.usual_s({starts.ROOT: str(root)}, "a") == 0
        assert starts.is_kept({starts.ROOT: str(root)}), "which vLLM will stumble over"


def test_the_sentence_says_how_long_a_start_usually_takes() -> None:
    status = Status("loading", "Loading the weights", 2, 4, usual_s=74)
    assert status.sentence == "Loading the weights (step 3 of 4) … A start usually takes about 74 s."
    assert say_in("zh")(status.sentence).endswith("启动通常约需 74 秒。")
    assert "usually" not in Status("ready", "Ready", usual_s=74).sentence + Status("loading", "x").sentence


def test_files_are_read_ahead_only_if_they_have_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"12345")
    opened: list[str] = []
    real = Path.open

    def counted(path: Path, *arguments: Any, **options: Any) -> Any:
        opened.append(path.name)
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", counted)
    starts._read([tmp_path / "a", tmp_path / "b"], 9, threading.Event())
    assert opened == []
    starts._read([tmp_path / "a", tmp_path / "b"], 10, threading.Event())
    assert opened == ["a", "b"]
    starts.read_ahead([tmp_path / "none"], 10, threading.Event())  # vLLM says what is missing


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, roots: list[str | None]) -> Engine:
    """An engine that fails so at each start; `roots` gets where each start kept its files."""

    class Broken:
        def __init__(self, *arguments: object) -> None:
            roots.append(os.environ.get(starts.ROOT))
            raise error

    from streamspace import llm

    monkeypatch.setattr(llm, "VllmEngine", Broken)
    monkeypatch.setattr(healing, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("streamspace.forkserver.start", lambda: None)
    return Engine(load_config((), {"MODEL_ID": str(BUNDLED_MODEL)}))


def test_a_start_that_fails_is_tried_again_with_an_empty_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    roots: list[str | None] = []
    monkeypatch.setenv(starts.ROOT, str(tmp_path))
    (tmp_path / "torch_compile_cache").mkdir()
    final_status(failing(monkeypatch, RuntimeError("bad pickle"), roots), 60)
    assert len(roots) == healing.MOST_FAILURES
    first, second, *others = roots
    assert first == str(tmp_path) and second and second != first and {*others} == {second}
    assert (tmp_path / "torch_compile_cache").is_dir(), "another program may use it"


def test_a_failure_for_good_and_one_without_kept_files_change_no_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    roots: list[str | None] = []
    monkeypatch.setenv(starts.ROOT, str(tmp_path))
    final_status(failing(monkeypatch, RuntimeError("out of luck"), roots), 60)
    (tmp_path / "torch_compile_cache").mkdir()
    final_status(failing(monkeypatch, ValueError("wrong flag"), roots), 60)
    assert set(roots) == {str(tmp_path)}
