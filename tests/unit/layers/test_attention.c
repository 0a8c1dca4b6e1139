/* SPDX-License-Identifier: MIT */
/* Attention, AdditiveAttention, MultiHeadAttention, the transformers and PositionalEncoding. The
 * counts of weights are those of torch.nn.MultiheadAttention, TransformerEncoderLayer and
 * TransformerDecoderLayer (PyTorch 1.13). */
#include "hand.h"

static int64_t params_of(const nn_graph *g) {
    int64_t n = 0;
    for (int i = 0; i < g->n_nodes; i++) n += nn_node_params(g, &g->nodes[i], false);
    return n;
}

static const nn_node *node_named(const nn_graph *g, const char *name) {
    for (int i = 0; i < g->n_nodes; i++)
        if (strcmp(g->nodes[i].name, name) == 0) return &g->nodes[i];
    fail_msg("no node '%s'", name);
    return NULL;
}

static int count_op(const nn_graph *g, nn_op op) {
    int n = 0;
    for (int i = 0; i < g->n_nodes; i++) n += g->nodes[i].op == op;
    return n;
}

static void word(hand *h, const char *name, const char *value) {
    hand_arg(h, name)->s = value;
}
static void number(hand *h, const char *name, double value) {
    nn_bound *b = hand_arg(h, name);
    b->i = (int64_t)value;
    b->f = value;
}
static void flag(hand *h, const char *name, bool value) {
    hand_arg(h, name)->b = value;
}

/* Builds, and checks the output's shape and the number of weights; the graph stays. */
static const nn_graph *comes_to(hand *h, nn_shape shape, int64_t params) {
    CHECK_OK(hand_build(h), &h->err);
    char a[160], b[160];
    assert_string_equal(nn_shape_print(&h->c.graph->nodes[h->out].shape, false, a, sizeof a),
                        nn_shape_print(&shape, false, b, sizeof b));
    assert_int_equal(params_of(h->c.graph), params);
    CHECK_OK(nn_graph_add_output(h->c.graph, h->out, &h->err), &h->err);
    CHECK_OK(nn_graph_check(h->c.graph, &h->err), &h->err); /* every weight is there */
    return h->c.graph;
}

/* Adds the tokens (steps) of which 0 is padding. */
static int add_tokens(hand *h, int64_t steps) {
    int id;
    nn_node_spec s = {
        .op = NN_OP_INPUT,
        .name = "tokens",
        .layer = "Input",
        .layer_name = "tokens",
        .shape = {1, {steps}}
    };
    CHECK_OK(nn_graph_add(h->c.graph, &s, &id, &h->err), &h->err);
    h->c.mask = h->out_mask = id;
    return id;
}

/* ---- Attention, AdditiveAttention ---- */

TEST(attention_takes_value_and_key_in_kerass_order) {
    hand h;
    HAND(&h, "Attention", SHAPE(6, 8), SHAPE(4, 5), SHAPE(4, 8)); /* query, value, key */
    hand_gives(&h, "%3 = attention(%0, %2, %1) x : (batch, 6, 5)\n");
    HAND(&h, "Attention", SHAPE(6, 8), SHAPE(4, 8)); /* the value is the key */
    hand_gives(&h, "%2 = attention(%0, %1, %1) x : (batch, 6, 8)\n");
    HAND(&h, "Attention", SHAPE(6, 8));
    flag(&h, "causal", true);
    flag(&h, "use_scale", true);
    number(&h, "dropout", 0.25);
    hand_gives(&h, "%1 = attention(%0, %0, %0) x causal use_scale dropout=0.25 : (batch, 6, 8) "
                   "[scale (1,)]\n");
}

TEST(attention_starts_its_scale_at_one) {
    hand h;
    HAND(&h, "Attention", SHAPE(6, 8));
    flag(&h, "use_scale", true);
    const nn_graph *g = comes_to(&h, SHAPE(6, 8), 1);
    assert_int_equal(g->weights[0].init.kind, NN_INIT_ONES);
    CHECK(g->weights[0].trainable);
    hand_done(&h);
}

TEST(additive_attention_scales_each_feature) {
    hand h;
    HAND(&h, "AdditiveAttention", SHAPE(6, 8), SHAPE(4, 8));
    hand_gives(&h, "%2 = attention(%0, %1, %1) x additive use_scale : (batch, 6, 8) "
                   "[scale (8,)]\n");
    HAND(&h, "AdditiveAttention", SHAPE(6, 8));
    flag(&h, "use_scale", false);
    comes_to(&h, SHAPE(6, 8), 0);
    hand_done(&h);
}

TEST(attention_refuses_what_it_cannot_do) {
    hand h;
    HAND(&h, "Attention", SHAPE(6, 8));
    flag(&h, "return_attention_scores", true);
    hand_fails(&h, NN_E_UNSUPPORTED, "return_attention_scores",
               "return_attention_scores=true is not supported: a layer has one output");
    HAND(&h, "Attention", SHAPE(6, 8));
    word(&h, "score_mode", "concat");
    hand_fails(&h, NN_E_UNSUPPORTED, "score_mode",
               "score_mode=concat is not supported: Attention multiplies query and key");
    HAND(&h, "Attention", SHAPE(8));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "the query must have steps and features: expected (steps, features), got (8,)");
    HAND(&h, "Attention", SHAPE(6, 7, 8));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "the query must be one sequence: expected (steps, features), got (6, 7, 8)");
    HAND(&h, "Attention", SHAPE(6, 8), SHAPE(4, 7));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "the query (6, 8) has 8 features, the key (4, 7) has 7: they are compared, so they "
               "must be equal");
    assert_string_equal(h.err.hint, "put Dense(8) on the key");
    HAND(&h, "Attention", SHAPE(6, 8), SHAPE(4, 8), SHAPE(5, 8));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "value (4, 8) has 4 steps, key (5, 8) has 5: each value needs its key");
    HAND(&h, "Attention", SHAPE(6, NN_DIM_UNKNOWN));
    hand_fails(&h, NN_E_DSL_ERROR, NULL, "the query (6, ?) must have a known number of features");
}

TEST(padding_is_that_of_the_keys) {
    hand h;
    HAND(&h, "Attention", SHAPE(6, 8));
    add_tokens(&h, 6);
    const nn_graph *g = comes_to(&h, SHAPE(6, 8), 0);
    assert_int_equal(g->nodes[h.out].n_inputs, 4);
    assert_int_equal(g->nodes[h.out].inputs[3], h.c.mask);
    hand_done(&h);
    HAND(&h, "Attention", SHAPE(6, 8), SHAPE(4, 8)); /* the tokens are those of the query */
    add_tokens(&h, 6);
    assert_int_equal(comes_to(&h, SHAPE(6, 8), 0)->nodes[h.out].n_inputs, 3);
    hand_done(&h);
    HAND(&h, "MultiHeadAttention", SHAPE(6, 8), SHAPE(6, 8));
    number(&h, "num_heads", 2);
    number(&h, "key_dim", 4);
    add_tokens(&h, 6);
    h.inputs[1] = h.inputs[0]; /* one node twice is self-attention */
    g = comes_to(&h, SHAPE(6, 8), 288);
    assert_int_equal(node_named(g, "x")->n_inputs, 4);
    hand_done(&h);
}

/* ---- MultiHeadAttention ---- */

TEST(multi_head_attention) {
    hand h;
    HAND(&h, "MultiHeadAttention", SHAPE(6, 8));
    number(&h, "num_heads", 2);
    number(&h, "key_dim", 4); /* scale 1 / sqrt(4) */
    hand_gives(&h,
               "%1 = matmul(%0) x.query units=8 bias : (batch, 6, 8) [kernel (8, 8), bias (8,)]\n"
               "%2 = matmul(%0) x.key units=8 bias : (batch, 6, 8) [kernel (8, 8), bias (8,)]\n"
               "%3 = matmul(%0) x.value units=8 bias : (batch, 6, 8) [kernel (8, 8), bias (8,)]\n"
               "%4 = attention(%1, %2, %3) x heads=2 scale=0.5 : (batch, 6, 8)\n"
               "%5 = matmul(%4) x.output units=8 bias : (batch, 6, 8) [kernel (8, 8), bias "
               "(8,)]\n");
}

/* 3 (d h k + h k) + h k d + d, and torch's count, where h k = d. */
TEST(multi_head_attention_counts) {
    hand h;
    HAND(&h, "MultiHeadAttention", SHAPE(6, 64));
    number(&h, "num_heads", 8);
    number(&h, "key_dim", 8);
    comes_to(&h, SHAPE(6, 64), 16640);
    hand_done(&h);
    HAND(&h, "MultiHeadAttention", SHAPE(6, 64));
    number(&h, "num_heads", 8);
    number(&h, "key_dim", 8);
    flag(&h, "use_bias", false);
    comes_to(&h, SHAPE(6, 64), 16384);
    hand_done(&h);
    HAND(&h, "MultiHeadAttention", SHAPE(6, 10)); /* 3 (10 * 6 + 6) + 6 * 10 + 10 */
    number(&h, "num_heads", 2);
    number(&h, "key_dim", 3);
    comes_to(&h, SHAPE(6, 10), 268);
    hand_done(&h);
}

/* torch.nn.MultiheadAttention(8, 2, kdim=5, vdim=6): 248. */
TEST(multi_head_attention_of_three_inputs) {
    hand h;
    HAND(&h, "MultiHeadAttention", SHAPE(6, 8), SHAPE(4, 6), SHAPE(4, 5)); /* query, value, key */
    number(&h, "num_heads", 2);
    number(&h, "key_dim", 4);
    const nn_graph *g = comes_to(&h, SHAPE(6, 8), 248);
    assert_int_equal(node_named(g, "x.key")->inputs[0], h.inputs[2]);
    assert_int_equal(node_named(g, "x.value")->inputs[0], h.inputs[1]);
    hand_done(&h);
}

/* Heads of 3 for the value: kernels 8*8+8, 8*8+8, 8*6+6, 6*5+5 = 233. */
TEST(multi_head_attention_sizes_of_its_own) {
    hand h;
    HAND(&h, "MultiHeadAttention", SHAPE(6, 8));
    number(&h, "num_heads", 2);
    number(&h, "key_dim", 4);
    number(&h, "value_dim", 3);
    HAND_INTS(&h, "output_shape", 5);
    const nn_graph *g = comes_to(&h, SHAPE(6, 5), 233);
    CHECK(node_named(g, "x")->shape.dim[1] == 6);
    hand_done(&h);
}

TEST(multi_head_attention_over_an_image) {
    hand h;
    HAND(&h, "MultiHeadAttention", SHAPE(3, 5, 8));
    number(&h, "num_heads", 2);
    number(&h, "key_dim", 4);
    const nn_graph *g = comes_to(&h, SHAPE(3, 5, 8), 288);
    CHECK(node_named(g, "x")->shape.dim[0] == 15);
    hand_done(&h);
    HAND(&h, "MultiHeadAttention", SHAPE(NN_DIM_UNKNOWN, 5, 8));
    number(&h, "num_heads", 2);
    number(&h, "key_dim", 4);
    comes_to(&h, SHAPE(NN_DIM_UNKNOWN, 5, 8), 288);
    hand_done(&h);
    HAND(&h, "MultiHeadAttention", SHAPE(NN_DIM_UNKNOWN, NN_DIM_UNKNOWN, 8));
    number(&h, "num_heads", 2);
    number(&h, "key_dim", 4);
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "the query (?, ?, 8): of several axes of steps only one may have an unknown size");
}

TEST(multi_head_attention_penalises_its_output) {
    hand h;
    HAND(&h, "MultiHeadAttention", SHAPE(6, 8));
    number(&h, "num_heads", 2);
    number(&h, "key_dim", 4);
    hand_arg(&h, "activity_regularizer")->reg.l2 = 0.5;
    const nn_graph *g = comes_to(&h, SHAPE(6, 8), 288);
    assert_int_equal(g->nodes[h.out].op, NN_OP_ACTIVITY_REG);
    hand_done(&h);
}

TEST(multi_head_attention_refuses) {
    hand h;
    HAND(&h, "MultiHeadAttention", SHAPE(6, 8));
    number(&h, "num_heads", 65536);
    number(&h, "key_dim", 65536);
    hand_fails(&h, NN_E_DSL_ERROR, NULL, "65536 heads of 65536 are more than 2147483647 features");
    HAND(&h, "MultiHeadAttention", SHAPE(6, 8));
    number(&h, "num_heads", 2);
    number(&h, "key_dim", 4);
    HAND_INTS(&h, "output_shape", 5, 6);
    hand_fails(&h, NN_E_UNSUPPORTED, "output_shape",
               "output_shape of MultiHeadAttention is one number, the features of the output");
    HAND(&h, "MultiHeadAttention", SHAPE(8));
    number(&h, "num_heads", 2);
    number(&h, "key_dim", 4);
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "the query must have steps and features: expected (steps, features), got (8,)");
}

/* ---- transformers ---- */

static void transformer(hand *h, int heads, int ff) {
    number(h, "num_heads", heads);
    number(h, "ff_dim", ff);
}

TEST(transformer_encoder_is_pytorchs) {
    hand h;
    HAND(&h, "TransformerEncoder", SHAPE(6, 8));
    transformer(&h, 2, 16);
    hand_gives(
        &h,
        "%1 = matmul(%0) x.self_attention.query units=8 bias : (batch, 6, 8) [kernel (8, 8), bias "
        "(8,)]\n"
        "%2 = matmul(%0) x.self_attention.key units=8 bias : (batch, 6, 8) [kernel (8, 8), bias "
        "(8,)]\n"
        "%3 = matmul(%0) x.self_attention.value units=8 bias : (batch, 6, 8) [kernel (8, 8), bias "
        "(8,)]\n"
        "%4 = attention(%1, %2, %3) x.self_attention heads=2 scale=0.5 dropout=0.1 : (batch, 6, "
        "8)\n"
        "%5 = matmul(%4) x.self_attention.output units=8 bias : (batch, 6, 8) [kernel (8, 8), bias "
        "(8,)]\n"
        "%6 = dropout(%5) x.self_attention.dropout rate=0.1 : (batch, 6, 8)\n"
        "%7 = merge(%0, %6) x.self_attention.add add : (batch, 6, 8)\n"
        "%8 = layer_norm(%7) x.self_attention.norm epsilon=1e-05 : (batch, 6, 8) [gamma (8,), beta "
        "(8,)]\n"
        "%9 = matmul(%8) x.feed_forward.hidden units=16 bias : (batch, 6, 16) [kernel (8, 16), "
        "bias (16,)]\n"
        "%10 = activation(%9) x.feed_forward.hidden.relu relu : (batch, 6, 16)\n"
        "%11 = dropout(%10) x.feed_forward.hidden.dropout rate=0.1 : (batch, 6, 16)\n"
        "%12 = matmul(%11) x.feed_forward.output units=8 bias : (batch, 6, 8) [kernel (16, 8), "
        "bias (8,)]\n"
        "%13 = dropout(%12) x.feed_forward.dropout rate=0.1 : (batch, 6, 8)\n"
        "%14 = merge(%8, %13) x.feed_forward.add add : (batch, 6, 8)\n"
        "%15 = layer_norm(%14) x.feed_forward.norm epsilon=1e-05 : (batch, 6, 8) [gamma (8,), "
        "beta (8,)]\n");
}

TEST(transformer_counts) {
    static const struct {
        const char *layer;
        int d, heads, ff, inputs;
        int64_t params;
    } t[] = {
        {"TransformerEncoder", 8,  2, 16,  1, 600          },
        {"TransformerEncoder", 64, 8, 512, 1, 83008        },
        {"TransformerDecoder", 8,  2, 16,  2, 904          },
        {"TransformerDecoder", 64, 8, 128, 2, 50240        },
        {"TransformerDecoder", 64, 8, 128, 1, 33472        }, /* nothing to attend to: an encoder's */
        {"Transformer",        64, 8, 128, 1, 33472        },
        {"Transformer",        64, 8, 128, 2, 33472 + 50240},
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        hand h;
        nn_shape in[] = {SHAPE(6, t[i].d), SHAPE(9, t[i].d)};
        hand_layer(&h, nn_layer_find(t[i].layer), t[i].inputs, in);
        transformer(&h, t[i].heads, t[i].ff);
        bool second = strcmp(t[i].layer, "Transformer") == 0 && t[i].inputs == 2;
        comes_to(&h, in[second], t[i].params);
        hand_done(&h);
    }
}

/* x + part(norm(x)): what is added is what came in, and nothing follows the last sum. */
TEST(transformer_that_normalises_first) {
    hand h;
    HAND(&h, "TransformerEncoder", SHAPE(6, 8));
    transformer(&h, 2, 16);
    flag(&h, "norm_first", true);
    const nn_graph *g = comes_to(&h, SHAPE(6, 8), 600);
    assert_int_equal(g->nodes[h.out].op, NN_OP_MERGE);
    const nn_node *norm = node_named(g, "x.self_attention.norm");
    assert_int_equal(norm->inputs[0], h.inputs[0]);
    assert_int_equal(node_named(g, "x.self_attention.query")->inputs[0], norm->id);
    assert_int_equal(node_named(g, "x.self_attention.add")->inputs[0], h.inputs[0]);
    assert_int_equal(node_named(g, "x.feed_forward.norm")->inputs[0],
                     node_named(g, "x.self_attention.add")->id);
    hand_done(&h);
}

/* Without biases, PyTorch leaves those of the normalisation out too. */
TEST(transformer_options) {
    hand h;
    HAND(&h, "TransformerEncoder", SHAPE(6, 8));
    transformer(&h, 2, 16);
    flag(&h, "use_bias", false);
    number(&h, "dropout", 0);
    word(&h, "activation", "gelu");
    number(&h, "num_layers", 3);
    number(&h, "layer_norm_epsilon", 0.5);
    number(&h, "d_model", 8);
    /* 4 * 64 + 2 * 128 + 2 * 8 in each layer */
    const nn_graph *g = comes_to(&h, SHAPE(6, 8), 3 * 528);
    assert_int_equal(count_op(g, NN_OP_DROPOUT), 0);
    assert_int_equal(count_op(g, NN_OP_ATTENTION), 3);
    const nn_node *last = node_named(g, "x.2.feed_forward.norm");
    assert_int_equal(last->id, h.out);
    CHECK(last->attr.layer_norm.epsilon == 0.5);
    CHECK(node_named(g, "x.0.feed_forward.hidden.gelu")->attr.activation.kind == NN_ACT_GELU);
    assert_int_equal(node_named(g, "x.1.self_attention.query")->inputs[0],
                     node_named(g, "x.0.feed_forward.norm")->id);
    CHECK(!node_named(g, "x.1.self_attention")->attr.attention.causal);
    hand_done(&h);
}

TEST(decoder_looks_back_and_at_the_memory) {
    hand h;
    HAND(&h, "TransformerDecoder", SHAPE(6, 8), SHAPE(9, 8));
    transformer(&h, 2, 16);
    add_tokens(&h, 6);
    const nn_graph *g = comes_to(&h, SHAPE(6, 8), 904);
    const nn_node *own = node_named(g, "x.self_attention"),
                  *cross = node_named(g, "x.cross_attention");
    CHECK(own->attr.attention.causal && !cross->attr.attention.causal);
    assert_int_equal(own->n_inputs, 4);
    assert_int_equal(cross->n_inputs, 3);
    assert_int_equal(node_named(g, "x.cross_attention.key")->inputs[0], h.inputs[1]);
    assert_int_equal(node_named(g, "x.cross_attention.query")->inputs[0],
                     node_named(g, "x.self_attention.norm")->id);
    assert_int_equal(h.out_mask, h.c.mask);
    hand_done(&h);
    HAND(&h, "TransformerDecoder", SHAPE(6, 8));
    transformer(&h, 2, 16);
    flag(&h, "causal", false);
    CHECK(!node_named(comes_to(&h, SHAPE(6, 8), 600), "x.self_attention")->attr.attention.causal);
    hand_done(&h);
}

/* The decoder attends to the whole encoder's output, and to none of its padding. */
TEST(transformer_of_source_and_target) {
    hand h;
    HAND(&h, "Transformer", SHAPE(6, 8), SHAPE(9, 8));
    transformer(&h, 2, 16);
    number(&h, "num_layers", 2);
    add_tokens(&h, 6);
    const nn_graph *g = comes_to(&h, SHAPE(9, 8), 2 * (600 + 904));
    int memory = node_named(g, "x.encoder.1.feed_forward.norm")->id;
    for (int i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof name, "x.decoder.%d.cross_attention.value", i);
        assert_int_equal(node_named(g, name)->inputs[0], memory);
        snprintf(name, sizeof name, "x.decoder.%d.cross_attention", i);
        assert_int_equal(node_named(g, name)->inputs[3], h.c.mask);
        snprintf(name, sizeof name, "x.decoder.%d.self_attention", i);
        CHECK(node_named(g, name)->attr.attention.causal);
        assert_int_equal(node_named(g, name)->n_inputs, 3);
        snprintf(name, sizeof name, "x.encoder.%d.self_attention", i);
        CHECK(!node_named(g, name)->attr.attention.causal);
    }
    assert_int_equal(h.out_mask, -1); /* the padding of the target is not known */
    hand_done(&h);
}

TEST(transformer_of_an_image) {
    hand h;
    HAND(&h, "TransformerEncoder", SHAPE(3, 5, 8));
    transformer(&h, 2, 16);
    add_tokens(&h, 3);
    const nn_graph *g = comes_to(&h, SHAPE(3, 5, 8), 600);
    assert_int_equal(node_named(g, "x.self_attention")->n_inputs, 3);
    hand_done(&h);
}

TEST(transformer_says_which_heads_would_fit) {
    static const struct {
        int d, heads;
        const char *message, *hint;
    } t[] = {
        {12, 8, "num_heads=8 does not divide the 12 features of (6, 12)",
         "give num_heads=6 or num_heads=12"                                                 },
        {3,  8, "num_heads=8 does not divide the 3 features of (6, 3)",   "give num_heads=3"},
        {13, 8, "num_heads=8 does not divide the 13 features of (6, 13)",
         "give num_heads=1 or num_heads=13"                                                 },
        {36, 5, "num_heads=5 does not divide the 36 features of (6, 36)",
         "give num_heads=4 or num_heads=6"                                                  },
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        hand h;
        HAND(&h, "TransformerEncoder", SHAPE(6, t[i].d));
        number(&h, "num_heads", t[i].heads);
        hand_fails(&h, NN_E_DSL_ERROR, "num_heads", t[i].message);
        assert_string_equal(h.err.hint, t[i].hint);
    }
    hand h;
    HAND(&h, "TransformerEncoder", SHAPE(6, 12));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "num_heads=8 (the default) does not divide the 12 features of (6, 12)");
}

TEST(transformer_refuses) {
    hand h;
    HAND(&h, "TransformerEncoder", SHAPE(8));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "the input must have steps and features: expected (steps, features), got (8,)");
    HAND(&h, "TransformerEncoder", SHAPE(6, 8));
    number(&h, "d_model", 16);
    hand_fails(&h, NN_E_DSL_ERROR, "d_model", "d_model=16, but (6, 8) has 8 features");
    assert_string_equal(h.err.hint, "leave d_model out, or put Dense(16) before it");
    HAND(&h, "TransformerDecoder", SHAPE(6, 8), SHAPE(6, 4));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "its inputs must have the same features: the first has 8, the second is (6, 4)");
    HAND(&h, "TransformerEncoder", SHAPE(6, 8));
    hand_arg(&h, "bias_initializer")->init.kind = NN_INIT_ORTHOGONAL;
    hand_fails(&h, NN_E_DSL_ERROR, "bias_initializer",
               "orthogonal needs a weight of two axes; a bias has one");
}

/* ---- a block for the feed-forward part ---- */

static int64_t block_units; /* what the block below makes of the last axis */
static int blocks_run;

static nn_status one_dense(const nn_layer_ctx *c, const void *block, int from, int *ret, int cap,
                           int *ret_n, nn_err *err) {
    CHECK(block == c->block && cap >= 1);
    char name[32];
    snprintf(name, sizeof name, "inner_%d", blocks_run++);
    nn_node_spec s = {.op = NN_OP_MATMUL,
                      .name = name,
                      .layer = "Dense",
                      .layer_name = name,
                      .inputs = &from,
                      .n_inputs = 1,
                      .attr = {.matmul = {block_units, false}}};
    nn_status st = nn_graph_add(c->graph, &s, ret, err);
    nn_weight w = {
        .shape = {2, {c->graph->nodes[from].shape.dim[1], block_units}},
          .trainable = true
    };
    if (!st) st = nn_graph_add_weight(c->graph, *ret, "kernel", &w, err);
    *ret_n = 1;
    return st;
}

static void with_block(hand *h, int64_t units) {
    HAND(h, "TransformerEncoder", SHAPE(6, 8));
    number(h, "num_heads", 2);
    h->c.block = "block";
    h->c.run_block = one_dense;
    block_units = units;
    blocks_run = 0;
}

/* 288 of the attention, 64 of the block, 2 * 16 of the normalisations, in both layers. */
TEST(transformer_with_a_block) {
    hand h;
    with_block(&h, 8);
    number(&h, "num_layers", 2);
    const nn_graph *g = comes_to(&h, SHAPE(6, 8), 2 * (288 + 64 + 32));
    assert_int_equal(blocks_run, 2);
    assert_int_equal(h.notices, 0);
    assert_int_equal(node_named(g, "x.0.feed_forward.dropout")->inputs[0],
                     node_named(g, "inner_0")->id);
    hand_done(&h);
}

TEST(transformer_block_must_keep_the_shape) {
    hand h;
    with_block(&h, 5);
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "its block makes (6, 5) of (6, 8): it is added to its input, so the shape must stay "
               "the same");
    assert_string_equal(h.err.hint, "end the block with Dense(8)");
}

TEST(transformer_block_leaves_ff_dim_without_effect) {
    hand h;
    with_block(&h, 8);
    number(&h, "ff_dim", 64);
    comes_to(&h, SHAPE(6, 8), 384);
    assert_int_equal(h.notices, 1);
    assert_string_equal(h.message,
                        "ff_dim has no effect: the block stands for the feed-forward part");
    hand_done(&h);
}

TEST(transformer_freezes_its_block_with_itself) {
    hand h;
    with_block(&h, 8);
    flag(&h, "trainable", false);
    const nn_graph *g = comes_to(&h, SHAPE(6, 8), 384);
    for (int i = 0; i < g->n_weights; i++) CHECK(!g->weights[i].trainable);
    hand_done(&h);
}

/* ---- PositionalEncoding ---- */

TEST(positional_encoding) {
    hand h;
    HAND(&h, "PositionalEncoding", SHAPE(6, 8));
    hand_gives(&h, "%1 = position(%0) x max_len=5000 : (batch, 6, 8)\n");
    HAND(&h, "PositionalEncoding", SHAPE(NN_DIM_UNKNOWN, 8));
    number(&h, "max_len", 10);
    word(&h, "encoding_type", "learnable");
    hand_gives(&h, "%1 = position(%0) x max_len=10 learnable : (batch, ?, 8) [embeddings (10, "
                   "8)]\n");
    HAND(&h, "PositionalEncoding", SHAPE(11, 8));
    number(&h, "max_len", 10);
    hand_fails(&h, NN_E_DSL_ERROR, "max_len", "max_len=10 is less than the 11 steps of (11, 8)");
    assert_string_equal(h.err.hint, "give max_len=11 or more");
    HAND(&h, "PositionalEncoding", SHAPE(4, 11, 8));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "expected (steps, features) with a known number of features, got (4, 11, 8)");
}
