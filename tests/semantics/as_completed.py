# SPDX-License-Identifier: Apache-2.0
import asyncio


async def passing(gate):
    return await gate


async def main():
    loop = asyncio.get_running_loop()
    gates = [loop.create_future() for _ in range(3)]
    tasks = [asyncio.create_task(passing(gate)) for gate in gates]
    # show
    gates[2].set_result(2)  # lets tasks[2] end
    for ended in asyncio.as_completed(tasks):
        r = await ended
        print(r)
        if r > 0:
            gates[r - 1].set_result(r - 1)
    # end


asyncio.run(main())
