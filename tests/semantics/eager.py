# SPDX-License-Identifier: Apache-2.0
# needs 3.12
import asyncio


# show
async def greet(gate):
    print("greet: begins")
    r = await gate
    print("greet: goes on")
    return r
# end


async def main():
    # show
    loop = asyncio.get_running_loop()
    gate = loop.create_future()
    task = asyncio.Task(greet(gate), loop=loop, eager_start=True)
    print("main: spawned")
    gate.set_result(7)
    print("main:", await task)
    # end


asyncio.run(main())
