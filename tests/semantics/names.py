# SPDX-License-Identifier: Apache-2.0
import asyncio


async def waiting(gate):
    return await gate


async def main():
    gate = asyncio.get_running_loop().create_future()
    # show
    reader = asyncio.create_task(waiting(gate), name="reader")
    writer = asyncio.create_task(waiting(gate), name="writer")
    print(reader.get_name())

    others = asyncio.all_tasks() - {asyncio.current_task()}
    for name in sorted(task.get_name() for task in others):
        print(name)
    # end
    gate.set_result(0)
    await asyncio.gather(reader, writer)


asyncio.run(main())
