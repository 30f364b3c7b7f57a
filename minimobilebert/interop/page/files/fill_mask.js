// Words for [MASK]: p = softmax(logits at the masked position). Each mask is predicted with the others still masked.

import { softmax } from "./model.js";
import { element, largest, percent, result, rows, textOf } from "./rows.js";

const TOP = 5;

export function fillMask(page, section) {
  return async (output) => {
    const { tokenizer, settings } = page;
    const text = textOf(section, "textarea", "Text");
    if (!text.includes("[MASK]")) throw new Error("The text has no [MASK]: write it for a word.");
    const { ids, types } = tokenizer.frame(tokenizer.encodeWithMasks(text), null, Infinity);
    if (ids.length > settings.longest) {
      throw new Error(`The text has ${ids.length} word pieces; the model reads at most ${settings.longest}.`);
    }
    const { logits } = await page.model.run(ids, types, ["logits"]); // [1, T, V]
    const words = logits.dims[2];
    const positions = ids.flatMap((id, t) => (id === tokenizer.mask ? [t] : []));
    const answers = positions.map((t) => {
      const probabilities = softmax(logits.data.subarray(t * words, (t + 1) * words));
      return largest(probabilities, TOP).map((id) => ({ text: tokenizer.pieces[id], value: probabilities[id] }));
    });
    output.replaceChildren(...answers.flatMap((answer, i) => [
      ...(answers.length > 1 ? [element("h3", `[MASK] ${i + 1} of ${answers.length}`)] : []),
      rows(answer, percent),
    ]));
    result(output, answers);
  };
}
