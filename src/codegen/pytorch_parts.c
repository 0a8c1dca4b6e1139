/* SPDX-License-Identifier: MIT */
/* pytorch_parts.c - functions and classes that stand in front of a model which needs them: what
 * torch.nn has no module for. Each is written once. */
#include "codegen/pytorch.h"

static const char same_pad[] =
    "def same_pad(x, windows, value=0.0):\n"
    "    \"\"\"TensorFlow's 'same' padding for (kernel, stride) of each axis of an input of any size.\"\"\"\n"
    "    pads = []\n"
    "    for size, (kernel, stride) in zip(x.shape[2:], windows):\n"
    "        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)\n"
    "        pads = [total // 2, total - total // 2] + pads\n"
    "    return F.pad(x, pads, value=value)\n";

static const char masked_mean[] =
    "def masked_mean(x, tokens):\n"
    "    \"\"\"The mean over the steps whose token is not 0; where there is none, 0.\"\"\"\n"
    "    seen = (tokens != 0).unsqueeze(-1)\n"
    "    return x.masked_fill(~seen, 0).sum(dim=1) / seen.sum(dim=1).clamp(min=1)\n";

static const char positions[] =
    "def positions(x):\n"
    "    \"\"\"sin(step / 10000^(2k / size)) at feature 2k, the cosine at 2k + 1 (Vaswani et al. 2017).\"\"\"\n"
    "    steps, size = x.shape[1:]\n"
    "    feature = torch.arange(size, dtype=torch.float64)\n"
    "    even = feature % 2 == 0\n"
    "    rate = 10000 ** (torch.where(even, feature, feature - 1) / size)\n"
    "    angle = torch.arange(steps).unsqueeze(1) / rate\n"
    "    return torch.where(even, angle.sin(), angle.cos()).to(x)\n";

static const char shaped[] =
    "def shaped(y, shape, name):\n"
    "    \"\"\"y, which the network's own Python made, if it has the shape that was declared for it.\"\"\"\n"
    "    sizes = tuple(y.shape[1:])\n"
    "    if len(sizes) != len(shape) or any(m not in (n, None) for n, m in zip(sizes, shape)):\n"
    "        raise ValueError(f'{name} gives {sizes}, declared is {shape}')\n"
    "    return y\n";

static const char gaussian_noise[] =
    "class GaussianNoise(nn.Module):\n"
    "    \"\"\"Adds normal noise while training.\"\"\"\n"
    "\n"
    "    def __init__(self, stddev):\n"
    "        super().__init__()\n"
    "        self.stddev = stddev\n"
    "\n"
    "    def forward(self, x):\n"
    "        return x + self.stddev * torch.randn_like(x) if self.training else x\n";

static const char gaussian_dropout[] =
    "class GaussianDropout(nn.Module):\n"
    "    \"\"\"Multiplies by normal noise around 1 while training (Srivastava et al. 2014).\"\"\"\n"
    "\n"
    "    def __init__(self, rate):\n"
    "        super().__init__()\n"
    "        self.stddev = (rate / (1 - rate)) ** 0.5\n"
    "\n"
    "    def forward(self, x):\n"
    "        return x * (1 + self.stddev * torch.randn_like(x)) if self.training else x\n";

static const char activity[] =
    "class ActivityPenalty(nn.Module):\n"
    "    \"\"\"Passes its input on; penalties() adds self.value, (l1 sum|x| + l2 sum x^2) / rows.\"\"\"\n"
    "\n"
    "    def __init__(self, l1, l2):\n"
    "        super().__init__()\n"
    "        self.l1, self.l2, self.value = l1, l2, 0.0\n"
    "\n"
    "    def forward(self, x):\n"
    "        self.value = (self.l1 * x.abs().sum() + self.l2 * x.square().sum()) / max(len(x), 1)\n"
    "        return x\n";

static const char attention[] =
    "class Attention(nn.Module):\n"
    "    \"\"\"softmax(scores) v in heads side by side; scores are scale (q . k), or scale sum(tanh(q + k)).\n"
    "    A key whose token is 0 gets no weight; where no key is left, all get the same.\"\"\"\n"
    "\n"
    "    def __init__(self, heads=1, scale=1.0, additive=False, learned=0, causal=False, dropout=0.0):\n"
    "        super().__init__()\n"
    "        self.heads, self.factor, self.additive, self.causal = heads, scale, additive, causal\n"
    "        self.scale = nn.Parameter(torch.ones(learned)) if learned else 1.0\n"
    "        self.dropout = nn.Dropout(dropout)\n"
    "\n"
    "    def forward(self, query, key, value, tokens=None):\n"
    "        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (query, key, value))\n"
    "        if self.additive:\n"
    "            scores = (self.scale * torch.tanh(q.unsqueeze(3) + k.unsqueeze(2))).sum(dim=-1)\n"
    "        else:\n"
    "            scores = self.scale * (q @ k.transpose(2, 3))\n"
    "        scores = scores * self.factor\n"
    "        hidden = torch.zeros_like(scores, dtype=torch.bool)\n"
    "        if tokens is not None:\n"
    "            hidden = hidden | (tokens == 0)[:, None, None, :]\n"
    "        if self.causal:\n"
    "            hidden = hidden | torch.ones_like(hidden[0, 0]).triu(1)\n"
    "        scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)\n"
    "        weights = self.dropout(torch.softmax(scores, dim=-1))\n"
    "        return (weights @ v).transpose(1, 2).flatten(2)\n";

static const char recurrent[] =
    "class Recurrent(nn.Module):\n"
    "    \"\"\"A recurrent layer by Keras's definitions, for what nn.LSTM and its kin do not do: other\n"
    "    functions, steps to pass over (their token is 0), dropout of the state. Gates: LSTM i f c o, GRU\n"
    "    z r h. Gives the outputs of all steps, and that of the last one taken.\"\"\"\n"
    "\n"
    "    def __init__(self, kind, input_size, hidden_size, activation, gate=None, bias=True,\n"
    "                 reset_after=False, reverse=False, recurrent_dropout=0.0):\n"
    "        super().__init__()\n"
    "        columns = {'rnn': 1, 'lstm': 4, 'gru': 3}[kind] * hidden_size\n"
    "        self.kind, self.hidden_size = kind, hidden_size\n"
    "        self.reset_after, self.reverse = reset_after, reverse\n"
    "        self.activation, self.gate = activation, gate\n"
    "        self.weight_ih = nn.Parameter(torch.empty(columns, input_size))\n"
    "        self.weight_hh = nn.Parameter(torch.empty(columns, hidden_size))\n"
    "        shape = (2, columns) if reset_after else (columns,)\n"
    "        self.bias = nn.Parameter(torch.zeros(shape)) if bias else None\n"
    "        self.dropout = nn.Dropout(recurrent_dropout)\n"
    "\n"
    "    def forward(self, x, tokens=None):\n"
    "        rows, steps, _ = x.shape\n"
    "        bias = self.bias[0] if self.reset_after and self.bias is not None else self.bias\n"
    "        sums = F.linear(x, self.weight_ih, bias)\n"
    "        states = 2 if self.kind == 'lstm' else 1\n"
    "        state = [sums.new_zeros(rows, self.hidden_size) for _ in range(states)]\n"
    "        keep = self.dropout(torch.ones_like(state[0]))\n"
    "        outputs = [None] * steps\n"
    "        for t in reversed(range(steps)) if self.reverse else range(steps):\n"
    "            new = self.step(sums[:, t], state[0] * keep, *state[1:])\n"
    "            if tokens is not None:\n"
    "                seen = (tokens[:, t] != 0).unsqueeze(1)\n"
    "                new = [torch.where(seen, after, before) for after, before in zip(new, state)]\n"
    "            state = new\n"
    "            outputs[t] = state[0]\n"
    "        return torch.stack(outputs, dim=1), state[0]\n"
    "\n"
    "    def step(self, sums, h, c=None):\n"
    "        if self.kind == 'gru':\n"
    "            return [self.gru(sums, h)]\n"
    "        sums = sums + F.linear(h, self.weight_hh)\n"
    "        if self.kind == 'rnn':\n"
    "            return [self.activation(sums)]\n"
    "        i, f, g, o = sums.chunk(4, dim=1)\n"
    "        c = self.gate(f) * c + self.gate(i) * self.activation(g)\n"
    "        return [self.gate(o) * self.activation(c), c]\n"
    "\n"
    "    def gru(self, sums, h):\n"
    "        n = 2 * self.hidden_size\n"
    "        if self.reset_after:\n"
    "            inner = F.linear(h, self.weight_hh, None if self.bias is None else self.bias[1])\n"
    "            z, r = self.gate(sums[:, :n] + inner[:, :n]).chunk(2, dim=1)\n"
    "            new = self.activation(sums[:, n:] + r * inner[:, n:])\n"
    "        else:\n"
    "            z, r = self.gate(sums[:, :n] + F.linear(h, self.weight_hh[:n])).chunk(2, dim=1)\n"
    "            new = self.activation(sums[:, n:] + F.linear(r * h, self.weight_hh[n:]))\n"
    "        return z * h + (1 - z) * new\n";

static const char conv_lstm[] =
    "class ConvLstm(nn.Module):\n"
    "    \"\"\"An LSTM whose products are convolutions (Shi et al. 2015), of (batch, steps, channels, ...).\n"
    "    Gives the outputs of all steps, and that of the last one taken.\"\"\"\n"
    "\n"
    "    def __init__(self, of_input, of_state, activation, gate, reverse=False, dropout=0.0,\n"
    "                 recurrent_dropout=0.0):\n"
    "        super().__init__()\n"
    "        self.of_input, self.of_state, self.reverse = of_input, of_state, reverse\n"
    "        self.activation, self.gate = activation, gate\n"
    "        self.input_dropout, self.state_dropout = nn.Dropout(dropout), nn.Dropout(recurrent_dropout)\n"
    "\n"
    "    def forward(self, x):\n"
    "        steps = x.shape[1]\n"
    "        keep_x = self.input_dropout(torch.ones_like(x[:, 0]))\n"
    "        outputs, h = [None] * steps, None\n"
    "        for t in reversed(range(steps)) if self.reverse else range(steps):\n"
    "            sums = self.of_input(x[:, t] * keep_x)\n"
    "            if h is None:\n"
    "                h = c = torch.zeros_like(sums.chunk(4, dim=1)[0])\n"
    "                keep_h = self.state_dropout(torch.ones_like(h))\n"
    "            i, f, g, o = (sums + self.of_state(h * keep_h)).chunk(4, dim=1)\n"
    "            c = self.gate(f) * c + self.gate(i) * self.activation(g)\n"
    "            h = outputs[t] = self.gate(o) * self.activation(c)\n"
    "        return torch.stack(outputs, dim=1), h\n";

static const char *const texts[NN_PART_COUNT] = {
    [NN_PART_SAME_PAD] = same_pad,    [NN_PART_MASKED_MEAN] = masked_mean,
    [NN_PART_POSITIONS] = positions,  [NN_PART_SHAPED] = shaped,
    [NN_PART_NOISE] = gaussian_noise, [NN_PART_GAUSSIAN_DROPOUT] = gaussian_dropout,
    [NN_PART_ACTIVITY] = activity,    [NN_PART_ATTENTION] = attention,
    [NN_PART_RECURRENT] = recurrent,  [NN_PART_CONV_LSTM] = conv_lstm,
};

void nn_torch_need(nn_emit *e, nn_torch_part part) {
    e->parts |= 1U << part;
}

void nn_torch_parts(const nn_emit *e, nn_buf *out) {
    for (int i = 0; i < NN_PART_COUNT; i++)
        if (e->parts >> i & 1) nn_buf_printf(out, "\n%s\n", texts[i]);
}
