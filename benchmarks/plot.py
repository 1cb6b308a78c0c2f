"""The streaming benchmark as a picture: what each side delivers of what the bare engine gives.

python -m benchmarks.plot benchmarks/results/streaming-gpu.json docs/streaming.svg
"""

import json
import sys
from pathlib import Path

import pygal
from pygal.style import LightColorizedStyle

NAMES = {"page": "this page", "openai": "vLLM's OpenAI server", "per_token": "a page with one yield a token"}
USERS = (64, 256)  # one user is over in less than a second


def main(measured: Path, picture: Path) -> None:
    """Draw the cells with 20 earlier turns and answers of 256 tokens, all asked at once."""
    document = json.loads(measured.read_text())
    cells = {
        (one["cell"]["users"], one["side"]): one["tokens_per_s"]
        for one in document["results"]
        if (one["cell"]["turns"], one["cell"]["tokens"], one["cell"]["arrival"]) == (20, 256, "burst")
    }
    chart = pygal.Bar(js=(), style=LightColorizedStyle, height=360, legend_at_bottom=True, print_values=True)
    chart.title = f"Delivered, % of the bare engine ({document['versions']['device']}, 0.6B shape)"
    chart.value_formatter = "{:.0f}".format
    chart.x_labels = [f"{users} users" for users in USERS]
    for side, name in NAMES.items():
        chart.add(name, [100 * cells[users, side] / cells[users, "raw"] for users in USERS])
    picture.write_bytes(chart.render(is_unicode=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
