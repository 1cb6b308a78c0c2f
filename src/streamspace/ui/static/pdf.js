// PDFs are read here in the browser, by Mozilla's pdf.js (pdfjs/), which is loaded when the first one comes.

import { element } from "./dom.js";
import { encode } from "./pictures.js";

const MOST_PAGES = 500; // that are read
const PAGE_PIXELS = 1_500_000; // of a page that is drawn

/** Text as pdf.js finds it on a page. @typedef {{ str?: string, hasEOL?: boolean }} Piece */

async function load() {
  const folder = new URL("pdfjs/", document.baseURI);
  const pdfjs = await import(new URL("pdf.min.mjs", folder).href);
  pdfjs.GlobalWorkerOptions.workerSrc = new URL("pdf.worker.min.mjs", folder).href;
  return pdfjs;
}

/** What pages say: theirs, with an empty line between them. @param {Piece[][]} pages */
export const textOf = (pages) =>
  pages
    .map((page) =>
      page
        .map(({ str = "", hasEOL }) => str + (hasEOL ? "\n" : ""))
        .join("")
        .trim(),
    )
    .filter(Boolean)
    .join("\n\n");

/** The text of a PDF; where it has none, its first pages as pictures, so many at most. Throws for what is no PDF, or is
 * locked. @param {File} file @param {number} mostPictures
 * @returns {Promise<{ text: string, urls: string[], numPages: number }>} */
export async function readPdf(file, mostPictures) {
  const pdfjs = await load();
  const data = new Uint8Array(await file.arrayBuffer());
  const task = pdfjs.getDocument({ data, isEvalSupported: false, useWasm: false, useWorkerFetch: false, verbosity: 0 });
  try {
    const pdf = await task.promise;
    const pages = [];
    for (let number = 1; number <= Math.min(pdf.numPages, MOST_PAGES); number += 1) {
      const page = await pdf.getPage(number);
      pages.push((await page.getTextContent()).items);
    }
    const text = textOf(pages);
    const urls = [];
    for (let number = 1; !text && number <= Math.min(pdf.numPages, mostPictures); number += 1) {
      urls.push(await drawn(await pdf.getPage(number)));
    }
    return { text, urls, numPages: pdf.numPages };
  } finally {
    await task.destroy();
  }
}

/** A page as a picture. @param {any} page of pdf.js */
async function drawn(page) {
  const { width, height } = page.getViewport({ scale: 1 });
  const viewport = page.getViewport({ scale: Math.sqrt(PAGE_PIXELS / (width * height)) });
  const canvas = element("canvas", { width: Math.floor(viewport.width), height: Math.floor(viewport.height) });
  await page.render({ canvas, viewport, background: "#fff" }).promise;
  return encode(canvas, canvas);
}
