// The engine's state in the page's header.

import { find } from "./dom.js";
import { readFeed } from "./feed.js";
import { say } from "./language.js";

const TAKES_REQUESTS = ["ready", "restarting"]; // stages in which Send is of use

/** When the page is there: show the state, and each change of it. */
export function follow() {
  const state = find("#status .state");
  let stage = "";
  let model = "";
  /** @param {string} name @param {string} innerHTML */
  const show = (name, innerHTML) => Object.assign(state, { className: `state ${name}`, innerHTML });
  /** @param {{ stage: string, model: string, html: string }} status */
  const showStatus = (status) => {
    if (model && status.model !== model) return location.reload(); // the operator changed it
    model = status.model;
    show(status.stage, status.html);
    // The hidden button's event enables the controls that wait for the engine, or disables them while there is none.
    const isWrong = find("#send").matches(":disabled") === TAKES_REQUESTS.includes(status.stage);
    if (status.stage !== stage && (status.stage === "ready" || isWrong)) find("#engine-ready").click();
    stage = status.stage;
  };
  const onError = () => show("failed", `<p>${say("The connection to the server is lost; trying again …")}</p>`);
  readFeed("status", showStatus, { onError });
}
