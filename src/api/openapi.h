/* SPDX-License-Identifier: MIT */
/* openapi.h - the OpenAPI 3.1 document, printed from the rows of a router. */
#ifndef NN_API_OPENAPI_H
#define NN_API_OPENAPI_H
#include "api/route.h"

/* Appends the document. NN_E_INTERNAL when two schemas have one name. */
nn_status nn_openapi_print(const nn_router *r, const char *title, nn_buf *out, nn_err *err);
#endif
