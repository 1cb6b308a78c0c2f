// The page by keyboard. No key here is one of a browser's own; letters go with Alt, where Firefox's menus have others.

import { isBusy } from "./chat.js";
import { isSheetOpen, showSheet } from "./dialogs.js";
import { element, find, focusOnceSeen } from "./dom.js";
import {
  EDIT_BOX,
  editIn,
  editLastQuestion,
  focusMessageBox,
  isSidebarOpen,
  openSettings,
  showChatTab,
} from "./gradio_dom.js";
import { say } from "./language.js";
import { toggle } from "./sidebar.js";

const TAB_MS = 100; // until a tab can be seen
const MOUNT_MS = 300; // until Gradio has mounted what is in a fold: it takes back what is typed there before

/** The keys, as people read them, and what they do. @returns {[string, string][]} */
const keys = () => [
  ["Enter", say("Sends the message")],
  ["Shift+Enter", say("Begins a new line")],
  ["Esc", say("Stops the answer")],
  ["↑", say("In an empty box: edits the last question")],
  ["Enter", say("In an edited question: asks it anew")],
  ["Esc", say("In an edited message: leaves it as it was")],
  ["Alt+N", say("New chat")],
  ["Alt+K", say("Searches the conversations; Enter opens the first")],
  ["Alt+P", say("Changes the temperature; the other settings are beside it")],
  ["Alt+L", say("Opens or shuts the sidebar")],
  ["Alt+M", say("Goes to the message box")],
  ["← →", say("At ‹ 2/3 ›: another version")],
  ["?", say("Shows this list")],
];

export function showHelp() {
  const rows = keys().map(([key, does]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, does)]);
  showSheet(say("Keyboard shortcuts"), element("dl", {}, ...rows.flat()));
}

function search() {
  if (!isSidebarOpen()) toggle();
  focusOnceSeen("#conversations [type=search]");
}

function changeTemperature() {
  if (!isSidebarOpen()) toggle();
  const focus = () => focusOnceSeen("#settings .temperature [type=number]");
  if (openSettings()) setTimeout(focus, MOUNT_MS);
  else focus();
}

function editLast() {
  editLastQuestion();
  focusOnceSeen(EDIT_BOX, { selects: false });
}

/** @type {Record<string, () => void>} */
const withAlt = {
  n: () => find("#conversations .new").click(),
  k: search,
  l: toggle,
  m: focusMessageBox,
  p: changeTemperature,
};

/** The letter of a key, also where Alt makes another character of it, as on a Mac. @param {KeyboardEvent} event */
const letterOf = ({ key, code }) => (/^[a-z]$/i.test(key) ? key : code.replace(/^Key/, "")).toLowerCase();

/** Whether what is typed goes into a text. @param {EventTarget | null} target */
const isTyping = (target) =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/** What a key does in the box of a message that is being edited; afterwards the message box has the focus again.
 * @param {KeyboardEvent} event @param {NonNullable<ReturnType<typeof editIn>>} edit */
function actionInEdit({ key, shiftKey }, { isQuestion, submit, cancel }) {
  const end = key === "Escape" ? cancel : key === "Enter" && !shiftKey && isQuestion ? submit : undefined;
  return (
    end &&
    (() => {
      end();
      focusMessageBox();
    })
  );
}

/** @param {KeyboardEvent} event @returns {(() => void) | undefined} what a key does */
function actionOf(event) {
  const { key, target, altKey, ctrlKey, metaKey, shiftKey } = event;
  if (ctrlKey || metaKey || isSheetOpen()) return undefined;
  if (altKey) return shiftKey ? undefined : withAlt[letterOf(event)];
  const edit = editIn(target);
  if (edit) return actionInEdit(event, edit);
  if (key === "Escape") return isBusy() ? () => find("#stop").click() : undefined;
  if (key === "?") return isTyping(target) ? undefined : showHelp;
  const isInBox = target instanceof HTMLTextAreaElement && target.closest("#message") && !target.value;
  return key === "ArrowUp" && !shiftKey && isInBox && !isBusy() ? editLast : undefined;
}

/** @param {KeyboardEvent} event */
function press(event) {
  // An input method's Enter takes what it proposes; in Safari it says so by its number alone.
  if (event.isComposing || event.keyCode === 229) {
    if (event.key === "Enter") event.stopPropagation();
    return;
  }
  const action = actionOf(event);
  if (!action) return;
  event.preventDefault();
  if (!event.altKey || find("#compose").checkVisibility()) return action();
  showChatTab();
  setTimeout(action, TAB_MS);
}

document.addEventListener("keydown", press, true);
