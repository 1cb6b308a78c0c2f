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
from streamspace.ui.parts.engine_feed import FACTS, HISTOGRAMS, PLOTS, UNKNOWN, time_text

HEIGHT = 40  # of a plot, in its own units

# Run when the tab is opened. It is connected for as long as it is seen; the first event, and one after a gap, has all
# the seconds, any other the newest alone.
FOLLOW = """() => {
  const follow = (room) => {
    if (room.dataset.followed) return;
    room.dataset.followed = 'yes';
    room.querySelectorAll('dt, figcaption, caption, th, summary, .more').forEach((label) => {
      label.textContent = say(label.textContent);
    });
    const num = Number(room.dataset.seconds), height = Number(room.dataset.height);
    let source, isSeen = false, points = [];
    const put = (key, text) => room.querySelectorAll(`[data-key="${key}"]`).forEach((e) => { e.textContent = text; });
    const draw = (svg, index, top) => {
      let line = '', gaps = '', isDrawing = false;
      points.forEach((point, second) => {
        const x = second + num - points.length, value = point && point[index];
        if (!point) gaps += `M${x} 0h1v${height}h-1z`;
        if (!point || value === null) { isDrawing = false; return; }
        line += `${isDrawing ? 'L' : 'M'}${x} ${(height - 1 - value / top * (height - 2)).toFixed(1)}h1`;
        isDrawing = true;
      });
      svg.querySelector('.line').setAttribute('d', line);
      svg.querySelector('.gap').setAttribute('d', gaps);
    };
    const show = (told) => {
      points = (told.whole ? told.points : [...points, ...told.points]).slice(-num);
      for (const [key, text] of Object.entries(told.text)) put(key, text);
      room.querySelectorAll('svg').forEach((svg, index) => draw(svg, index, told.tops[index]));
      for (const [name, counts] of Object.entries(told.bars)) {
        const most = Math.max(...counts, 1);
        counts.forEach((count, index) => {
          put(`${name}.${index}`, count.toLocaleString('en'));
          room.querySelector(`[data-bar="${name}.${index}"]`).style.height = `${count / most * 100}%`;
        });
      }
    };
    const open = () => {
      source = new EventSource('engine');
      source.onmessage = (event) => show(JSON.parse(event.data));
    };
    const settle = () => {
      const isWanted = isSeen && !document.hidden;
      if (source && (!isWanted || source.readyState === EventSource.CLOSED)) { source.close(); source = null; }
      if (isWanted && !source) open();
    };
    new IntersectionObserver((seen) => { isSeen = seen.at(-1).isIntersecting; settle(); }).observe(room);
    document.addEventListener('visibilitychange', settle);
    setInterval(() => { if (source) settle(); }, 3000);
  };
  const find = () => {
    const room = document.querySelector('#engine .engine');
    if (room) follow(room); else requestAnimationFrame(find);
  };
  find();
}"""

CSS = """
#engine, #engine .html-container { padding: 0; }
.engine { --quiet: color-mix(in srgb, var(--body-text-color) 72%, transparent);
  font-variant-numeric: tabular-nums; font-size: var(--text-sm); }
.engine dl, .engine .plots, .engine .histograms { display: grid; gap: 0.75rem; margin: 0 0 0.75rem;
  grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); }
.engine dl { --columns: 4; gap: 0.5rem 0.75rem; }
.engine .plots { --columns: 3; }
.engine .histograms { --columns: 2; }
.engine dt, .engine figcaption, .engine .top, .engine .said, .engine .more, .engine th, .engine small {
  color: var(--quiet); font-weight: 400; }
.engine dd { margin: 0; line-height: 1.5; overflow-wrap: anywhere; }
.engine figure { margin: 0; padding: 0.5rem 0.75rem; border: 1px solid var(--border-color-primary);
  border-radius: var(--block-radius); background: var(--background-fill-primary); }
.engine .values { display: flex; justify-content: space-between; align-items: baseline; }
.engine .now { font-size: var(--text-lg); color: var(--body-text-color); }
.engine .top, .engine small { font-size: var(--text-xs); }
.engine svg { display: block; width: 100%; height: 2.75rem; border-bottom: 1px solid var(--border-color-primary); }
.engine .line { fill: none; stroke: var(--color-accent); stroke-width: 1.5; stroke-linecap: round;
  vector-effect: non-scaling-stroke; }
.engine .gap { fill: var(--body-text-color); opacity: 0.15; }
.engine .bars { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); gap: 2px; }
.engine .bar { height: 3.5rem; display: flex; align-items: flex-end;
  border-bottom: 1px solid var(--border-color-primary); }
.engine .bar > span { width: 100%; height: 0; background: var(--color-accent); }
.engine .bars small { display: block; text-align: right; white-space: nowrap; }
.engine .said { margin: 0; line-height: 1.5; min-height: 1.5em; }
.engine .more { margin: 0 0 0.5rem; }
.engine .tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 0 1.5rem;
  align-items: start; }
.engine table { width: 100%; margin: 0.5rem 0; border-collapse: collapse; border: none; }
.engine caption { text-align: left; }
.engine tr { border: none; }
.engine td, .engine th { padding: 0.125rem 0; text-align: right; border: none;
  border-bottom: 1px solid var(--border-color-primary); }
.engine td, .engine thead th { width: 20%; }
.engine [scope=row] { text-align: left; }
.engine thead td { width: auto; }
@media (max-width: 640px) {
  .engine dl, .engine .plots { --columns: 2; }
  .engine .histograms { --columns: 1; }
  .engine small { font-size: 0.5625rem; }
  .engine .said { min-height: 3em; }
}
"""


class EngineTab:
    """Made inside a `gr.Tab`, which it makes follow the engine once it is opened."""

    def __init__(self, engine: ServedEngine, tab: gr.Tab) -> None:
        gr.HTML(page_html(engine.config), elem_id="engine")
        tab.select(None, None, None, js=FOLLOW, queue=False, api_visibility="private")


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
