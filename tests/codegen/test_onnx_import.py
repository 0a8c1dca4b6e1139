# SPDX-License-Identifier: MIT
"""neural import: our own files back again, and the public operator tests of ONNX (Debian's libonnx-testdata)."""
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest
from conftest import ROOT, find_binary, forward
from test_onnx import MORE, Network, distance, programs, TOLERANCE, TOO_LARGE

OPERATORS = pathlib.Path('/usr/share/libonnx-testdata/data/node')
LEAST_OPERATOR_TESTS = 238  # of 596
LEAST_ROUND_TRIPS = 0.8  # of our networks, without their metadata


def run_model(folder, model, inputs, rows):
    """Outputs of a model file in their order; the engine's words where it refuses the inputs."""
    shapes = json.loads(forward('shapes', model).stdout)
    files = []
    for k, x in enumerate(inputs):
        files.append(folder / f'imported.in.{k}')
        np.asarray(x, '<f4').tofile(files[-1])
    outputs = [folder / f'imported.out.{k}' for k in range(len(shapes['outputs']))]
    done = forward('run', model, 'reference', rows, *files, *outputs, ok=False)
    if done.returncode:
        return done.stderr.strip()
    return [np.fromfile(p, '<f4').reshape(rows, *o['shape']) for o, p in zip(shapes['outputs'], outputs)]


ROUND = {'whole': 0, 'same': 0, 'refused': {}}


def tensors_of(path):
    """The graph and the weights of a model file, by the container's description."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], 'little')
    header = json.loads(raw[8:8 + size])
    return json.loads(header.pop('__metadata__')['graph']), header, raw[8 + size:]


def without_metadata(path):
    """As other tools leave a file."""
    model = onnx.load(str(path))
    del model.metadata_props[:]
    onnx.save(model, str(path))


def agree(network, back, rows=2):
    x = network.draw(rows)
    for ours, theirs in zip(network.ours(x, rows).values(), run_model(network.folder, back, x.values(), rows)):
        assert distance(theirs, ours) <= TOLERANCE


def come_back(neural, program):
    """Whole, by the metadata; without them the same numbers, or a reason. None: not a network that an engine runs."""
    (neural.folder / 'net.neural').write_text(program)
    drawn, back = neural.folder / 'drawn.safetensors', neural.folder / 'back.safetensors'
    if forward('model', neural.folder / 'net.neural', 7, drawn, ok=False).returncode:
        return None
    shapes = json.loads(forward('shapes', drawn).stdout)
    if 'custom' in shapes['ops'] or any(d < 0 for t in shapes['inputs'] for d in t['shape']) or \
            any(t in program for t in TOO_LARGE):
        return None
    network = Network(neural, program)
    neural.run('import', 'net.onnx', '-o', 'back.safetensors')
    assert tensors_of(back) == tensors_of(drawn)
    ROUND['whole'] += 1
    back.unlink()
    without_metadata(network.path)
    done = neural.run('import', 'net.onnx', '-o', 'back.safetensors', ok=False)
    if done.returncode:
        assert 'is not read: ' in done.stderr and not back.exists()
        reason = done.stderr.split('is not read: ')[1].split('\n')[0]
        kind = done.stderr.split('operator ')[1].split(' ')[0]
        ROUND['refused'].setdefault(f'{kind}: {reason}', []).append(program)
        return False
    agree(network, back)
    ROUND['same'] += 1
    return True


@pytest.mark.parametrize('program', [*MORE, *programs()])
def test_our_own_files_come_back(neural, program):
    if come_back(neural, program) is None:
        pytest.skip('not a network that an engine runs')


def conformance_networks(folder):
    """Every layer over a grid of its arguments, and the random networks: what tests/conformance runs in every backend."""
    sys.path.insert(0, str(ROOT / 'tests' / 'conformance'))
    import matrix
    return matrix.write_cases(folder)


def test_networks_of_the_conformance_suite_come_back(neural, tmp_path_factory):
    """One in five of them; all with ROUND_TRIPS=all, which takes minutes."""
    paths = conformance_networks(tmp_path_factory.mktemp('cases'))
    paths = [p for i, p in enumerate(paths) if i % 5 == 0 or p.stem == 'custom' or os.environ.get('ROUND_TRIPS') == 'all']
    results = {p.stem: come_back(neural, p.read_text()) for p in paths}
    left = sorted(n for n, r in results.items() if r is None)
    refused = sorted(n for n, r in results.items() if r is False)
    print(f'\n{len(paths) - len(left)} networks of tests/conformance come back whole, all but {left};'
          f' {len(refused)} of them need their metadata for that: {" ".join(refused)}')
    assert left == ['custom']


def test_most_of_our_own_files_come_back():
    if ROUND['whole'] < 100:
        pytest.skip('the networks were not run')
    print(f"\n{ROUND['whole']} of our networks come back whole; without metadata {ROUND['same']} give the same; refused then:")
    for reason, refused in sorted(ROUND['refused'].items(), key=lambda i: -len(i[1])):
        print(f'  {len(refused):3} {reason}')
    assert ROUND['same'] >= LEAST_ROUND_TRIPS * ROUND['whole']


MASKED = ('network N { input: (5,) layers: Embedding(9, 4, mask_zero=true) LSTM(4, return_sequences=true)\n'
          'GRU(3, activation="gelu") Dense(2, activation="relu") }')
PLAIN = 'network N { input: (6, 5, 2) layers: Conv2D(4, 3, activation="relu") Flatten() Dense(3, activation="tanh") }'


def changed(neural, program, change):
    """A network whose file was changed by `change` after it was written; what `neural import` says."""
    network = Network(neural, program)
    model = onnx.load(str(network.path))
    change(model)
    onnx.save(model, str(network.path))
    return network, neural.run('import', 'net.onnx', '-o', 'back.safetensors', ok=False)


def test_weights_that_were_changed_come_back_changed(neural):
    def change(model):
        t = next(t for t in model.graph.initializer if t.name == 'dense_1.kernel')
        t.raw_data = (3 * onnx.numpy_helper.to_array(t)).tobytes()

    network, done = changed(neural, MASKED, change)
    assert not done.returncode, done.stderr
    (graph, header, old), (again, same, new) = tensors_of(network.weights), tensors_of(neural.folder / 'back.safetensors')
    assert graph == again and header == same
    for name, about in header.items():
        a, b = (np.frombuffer(d[slice(*about['data_offsets'])], '<f4') for d in (old, new))
        assert (b == (3 * a if name == 'dense_1.kernel' else a)).all(), name


def other_operator(model):
    next(n for n in model.graph.node if n.op_type == 'Relu').op_type = 'Sigmoid'


def other_metadata(model):
    p = next(p for p in model.metadata_props if p.key == 'graph')
    assert '"relu"' in p.value
    p.value = p.value.replace('"relu"', '"sigmoid"')


@pytest.mark.parametrize('change,kind', [(other_operator, 'sigmoid'), (other_metadata, 'relu')])
def test_operators_count_where_the_metadata_say_something_else(neural, change, kind):
    _, done = changed(neural, PLAIN, change)
    assert not done.returncode, done.stderr
    graph, _, _ = tensors_of(neural.folder / 'back.safetensors')
    other = {'sigmoid': 'relu', 'relu': 'sigmoid'}[kind]
    assert f'"{kind}"' in json.dumps(graph) and f'"{other}"' not in json.dumps(graph)


def other_constant(model):
    t = next(t for t in model.graph.initializer if t.name.startswith('lstm_1/index') and t.data_type == 7)
    t.raw_data = np.int64(4).tobytes()


def more_operators(model):
    model.graph.node.append(NODE('Neg', [model.graph.output[0].name], ['more']))
    model.graph.output[0].name = 'more'


def swapped_steps(model):
    n = [n for n in model.graph.node if n.op_type == 'Where']
    n[0].input[1], n[0].input[2] = n[0].input[2], n[0].input[1]


def shorter_graph(model):
    p = next(p for p in model.metadata_props if p.key == 'graph')
    p.value = p.value[:-20]


@pytest.mark.parametrize('change', [other_operator, other_metadata, other_constant, more_operators, swapped_steps, shorter_graph])
def test_metadata_that_the_operators_do_not_bear_out_count_for_nothing(neural, change):
    """Such a file is read as a stranger's: one with masks is refused, with the operator."""
    _, done = changed(neural, MASKED, change)
    assert done.returncode and 'is not read: ' in done.stderr, done.stderr
    assert not (neural.folder / 'back.safetensors').exists()


def every_size(v, old, new):
    """JSON with each list `old` as `new`."""
    if v == old:
        return new
    if isinstance(v, dict):
        return {k: every_size(x, old, new) for k, x in v.items()}
    return [every_size(x, old, new) for x in v] if isinstance(v, list) else v


@pytest.mark.parametrize('layer', ['PositionalEncoding()', 'LayerNormalization(scale=false, center=false)', 'ReLU()'])
def test_metadata_of_a_graph_far_larger_than_the_file_cost_nothing(neural, layer):
    """A table of 2 GB that no weight vouches for: the operators are read instead, in little memory."""
    def change(model):
        p = next(p for p in model.metadata_props if p.key == 'graph')
        p.value = json.dumps(every_size(json.loads(p.value), [4, 6], [1 << 10, 1 << 19]))

    network = Network(neural, f'network N {{ input: (4, 6) layers: {layer} }}')
    model = onnx.load(str(network.path))
    change(model)
    onnx.save(model, str(network.path))
    running = subprocess.Popen([neural.binary, 'import', 'net.onnx', '-o', 'back.safetensors'], cwd=neural.folder)
    _, status, usage = os.wait4(running.pid, 0)
    assert status == 0 and usage.ru_maxrss < 500000  # kilobytes
    agree(network, neural.folder / 'back.safetensors')


def test_softmax_of_an_older_file_is_not_taken_for_todays(neural):
    """Before opset 13 it was one over its axis and all axes behind (Changelog.md of ONNX, Softmax-1 and -11)."""
    image = [onnx.helper.make_tensor_value_info('x', 1, ['batch', 3, 4, 5])]
    for opset, axis, ok in ((11, 1, False), (11, 3, True), (13, 1, True), (11, None, False), (13, None, True)):
        model = model_of([NODE('Softmax', ['x'], ['y'], **({} if axis is None else {'axis': axis}))], inputs=image)
        model.opset_import[0].version = opset
        (neural.folder / 's.onnx').write_bytes(model.SerializeToString())
        done = neural.run('import', 's.onnx', ok=False)
        assert (done.returncode == 0) == ok, (opset, axis, done.stderr)
        assert ok or 'all behind it at once' in done.stderr


def read_tensors(folder, kind):
    found = []
    for k in range(20):
        path = folder / f'{kind}_{k}.pb'
        if not path.exists():
            break
        t = onnx.TensorProto()
        t.ParseFromString(path.read_bytes())
        found.append(onnx.numpy_helper.to_array(t))
    return found


def with_constants(model, values, keep):
    """The same model with all inputs but those of `keep` (places) as initialisers."""
    frozen = onnx.ModelProto()
    frozen.CopyFrom(model)
    del frozen.graph.input[:]
    for k, (info, v) in enumerate(zip(model.graph.input, values)):
        if k in keep:
            frozen.graph.input.append(info)
        else:
            frozen.graph.initializer.append(onnx.numpy_helper.from_array(v, info.name))
    return frozen


def choices(n):
    """Which inputs stay inputs: all, the first two, each alone."""
    return list(dict.fromkeys([tuple(range(n)), tuple(range(min(2, n))), *((k,) for k in range(n))]))


def try_operator(folder, model, inputs, outputs):
    """True: the same outputs. Else why not: a reason that names an operator, if there is one."""
    binary = find_binary()
    reasons = []
    for keep in choices(len(inputs)):
        if any(inputs[k].ndim < 1 for k in keep):
            continue
        path = folder / 'op.onnx'
        onnx.save(with_constants(model, inputs, keep), str(path))
        done = subprocess.run([binary, 'import', path, '-o', folder / 'op.safetensors'], capture_output=True, text=True, timeout=60)
        assert done.returncode in (0, 1, 2, 3, 4, 5, 6, 7, 8), done
        if done.returncode:
            reasons.append(done.stderr.split('\n')[0])
            continue
        node = model.graph.node[0]
        layout = next((a.i for a in node.attribute if a.name == 'layout'), 0)
        time = node.op_type in ('RNN', 'GRU', 'LSTM') and layout == 0
        given = [inputs[k].swapaxes(0, 1) if time and k == 0 else inputs[k] for k in keep]
        results = run_model(folder, folder / 'op.safetensors', given, given[0].shape[0])
        if isinstance(results, str):
            assert 'looks up whole numbers' in results, results
            reasons.append(f'neural: {results}')
            continue
        for want, got in zip(outputs, results):
            if time:  # (steps, 1, batch, units) and (1, batch, units)
                want = want[:, 0].swapaxes(0, 1) if want.ndim == 4 else want[0]
            if got.size != want.size or not np.allclose(got.reshape(want.shape), want, rtol=1e-4, atol=1e-5, equal_nan=True):
                return False
        return True
    return next((r for r in reasons if 'operator ' in r), reasons[0] if reasons else 'neural: no input has rows')


def test_public_operator_tests(tmp_path):
    if not OPERATORS.exists():
        pytest.skip('libonnx-testdata is not installed')
    same, first, wrong, refused = [], [], [], {}
    for test in sorted(OPERATORS.iterdir()):
        model = onnx.load(str(test / 'model.onnx'))
        data = test / 'test_data_set_0'
        try:
            inputs, outputs = read_tensors(data, 'input'), read_tensors(data, 'output')
        except Exception:  # sequences and optional values
            continue
        if not inputs or len(inputs) != len(model.graph.input) or any(not isinstance(o, np.ndarray) for o in outputs):
            continue
        if any(i.dtype not in (np.float32, np.int64) for i in inputs) or any(o.dtype != np.float32 for o in outputs):
            continue
        if not any(i.ndim for i in inputs):
            continue
        result = try_operator(tmp_path, model, inputs, outputs)
        if isinstance(result, str) and len(model.graph.output) > 1:  # what it gives beside may not be ours
            del model.graph.output[1:]
            result = try_operator(tmp_path, model, inputs, outputs[:1])
            first += [test.name] * (result is True)
        elif result is True:
            same.append(test.name)
        if result is True:
            continue
        if result is False:
            wrong.append(test.name)
        else:
            refused[test.name] = result
    print(f'\n{len(same)} operator tests of ONNX run the same, {len(first)} more in their first output, '
          f'{len(refused)} are refused with a reason')
    (tmp_path / 'refused.txt').write_text('\n'.join(f'{k}: {v}' for k, v in refused.items()))
    (tmp_path / 'same.txt').write_text('\n'.join(same))
    assert wrong == []
    assert all(v.startswith('neural: ') for v in refused.values())
    assert len(same) >= LEAST_OPERATOR_TESTS


def model_of(nodes, initialisers=(), inputs=None):
    inputs = inputs or [onnx.helper.make_tensor_value_info('x', 1, ['batch', 3])]
    graph = onnx.helper.make_graph(nodes, 'g', inputs, [onnx.helper.make_tensor_value_info('y', 1, None)], initialisers)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 17)])


def external(name):
    t = onnx.numpy_helper.from_array(np.ones((3, 2), 'f4'), name)
    t.ClearField('raw_data')
    t.data_location = onnx.TensorProto.EXTERNAL
    t.external_data.add(key='location', value='/etc/passwd')
    return t


def short(name):
    t = onnx.numpy_helper.from_array(np.ones((3, 2), 'f4'), name)
    t.dims[0] = 300000
    return t


def older(node, opset, *initialisers):
    model = model_of([node], initialisers)
    model.opset_import[0].version = opset
    return model


NODE = onnx.helper.make_node
HOSTILE = {
    'a cycle': (model_of([NODE('Add', ['x', 'y'], ['z']), NODE('Relu', ['z'], ['y'])]), 'used before it is computed'),
    'one name twice': (model_of([NODE('Relu', ['x'], ['y']), NODE('Tanh', ['x'], ['y'])]), "two values are named 'y'"),
    'nothing gives it': (model_of([NODE('Relu', ['w'], ['y'])]), "nothing gives 'w'"),
    'data outside': (model_of([NODE('MatMul', ['x', 'w'], ['y'])], [external('w')]), 'outside of the file'),
    'a size that is not there': (model_of([NODE('MatMul', ['x', 'w'], ['y'])], [short('w')]), 'holds 6 elements'),
    'an operator of another domain': (model_of([NODE('Relu', ['x'], ['y'], domain='evil')]), 'none of our ops'),
    'an attribute that is not known': (model_of([NODE('Relu', ['x'], ['y'], leak=1.0)]), "attribute 'leak'"),
    'an operator that gave other numbers then': (older(NODE('Dropout', ['x'], ['y']), 6), 'version 6 of it'),
    'a list in two places': (older(NODE('Split', ['x', 's'], ['y', 'z'], axis=1, split=[1, 2]), 17,
                                   onnx.numpy_helper.from_array(np.array([1, 2]), 's')), 'as an attribute and as an input'),
    'parts that overlap': (older(NODE('Split', ['x'], ['y', 'z'], axis=1, split=[2, 2]), 11), 'parts that are not the whole'),
    'a place that is not there': (older(NODE('Gather', ['x', 'i'], ['y'], axis=1), 17,
                                        onnx.numpy_helper.from_array(np.array([3]), 'i')), 'place 3'),
    'no output': (model_of([NODE('Relu', ['x'], ['z'])]), "nothing gives output 'y'"),
}


@pytest.mark.parametrize('what', HOSTILE)
def test_hostile_files_are_refused_with_a_reason(neural, what):
    model, reason = HOSTILE[what]
    (neural.folder / 'h.onnx').write_bytes(model.SerializeToString())
    done = neural.run('import', 'h.onnx', ok=False)
    assert done.returncode > 0 and reason in done.stderr, done.stderr
    assert not (neural.folder / 'h.safetensors').exists()


def wrapped(tag, inner):
    n, length = len(inner), b''
    while n > 127:
        length, n = length + bytes([n & 127 | 128]), n >> 7
    return tag + length + bytes([n]) + inner


def test_messages_in_messages_do_not_end_the_stack(neural):
    """Graphs, each an attribute of a node of the one around it."""
    inner = b''
    for _ in range(3000):
        for tag in (b'\x32', b'\x2a', b'\x0a'):  # AttributeProto.g, NodeProto.attribute, GraphProto.node
            inner = wrapped(tag, inner)
    (neural.folder / 'deep.onnx').write_bytes(wrapped(b'\x3a', inner))
    done = neural.run('import', 'deep.onnx', ok=False)
    assert done.returncode > 0 and 'too deep' in done.stderr


def test_a_broken_file_is_refused(neural):
    for content in (b'', b'PK\x03\x04', b'\xff' * 100):
        (neural.folder / 'b.onnx').write_bytes(content)
        assert neural.run('import', 'b.onnx', ok=False).returncode > 0
