/* SPDX-License-Identifier: MIT */
/* vocabulary.h - inside data/: texts as tokens, which are numbers. Deterministic: the same text
 * gives the same vocabulary. A vocabulary belongs to one thread while it is made. */
#ifndef NN_DATA_VOCABULARY_H
#define NN_DATA_VOCABULARY_H
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

#include <stddef.h>
#include <stdint.h>

enum { NN_VOCABULARY_MOST = 1 << 16 }; /* tokens */

typedef struct nn_vocabulary nn_vocabulary;

/* The characters of n bytes of UTF-8, in the order of their code points. NN_E_LIMIT: more than
 * NN_VOCABULARY_MOST. */
nn_status nn_vocabulary_characters(const char *p, size_t n, const char *name, nn_vocabulary **ret,
                                   nn_err *err);
/* Byte pairs (Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword
 * Units", ACL 2016): the 256 bytes, then again and again the pair of neighbours that is most
 * frequent (of equals the smaller first token, then the smaller second), until there are `size`
 * tokens or no pair occurs twice. Pairs do not reach across words: a blank begins a word, and so
 * does every 256th byte of one. */
nn_vocabulary *nn_vocabulary_pairs(const char *p, size_t n, int size);
void nn_vocabulary_free(nn_vocabulary *v); /* NULL allowed */

int nn_vocabulary_size(const nn_vocabulary *v);
/* Tokens of the text that the vocabulary was made of, to be called once: appends them to out as
 * uint32_t. */
void nn_vocabulary_encode(nn_vocabulary *v, const char *p, size_t n, nn_buf *out);
/* What token i stands for, for people: its text, or its bytes "<e2 80>" where they are none.
 * Appends to out. */
void nn_vocabulary_text(const nn_vocabulary *v, int i, nn_buf *out);
/* {kind: "characters", characters: [code point, ...]} or {kind: "byte pairs", merges: [[a, b],
 * ...]}: merge i makes token 256 + i. */
nn_json *nn_vocabulary_json(const nn_vocabulary *v);
#endif
