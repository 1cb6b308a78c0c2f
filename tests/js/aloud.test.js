// In which language an answer is read.

import assert from "node:assert/strict";
import test from "node:test";
import { languageOf } from "../../src/streamspace/ui/static/aloud.js";

test("the letters of a text say its language, or the page does", () => {
  const texts = ["Bonjour, 你好", "你好 vLLM 世界", "漢字とかな", "안녕 hi", "مرحبا", "Привет", "42"];
  assert.deepEqual(
    texts.map((text) => languageOf(text, "fr")),
    ["fr", "zh", "ja", "ko", "ar", "ru", "fr"],
  );
  assert.equal(languageOf("안녕하세요 vLLM", "fr"), "ko");
  assert.equal(languageOf("Hello", "zh"), "en");
});
