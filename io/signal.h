/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners as handlers use them, and the lock of handlers as fork does. */
#ifndef SN_SIGNAL_H
#define SN_SIGNAL_H

#include <sinew/signal.h>

/* One more reference, and one less; the last one frees it. */
void sn_signals_ref(sinew_signals *s);
void sn_signals_unref(sinew_signals *s);

/* It hears nothing any more, and who waits for it is told -EPIPE. A second time nothing happens. */
void sn_signals_shut(sinew_signals *s);

/* signal_handler.c: its list, around a fork and in the child. Taken before the lock of listeners. */
void sn_handlers_lock(void);
void sn_handlers_unlock(void);
void sn_handlers_forked(void);

#endif
