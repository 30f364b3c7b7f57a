// Classes: p = softmax(logits). A regression has one logit, which is its answer. Texts are cut as in fine-tuning.

import { softmax } from "./model.js";
import { element, largest, percent, result, rows, textOf } from "./rows.js";

export function classification(page, section) {
  const second = section.querySelector("#second-text");
  second.hidden = section.querySelector("label[for=second-text]").hidden = !page.settings.pairs;

  return async (output) => {
    const { tokenizer, settings } = page;
    const encode = (text) => tokenizer.encode(text);
    const first = encode(textOf(section, "#first-text", "Text"));
    const pair = settings.pairs && second.value.trim() ? encode(second.value) : null;
    const { ids, types, cut } = tokenizer.frame(first, pair, settings.longestTrained);
    const { data } = (await page.model.run(ids, types, ["logits"])).logits;
    const note = cut ? [element("p", `The text was cut to ${settings.longestTrained} word pieces.`)] : [];
    if (data.length === 1) {
      output.replaceChildren(element("p", data[0].toFixed(3), "large"), ...note);
      result(output, data[0]);
      return;
    }
    const probabilities = softmax(data);
    const answer = largest(probabilities, data.length).map((i) => ({
      text: settings.labels?.[i] ?? `class ${i}`,
      value: probabilities[i],
    }));
    output.replaceChildren(rows(answer, percent), ...note);
    result(output, answer);
  };
}
