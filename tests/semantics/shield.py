# SPDX-License-Identifier: Apache-2.0
import asyncio


async def passing(gate):
    return await gate


# show
async def wait_for_it(begun, inner):
    begun.set_result(None)
    return await asyncio.shield(inner)
# end


async def main():
    loop = asyncio.get_running_loop()
    gate = loop.create_future()
    begun = loop.create_future()
    inner = asyncio.create_task(passing(gate))
    # show
    task = asyncio.create_task(wait_for_it(begun, inner))
    await begun
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("the waiter was cancelled")
    gate.set_result(42)
    print(await inner)
    # end


asyncio.run(main())
