// The sidebar with conversations and settings: beside the chat where there is room, else a drawer over it. The browser
// remembers whether it was open.

import { ifStored } from "./dom.js";
import { isBesideSidebar, isSidebarOpen, sidebarToggle } from "./gradio_dom.js";
import { say } from "./language.js";

const KEPT = "streamspace-sidebar"; // in the browser's localStorage: "open" or "shut"
const isWide = () => innerWidth >= 1100;
const isDrawer = () => innerWidth <= 768; // where Gradio lets it cover the page

/** When the page is there. @param {() => void} onOpen */
export function begin(onOpen) {
  const toggle = sidebarToggle();
  toggle.setAttribute("aria-label", say("Sidebar"));
  toggle.setAttribute("aria-controls", "sidebar");
  const tell = () => toggle.setAttribute("aria-expanded", String(isSidebarOpen()));
  new MutationObserver(() => {
    tell();
    if (!isDrawer()) ifStored(() => localStorage.setItem(KEPT, isSidebarOpen() ? "open" : "shut"));
    if (isSidebarOpen()) onOpen();
  }).observe(/** @type {Element} */ (toggle.parentElement), { attributeFilter: ["class"] });
  document.addEventListener("click", (event) => isBesideSidebar(event) && closeDrawer());
  const kept = ifStored(() => localStorage.getItem(KEPT));
  if (!isDrawer() && (kept === "open" || (kept === null && isWide()))) toggle.click();
  else tell();
}

export const toggle = () => sidebarToggle().click();

/** Show the chat again where the sidebar covers it; gives whether it did. */
export function closeDrawer() {
  const covers = isDrawer() && isSidebarOpen();
  if (covers) toggle();
  return covers;
}
