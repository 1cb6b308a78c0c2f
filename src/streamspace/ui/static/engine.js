// The Engine tab: draws the events of the engine's feed.

import { find } from "./dom.js";
import { readFeed } from "./feed.js";
import { say } from "./language.js";

/** A second's value for each plot, null where it is unknown; null for a second without an engine.
 * @typedef {(number | null)[] | null} Point
 *
 * The first event, and one after a gap, has the points of all seconds (`whole`); any other has the newest only.
 * @typedef {{ points: Point[], whole: boolean, tops: number[] }} Plots
 * @typedef {Plots & { text: Record<string, string>, bars: Record<string, number[]> }} EngineEvent */

const LABELS = "dt, figcaption, caption, th, summary, label span, button, .more";

/** The path of one plot's values, and the path of the times without an engine.
 * @param {Point[]} points the latest last @param {number} index of the plot
 * @param {{ top: number, width: number, height: number }} scale `top` is the value at the plot's upper edge */
export function plotPaths(points, index, { top, width, height }) {
  let line = "";
  let gaps = "";
  let isDrawing = false;
  points.forEach((point, second) => {
    const x = second + width - points.length;
    if (!point) gaps += `M${x} 0h1v${height}h-1z`;
    const value = point ? point[index] : null;
    const y = height - 1 - ((value ?? 0) / top) * (height - 2);
    if (value !== null) line += `${isDrawing ? "L" : "M"}${x} ${y.toFixed(1)}h1`;
    isDrawing = value !== null;
  });
  return { line, gaps };
}

/** A function that draws an event. @param {HTMLElement} tab */
function drawIn(tab) {
  const width = Number(tab.dataset.seconds);
  const height = Number(tab.dataset.height);
  /** @type {Point[]} */
  let points = [];
  /** @param {string} key @param {string} text */
  const write = (key, text) => {
    for (const place of tab.querySelectorAll(`[data-key="${key}"]`)) place.textContent = text;
  };
  /** @param {EngineEvent} event */
  return (event) => {
    points = (event.whole ? event.points : [...points, ...event.points]).slice(-width);
    for (const [key, text] of Object.entries(event.text)) write(key, text);
    tab.querySelectorAll("svg").forEach((svg, index) => {
      const { line, gaps } = plotPaths(points, index, { top: event.tops[index], width, height });
      svg.querySelector(".line")?.setAttribute("d", line);
      svg.querySelector(".gap")?.setAttribute("d", gaps);
    });
    for (const [name, counts] of Object.entries(event.bars)) {
      const most = Math.max(...counts, 1);
      counts.forEach((count, index) => {
        write(`${name}.${index}`, count.toLocaleString("en"));
        find(`[data-bar="${name}.${index}"]`, tab).style.height = `${(count / most) * 100}%`;
      });
    }
  };
}

/** Have the operator's form change the model. The page is loaded again when the other model's app is there.
 * @param {HTMLFormElement} form */
function askIn(form) {
  const answer = find("output", form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = JSON.stringify(Object.fromEntries(new FormData(form)));
    answer.textContent = say("Looking for the model …");
    try {
      const response = await fetch("model", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      const { detail, model } = await response.json();
      answer.textContent = detail ?? say("The app starts again with {model}; this page follows.", { model });
    } catch {
      answer.textContent = say("The connection to the server is lost; trying again …");
    }
  });
}

/** When the tab is opened: follow the engine for as long as the tab can be seen. */
export function follow() {
  const tab = document.querySelector("#engine .engine");
  if (!(tab instanceof HTMLElement)) return void requestAnimationFrame(follow);
  if (tab.dataset.followed) return;
  tab.dataset.followed = "yes";
  for (const label of tab.querySelectorAll(LABELS)) label.textContent = say(label.textContent ?? "");
  const form = tab.querySelector("form");
  if (form) askIn(form);
  let isSeen = false;
  const update = readFeed("engine", drawIn(tab), { isWanted: () => isSeen });
  new IntersectionObserver((entries) => {
    isSeen = Boolean(entries.at(-1)?.isIntersecting);
    update();
  }).observe(tab);
}
