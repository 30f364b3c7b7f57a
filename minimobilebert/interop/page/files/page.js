// The page: loads settings, vocabulary and model, and shows what this model can do.
//
//     tokenizer.js        text -> ids of word pieces          (unicode.js: its tables)
//     model.js            ids -> numbers
//     fill_mask.js        logits -> words for [MASK]
//     classification.js   logits -> probabilities of classes
//     search.js           vectors -> nearest sentences
//     attention.js        attention maps, drawn
//     latency.js          how long a text takes
//
// Each of the last five has one function: page, section of index.html -> what its button does.

import { attention } from "./attention.js";
import { classification } from "./classification.js";
import { fillMask } from "./fill_mask.js";
import { latency } from "./latency.js";
import { Model } from "./model.js";
import { search } from "./search.js";
import { Tokenizer } from "./tokenizer.js";

const status = document.getElementById("status");
const controls = () => document.querySelectorAll("button, #graphs input");
const page = { settings: null, tokenizer: null, model: null, graph: null };

function say(text, isError = false) {
  status.textContent = text;
  status.className = isError ? "error" : "";
}

async function read(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: the server says ${response.status} ${response.statusText}`);
  return response;
}

const described = (graph) => `${graph.numbers}, ${graph.megabytes.toFixed(1)} MB`;

// One thing at a time: the model has one thread. Meanwhile nothing can be pressed.
async function alone(work) {
  controls().forEach((control) => { control.disabled = true; });
  try {
    await work();
  } finally {
    controls().forEach((control) => { control.disabled = false; });
  }
}

async function use(graph) {
  document.body.dataset.state = "loading";
  await page.model?.release();
  page.model = null;
  page.model = await Model.load(graph.file, (megabytes) => {
    say(`Loading the model: ${megabytes.toFixed(1)} of ${graph.megabytes.toFixed(1)} MB.`);
  });
  page.graph = graph;
  document.querySelectorAll("section > output").forEach((output) => output.replaceChildren()); // of another graph
  document.dispatchEvent(new Event("another-model"));
  say(`Ready: ${page.settings.family}, ${page.settings.layers} layers, ${described(graph)}.`);
  document.body.dataset.state = "ready";
}

// A choice between the graphs, if there are two
function offerGraphs(graphs) {
  const fieldset = document.getElementById("graphs");
  fieldset.hidden = graphs.length < 2;
  for (const graph of graphs) {
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "graph", value: graph.file });
    input.checked = graph === graphs[0];
    input.addEventListener("change", () => alone(() => use(graph)).catch(fail));
    const label = document.createElement("label");
    label.append(input, ` ${described(graph)}`);
    fieldset.append(label);
  }
}

function fail(error) {
  document.body.dataset.state = "failed";
  say(`The model cannot be used: ${error.message ?? error}`, true);
}

// Show a section; its form does what `setUp` returns, and an error is shown where the answer would be
function offer(name, setUp) {
  const section = document.getElementById(name);
  const output = section.querySelector("output");
  const action = setUp(page, section);
  section.hidden = false;
  section.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    alone(async () => {
      output.classList.remove("error");
      delete output.dataset.result;
      try {
        if (!page.model) throw new Error("No model is loaded: choose the other precision, or load the page again.");
        await action(output);
      } catch (error) {
        output.classList.add("error");
        output.textContent = error.message ?? String(error);
      }
    });
  });
}

async function start() {
  page.settings = await (await read("settings.json")).json();
  page.tokenizer = new Tokenizer(await (await read("vocab.txt")).text());
  const { name, graphs, uses } = page.settings;
  document.title = name;
  document.getElementById("title").textContent = name;
  const setUps = { "fill-mask": fillMask, classification, search };
  for (const use of uses) offer(use, setUps[use]);
  offer("attention", attention);
  offer("latency", latency);
  offerGraphs(graphs);
  await alone(() => use(graphs[0]));
  document.querySelector("main").hidden = false;
}

if (location.protocol !== "file:") start().catch(fail);
