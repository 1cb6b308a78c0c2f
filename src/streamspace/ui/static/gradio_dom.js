// What the scripts know of Gradio's own markup, which it does not document; tests/test_gradio_dom.py tries each name.

import { find } from "./dom.js";

const STOPS = "button.stop, #chat .top-panel button"; // a Stop button, and Clear above the chat
const PENDING = ".note .translucent"; // an output of an event that has not given its first frame
const TAB = "[role=tabpanel]";
export const EDIT_BOX = "#chat textarea"; // of a message that is being edited
export const TYPED = "[data-testid=user]"; // a message of the visitor
export const LIVE_TEXTS = "#live [data-testid=user], #live [data-testid=bot]";
export const CHAT_TEXTS = "#chat [data-testid=user], #chat [data-testid=bot]";
export const FOLD = ".thought-group .title"; // the line of a thought, which opens and shuts it
export const GROWING_HERE = "#compare.busy .answer"; // texts that will be complete at the same place
export const GROWING = `#live, ${GROWING_HERE}`;

/** The Stop or Clear button that a click hit. @param {Event} event @returns {HTMLElement | null} */
export const stopButtonOf = ({ target }) => (target instanceof Element ? target.closest(STOPS) : null);

/** The text of the example that a click hit. @param {Event} event */
export const exampleOf = ({ target }) =>
  (target instanceof Element && target.closest("#chat .example")?.textContent?.trim()) || null;

/** For each message of the visitor, in their order, the place of its buttons: questions that follow each other share
 * one. @returns {Element[]} */
export const questionButtons = () =>
  [...document.querySelectorAll("#chat .user-row + .message-buttons")].flatMap((buttons) => {
    const texts = buttons.previousElementSibling?.querySelectorAll(TYPED) ?? [];
    return [...texts].map(() => buttons);
  });

/** For each answer, it and the place of its buttons. */
export const answerButtons = () =>
  [...document.querySelectorAll("#chat .bot-row + .message-buttons > .icon-button-wrapper")].flatMap((place) => {
    const answer = place.parentElement?.previousElementSibling;
    return answer ? [{ place, answer }] : [];
  });

/** The buttons of a message, without those of its versions. @param {Element | null | undefined} place
 * @returns {HTMLElement[]} */
const buttonsOf = (place) => [...(place?.querySelectorAll(":scope > :not(.versions) button") ?? [])].map(asElement);

/** @param {Element} button */
const asElement = (button) => /** @type {HTMLElement} */ (button);

/** Press the last of its buttons, which is Edit. */
export const editLastQuestion = () => buttonsOf(questionButtons().at(-1)).at(-1)?.click();

/** The message that is edited in this box: whether it is a question, and how to send it or to leave it as it was; null
 * for any other box. @param {EventTarget | null} box */
export function editIn(box) {
  const row = box instanceof Element && box.matches(EDIT_BOX) ? box.closest(".message-row") : null;
  if (!row) return null;
  const [submit, cancel] = buttonsOf(row.nextElementSibling);
  return { isQuestion: row.matches(".user-row"), submit: () => submit.click(), cancel: () => cancel.click() };
}

/** Whether an event of this button's tab has not given its first frame. @param {Element} button */
export const isPending = (button) => Boolean(button.closest(TAB)?.querySelector(PENDING));

/** The tab with this element. @param {Element} element @returns {HTMLElement} */
export const tabOf = (element) => element.closest(TAB) ?? document.body;

/** Whether the answer under way has begun to show. */
export const isAnswerShown = () => document.querySelector("#live [data-testid=bot]") !== null;

/** Whether a reader opened a thought; one that goes on is open by itself. @param {Element} fold */
export const isFoldOpen = (fold) => fold.matches(".expanded:not(:has(.loading-spinner))");

const sidebar = () => find("#sidebar");
export const sidebarToggle = () => find(".toggle-button", sidebar());
export const isSidebarOpen = () => sidebar().matches(".open");

/** Whether a click hit the shade beside the sidebar, which is a part of it. @param {MouseEvent} event */
export function isBesideSidebar({ target, clientX }) {
  const { left, right } = sidebar().getBoundingClientRect();
  return target === sidebar() && (clientX < left || clientX > right);
}

/** Open the fold of the settings; gives whether it was shut. */
export function openSettings() {
  const line = find("#settings > button");
  const isShut = !line.matches(".open");
  if (isShut) line.click();
  return isShut;
}

/** Whether a click is that of a mouse on the button of the tab with this id. @param {MouseEvent} event @param {string} id */
export const isMouseOnTab = (event, id) =>
  /** @type {PointerEvent} */ (event).pointerType === "mouse" &&
  event.target instanceof Element &&
  event.target.closest(`#${id}-button`) !== null;

/** The place of the buttons above a conversation; null while there is none. */
export const buttonsAbove = () => document.querySelector("#chat .icon-button-wrapper.top-panel");

/** Have Gradio draw the page from right to left, by the config from which it is about to draw. */
export function drawFromTheRight() {
  /** @type {{ type: string, props: Record<string, unknown> }[]} */
  const parts = /** @type {any} */ (globalThis).gradio_config?.components ?? [];
  for (const { type, props } of parts) {
    props.rtl = true;
    if (type === "sidebar") props.position = "right";
  }
}

export const showChatTab = () => find("#chat-tab-button").click();
export const focusMessageBox = () => find("#message textarea").focus();
