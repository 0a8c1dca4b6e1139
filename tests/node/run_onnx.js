// SPDX-License-Identifier: MIT
// Runs models in ONNX Runtime. A request a line on standard input, an answer a line on standard output:
//   {"model": FILE, "inputs": [{"name", "type", "dims", "file"}], "outputs": PREFIX}
//   {"outputs": [{"name", "dims", "file"}]} or {"error": TEXT}
'use strict';
const fs = require('fs');
const readline = require('readline');
const ort = require('onnxruntime-node');

const arrays = {float32: Float32Array, int64: BigInt64Array, bool: Uint8Array};

function tensor({type, dims, file}) {
  const raw = fs.readFileSync(file);
  const bytes = raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length);
  return new ort.Tensor(type, new arrays[type](bytes), dims);
}

async function answer({model, inputs, outputs}) {
  const session = await ort.InferenceSession.create(model, {intraOpNumThreads: 1, logSeverityLevel: 2});
  const results = await session.run(Object.fromEntries(inputs.map((i) => [i.name, tensor(i)])));
  const written = session.outputNames.map((name, i) => {
    const {dims, data} = results[name], file = `${outputs}.${i}`;
    fs.writeFileSync(file, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    return {name, dims, file};
  });
  await session.release();
  return {inputs: session.inputNames, outputs: written};
}

(async () => {
  for await (const line of readline.createInterface({input: process.stdin})) {
    const reply = await answer(JSON.parse(line)).catch((e) => ({error: String(e.message || e)}));
    process.stdout.write(JSON.stringify(reply) + '\n');
  }
})();
