# SPDX-License-Identifier: MIT
"""The rows of the corpus for TensorFlow (codegen.jsonl; $NEURAL_CORPUS or ../shared/corpus). Every fragment is in the generated
program, except where it contradicts a program that works: those are listed here, and a row that is listed must still fail."""
import json
import os

import pytest
from conftest import ROOT

FILE = (ROOT.parent / 'shared' / 'corpus' if not os.environ.get('NEURAL_CORPUS') else
        __import__('pathlib').Path(os.environ['NEURAL_CORPUS'])) / 'codegen.jsonl'

# The row: what the compiler says instead, or the fragments that are not there; why.
REFUSED = {
    'test_generate_tensorflow_complex': ('must have the same shape', 'the residual adds 64 channels to 3: no program of it can run'),
    'test_tensorflow_layer_generation[LSTM-params1-LSTM(units=128, return_sequ]':
        ('LSTM: expected 2 axes', 'an LSTM takes no picture: Keras refuses it, too'),
    'test_invalid_activation_handling': ('invalid activation', "Keras raises on activation='invalid'"),
    'test_transformer_generation': ('must have steps and features', 'attention needs steps, and the input has one axis'),
    'test_custom_layer_handling': ('QuantumLayer', 'a layer that nobody can run is refused, not left out with a warning'),
}
OTHERWISE = {
    'test_shape_propagation': ({'input_shape=(28, 28, 1)': 'keras.Input(shape=(28, 28, 1))'},
                               'input_shape is of Sequential, and Keras 3 advises against it'),
}


def rows():
    if not FILE.exists():
        return []
    return [r for r in map(json.loads, FILE.read_text().splitlines()) if r['backend'] == 'tensorflow']


@pytest.mark.skipif(not FILE.exists(), reason='no corpus')
@pytest.mark.parametrize('row', rows(), ids=lambda r: r['id'].split(':')[1])
def test_row(neural, row):
    name = row['id'].split(':')[1]
    (neural.folder / 'row.json').write_text(json.dumps(row['model_data']))
    done = neural.run('compile', 'row.json', '-b', 'tensorflow', '-o', '-', ok=False)
    if name in REFUSED:
        assert done.returncode and REFUSED[name][0] in done.stderr
        return
    assert done.returncode == 0, done.stderr
    compile(done.stdout, 'row.py', 'exec')
    instead = OTHERWISE.get(name, ({},))[0]
    for fragment in row['contains']:
        assert instead.get(fragment, fragment) in done.stdout
        assert fragment not in instead or fragment not in done.stdout.replace(instead[fragment], '')
    for fragment in row['lacks']:
        assert fragment not in done.stdout
    for fragment, count in row['counts']:
        assert done.stdout.count(fragment) == count


@pytest.mark.skipif(not FILE.exists(), reason='no corpus')
def test_listed_rows_exist():
    assert {r['id'].split(':')[1] for r in rows()} >= {*REFUSED, *OTHERWISE}
