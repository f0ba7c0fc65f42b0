// Each attack here gets through a build that was weakened in one place: so the same attack can fail on the real one.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { attackWeakened } from './weakened/weaken.ts'
import { WEAKNESSES } from './weakened/weaknesses.ts'

const LANES = 2
const ended = new Map<string, Awaited<ReturnType<typeof attackWeakened>> | Error>()

beforeAll(async () => {
  const left = [...WEAKNESSES]
  const lane = async () => {
    for (let next = left.pop(); next !== undefined; next = left.pop())
      ended.set(next.without, await attackWeakened(next).catch((thrown: Error) => thrown))
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}, 900_000)
afterAll(() => {
  const through = [...ended.values()].filter((end) => typeof end === 'object' && 'fell' in end).length
  console.log(`weakened: ${through} of ${WEAKNESSES.length} weakened builds fell to their attack`)
})

test.each(WEAKNESSES)('without $without the attack succeeds', ({ without }) => {
  expect(ended.get(without)).toMatchObject({ fell: expect.stringContaining('AssertionError') })
})

test('a patch that does not fit is an error', async () => {
  const [first] = WEAKNESSES
  await expect(attackWeakened({ ...first!, find: 'this is nowhere' })).rejects.toThrow('does not fit')
})
