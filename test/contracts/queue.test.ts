// Which members may share a transaction, on every engine.

import { expect, test } from 'vitest'
import type { Member } from '../../src/actions/ports.ts'
import { createQueue, footprint, type Waiting } from '../../src/adapters/store/queue.ts'
import { member, START, tool, type Wanted } from './store-fixtures.ts'

type Named = Waiting & { readonly member: Member }

function groupsOf(members: readonly Wanted[], maxGroup = 32): string[][] {
  const queue = createQueue<Named>(1_000, maxGroup)
  for (const wanted of members) {
    const given = member(wanted)
    queue.add({ ...footprint(given), member: given })
  }
  const groups: string[][] = []
  for (let group = queue.take(); group.length > 0; group = queue.take())
    groups.push(group.map((each) => each.member.id))
  return groups
}

test('what has nothing in common flies together, 32 at most (STORE rule 2)', () => {
  const members = Array.from({ length: 70 }, (_, index) => ({ put: [tool(`t${index}`)] }))
  expect(groupsOf(members).map(({ length }) => length)).toEqual([32, 32, 6])
})

test('narrowings fly first, whenever they came (STORE rule 2)', () => {
  const members = [{ id: 'm1' }, { id: 'm2' }, { id: 'n1', lane: 'narrowing' }, { id: 'm3' }] as const
  expect(groupsOf(members, 2)).toEqual([
    ['n1', 'm1'],
    ['m2', 'm3'],
  ])
})

test('a member that touches what an earlier one writes waits for the next group (STORE rule 2)', () => {
  const once = [{ space: 'jti', value: 'j', until: START }]
  expect(
    groupsOf([
      { id: 'put a', put: [tool('a')] },
      { id: 'read a', expect: { 'tool/a': 0 } },
      { id: 'put a again', put: [tool('a')] },
      { id: 'use j', once },
      { id: 'use j again', once },
      { id: 'other', put: [tool('b')], expect: { 'tool/c': 0 } },
    ]),
  ).toEqual([
    ['put a', 'use j', 'other'],
    ['read a', 'put a again', 'use j again'],
  ])
})

test('a reader before the writer shares its group, and members on one key keep their order (STORE rule 2)', () => {
  expect(
    groupsOf([
      { id: 'read a', expect: { 'tool/a': 0 } },
      { id: 'put a', put: [tool('a')] },
      { id: 'put a, b', put: [tool('a'), tool('b')] },
      { id: 'put b', put: [tool('b')] },
    ]),
  ).toEqual([['read a', 'put a'], ['put a, b'], ['put b']])
})
