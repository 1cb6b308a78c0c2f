"""The Engine tab: what the engine is and does; the browser draws its last five minutes from numbers.

`streamspace.ui.parts.engine_feed` pushes the numbers to browsers that show the tab.
"""

import html
from collections.abc import Iterable, Sequence

import gradio as gr

from streamspace.chat import ServedEngine
from streamspace.config import Config
from streamspace.limits import Limits
from streamspace.stats import SECONDS
from streamspace.ui.assets import call
from streamspace.ui.parts.engine_feed import FACTS, HISTOGRAMS, PLOTS, UNKNOWN, time_text

HEIGHT = 40  # of a plot, in its own units
FORM = (
    '<form><label><span>Model</span><input name="model" required placeholder="Qwen/Qwen3-0.6B"></label>'
    "<label><span>The operator's key, from the log</span>"
    '<input name="key" type="password" required autocomplete="off"></label>'
    "<button>Start again with this model</button><output></output></form>"
)


class EngineTab:
    """Made inside a `gr.Tab`; follows the engine once the tab is opened."""

    def __init__(self, engine: ServedEngine, tab: gr.Tab) -> None:
        gr.HTML(page_html(engine.config), elem_id="engine")
        tab.select(None, None, None, js=call("engine.follow"), queue=False, api_visibility="private")


def page_html(config: Config) -> str:
    """The tab before the first event: everything in its place, and every number unknown."""
    limits = "".join(f"<div><dt>{name}</dt><dd>{most:,}</dd></div>" for name, most in limits_of(config).items())
    live = [f"<div><dt>{name}</dt>{_cell('dd', key)}</div>" for key, name in FACTS.items()]
    plots = "".join(
        f'<figure><figcaption>{plot.label}</figcaption><div class="values">{_cell("span", plot.key, "now")}'
        f'{_cell("span", f"{plot.key}.top", "top")}</div><svg viewBox="0 0 {SECONDS} {HEIGHT}" aria-hidden="true" '
        'preserveAspectRatio="none"><path class="gap"/><path class="line"/></svg></figure>'
        for plot in PLOTS
    )
    histograms = "".join(
        f'<figure><figcaption>{label}</figcaption>{_cell("p", f"{key}.said", "said")}<div class="bars" '
        f'aria-hidden="true">{_bars(key, bounds_s)}</div></figure>'
        for key, label, bounds_s in HISTOGRAMS
    )
    return (
        f'<section class="engine" aria-label="Engine" data-seconds="{SECONDS}" data-height="{HEIGHT}">'
        f"<dl><div><dt>Model</dt><dd>{html.escape(config.model_name)}</dd></div>{''.join(live)}</dl>"
        f'<div class="plots">{plots}</div><div class="histograms">{histograms}</div>'
        '<p class="more">Plots and histograms are of the last five minutes; at the right above each plot '
        "stands the end of its scale, and shaded is a time in which the engine was down."
        f"</p><dl>{limits}</dl>"
        f"<details><summary>Change the model</summary>{FORM}</details>"
        f'<details><summary>The same as tables</summary><div class="tables">{_tables()}</div></details>'
        "</section>"
    )


def limits_of(config: Config) -> dict[str, int]:
    """Label → value of each limit that the operator has set."""
    limits = {
        "Most tokens of an answer": config.max_tokens,
        "Most seconds of an answer": config.max_seconds,
        "Most tokens of a prompt": config.max_prompt_tokens,
        **Limits.of(config).labels,
    }
    return {name: most for name, most in limits.items() if most}


def _cell(tag: str, key: str, look: str = "") -> str:
    name = f' class="{look}"' if look else ""
    return f'<{tag}{name} data-key="{key}">{UNKNOWN}</{tag}>'


def _bars(key: str, bounds_s: Sequence[float]) -> str:
    labels = [*(time_text(bound_s).removesuffix(" ms") for bound_s in bounds_s), ">"]
    return "".join(
        f'<div><div class="bar"><span data-bar="{key}.{number}"></span></div><small>{label}</small></div>'
        for number, label in enumerate(labels)
    )


def _tables() -> str:
    names = "".join(f'<th scope="col">{name}</th>' for name in ("now", "mean", "highest"))
    rows = [(plot.label, "".join(_cell("td", plot.key + of) for of in ("", ".mean", ".most"))) for plot in PLOTS]
    tables = _table("The last five minutes", rows, f"<thead><tr><td></td>{names}</tr></thead>")
    for key, label, bounds_s in HISTOGRAMS:
        buckets = [*(f"≤ {time_text(bound_s)}" for bound_s in bounds_s), f"> {time_text(bounds_s[-1])}"]
        tables += _table(label, [(bucket, _cell("td", f"{key}.{number}")) for number, bucket in enumerate(buckets)])
    return tables


def _table(caption: str, rows: Iterable[tuple[str, str]], head: str = "") -> str:
    """A table; each row is its label and its cells."""
    body = "".join(f'<tr><th scope="row">{label}</th>{cells}</tr>' for label, cells in rows)
    return f"<table><caption>{caption}</caption>{head}<tbody>{body}</tbody></table>"
