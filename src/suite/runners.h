/* SPDX-License-Identifier: MIT */
/* runners.h - programs that run what code generators write: an interpreter, the package it needs,
 * and a script.
 *
 * The script reads a request a line: {"model": FILE, "weights": FILE (safetensors), "inputs":
 * [{"file", "dims"}], "outputs": [FILE]}, floats as raw bytes. To each it writes the output files
 * and answers a line: {"outputs": [{"dims": [...]}]} or {"error": TEXT}. */
#ifndef NN_SUITE_RUNNERS_H
#define NN_SUITE_RUNNERS_H

typedef struct nn_runner {
    const char *const *interpreters; /* tried in this order; NULL-terminated */
    const char *eval;                /* the option that takes program text */
    const char *package;             /* for messages */
    const char *probe;               /* prints the package's version, or fails */
    const char *script;
    const char *install; /* what to do where it is missing */
} nn_runner;
extern const nn_runner nn_runner_pytorch, nn_runner_onnx, nn_runner_tfjs;
#endif
