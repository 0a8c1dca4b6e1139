/* SPDX-License-Identifier: MIT */
/* sections.h - what the three files about training share: sections.c collects the sections and does
 * loss, metrics and framework, optimizer_section.c the optimizer, train_section.c train and
 * execution. Private to compile/. */
#ifndef NN_COMPILE_SECTIONS_H
#define NN_COMPILE_SECTIONS_H
#include "compile/check.h"

/* The entries of the sections of a network, and the words that brought them. */
typedef struct nn_sections {
    nn_check *c;
    nn_value *loss, *optimizer, *metrics; /* the first of each */
    nn_span loss_span, optimizer_span, metrics_span;
    nn_arg *train, **train_tail;         /* entries of train and of the settings at top level */
    nn_arg *execution, **execution_tail; /* entries of all execution sections */
    nn_span train_span;
    bool has_framework, has_train, has_execution;
    nn_span framework_span, execution_span;
} nn_sections;

void nn_check_optimizer(nn_check *c, nn_value *v);
void nn_check_train(nn_check *c, const nn_sections *s);
void nn_check_execution(nn_check *c, const nn_sections *s);
/* A note about a search_method without anything to search; after the layers. */
void nn_check_search_method(nn_check *c);
/* Whether the classes that it weighs are some of the output's; of a graph that is whole. */
void nn_check_class_weight(nn_check *c);

/* ---- values that are words or calls: loss, optimizer, schedule, metric ---- */

/* The name of a reference: a word or a call, quoted or not; NULL, reported, for other values. */
const char *nn_section_word(nn_check *c, nn_value *v, const char *kind);
nn_arg *nn_section_arguments(const nn_value *v); /* of a call; NULL for others */
/* Reports a word that `names` does not have, with the nearest of them and of their aliases ("a|b"
 * each; NULL: there are none). */
void nn_section_unknown(nn_check *c, const nn_value *v, const char *kind, const char *word,
                        const char *const *names, const char *const *aliases);

/* What a value says, written into `to`. */
typedef void nn_section_use(nn_check *c, nn_value *v, nn_train_spec *to);
/* Uses v; of a search expression each candidate, so that all are checked and the search points
 * inside of them are entered, and only the chosen one counts. */
void nn_section_each(nn_check *c, const char *owner, nn_value *v, nn_section_use *use,
                     nn_train_spec *to);

/* ---- fields ---- */

/* The parameters of an owner's fields, in order; the first n_positional need no name. */
void nn_section_params(nn_fields t, int n_positional, nn_param *to);
/* What was bound to them, into the struct that holds the fields. */
bool nn_section_take(nn_check *c, const char *owner, nn_fields t, const nn_bound *b, void *to);

/* ---- learning rates (optimizer_section.c) ---- */

/* The arguments with a plain number in place of a schedule given as learning_rate; the schedule
 * (with where it starts) goes into `to`. */
nn_arg *nn_section_schedule(nn_check *c, nn_arg *args, nn_optimizer *to);
/* The argument for learning_rate; NULL: none. */
const nn_arg *nn_section_rate(const nn_arg *args);
/* Advice about a learning rate as it is written. */
void nn_section_rate_advice(nn_check *c, const nn_arg *a, double rate);
#endif
