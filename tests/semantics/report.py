# SPDX-License-Identifier: Apache-2.0
import asyncio
import errno
import os


# show
async def failing():
    raise OSError(errno.EIO, os.strerror(errno.EIO))
# end


async def main():
    loop = asyncio.get_running_loop()
    reported = loop.create_future()

    # show
    def report(loop, context):
        print("nobody asked:", context["exception"].strerror)
        reported.set_result(None)

    loop.set_exception_handler(report)
    asyncio.create_task(failing())  # nobody keeps it
    await reported
    print("main: goes on")
    # end


asyncio.run(main())
