// Pictures: made upright, small and free of what a camera adds, here in the browser; and those that this page knows.

import { element } from "./dom.js";

export const MOST_PIXELS = 2_000_000; // of a picture that is sent
const MOST_SIDE = 4096; // pixels
const MOST_PNG = 4 * 2 ** 20; // characters; a larger one loses its transparency
const JPEG_QUALITY = 0.9;
const URL_FORM = /^data:image\/(?:jpeg|png);base64,[A-Za-z0-9+/]+={0,2}$/;

/** Id → data URL. Messages have the ids alone. @type {Map<string, string>} */
const known = new Map();

/** @param {unknown} url */
export const isPictureUrl = (url) => typeof url === "string" && URL_FORM.test(url);

/** Have this page know a picture. @param {string} id @param {string} url */
export const remember = (id, url) => known.set(id, url);

/** @param {string} id */
export const urlOf = (id) => known.get(id);

/** The pictures of these ids that the page knows. @param {Iterable<string>} ids @returns {Record<string, string>} */
export function urlsOf(ids) {
  const all = [...ids].map((id) => [id, known.get(id)]);
  return Object.fromEntries(all.filter(([, url]) => url));
}

/** The size of a picture that is sent, for one of this size. @param {number} width @param {number} height */
export function sizeWithin(width, height) {
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)), MOST_SIDE / width, MOST_SIDE / height);
  /** @param {number} side */
  const scaled = (side) => Math.max(1, Math.floor(side * scale));
  return { width: scaled(width), height: scaled(height) };
}

/** Whether anything can be seen through. @param {ArrayLike<number>} rgba */
export function isTransparent(rgba) {
  for (let index = 3; index < rgba.length; index += 4) if (rgba[index] < 255) return true;
  return false;
}

/** A picture's pixels as a data URL: JPEG, or PNG where one can see through.
 * @param {CanvasImageSource} source @param {{ width: number, height: number }} size as it is shown, upright */
export function encode(source, size) {
  const canvas = element("canvas", sizeWithin(size.width, size.height));
  const context = canvas.getContext("2d");
  if (!context) throw new Error("no canvas");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  if (isTransparent(context.getImageData(0, 0, canvas.width, canvas.height).data)) {
    const png = canvas.toDataURL("image/png");
    if (png.length <= MOST_PNG) return png;
  }
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", JPEG_QUALITY);
}

/** A file's picture as a data URL; null where this browser cannot read it. Pixels alone go on, drawn as the browser
 * shows them: what else the file has, such as the place and the way the camera was held, stays behind.
 * @param {Blob} file */
export async function read(file) {
  const image = element("img", { src: URL.createObjectURL(file) });
  try {
    await image.decode();
    return encode(image, { width: image.naturalWidth || MOST_SIDE / 4, height: image.naturalHeight || MOST_SIDE / 4 });
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(image.src);
  }
}
