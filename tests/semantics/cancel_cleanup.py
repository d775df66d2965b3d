# SPDX-License-Identifier: Apache-2.0
import asyncio


class File:
    def __init__(self, loop):
        self.opened = loop.create_future()
        self.flushing = loop.create_future()
        self.disk = loop.create_future()


async def flush(file):
    file.flushing.set_result(None)
    try:
        await file.disk
    except asyncio.CancelledError:
        print("flush: cut short")
        raise
    print("flush: complete")


# show
async def work(file):
    file.opened.set_result(None)
    try:
        await asyncio.sleep(float("inf"))
    finally:
        cleanup = asyncio.create_task(flush(file))
        while not cleanup.done():
            try:
                await asyncio.shield(cleanup)
            except asyncio.CancelledError:
                pass
# end


async def main():
    file = File(asyncio.get_running_loop())
    # show
    task = asyncio.create_task(work(file))
    await file.opened
    task.cancel()
    await file.flushing
    task.cancel()  # while it flushes
    file.disk.set_result(None)
    try:
        await task
    except asyncio.CancelledError:
        print("main: it was cancelled")
    # end


asyncio.run(main())
