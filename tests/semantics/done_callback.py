# SPDX-License-Identifier: Apache-2.0
import asyncio


async def square(n):
    return n * n


async def main():
    called = asyncio.get_running_loop().create_future()

    # show
    def on_done(task):
        print("callback:", task.result())
        called.set_result(None)

    task = asyncio.create_task(square(3))
    task.add_done_callback(on_done)
    await called
    print("main: called")
    # end


asyncio.run(main())
