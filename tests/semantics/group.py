# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
async def work(n):
    return n * n
# end


async def main():
    # show
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(n)) for n in (3, 4)]
    print(*(task.result() for task in tasks))
    # end


asyncio.run(main())
