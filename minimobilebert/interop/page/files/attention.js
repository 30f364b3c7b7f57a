// Attention maps: probabilities[layer][head][row][column] says how much the piece of the row looks at that of the column.
// A row adds up to 1.

import { element, largest, percent, result, rows, textOf } from "./rows.js";

const MOST_PIECES = 64; // more do not fit into a picture
const FONT = 13; // pixels
const SIDE = 96; // the widest label, pixels
const MEAN = "mean";

function option(value, text) {
  return Object.assign(element("option", text), { value });
}

function shortened(context, text) {
  let shown = text;
  while (context.measureText(shown).width > SIDE - 8) shown = `${shown.replace(/…$/, "").slice(0, -1)}…`;
  return shown;
}

// Draw a map with the labels at both sides, in a canvas as large as it needs; map: [row][column]; chosen: a row
function draw(canvas, map, labels, chosen) {
  const style = getComputedStyle(canvas);
  const context = canvas.getContext("2d");
  const font = `${FONT}px ${style.fontFamily}`;
  context.font = font;
  const names = labels.map((label) => shortened(context, label));
  const side = Math.ceil(Math.max(...names.map((name) => context.measureText(name).width))) + 8;
  const room = canvas.parentElement.clientWidth - side - 2;
  const cell = Math.max(FONT + 3, Math.min(32, Math.floor(room / labels.length)));
  const size = side + cell * labels.length + 1;
  const sharp = Math.min(devicePixelRatio || 1, 2); // pixels of the screen for one of the page
  Object.assign(canvas, { width: size * sharp, height: size * sharp });
  Object.assign(canvas.style, { width: `${size}px`, height: `${size}px` });
  context.scale(sharp, sharp);
  context.font = font;
  context.textBaseline = "middle";

  names.forEach((name, i) => {
    const middle = side + cell * (i + 0.5);
    context.fillStyle = i === chosen ? style.getPropertyValue("--accent") : style.color;
    context.textAlign = "right";
    context.fillText(name, side - 5, middle); // the row
    context.save();
    context.translate(middle, side - 5);
    context.rotate(-Math.PI / 2);
    context.textAlign = "left";
    context.fillStyle = style.color;
    context.fillText(name, 0, 0); // the column
    context.restore();
  });
  context.fillStyle = style.getPropertyValue("--accent");
  const most = Math.max(...map.flat());
  map.forEach((row, i) => row.forEach((probability, j) => {
    context.globalAlpha = Math.sqrt(probability / most); // so that small ones can be seen
    context.fillRect(side + cell * j, side + cell * i, cell - 1, cell - 1);
  }));
  context.globalAlpha = 1;
  context.strokeStyle = style.getPropertyValue("--line");
  context.strokeRect(side - 0.5, side - 0.5, cell * labels.length, cell * labels.length);
  context.strokeStyle = style.color;
  context.strokeRect(side - 0.5, side - 0.5 + cell * chosen, cell * labels.length, cell);
  return { side, cell, most };
}

export function attention(page, section) {
  const [layer, head, row] = ["#layer", "#head", "#row"].map((id) => section.querySelector(id));
  const canvas = section.querySelector("canvas");
  const output = section.querySelector("output");
  const { layers, heads } = page.settings;
  let maps = null; // [layer]: Float32Array of heads * T * T
  let labels = [];
  let grid = { side: 0, cell: 1, most: 1 };

  layer.append(...Array.from({ length: layers }, (_, i) => option(i, `${i + 1} of ${layers}`)));
  head.append(option(MEAN, "mean"), ...Array.from({ length: heads }, (_, i) => option(i, `${i + 1} of ${heads}`)));

  // The map that the reader chose -> [row][column]
  function chosenMap() {
    const length = labels.length;
    const wanted = head.value === MEAN ? Array.from({ length: heads }, (_, i) => i) : [Number(head.value)];
    const value = (i, j) => wanted.reduce((sum, h) => sum + maps[layer.value][(h * length + i) * length + j], 0);
    return labels.map((_, i) => labels.map((__, j) => value(i, j) / wanted.length));
  }

  function show(note = []) {
    if (!maps) return;
    const map = chosenMap();
    const chosen = Number(row.value);
    grid = draw(canvas, map, labels, chosen);
    const seen = largest(map[chosen], 5).map((j) => ({ text: `${labels[j]} (${j + 1})`, value: map[chosen][j] }));
    output.replaceChildren(
      element("p", "A row is a piece that looks, a column one that is looked at. The shade is the square root of the"
        + " probability, relative to the largest one. Touch a row, or choose its piece above.", "small"),
      element("p", `The darkest cell is ${percent(grid.most)}; equal shares would be ${percent(1 / labels.length)}.`),
      element("h3", `${labels[chosen]} (${chosen + 1}) looks at`),
      rows(seen, percent),
      ...note,
    );
    result(output, { labels, map });
  }

  function forget() {
    maps = null;
    section.querySelectorAll(".choices, .map").forEach((part) => { part.hidden = true; });
  }

  [layer, head, row].forEach((select) => select.addEventListener("change", () => show()));
  canvas.addEventListener("click", (event) => {
    const touched = Math.floor((event.offsetY - grid.side) / grid.cell);
    if (touched < 0 || touched >= labels.length) return;
    row.value = touched;
    show();
  });
  document.addEventListener("another-model", forget);
  addEventListener("resize", () => show());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show());

  return async () => {
    forget();
    const { tokenizer, settings } = page;
    const longest = Math.min(MOST_PIECES, settings.longest);
    const pieces = tokenizer.encodeWithMasks(textOf(section, "textarea", "Text"));
    const { ids, types, cut } = tokenizer.frame(pieces, null, longest);
    const names = Array.from({ length: layers }, (_, i) => `attentions.${i}`);
    const found = await page.model.run(ids, types, names);
    maps = names.map((name) => found[name].data);
    labels = ids.map((id) => tokenizer.pieces[id]);
    row.replaceChildren(...labels.map((label, i) => option(i, `${i + 1}: ${label}`)));
    row.value = Math.min(1, labels.length - 1); // the first piece behind [CLS]
    section.querySelectorAll(".choices, .map").forEach((part) => { part.hidden = false; });
    show(cut ? [element("p", `The text was cut to ${longest} word pieces.`)] : []);
  };
}
