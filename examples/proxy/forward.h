/* SPDX-License-Identifier: Apache-2.0 */
/* Forwarding bytes between two sockets, both ways, until both are at their end. */
#ifndef PROXY_FORWARD_H
#define PROXY_FORWARD_H

/*
 * Returns 0 when each side has said that no more comes from it and the other one was told so; otherwise why it ended
 * before: -ETIMEDOUT (nothing moved for settings.idle_timeout), -ECANCELED, an error of one of the sockets. Both
 * sockets have O_NONBLOCK and stay the caller's. May suspend.
 */
int forward(int client, int target);

#endif
