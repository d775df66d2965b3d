/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Something for one particular worker: in its inbox (a ck_stack; any thread pushes) or in its pinned queue (owner
 * only). Or, from a foreign thread, for any of them: in the runtime's inbox.
 */
#ifndef SN_MESSAGE_H
#define SN_MESSAGE_H

#include <ck_stack.h>
#include <stdint.h>

typedef enum sn_message_kind {
    SN_MESSAGE_FIBER, /* ready to resume */
    SN_MESSAGE_TASK,  /* pinned, to be started */
} sn_message_kind;

typedef struct sn_message {
    ck_stack_entry_t link;
    struct sn_message *next;
    sn_message_kind kind;
    uint32_t behind; /* in the pinned queue: the run queue's tail when it came */
    void *subject;
} sn_message;

#endif
