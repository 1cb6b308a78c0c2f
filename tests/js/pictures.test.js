// What is computed of pictures without a canvas.

import assert from "node:assert/strict";
import test from "node:test";
import { newest } from "../../src/streamspace/ui/static/attachments.js";
import {
  isPictureUrl,
  isTransparent,
  MOST_PIXELS,
  remember,
  sizeWithin,
  urlOf,
  urlsOf,
} from "../../src/streamspace/ui/static/pictures.js";

test("a picture has two million pixels at most, in its own proportions, and no side is none", () => {
  assert.deepEqual(sizeWithin(640, 480), { width: 640, height: 480 });
  for (const [width, height] of [
    [4032, 3024],
    [3024, 4032],
    [30_000, 1],
    [1, 30_000],
    [100_000, 100_000],
    [2000, 1001],
  ]) {
    const size = sizeWithin(width, height);
    assert.ok(size.width * size.height <= MOST_PIXELS && size.width >= 1 && size.height >= 1);
    assert.ok(Math.max(size.width, size.height) <= 4096);
    if (Math.min(width, height) > 1) assert.ok(Math.abs(size.width / size.height / (width / height) - 1) < 0.002);
  }
  const { width, height } = sizeWithin(4032, 3024);
  assert.ok(width * height > 0.99 * MOST_PIXELS);
});

test("one can see through a picture if one pixel is not opaque", () => {
  assert.equal(isTransparent([1, 2, 3, 255, 0, 0, 0, 255]), false);
  assert.equal(isTransparent([1, 2, 3, 255, 0, 0, 0, 254]), true);
  assert.equal(isTransparent([]), false);
});

test("a picture of a conversation is a JPEG or a PNG, and no address", () => {
  for (const url of ["data:image/jpeg;base64,/9j+", "data:image/png;base64,iVBORw0="]) assert.ok(isPictureUrl(url));
  const others = [
    null,
    "",
    "https://example.com/a.png",
    "data:image/svg+xml;base64,PHN2Zz4=",
    "data:image/png,abc",
    'data:image/png;base64,abc"onerror=',
    "javascript:data:image/png;base64,abc",
  ];
  for (const url of others) assert.ok(!isPictureUrl(url), String(url));
});

test("the page knows pictures by their ids", () => {
  remember("one", "data:1");
  remember("two", "data:2");
  assert.equal(urlOf("one"), "data:1");
  assert.deepEqual(urlsOf(["one", "gone", "two"]), { one: "data:1", two: "data:2" });
});

test("of too many pictures the newest are sent", () => {
  const urls = { a: "1234", b: "12", c: "123" };
  assert.deepEqual(newest(urls, 9), urls);
  assert.deepEqual(newest(urls, 8), { b: "12", c: "123" });
  assert.deepEqual(newest(urls, 2), {});
  assert.deepEqual(newest({}, 0), {});
});
