/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.Condition. */
#include <sinew.h>

#include <stdio.h>

/* show */
struct account {
    sinew_mutex mutex;
    sinew_cond changed;
    int balance;
};

static bool enough(void *arg)
{
    return ((struct account *)arg)->balance >= 100;
}

static intptr_t buy(void *arg)
{
    struct account *account = arg;
    int r = sinew_mutex_lock(&account->mutex);
    if (r < 0)
        return r;
    r = sinew_cond_wait_for(&account->changed, &account->mutex,
                            enough, account);
    if (r == 0)
        account->balance -= 100;
    sinew_mutex_unlock(
        &account->mutex); /* it is locked, even if cancelled */
    return r;
}

static intptr_t pay(void *arg)
{
    struct account *account = arg;
    int r = sinew_mutex_lock(&account->mutex);
    if (r < 0)
        return r;
    account->balance += 30;
    sinew_cond_notify_all(&account->changed);
    return sinew_mutex_unlock(&account->mutex);
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    struct account account = {.balance = 0};
    sinew_mutex_init(&account.mutex);
    sinew_cond_init(&account.changed, &account.mutex);
    sinew_task *buyer = sinew_spawn(buy, &account);
    int error = sinew_map(pay, &account, 0, 4, NULL);
    intptr_t r = sinew_await(buyer);
    if (error == 0 && r == 0)
        printf("left: %d\n", account.balance);
    /* end */
    return error < 0 ? error : r;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
