# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
class Account:
    def __init__(self):
        self.changed = asyncio.Condition()
        self.balance = 0


async def buy(account):
    async with account.changed:
        await account.changed.wait_for(
            lambda: account.balance >= 100
        )
        account.balance -= 100


async def pay(account):
    async with account.changed:
        account.balance += 30
        account.changed.notify_all()
# end


async def main():
    # show
    account = Account()
    buyer = asyncio.create_task(buy(account))
    await asyncio.gather(*(pay(account) for _ in range(4)))
    await buyer
    print("left:", account.balance)
    # end


asyncio.run(main())
