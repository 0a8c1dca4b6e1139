# SPDX-License-Identifier: MIT
"""neural import: our own files back again, and the public operator tests of ONNX (Debian's libonnx-testdata)."""
import json
import pathlib
import subprocess

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest
from conftest import find_binary
from test_onnx import MORE, Network, distance, forward, programs, TOLERANCE, TOO_LARGE

OPERATORS = pathlib.Path('/usr/share/libonnx-testdata/data/node')
LEAST_OPERATOR_TESTS = 165
LEAST_ROUND_TRIPS = 280


def run_model(folder, model, inputs, rows):
    """Outputs of a model file in their order."""
    shapes = json.loads(forward('shapes', model).stdout)
    files = []
    for k, x in enumerate(inputs):
        files.append(folder / f'imported.in.{k}')
        np.asarray(x, '<f4').tofile(files[-1])
    outputs = [folder / f'imported.out.{k}' for k in range(len(shapes['outputs']))]
    forward('run', model, 'reference', rows, *files, *outputs)
    return [np.fromfile(p, '<f4').reshape(rows, *o['shape']) for o, p in zip(shapes['outputs'], outputs)]


ROUND = {'same': 0, 'refused': {}}


@pytest.mark.parametrize('program', [*MORE, *programs()])
def test_our_own_files_come_back(neural, program):
    (neural.folder / 'net.neural').write_text(program)
    drawn = neural.folder / 'drawn.safetensors'
    if forward('model', neural.folder / 'net.neural', 7, drawn, ok=False).returncode:
        pytest.skip('not a network')
    shapes = json.loads(forward('shapes', drawn).stdout)
    if 'custom' in shapes['ops'] or any(d < 0 for t in shapes['inputs'] for d in t['shape']) or \
            any(t in program for t in TOO_LARGE):
        pytest.skip('not one that an engine runs')
    network = Network(neural, program)
    done = neural.run('import', 'net.onnx', '-o', 'back.safetensors', ok=False)
    if done.returncode:
        assert 'is not read: ' in done.stderr and not (neural.folder / 'back.safetensors').exists()
        reason = done.stderr.split('is not read: ')[1].split('\n')[0]
        kind = done.stderr.split('operator ')[1].split(' ')[0]
        ROUND['refused'].setdefault(f'{kind}: {reason}', []).append(program)
        return
    x = network.draw(2)
    for ours, back in zip(network.ours(x, 2).values(), run_model(neural.folder, neural.folder / 'back.safetensors', x.values(), 2)):
        assert distance(back, ours) <= TOLERANCE
    ROUND['same'] += 1


def test_most_of_our_own_files_come_back():
    if ROUND['same'] + len(ROUND['refused']) < 100:
        pytest.skip('the networks were not run')
    print(f"\n{ROUND['same']} of our networks come back the same; refused:")
    for reason, refused in sorted(ROUND['refused'].items(), key=lambda i: -len(i[1])):
        print(f'  {len(refused):3} {reason}')
    assert ROUND['same'] >= LEAST_ROUND_TRIPS


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
    """The same model with all inputs but the first `keep` as initialisers."""
    frozen = onnx.ModelProto()
    frozen.CopyFrom(model)
    for info, v in list(zip(model.graph.input, values))[keep:]:
        frozen.graph.initializer.append(onnx.numpy_helper.from_array(v, info.name))
    del frozen.graph.input[keep:]
    return frozen


def try_operator(folder, model, inputs, outputs):
    """True: the same outputs. Else why not."""
    binary = find_binary()
    reason = ''
    for keep in dict.fromkeys((len(inputs), 2, 1)):
        if not 1 <= keep <= len(inputs):
            continue
        path = folder / 'op.onnx'
        onnx.save(with_constants(model, inputs, keep), str(path))
        done = subprocess.run([binary, 'import', path, '-o', folder / 'op.safetensors'], capture_output=True, text=True, timeout=60)
        assert done.returncode in (0, 1, 2, 3, 4, 5, 6, 7, 8), done
        if done.returncode:
            reason = reason or done.stderr.split('\n')[0]
            continue
        node = model.graph.node[0]
        layout = next((a.i for a in node.attribute if a.name == 'layout'), 0)
        time = node.op_type in ('RNN', 'GRU', 'LSTM') and layout == 0
        given = [x.swapaxes(0, 1) if time and k == 0 else x for k, x in enumerate(inputs[:keep])]
        results = run_model(folder, folder / 'op.safetensors', given, given[0].shape[0])
        for want, got in zip(outputs, results):
            if time:  # (steps, 1, batch, units) and (1, batch, units)
                want = want[:, 0].swapaxes(0, 1) if want.ndim == 4 else want[0]
            if got.size != want.size or not np.allclose(got.reshape(want.shape), want, rtol=1e-4, atol=1e-5, equal_nan=True):
                return False
        return True
    return reason


def test_public_operator_tests(tmp_path):
    if not OPERATORS.exists():
        pytest.skip('libonnx-testdata is not installed')
    same, wrong, refused = [], [], {}
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
        if inputs[0].dtype != np.float32:
            continue
        if any(i.ndim < 1 for i in inputs[:1]):
            continue
        result = try_operator(tmp_path, model, inputs, outputs)
        if result is True:
            same.append(test.name)
        elif result is False:
            wrong.append(test.name)
        else:
            refused[test.name] = result
    print(f'\n{len(same)} operator tests of ONNX run the same, {len(refused)} are refused with a reason')
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


NODE = onnx.helper.make_node
HOSTILE = {
    'a cycle': (model_of([NODE('Add', ['x', 'y'], ['z']), NODE('Relu', ['z'], ['y'])]), 'used before it is computed'),
    'one name twice': (model_of([NODE('Relu', ['x'], ['y']), NODE('Tanh', ['x'], ['y'])]), "two values are named 'y'"),
    'nothing gives it': (model_of([NODE('Relu', ['w'], ['y'])]), "nothing gives 'w'"),
    'data outside': (model_of([NODE('MatMul', ['x', 'w'], ['y'])], [external('w')]), 'outside of the file'),
    'a size that is not there': (model_of([NODE('MatMul', ['x', 'w'], ['y'])], [short('w')]), 'holds 6 elements'),
    'an operator of another domain': (model_of([NODE('Relu', ['x'], ['y'], domain='evil')]), 'none of our ops'),
    'an attribute that is not known': (model_of([NODE('Relu', ['x'], ['y'], leak=1.0)]), "attribute 'leak'"),
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
