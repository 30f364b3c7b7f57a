// The model: a graph of ONNX operations, which ONNX Runtime Web computes.

import * as ort from "./runtime/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1; // more need headers (cross-origin isolation) that a plain web server does not send

const WASM = "runtime/ort-wasm-simd-threaded.wasm"; // the operations of ONNX, as a program for browsers

// Fetch a file and say how far it is: progress(megabytes so far) -> its bytes
async function download(address, progress) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: the server says ${response.status} ${response.statusText}`);
  const parts = [];
  let size = 0;
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    progress(size / 1e6);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

export class Model {
  static async load(address, progress) {
    ort.env.wasm.wasmBinary ??= await download(WASM, () => {}); // before the first model
    const bytes = await download(address, progress);
    const model = new Model();
    model.session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    return model;
  }

  // One text of T word pieces, so that there is no padding.
  // ids, types: T numbers; wanted: names of outputs -> {name: {data: Float32Array, dims}}
  async run(ids, types, wanted) {
    const tensor = (numbers) => new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), [1, ids.length]);
    const inputs = {
      input_ids: tensor(ids),
      attention_mask: tensor(ids.map(() => 1)),
      token_type_ids: tensor(types),
    };
    return this.session.run(inputs, wanted);
  }

  release() {
    return this.session.release();
  }
}

// Logits -> probabilities, which add up to 1. The largest logit is subtracted first, so that exp does not overflow.
export function softmax(logits) {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
