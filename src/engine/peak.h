/* SPDX-License-Identifier: MIT */
/* peak.h - how fast this machine is, measured: what estimates of time are made from. Thread safe.
 */
#ifndef NN_ENGINE_PEAK_H
#define NN_ENGINE_PEAK_H

typedef struct nn_peak {
    double flops; /* a second, multiplications and additions of a large matrix product done by the
                     native engine on all cores; 0: it could not be measured */
    double bytes; /* a second, read and written by one core that copies memory; 0: likewise */
} nn_peak;

/* The first call measures (about a tenth of a second; others wait for it), later ones remember. */
nn_peak nn_machine_peak(void);
#endif
