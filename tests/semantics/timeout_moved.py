# SPDX-License-Identifier: Apache-2.0
import asyncio


async def main():
    now = asyncio.get_running_loop().time
    # show
    try:
        async with asyncio.timeout(None) as scope:
            scope.reschedule(now() + 3600)
            scope.reschedule(now() + 0.01)
            try:
                await asyncio.sleep(float("inf"))
            except asyncio.CancelledError:
                try:
                    scope.reschedule(now() + 1)
                except RuntimeError:
                    print("cannot be moved any more")
                raise
    except TimeoutError:
        print("too late")
    # end


asyncio.run(main())
