/* SPDX-License-Identifier: MIT */
/* cells.h - characters as a terminal shows them: for diagnostics and tables. */
#ifndef NN_LANG_CELLS_H
#define NN_LANG_CELLS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads one character of the n > 0 bytes at p. Returns its length; 0 if it is not UTF-8. */
int nn_char_read(const char *p, size_t n, uint32_t *ret);
int nn_char_width(uint32_t c); /* cells: 0 combining, 2 wide, else 1 */
/* Not to be sent to a terminal as it is: controls, and marks that reorder text. */
bool nn_char_unsafe(uint32_t c);
#endif
