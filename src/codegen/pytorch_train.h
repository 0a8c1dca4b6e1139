/* SPDX-License-Identifier: MIT */
/* pytorch_train.h - the parts of the training program that pytorch_train.c puts together: data
 * (python_data.c, pytorch_data.c), loss and metrics (pytorch_loss.c), optimiser and schedule
 * (pytorch_optimizer.c). Each writes functions of the generated file. */
#ifndef NN_CODEGEN_PYTORCH_TRAIN_H
#define NN_CODEGEN_PYTORCH_TRAIN_H
#include "codegen/pytorch.h"

/* NN_E_UNSUPPORTED, naming what the program does not do. */
nn_status nn_torch_read_callbacks(const nn_train_spec *t, nn_torch_callbacks *ret, nn_err *err);
void nn_torch_data(nn_emit *e, nn_buf *out); /* load_data(), to_input() */
bool nn_torch_pure(const nn_emit *e);        /* all of it in float16 or bfloat16 */
bool nn_torch_joins(const nn_emit *e);       /* several inputs: samples are a list of tensors */
void nn_torch_loss_and_metrics(nn_emit *e, nn_buf *out); /* loss_of(), measure() */
/* Whether a higher value of what is watched is the better one. */
bool nn_torch_rises(const char *monitor);
bool nn_torch_takes_classes(const nn_emit *e); /* targets are class numbers */
unsigned nn_torch_metrics(const nn_emit *e);   /* bits of what is measured: what is watched, too */
void nn_torch_optimizer(nn_emit *e, nn_buf *out);           /* make_optimizer(), learning_rate() */
void nn_torch_clipping(const nn_optimizer *o, nn_buf *out); /* lines of train_epoch() */
void nn_torch_decay(const nn_optimizer *o, nn_buf *out);
#endif
