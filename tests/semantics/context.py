# SPDX-License-Identifier: Apache-2.0
import asyncio
import contextvars

# show
user = contextvars.ContextVar("user", default="nobody")


async def child():
    print("child:", user.get())
    user.set("the child")
# end


async def main():
    # show
    print("main:", user.get())
    user.set("ada")
    task = asyncio.create_task(child())
    user.set("bob")  # the child has a copy
    await task
    print("main:", user.get())
    # end


asyncio.run(main())
