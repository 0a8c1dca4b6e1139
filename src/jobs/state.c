/* SPDX-License-Identifier: MIT */
/* The state machine and its words. rest-api.md section 2 draws it; beyond the drawing, `starting`
 * may fail (what cannot start), and `starting` and `running` may go back to `queued`: the text's "a
 * running operation whose owner vanished is resumed". */
#include "jobs/kinds.h"

#include <string.h>

#define BIT(s) (1u << NN_STATE_##s)

static const unsigned may[NN_STATE_COUNT] = {
    [NN_STATE_QUEUED] = BIT(STARTING) | BIT(CANCELLING),
    [NN_STATE_STARTING] =
        BIT(RUNNING) | BIT(FAILED) | BIT(TIMED_OUT) | BIT(CANCELLING) | BIT(QUEUED),
    [NN_STATE_RUNNING] = BIT(SUCCEEDED) | BIT(FAILED) | BIT(TIMED_OUT) | BIT(CANCELLING) |
                         BIT(UNKNOWN) | BIT(QUEUED),
    [NN_STATE_UNKNOWN] = BIT(RUNNING),
    [NN_STATE_CANCELLING] = BIT(CANCELLED),
};

static const char *const words[NN_STATE_COUNT][NN_WORDS_COUNT] = {
#define NN_STATE(N, n, ...) [NN_STATE_##N] = {#n, __VA_ARGS__},
#include "jobs/states.def"
#undef NN_STATE
};

const char *nn_state_name(nn_state s) {
    return words[s][NN_WORDS_CANONICAL];
}

int nn_state_find(const char *name) {
    for (int s = 0; s < NN_STATE_COUNT; s++)
        if (!strcmp(words[s][NN_WORDS_CANONICAL], name)) return s;
    return -1;
}

bool nn_state_terminal(nn_state s) {
    return !may[s];
}

bool nn_state_may(nn_state from, nn_state to) {
    return may[from] >> to & 1;
}

const char *nn_operation_word(nn_state s, nn_words face) {
    return words[s][face];
}

unsigned nn_state_set(const char *word, nn_words face) {
    unsigned set = 0;
    int canonical = nn_state_find(word);
    for (int s = 0; s < NN_STATE_COUNT; s++)
        if (!strcmp(words[s][face], word)) set |= 1u << s;
    return set ? set : canonical >= 0 ? 1u << canonical : 0;
}

static const char *const levels[NN_LEVEL_COUNT] = {"critical", "high", "normal", "low"};

const char *nn_level_name(nn_level l) {
    return levels[l];
}

int nn_level_find(const char *name) {
    for (int l = 0; l < NN_LEVEL_COUNT; l++)
        if (!strcmp(levels[l], name)) return l;
    return -1;
}

static const nn_kind *const kinds[NN_KIND_COUNT] = {
#define NN_KIND(N, n) [NN_KIND_##N] = &nn_kind_##n,
#include "jobs/kinds.def"
#undef NN_KIND
};

const nn_kind *nn_kind_at(nn_kind_id k) {
    return kinds[k];
}

const char *nn_kind_id_name(nn_kind_id k) {
    return kinds[k]->name;
}

int nn_kind_id_find(const char *name) {
    for (int k = 0; k < NN_KIND_COUNT; k++)
        if (!strcmp(kinds[k]->name, name)) return k;
    return -1;
}
