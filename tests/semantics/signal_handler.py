# SPDX-License-Identifier: Apache-2.0
import asyncio
import os
import signal


# show
def reload(got):
    print("reload")
    if not got.done():
        got.set_result(None)


async def main():
    loop = asyncio.get_running_loop()
    got, stop = loop.create_future(), loop.create_future()
    loop.add_signal_handler(signal.SIGHUP, reload, got)
    loop.add_signal_handler(
        signal.SIGTERM, stop.set_result, signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGHUP)
    await got
    os.kill(os.getpid(), signal.SIGTERM)
    print("stopped by", int(await stop))
    print(loop.remove_signal_handler(signal.SIGHUP))
    print(loop.remove_signal_handler(signal.SIGHUP))
# end


asyncio.run(main())
