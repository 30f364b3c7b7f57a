// Latency: the median over some runs of one text, after some that do not count.

import { element, result, rows } from "./rows.js";

const PIECES = 128; // as in the paper
const WARM_UP = 3;
const RUNS = 20;

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// The smallest output, so that handing it over costs little
function outputOf({ uses }) {
  if (uses.includes("classification") || uses.includes("fill-mask")) return "logits";
  return uses.includes("search") ? "sentence_embedding" : null;
}

export function latency(page, section) {
  const pieces = Math.min(PIECES, page.settings.longest);
  section.querySelector("#latency-what").textContent = `The median of ${RUNS} runs with ${pieces} word pieces`
    + (pieces < PIECES ? `, the longest text of this model, whereas the paper has ${PIECES}.` : ", as in the paper.");

  section.querySelector("#another-size").hidden = page.settings.ofThePaper;

  // The last latency with each graph, so that they can be compared: what the graph is -> milliseconds
  const measured = new Map();

  function comparison() {
    const longest = Math.max(...measured.values());
    const found = [...measured].map(([text, milliseconds]) => ({ text, value: milliseconds / longest }));
    return rows(found, (value) => `${(value * longest).toFixed(1)} ms`);
  }

  document.addEventListener("another-model", () => {
    if (measured.size) section.querySelector("output").replaceChildren(comparison());
  });

  return async (output) => {
    const { tokenizer, model, graph, settings } = page;
    const name = outputOf(settings) ?? model.session.outputNames[0];
    const ids = Array.from({ length: pieces }, (_, t) => (17 * t) % tokenizer.pieces.length);
    const times = [];
    for (let run = -WARM_UP; run < RUNS; run += 1) {
      output.textContent = run < 0 ? "Warming up." : `Run ${run + 1} of ${RUNS}.`;
      await new Promise((later) => { setTimeout(later); }); // let the browser draw
      const start = performance.now();
      await model.run(ids, ids.map(() => 0), [name]);
      if (run >= 0) times.push(performance.now() - start);
    }
    const milliseconds = median(times);
    measured.set(graph.numbers, milliseconds);
    output.replaceChildren(
      element("p", `${milliseconds.toFixed(1)} ms`, "large"),
      element("p", `${graph.numbers}, ${settings.layers} layers, ${pieces} word pieces, one thread; from`
        + ` ${Math.min(...times).toFixed(1)} to ${Math.max(...times).toFixed(1)} ms.`),
      ...(measured.size > 1 ? [comparison()] : []),
      element("p", `This browser calls itself ${navigator.userAgent}`, "small"),
    );
    result(output, { milliseconds, pieces, runs: times.length });
  };
}
