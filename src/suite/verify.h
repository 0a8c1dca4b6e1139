/* SPDX-License-Identifier: MIT */
/* verify.h - the same network, weights and inputs through everything that runs it, compared with
 * the reference engine. Blocks; a call belongs to one thread. */
#ifndef NN_SUITE_VERIFY_H
#define NN_SUITE_VERIFY_H
#include "engine/engine.h"

#define NN_VERIFY_TOLERANCE 5e-5 /* relative L2 of each output, fp32 */

/* What a verifier is given. */
typedef struct nn_verify_case {
    const nn_graph *graph; /* whose outputs are wanted */
    const float *weights;  /* a slab */
    float *const *inputs;  /* by input: rows x elements */
    int64_t rows;
    const char *folder; /* exists, may be written to */
} nn_verify_case;

/* What is known of a verifier on this machine, and the program that runs for it. */
typedef struct nn_verify_slot {
    bool asked, available;
    char reason[256];  /* why it is not available, and what installs it */
    char version[128]; /* of what runs */
    const char *interpreter;
    struct nn_child *child; /* NULL: not running */
} nn_verify_slot;

typedef struct nn_verifier nn_verifier;
struct nn_verifier {
    const char *name, *summary;
    /* Fills s->available and what follows it. */
    void (*probe)(const nn_verifier *v, nn_verify_slot *s);
    /* Fills y[i] (rows x elements of output i). NN_E_UNSUPPORTED: it cannot express the network. */
    nn_status (*run)(const nn_verifier *v, nn_verify_slot *s, const nn_verify_case *c,
                     float *const *y, nn_err *err);
    /* For verifiers of code generators: the generator, what runs its files, and the package and
     * script that it needs; see runners.h. */
    const char *backend;
    const struct nn_runner *runner;
};
const nn_verifier *nn_verifier_at(unsigned i); /* NULL past the end */
const nn_verifier *nn_verifier_find(const char *name);

/* The verifiers' slots, kept over several verifications: starting torch takes seconds. */
typedef struct nn_verify_host nn_verify_host;
nn_verify_host *nn_verify_host_new(void);
void nn_verify_host_free(nn_verify_host *h); /* NULL allowed */
static inline void nn_verify_host_freep(nn_verify_host **h) {
    nn_verify_host_free(*h);
}
nn_verify_slot *nn_verify_slot_of(nn_verify_host *h, const nn_verifier *v); /* probed */

typedef enum nn_verdict { NN_AGREES, NN_DIFFERS, NN_FAILED, NN_SKIPPED } nn_verdict;
const char *nn_verdict_name(nn_verdict v);

/* How far values are from the yardstick's. Equal infinities, and NaN at the same place, are equal;
 * any other value that is not finite makes both figures infinite. */
typedef struct nn_distance {
    double relative; /* ||a - b|| / ||b||, b the yardstick */
    double worst;    /* max |a - b| */
    int64_t at;      /* where, over all rows */
    double got, want;
} nn_distance;
nn_distance nn_distance_of(const float *a, const double *b, int64_t n);

typedef struct nn_verified {
    const nn_verifier *by;
    nn_verdict verdict;
    char reason[512];  /* FAILED, SKIPPED */
    char version[128]; /* of what ran */
    nn_distance outputs[8];
    nn_distance *nodes; /* by node, with options.layers; relative < 0: not given; else NULL */
    int first;          /* DIFFERS: the first node that differs; -1: none was found */
    nn_distance first_distance;
    double seconds;
} nn_verified;

typedef struct nn_verify_options {
    const nn_verifier *const *verifiers;
    int n_verifiers;
    int64_t rows;
    uint64_t seed;
    const float *weights; /* NULL: drawn by seed around the initial ones */
    bool layers;          /* every node of every verifier, not only where an output differs */
} nn_verify_options;

typedef struct nn_verification {
    const nn_graph *graph; /* borrowed */
    int64_t rows;
    uint64_t seed;
    bool drawn; /* the weights */
    char weights_sha256[65];
    nn_verified *of; /* by verifier */
    int n;
} nn_verification;

/* Runs them all. NN_E_UNSUPPORTED, and nothing is run, when the reference engine does not run the
 * network: then there is no yardstick. *ret is to be done. */
nn_status nn_verify(nn_verify_host *h, const nn_graph *g, const nn_verify_options *o,
                    nn_verification **ret, nn_err *err);
void nn_verification_free(nn_verification *v); /* NULL allowed */
static inline void nn_verification_freep(nn_verification **v) {
    nn_verification_free(*v);
}
int nn_verification_bad(const nn_verification *v); /* how many differ or failed */

/* Fills x (rows x elements of input `input`): standard normal, or whole numbers where the network
 * looks them up. A function of graph, input and seed. */
void nn_verify_draw(const nn_graph *g, int input, uint64_t seed, int64_t rows, float *x);
/* Initial weights by seed; those that begin at one number, moved by up to a quarter. */
nn_status nn_verify_weights(const nn_graph *g, uint64_t seed, float *slab, nn_err *err);

/* verify_json.c: {network, rows, seed, tolerance, yardstick, verdict, ops, backends}. */
nn_json *nn_verification_json(const nn_verification *v);
/* What a model file keeps: the same without layers, with the time and our version. */
nn_json *nn_verification_certificate(const nn_verification *v);
/* Whether a certificate is of these weights (a slab of the graph), not of earlier ones. */
bool nn_certificate_fits(const nn_json *certificate, const nn_graph *g, const float *weights);
#endif
