"""The Engine tab: what the engine is and does, its last five minutes drawn in the browser from numbers.

`streamspace.ui.parts.engine_feed` pushes them, to those who have the tab open and can see it.
"""

import html
from collections.abc import Sequence

import gradio as gr

from streamspace.chat import ServedEngine
from streamspace.config import Config
from streamspace.limits import Limits
from streamspace.stats import SECONDS
from streamspace.ui.assets import call
from streamspace.ui.parts.engine_feed import FACTS, HISTOGRAMS, PLOTS, UNKNOWN, time_text

HEIGHT = 40  # of a plot, in its own units


class EngineTab:
    """Made inside a `gr.Tab`, which it makes follow the engine once it is opened."""

    def __init__(self, engine: ServedEngine, tab: gr.Tab) -> None:
        gr.HTML(page_html(engine.config), elem_id="engine")
        tab.select(None, None, None, js=call("engine.follow"), queue=False, api_visibility="private")


def page_html(config: Config) -> str:
    """The tab before the first event: everything in its place, and no number known."""
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
        f'<details><summary>The same as tables</summary><div class="tables">{_table()}{_counts()}</div></details>'
        "</section>"
    )


def limits_of(config: Config) -> dict[str, int]:
    """The operator's limits by what they are of; those that are not set are left out."""
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
    labels = [*(f"{bound_s:g} s" if bound_s >= 1 else f"{bound_s * 1000:g}" for bound_s in bounds_s), ">"]
    return "".join(
        f'<div><div class="bar"><span data-bar="{key}.{number}"></span></div><small>{label}</small></div>'
        for number, label in enumerate(labels)
    )


def _table() -> str:
    body = "".join(
        f'<tr><th scope="row">{plot.label}</th>'
        + "".join(_cell("td", f"{plot.key}{of}") for of in ("", ".mean", ".most"))
        + "</tr>"
        for plot in PLOTS
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("now", "mean", "highest"))
    return (
        f"<table><caption>The last five minutes</caption><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _counts() -> str:
    return "".join(
        f"<table><caption>{label}</caption><tbody>"
        + "".join(
            f'<tr><th scope="row">{name}</th>{_cell("td", f"{key}.{number}")}</tr>'
            for number, name in enumerate([*(f"≤ {time_text(s)}" for s in bounds_s), f"> {time_text(bounds_s[-1])}"])
        )
        + "</tbody></table>"
        for key, label, bounds_s in HISTOGRAMS
    )
