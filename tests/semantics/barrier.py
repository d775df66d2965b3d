# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
class Team:
    def __init__(self):
        self.barrier = asyncio.Barrier(3)
        self.parts = [0] * 3
        self.sums = []


async def work(team, number):
    for step in range(2):
        team.parts[number] = number + step
        r = await team.barrier.wait()
        if r == 0:  # one of them; the parts are complete
            team.sums.append(sum(team.parts))
        # nobody changes a part before it is added
        await team.barrier.wait()
# end


async def main():
    # show
    team = Team()
    await asyncio.gather(*(work(team, i) for i in range(3)))
    print(*team.sums)
    # end


asyncio.run(main())
