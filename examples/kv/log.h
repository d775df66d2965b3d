/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The append-only file: read at the start, written by one task, made anew when it has grown.
 *
 * The writer takes whatever records are there, writes them, in mode `always` has them synced, says up to which position
 * the file is safe, and wakes all who wait for that: then the next round. So records that come while the disk is busy
 * share the next write and sync, however many connections they come from.
 *
 *     always     safe is what fdatasync has covered: neither a kill nor a power cut undoes what was acknowledged
 *     everysec   safe is what write(2) has taken, which a kill does not undo; synced every second
 *     no         the same, and the kernel syncs when it likes
 *
 * Errors. When a write fails, what could not be written stays in memory, and is tried again every second from the byte
 * on where it stopped; meanwhile changes are refused and reads go on. When a sync fails, nobody knows what the disk has
 * (the kernel has forgotten which pages were not written), so changes are refused until the file has been rewritten as
 * a whole (BGREWRITEAOF), and so they are when there was no memory for a record.
 */
#ifndef KV_LOG_H
#define KV_LOG_H

#include <sinew.h>

#include <stdbool.h>
#include <stdint.h>

typedef enum log_sync { LOG_SYNC_ALWAYS, LOG_SYNC_EVERYSEC, LOG_SYNC_NO } log_sync;

/* Reads the file into the store, cuts a torn last record off, and makes the journal begin. Says on stderr what is
 * wrong; 0 or an error. May suspend. */
int log_open(const char *path);
/* After the writer has ended. 0, or the error for which the file is not complete. May suspend. */
int log_close(void);
bool log_is_open(void);

/* The tasks, sinew_fn: the writer ends when log_stop was called and all is written; the others when they are cancelled.
 */
intptr_t log_writer(void *unused);
intptr_t log_ticker(void *unused);
void log_stop(void);

/* Waits until the file is safe up to `lsn`: 0, or -EIO when it will not be (see journal_error). -ECANCELED, -ETIMEDOUT:
 * it may be safe or not; call again. Suspends if it is not safe yet. */
int log_wait(uint64_t lsn);
/* For changes that nobody waits for: has them written. Never suspends. */
void log_wake(void);

typedef struct log_stats {
    int64_t size, base_size; /* of the file, now and when it was opened or rewritten */
    int error;
    bool rewriting;
    uint64_t rewrites, writes, syncs;
} log_stats;
log_stats log_count(void);

/* --- rewriting ---------------------------------------------------------------------------------------------------- */

/* Begins to make the file anew. 0; -EALREADY, -ENOENT (no file). Never suspends. */
int log_rewrite(void);
/* Has it grown so much that it is time? */
bool log_wants_rewrite(void);
/* A task, as above. */
intptr_t log_rewriter(void *unused);

#endif
