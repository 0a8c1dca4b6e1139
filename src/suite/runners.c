/* SPDX-License-Identifier: MIT */
#include "suite/runners.h"

#include <stddef.h>

static const char *const pythons[] = {"/usr/bin/python3", "python3", NULL};
static const char *const nodes[] = {"node", "nodejs", NULL};

/* The network's class is the one with predict(): others are its parts. Weights go through the
 * loader that the file itself has. */
static const char pytorch_script[] =
    "import importlib.util, json, sys\n"
    "import torch\n"
    "torch.set_num_threads(1)\n"
    "sys.dont_write_bytecode = True\n"
    "def floats(x):\n"
    "    with open(x['file'], 'rb') as file:\n"
    "        data = bytearray(file.read())\n"
    "    return torch.frombuffer(data, dtype=torch.float32).reshape(x['dims'])\n"
    "def answer(request):\n"
    "    spec = importlib.util.spec_from_file_location('net', request['model'])\n"
    "    net = importlib.util.module_from_spec(spec)\n"
    "    spec.loader.exec_module(net)\n"
    "    classes = [v for v in vars(net).values() if isinstance(v, type) and hasattr(v, 'predict')]\n"
    "    model = classes[-1]()\n"
    "    net.load_neural_weights(model, request['weights'])\n"
    "    made = model.predict(*map(floats, request['inputs']))\n"
    "    made = [made] if torch.is_tensor(made) else list(made)\n"
    "    for y, path in zip(made, request['outputs']):\n"
    "        with open(path, 'wb') as file:\n"
    "            file.write(y.detach().to(torch.float32).contiguous().numpy().tobytes())\n"
    "    return {'outputs': [{'dims': list(y.shape)} for y in made]}\n"
    "for line in sys.stdin:\n"
    "    try:\n"
    "        reply = answer(json.loads(line))\n"
    "    except Exception as e:\n"
    "        reply = {'error': f'{type(e).__name__}: {e}'}\n"
    "    print(json.dumps(reply), flush=True)\n";

const nn_runner nn_runner_pytorch = {
    .interpreters = pythons,
    .eval = "-c",
    .package = "torch",
    /* without importing it, which takes seconds */
    .probe = "from importlib.metadata import version\nprint(version('torch'))",
    .script = pytorch_script,
    .install = "apt-get install python3-torch",
};

/* With `node -e` packages are looked for in ./node_modules and in $NODE_PATH. */
#define NODE_HEAD                                                                                  \
    "'use strict';\n"                                                                              \
    "const fs = require('fs'), path = require('path'), readline = require('readline');\n"          \
    "const floats = (file) => {\n"                                                                 \
    "  const raw = fs.readFileSync(file);\n"                                                       \
    "  return new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));\n"  \
    "};\n"                                                                                         \
    "const keep = (file, data) => fs.writeFileSync(file,\n"                                        \
    "  Buffer.from(data.buffer, data.byteOffset, data.byteLength));\n"
#define NODE_TAIL                                                                                  \
    "(async () => {\n"                                                                             \
    "  for await (const line of readline.createInterface({input: process.stdin})) {\n"             \
    "    const reply = await answer(JSON.parse(line))\n"                                           \
    "      .catch((e) => ({error: String(e.message || e)}));\n"                                    \
    "    process.stdout.write(JSON.stringify(reply) + '\\n');\n"                                   \
    "  }\n"                                                                                        \
    "})();\n"

static const char onnx_script[] = NODE_HEAD
    "const ort = require('onnxruntime-node');\n"
    "const answer = async (request) => {\n"
    "  const options = {intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3};\n"
    "  const session = await ort.InferenceSession.create(request.model, options);\n"
    "  const feeds = {};\n"
    "  request.inputs.forEach((x, i) => {\n"
    "    feeds[session.inputNames[i]] = new ort.Tensor('float32', floats(x.file), x.dims);\n"
    "  });\n"
    "  const made = await session.run(feeds);\n"
    "  const outputs = session.outputNames.map((name, i) => {\n"
    "    keep(request.outputs[i], made[name].data);\n"
    "    return {dims: made[name].dims.map(Number)};\n"
    "  });\n"
    "  await session.release();\n"
    "  return {outputs};\n"
    "};\n" NODE_TAIL;

const nn_runner nn_runner_onnx = {
    .interpreters = nodes,
    .eval = "-e",
    .package = "onnxruntime-node",
    .probe = "console.log(require('onnxruntime-node/package.json').version)",
    .script = onnx_script,
    .install = "npm install onnxruntime-node, here or in a folder that NODE_PATH names",
};

static const char tfjs_script[] = NODE_HEAD
    "console.warn = () => {};\n"
    "const tf = require('@tensorflow/tfjs');\n"
    "const load = (file) => async () => {\n"
    "  const {modelTopology, weightsManifest} = JSON.parse(fs.readFileSync(file));\n"
    "  const all = Buffer.concat(weightsManifest.flatMap((g) => g.paths).map((p) =>\n"
    "    fs.readFileSync(path.join(path.dirname(file), p))));\n"
    "  return {modelTopology, weightSpecs: weightsManifest.flatMap((g) => g.weights),\n"
    "    weightData: all.buffer.slice(all.byteOffset, all.byteOffset + all.length)};\n"
    "};\n"
    "const answer = async (request) => {\n"
    "  await tf.setBackend('cpu');\n"
    "  const model = await tf.loadLayersModel({load: load(request.model)});\n"
    "  const xs = request.inputs.map((x) => tf.tensor(floats(x.file), x.dims, 'float32'));\n"
    "  const made = [].concat(model.predict(xs.length > 1 ? xs : xs[0]));\n"
    "  const outputs = made.map((y, i) => {\n"
    "    keep(request.outputs[i], Float32Array.from(y.dataSync()));\n"
    "    return {dims: y.shape};\n"
    "  });\n"
    "  tf.disposeVariables();\n"
    "  return {outputs};\n"
    "};\n" NODE_TAIL;

const nn_runner nn_runner_tfjs = {
    .interpreters = nodes,
    .eval = "-e",
    .package = "@tensorflow/tfjs",
    .probe = "console.log(require('@tensorflow/tfjs/package.json').version)",
    .script = tfjs_script,
    .install = "npm install @tensorflow/tfjs, here or in a folder that NODE_PATH names",
};
