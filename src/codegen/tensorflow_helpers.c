/* SPDX-License-Identifier: MIT */
/* tensorflow_helpers.c - layers and functions that Keras has not, or not in every version, as text
 * that the generated program holds where the network needs them. */
#include "codegen/tensorflow.h"

#include <string.h>

typedef struct helper {
    const char *name, *text;
} helper;

/* clang-format off */
static const helper helpers[] = {
    {"Clip",
     "@keras.utils.register_keras_serializable(package='neural')\n"
     "class Clip(layers.Layer):\n"
     "    \"\"\"Each element between two bounds.\"\"\"\n"
     "\n"
     "    def __init__(self, low=None, high=None, **kwargs):\n"
     "        super().__init__(**kwargs)\n"
     "        self.low, self.high = low, high\n"
     "\n"
     "    def call(self, x):\n"
     "        if self.low is not None:\n"
     "            x = tf.maximum(x, tf.cast(self.low, x.dtype))\n"
     "        return x if self.high is None else tf.minimum(x, tf.cast(self.high, x.dtype))\n"
     "\n"
     "    def compute_output_shape(self, input_shape):\n"
     "        return input_shape\n"
     "\n"
     "    def get_config(self):\n"
     "        return {**super().get_config(), 'low': self.low, 'high': self.high}\n"},
    {"Reverse",
     "@keras.utils.register_keras_serializable(package='neural')\n"
     "class Reverse(layers.Layer):\n"
     "    \"\"\"One axis in the opposite order.\"\"\"\n"
     "\n"
     "    def __init__(self, axis, **kwargs):\n"
     "        super().__init__(**kwargs)\n"
     "        self.axis = axis\n"
     "\n"
     "    def call(self, x):\n"
     "        return tf.reverse(x, [self.axis])\n"
     "\n"
     "    def compute_output_shape(self, input_shape):\n"
     "        return input_shape\n"
     "\n"
     "    def get_config(self):\n"
     "        return {**super().get_config(), 'axis': self.axis}\n"},
    {"PaddedPooling",
     "@keras.utils.register_keras_serializable(package='neural')\n"
     "class PaddedPooling(layers.Layer):\n"
     "    \"\"\"A pool whose windows reach into padding, which does not count.\"\"\"\n"
     "\n"
     "    def __init__(self, pool_size, strides=None, padding=0, dilation_rate=1, mode='max', **kwargs):\n"
     "        super().__init__(**kwargs)\n"
     "        self.arguments = {'pool_size': pool_size, 'strides': pool_size if strides is None else strides,\n"
     "                          'padding': padding, 'dilation_rate': dilation_rate, 'mode': mode}\n"
     "\n"
     "    def call(self, x):\n"
     "        a, n = self.arguments, len(x.shape) - 2\n"
     "        size, strides, rate = ([v] * n if isinstance(v, int) else list(v)\n"
     "                               for v in (a['pool_size'], a['strides'], a['dilation_rate']))\n"
     "        pads = [a['padding']] if n == 1 else a['padding']\n"
     "        pads = [(0, 0), *(tuple(p) for p in pads), (0, 0)]\n"
     "        if a['mode'] == 'max':\n"
     "            x = tf.pad(x, pads, constant_values=x.dtype.min)\n"
     "            return tf.nn.pool(x, size, 'MAX', strides, 'VALID', dilations=rate)\n"
     "        total = tf.nn.pool(tf.pad(x, pads), size, 'AVG', strides, 'VALID', dilations=rate)\n"
     "        return total / tf.nn.pool(tf.pad(tf.ones_like(x), pads), size, 'AVG', strides, 'VALID', dilations=rate)\n"
     "\n"
     "    def get_config(self):\n"
     "        return {**super().get_config(), **self.arguments}\n"},
    {"AdaptivePooling",
     "@keras.utils.register_keras_serializable(package='neural')\n"
     "class AdaptivePooling(layers.Layer):\n"
     "    \"\"\"As many windows an axis as asked for: i of n over d goes from floor(i d / n) to ceil((i + 1) d / n).\"\"\"\n"
     "\n"
     "    def __init__(self, output_size, mode='average', **kwargs):\n"
     "        super().__init__(**kwargs)\n"
     "        self.output_size, self.mode = output_size, mode\n"
     "\n"
     "    def call(self, x):\n"
     "        reduce = tf.reduce_max if self.mode == 'max' else tf.reduce_mean\n"
     "        for axis, n in enumerate(self.output_size, 1):\n"
     "            d = tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]\n"
     "            parts = []\n"
     "            for i in range(n):\n"
     "                begin, end = i * d // n, -(-(i + 1) * d // n)\n"
     "                parts.append(reduce(tf.gather(x, tf.range(begin, end), axis=axis), axis=axis))\n"
     "            x = tf.stack(parts, axis=axis)\n"
     "        return x\n"
     "\n"
     "    def compute_output_shape(self, input_shape):\n"
     "        return (input_shape[0], *self.output_size, input_shape[-1])\n"
     "\n"
     "    def get_config(self):\n"
     "        return {**super().get_config(), 'output_size': self.output_size, 'mode': self.mode}\n"},
    {"PositionalEncoding",
     "@keras.utils.register_keras_serializable(package='neural')\n"
     "class PositionalEncoding(layers.Layer):\n"
     "    \"\"\"Adds the sines and cosines of each step's place (Vaswani et al. 2017).\"\"\"\n"
     "\n"
     "    def call(self, x):\n"
     "        steps, size = tf.shape(x)[1], x.shape[2]\n"
     "        places = tf.cast(tf.range(steps)[:, None], 'float32')\n"
     "        pairs = np.arange(size) // 2 * 2\n"
     "        angles = places / np.power(10000.0, pairs / size).astype('float32')\n"
     "        return x + tf.cast(tf.where(np.arange(size) % 2 == 0, tf.sin(angles), tf.cos(angles)), x.dtype)\n"
     "\n"
     "    def compute_output_shape(self, input_shape):\n"
     "        return input_shape\n"},
    {"LearnedPositions",
     "@keras.utils.register_keras_serializable(package='neural')\n"
     "class LearnedPositions(layers.Layer):\n"
     "    \"\"\"Adds a learned row for each step's place.\"\"\"\n"
     "\n"
     "    def __init__(self, max_len, embeddings_initializer='uniform', **kwargs):\n"
     "        super().__init__(**kwargs)\n"
     "        self.max_len = max_len\n"
     "        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)\n"
     "\n"
     "    def build(self, input_shape):\n"
     "        self.embeddings = self.add_weight(name='embeddings', shape=(self.max_len, input_shape[-1]),\n"
     "                                          initializer=self.embeddings_initializer)\n"
     "\n"
     "    def call(self, x):\n"
     "        return x + tf.cast(self.embeddings[:tf.shape(x)[1]], x.dtype)\n"
     "\n"
     "    def compute_output_shape(self, input_shape):\n"
     "        return input_shape\n"
     "\n"
     "    def get_config(self):\n"
     "        return {**super().get_config(), 'max_len': self.max_len,\n"
     "                'embeddings_initializer': keras.initializers.serialize(self.embeddings_initializer)}\n"},
    {"HeadsAttention",
     "@keras.utils.register_keras_serializable(package='neural')\n"
     "class HeadsAttention(layers.Layer):\n"
     "    \"\"\"softmax(q k^T scale) v in heads; inputs are query, key, value and, where keys are padded, their tokens.\"\"\"\n"
     "\n"
     "    def __init__(self, heads, scale, causal=False, additive=False, use_scale=False, dropout=0.0, **kwargs):\n"
     "        super().__init__(**kwargs)\n"
     "        self.arguments = {'heads': heads, 'scale': scale, 'causal': causal, 'additive': additive,\n"
     "                          'use_scale': use_scale, 'dropout': dropout}\n"
     "        self.drop = layers.Dropout(rate=dropout)\n"
     "\n"
     "    def build(self, input_shape):\n"
     "        if self.arguments['use_scale']:\n"
     "            size = input_shape[0][-1] if self.arguments['additive'] else 1\n"
     "            self.scale = self.add_weight(name='scale', shape=(size,), initializer='ones')\n"
     "\n"
     "    def call(self, inputs, training=None):\n"
     "        a = self.arguments\n"
     "        shapes = [tf.shape(x) for x in inputs[:3]]\n"
     "        q, k, v = (tf.transpose(tf.reshape(x, (s[0], s[1], a['heads'], x.shape[-1] // a['heads'])), (0, 2, 1, 3))\n"
     "                   for x, s in zip(inputs[:3], shapes))\n"
     "        factor = self.scale if a['use_scale'] else 1.0\n"
     "        if a['additive']:\n"
     "            scores = tf.reduce_sum(factor * tf.tanh(q[:, :, :, None] + k[:, :, None]), axis=-1)\n"
     "        else:\n"
     "            scores = tf.matmul(q, k, transpose_b=True) * factor * a['scale']\n"
     "        if a['causal']:\n"
     "            scores += -1e9 * tf.cast(tf.range(shapes[1][1])[None, :] > tf.range(shapes[0][1])[:, None], scores.dtype)\n"
     "        if len(inputs) > 3:\n"
     "            scores += -1e9 * tf.cast(tf.equal(inputs[3], 0), scores.dtype)[:, None, None, :]\n"
     "        y = tf.matmul(self.drop(tf.nn.softmax(scores), training=training), v)\n"
     "        width = a['heads'] * v.shape[-1]\n"
     "        return tf.reshape(tf.transpose(y, (0, 2, 1, 3)), (shapes[0][0], shapes[0][1], width))\n"
     "\n"
     "    def compute_output_shape(self, input_shape):\n"
     "        return (*input_shape[0][:-1], input_shape[2][-1])\n"
     "\n"
     "    def get_config(self):\n"
     "        return {**super().get_config(), **self.arguments}\n"},
    {"relu6",
     "@keras.utils.register_keras_serializable(package='neural')\n"
     "def relu6(x):\n"
     "    return tf.nn.relu6(x)\n"},
    {"leaky_relu",
     "@keras.utils.register_keras_serializable(package='neural')\n"
     "def leaky_relu(x):\n"
     "    return tf.nn.leaky_relu(x, alpha=0.3)\n"},
    {"hard_sigmoid",
     "@keras.utils.register_keras_serializable(package='neural')\n"
     "def hard_sigmoid(x):\n"
     "    return tf.nn.relu6(x + 3.0) / 6.0\n"},
    {"log_sigmoid",
     "@keras.utils.register_keras_serializable(package='neural')\n"
     "def log_sigmoid(x):\n"
     "    return tf.math.log_sigmoid(x)\n"},
    {"hard_tanh",
     "@keras.utils.register_keras_serializable(package='neural')\n"
     "def hard_tanh(x):\n"
     "    return tf.clip_by_value(x, -1.0, 1.0)\n"},
    {"hard_swish",
     "@keras.utils.register_keras_serializable(package='neural')\n"
     "def hard_swish(x):\n"
     "    return x * tf.nn.relu6(x + 3.0) / 6.0\n"},
};
/* clang-format on */

enum { N_HELPERS = sizeof helpers / sizeof *helpers };

bool nn_tf_helper(nn_tf *e, const char *name) {
    for (int i = 0; i < N_HELPERS; i++)
        if (strcmp(helpers[i].name, name) == 0) {
            e->helpers |= UINT64_C(1) << i;
            return true;
        }
    return false;
}

void nn_tf_put_helpers(const nn_tf *e, nn_buf *out) {
    for (int i = 0; i < N_HELPERS; i++)
        if (e->helpers >> i & 1) nn_buf_printf(out, "\n\n%s", helpers[i].text);
}
