# SPDX-License-Identifier: Apache-2.0
import asyncio


async def main():
    # show
    slots = asyncio.BoundedSemaphore(1)
    await slots.acquire()
    print("locked" if slots.locked() else "free")
    slots.release()
    try:
        slots.release()
    except ValueError:
        print("one post too many")
    # end


asyncio.run(main())
