// Search: the sentences whose vectors have the largest cosine with the vector of the query.

import { element, largest, result, rows, textOf } from "./rows.js";

const TOP = 10;

function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b) || 1);
}

export function search(page, section) {
  const vectors = new Map(); // sentence -> its vector, so that a second search only computes what is new
  document.addEventListener("another-model", () => vectors.clear());
  let cut = 0;

  async function vectorOf(text) {
    const { tokenizer, settings } = page;
    if (!vectors.has(text)) {
      const frame = tokenizer.frame(tokenizer.encode(settings.sentence.prompt + text), null, settings.sentence.longest);
      cut += frame.cut;
      const found = await page.model.run(frame.ids, frame.types, ["sentence_embedding"]);
      vectors.set(text, Array.from(found.sentence_embedding.data));
    }
    return vectors.get(text);
  }

  return async (output) => {
    cut = 0;
    const query = textOf(section, "#query", "Find the nearest to").trim();
    const sentences = textOf(section, "#sentences", "Sentences").split("\n").map((line) => line.trim()).filter(Boolean);
    const q = await vectorOf(query);
    const cosines = [];
    for (const [i, sentence] of sentences.entries()) {
      cosines.push(cosine(q, await vectorOf(sentence)));
      if (i % 10 === 9) {
        output.textContent = `${i + 1} of ${sentences.length} sentences`;
        await new Promise((later) => { setTimeout(later); }); // let the browser draw
      }
    }
    const answer = largest(cosines, TOP).map((i) => ({ text: sentences[i], value: cosines[i] }));
    const note = cut ? [element("p", `${cut} texts were cut to ${page.settings.sentence.longest} word pieces.`)] : [];
    output.replaceChildren(rows(answer, (value) => value.toFixed(3)), ...note);
    result(output, { nearest: answer, query: q });
  };
}
