// SPDX-License-Identifier: MIT
// Runs LayersModels in TensorFlow.js (CPU backend). A request a line on standard input, an answer a line on standard output:
//   {"model": FILE, "inputs": [{"dims", "file"}], "outputs": PREFIX}
//   {"outputs": [{"name", "dims", "file"}], "layers": [CLASS]} or {"error": TEXT}
'use strict';
console.warn = () => {}; // the advice to install tfjs-node
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const tf = require('@tensorflow/tfjs');

// The file-system handler that tfjs-node would bring.
function fromFiles(file) {
  return {
    load: async () => {
      const {modelTopology, weightsManifest} = JSON.parse(fs.readFileSync(file));
      const shards = weightsManifest.flatMap((g) => g.paths).map((p) => fs.readFileSync(path.join(path.dirname(file), p)));
      const all = Buffer.concat(shards);
      return {
        modelTopology,
        weightSpecs: weightsManifest.flatMap((g) => g.weights),
        weightData: all.buffer.slice(all.byteOffset, all.byteOffset + all.length),
      };
    },
  };
}

function tensor({dims, file}) {
  const raw = fs.readFileSync(file);
  return tf.tensor(new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length)), dims, 'float32');
}

async function answer({model: file, inputs, outputs, names}) {
  const model = await tf.loadLayersModel(fromFiles(file), {strict: !names});
  if (names) return {weights: model.weights.map((w) => w.originalName)};
  const made = model.predict(inputs.length > 1 ? inputs.map(tensor) : tensor(inputs[0]));
  const written = [].concat(made).map((t, i) => {
    const to = `${outputs}.${i}`, data = t.dataSync();
    fs.writeFileSync(to, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    return {name: model.outputNames[i], dims: t.shape, file: to};
  });
  const layers = model.layers.map((l) => l.getClassName());
  tf.disposeVariables();
  return {outputs: written, layers};
}

(async () => {
  await tf.setBackend('cpu');
  for await (const line of readline.createInterface({input: process.stdin})) {
    const reply = await answer(JSON.parse(line)).catch((e) => ({error: String(e.message || e)}));
    process.stdout.write(JSON.stringify(reply) + '\n');
  }
})();
