# SPDX-License-Identifier: Apache-2.0
import asyncio


async def square(n):
    return n * n


# show
with asyncio.Runner() as runner:
    print(runner.run(square(3)))
    print(runner.run(square(4)))
# end
