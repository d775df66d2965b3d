/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sinew: a work-stealing task runtime for C on Linux.
 *
 * This header includes all public ones but sinew/errno.h, which redefines errno, and sinew/tls.h, which has a library
 * of its own. Start reading at sinew/task.h.
 */
#ifndef SINEW_H
#define SINEW_H

#include <sinew/base.h>
#include <sinew/blocking.h>
#include <sinew/callback.h>
#include <sinew/channel.h>
#include <sinew/dns.h>
#include <sinew/file.h>
#include <sinew/future.h>
#include <sinew/group.h>
#include <sinew/inspect.h>
#include <sinew/io.h>
#include <sinew/local.h>
#include <sinew/net.h>
#include <sinew/process.h>
#include <sinew/queue.h>
#include <sinew/runtime.h>
#include <sinew/server.h>
#include <sinew/signal.h>
#include <sinew/stream.h>
#include <sinew/sync.h>
#include <sinew/task.h>
#include <sinew/time.h>
#include <sinew/transport.h>

#endif
