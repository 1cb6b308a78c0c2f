"""Which files make a Space, and what a Space has otherwise than the repository: front matter and requirements. Pure but
for reading files.

Only what the demo needs goes to the hub, and only what git knows: a note, a key or a cache that lies around stays here.
"""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "models", "src")
FILES = (
    *("CHANGELOG.md", "LICENSE", "README.md", "app.py", "packages.txt", "pyproject.toml"),
    *("requirements.txt", "requirements-cpu.txt"),
)
# The scripts that made the bundled models, and the second of them, which no Space asks for.
NOT_NEEDED = ("models/make/", "models/streamspace-tiny-vision/")
HIDDEN = re.compile(r"(^|/)(\.|__pycache__/)")  # as the name of a file or of a folder above it
CPU_INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu"


def is_ours(name: str) -> bool:
    """Whether a file of a repository or a Space, by its name with slashes, is one that this project brings."""
    top, slash, _ = name.partition("/")
    wanted = top in FOLDERS if slash else top in FILES
    return wanted and not HIDDEN.search(name) and not name.startswith(NOT_NEEDED)


def names(root: Path = ROOT) -> list[str]:
    """The files that make a Space: of those that git knows, or all where git is not used."""
    try:
        run = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
        known: Iterable[str] = run.stdout.split("\0")
        if "app.py" not in known:  # a copy within a repository of something else
            raise FileNotFoundError
    except (OSError, subprocess.CalledProcessError):
        known = (path.relative_to(root).as_posix() for path in root.rglob("*"))
    return sorted(name for name in known if is_ours(name) and (root / name).is_file())


def contents(root: Path, model: str, hardware: str, *, on_cpu: bool) -> dict[str, bytes]:
    """Each file's content by its name, for a Space with this model on this hardware."""
    files = {name: (root / name).read_bytes() for name in names(root)}
    files["README.md"] = front_matter(files["README.md"].decode(), model, hardware).encode()
    if on_cpu:
        files["requirements.txt"] = f"{CPU_INDEX}\n".encode() + files["requirements-cpu.txt"]
    return files


def front_matter(readme: str, model: str, hardware: str) -> str:
    """The README with the hardware and, if it is on the hub, the model of this Space in its front matter."""
    fields, end, text = readme.partition("\n---\n")
    fields = re.sub(r"(?m)^suggested_hardware: .*$", f"suggested_hardware: {hardware}", fields)
    models = f"models:\n  - {model}\n" if "/" in model and not model.startswith("/") else ""
    return re.sub(r"models:\n(?:  - .*\n)+", models, fields) + end + text
