# SPDX-License-Identifier: MIT
"""Weights between PyTorch and Neural: a state_dict that torch made, imported, computes what torch computes; exported again, it
loads with strict=True and is the same to the bit."""
import json
import pathlib
import shutil
import struct
import subprocess

import numpy as np
import pytest
import torch

PROGRAMS = {
    'dense': ('(5,)', 'Dense(7, relu) Dense(3, use_bias=false)'),
    'softmax': ('(5,)', 'Dense(4, softmax)'),
    'conv': ('(9, 8, 4)', 'Conv2D(6, (3, 2), padding=same, groups=2) BatchNormalization() Flatten() Dense(3)'),
    'conv1d': ('(9, 4)', 'Conv1D(6, 3) GlobalMaxPooling1D()'),
    'conv3d': ('(5, 4, 6, 2)', 'Conv3D(3, 2) Flatten() Dense(2)'),
    'transposed': ('(5, 4, 3)', 'Conv2DTranspose(6, (3, 2), strides=2, groups=3)'),
    'separable': ('(8, 9, 4)', 'SeparableConv2D(6, 3) DepthwiseConv2D(2, depth_multiplier=2)'),
    'norms without': ('(6, 4)', 'BatchNormalization(center=false) BatchNormalization(scale=false) '
                      'BatchNormalization(center=false, scale=false)'),
    'norms': ('(5, 6)', 'LayerNormalization() LayerNormalization(scale=false) GroupNormalization(groups=3, center=false)'),
    'prelu': ('(4, 5, 3)', 'PReLU() PReLU(shared_axes=(1, 2)) PReLU(shared_axes=(1, 3))'),
    'rnn': ('(6, 3)', 'SimpleRNN(4, return_sequences=true) SimpleRNN(4, use_bias=false)'),
    'lstm': ('(6, 3)', 'LSTM(4, return_sequences=true) LSTM(5, go_backwards=true)'),
    'gru': ('(6, 3)', 'GRU(4, return_sequences=true) GRU(5, reset_after=false, return_sequences=true) GRU(3, use_bias=false)'),
    'loops': ('(6, 3)', 'LSTM(4, activation=relu, return_sequences=true) GRU(4, activation=gelu)'),
    'both ways': ('(6, 3)', 'Bidirectional(GRU(4, return_sequences=true)) Bidirectional(LSTM(3))'),
    'conv lstm': ('(4, 6, 5, 2)', 'ConvLSTM2D(3, 2)'),
    'attention': ('(5, 8)', 'TransformerEncoder(2, 16) Attention(use_scale=true) AdditiveAttention(use_scale=true)'),
    'positions': ('(5, 8)', 'PositionalEncoding(9, encoding_type=learnable) Dense(2)'),
    'folded': ('(3, 6, 7, 2)', 'TimeDistributed(Conv2D(4, (3, 2))) TimeDistributed(Flatten()) TimeDistributed(Dense(3)) LSTM(2)'),
    'branches': ('(4,)', 'ResidualConnection { Dense(6, relu) Dense(4) } Dense(2)'),
}
RNG = np.random.default_rng(11)


def program(name):
    shape, layers = PROGRAMS[name]
    return f'network N {{ input: {shape} layers: {layers} loss: mse }}'


def make(module):
    return next(v for v in vars(module).values() if isinstance(v, type) and hasattr(v, 'predict'))()


def disturb(model):
    """Every parameter that trains, and moving statistics, drawn."""
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.copy_(torch.tensor(RNG.normal(size=tuple(p.shape)) * 0.5))
        for name, b in model.named_buffers():
            if 'running' in name:
                b.copy_(torch.tensor(RNG.uniform(0.5, 1.5, size=tuple(b.shape))))


KINDS = {torch.float32: ('F32', '<f4'), torch.int64: ('I64', '<i8')}


def save(path, state):
    """By the format's description; nothing of ours is asked."""
    header, data = {}, b''
    for name, t in sorted(state.items(), key=lambda x: x[1].dtype is torch.float32):  # 8 bytes first
        kind, dtype = KINDS[t.dtype]
        raw = t.detach().contiguous().numpy().astype(dtype).tobytes()
        header[name] = {'dtype': kind, 'shape': list(t.shape), 'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    path.write_bytes(struct.pack('<Q', len(text)) + text + data)


def load(path):
    raw = path.read_bytes()
    size, = struct.unpack_from('<Q', raw)
    header = json.loads(raw[8:8 + size])
    assert header.pop('__metadata__') == {'format': 'pt'}
    dtypes = {kind: dtype for kind, dtype in KINDS.values()}
    return {name: torch.tensor(np.frombuffer(raw[8 + size:][slice(*t['data_offsets'])], dtypes[t['dtype']]).reshape(t['shape']).copy())
            for name, t in header.items()}


@pytest.mark.parametrize('name', PROGRAMS)
def test_there_and_back(neural, name):
    module = neural.load(program(name))
    model = make(module)
    disturb(model)
    folder = neural.folder
    (folder / 'n.neural').write_text(program(name))
    save(folder / 'torch.safetensors', model.state_dict())
    neural.run('import', 'torch.safetensors', '--into', 'n.neural', '-o', 'm.safetensors')

    shape = eval(PROGRAMS[name][0])
    x = RNG.normal(size=(3, *shape)).astype('f4')
    np.save(folder / 'x.npy', x)
    rows = json.loads(neural.run('predict', 'm.safetensors', '--input', 'x.npy', '--json', '--engine', 'reference').stdout)
    want = model.predict(torch.tensor(x))
    got = np.array([r['outputs'] for r in rows]).reshape(want.shape)
    assert np.linalg.norm(got - want.numpy()) <= 5e-5 * max(np.linalg.norm(want.numpy()), 1e-3)

    neural.run('export', 'm.safetensors', '--format', 'pytorch', '-o', 'back.safetensors')
    back, fresh = load(folder / 'back.safetensors'), make(module)
    fresh.load_state_dict(back, strict=True)
    assert all(torch.equal(back[k], v) for k, v in model.state_dict().items())
    assert torch.equal(fresh.predict(torch.tensor(x)), want)


def test_into_a_model(neural):
    """Weights alone change: what the file knows besides stays, what is said of the old weights goes."""
    folder, text = neural.folder, program('conv')
    module = neural.load(text)
    model = make(module)
    (folder / 'n.neural').write_text(text)
    save(folder / 'a.safetensors', model.state_dict())
    neural.run('import', 'a.safetensors', '--into', 'n.neural')
    first = (folder / 'n.safetensors').read_bytes()
    neural.run('verify', 'n.safetensors', '--backends', 'reference,native')
    disturb(model)
    save(folder / 'b.safetensors', model.state_dict())
    neural.run('import', 'b.safetensors', '--into', 'n.safetensors')
    second = (folder / 'n.safetensors').read_bytes()
    assert second != first and b'certificate' not in second and b'network N' in second
    neural.run('import', 'a.safetensors', '--into', 'n.safetensors')
    assert (folder / 'n.safetensors').read_bytes() == first


def test_every_name_that_is_wrong_is_listed(neural):
    folder, text = neural.folder, program('norms without')
    state = make(neural.load(text)).state_dict()
    (folder / 'n.neural').write_text(text)
    del state['batch_normalization_1.running_mean'], state['batch_normalization_3.running_var']
    state['other.weight'] = state['more.weight'] = torch.zeros(2)
    state['batch_normalization_2.running_var'] = torch.zeros(5)
    state['batch_normalization_1.bias'] = torch.full((4,), 0.5)  # center=false: we have no such weight
    save(folder / 'bad.safetensors', state)
    done = neural.run('import', 'bad.safetensors', '--into', 'n.neural', ok=False)
    assert done.returncode == 1 and not (folder / 'n.safetensors').exists()
    assert '2 missing, 2 unexpected, 2 that do not fit' in done.stderr
    for line in ('missing: batch_normalization_1.running_mean (4,)', 'missing: batch_normalization_3.running_var (4,)',
                 'unexpected: other.weight', 'unexpected: more.weight',
                 'batch_normalization_2.running_var is F32 (5,), expected F32 (4,)', 'batch_normalization_1.bias is not 0 everywhere'):
        assert line in done.stderr


NODE = pathlib.Path(__file__).resolve().parents[1] / 'node'


def ask_node(script, model, x, folder):
    """The first output of a script of tests/node."""
    x.tofile(folder / 'x.raw')
    request = {'model': str(model), 'outputs': str(folder / 'out'),
               'inputs': [{'name': 'input', 'type': 'float32', 'dims': list(x.shape), 'file': str(folder / 'x.raw')}]}
    done = subprocess.run(['node', NODE / script], input=json.dumps(request) + '\n', capture_output=True, text=True, timeout=100,
                          check=True)
    reply = json.loads(done.stdout)
    assert 'error' not in reply, reply
    return np.fromfile(reply['outputs'][0]['file'], '<f4').reshape(reply['outputs'][0]['dims'])


@pytest.mark.parametrize('form,script,package', [('onnx', 'run_onnx.js', 'onnxruntime-node'),
                                                 ('keras', 'run_tfjs.js', '@tensorflow/tfjs')])
@pytest.mark.parametrize('name', ['dense', 'conv', 'lstm'])
def test_weights_of_torch_in_other_runtimes(neural, name, form, script, package):
    """From torch to us, and from us on: torch's own outputs are what is expected."""
    if not shutil.which('node') or not (NODE / 'node_modules' / package).exists():
        pytest.skip(f'{package} is not installed: make deps SECTIONS=check')
    folder = neural.folder
    model = make(neural.load(program(name)))
    disturb(model)
    (folder / 'n.neural').write_text(program(name))
    save(folder / 'a.safetensors', model.state_dict())
    neural.run('import', 'a.safetensors', '--into', 'n.neural')
    out = folder / ('made.onnx' if form == 'onnx' else 'made.json')
    neural.run('export', 'n.safetensors', '--format', form, '-o', out.name)
    x = RNG.normal(size=(3, *eval(PROGRAMS[name][0]))).astype('f4')
    want = model.predict(torch.tensor(x)).numpy()
    got = ask_node(script, out, x, folder)
    assert got.shape == want.shape and np.linalg.norm(got - want) <= 5e-5 * np.linalg.norm(want)


def test_formats(neural):
    assert neural.run('export', 'n.safetensors', '--format', 'nonsense', ok=False).returncode == 2
    assert neural.run('export', 'none.safetensors', ok=False).returncode == 3


TWO = """network T { input: { image: (4, 3) meta: (2,) }
  layers: image: { Flatten() Dense(5, tanh) } meta: { Dense(5) } Add() Dense(2) }"""


def test_rows_of_several_inputs(neural):
    folder = neural.folder
    model = make(neural.load(TWO))
    disturb(model)
    (folder / 't.neural').write_text(TWO)
    save(folder / 'a.safetensors', model.state_dict())
    neural.run('import', 'a.safetensors', '--into', 't.neural')
    image, meta = RNG.normal(size=(3, 4, 3)).astype('f4'), RNG.normal(size=(3, 2)).astype('f4')
    np.save(folder / 'image.npy', image)
    (folder / 'meta.json').write_text(json.dumps(meta.tolist()))
    (folder / 'both.json').write_text(json.dumps({'meta': meta.tolist(), 'image': image.tolist()}))
    one = neural.run('predict', 't.safetensors', '--input', 'image=image.npy', '--input', 'meta=meta.json', '--json').stdout
    two = neural.run('predict', 't.safetensors', '--input', 'both.json', '--json').stdout
    got = np.array([r['outputs'] for r in json.loads(one)])
    want = model.predict(torch.tensor(image), torch.tensor(meta)).numpy()
    assert one == two and np.abs(got - want).max() < 1e-5

    np.save(folder / 'few.npy', meta[:2])
    for given, said in ((('image.npy',), 'image, meta'), (('image=image.npy',), "'meta' is not given"),
                        (('other=image.npy',), "'other' is not an input"),
                        (('image=image.npy', 'meta=few.npy'), "'meta' has 2 rows, 'image' has 3")):
        done = neural.run('predict', 't.safetensors', *(a for g in given for a in ('--input', g)), ok=False)
        assert done.returncode and said in done.stderr, done
