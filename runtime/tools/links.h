/* SPDX-License-Identifier: Apache-2.0 */
/* Who awaits whom: fills a snapshot's links once its tasks and fibers are known. */
#ifndef TOOLS_LINKS_H
#define TOOLS_LINKS_H

#include "snapshot.h"

void links_find(snapshot *s);

#endif
