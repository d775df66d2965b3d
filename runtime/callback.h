/* SPDX-License-Identifier: Apache-2.0 */
/* Callbacks of a runtime; see callback.c. */
#ifndef SN_CALLBACK_H
#define SN_CALLBACK_H

#include "runtime/task.h"

/* The runtime ends: drops what is registered. All its tasks have ended, its workers' drivers are still open. */
void sn_callbacks_end(sn_runtime *rt);

#endif
