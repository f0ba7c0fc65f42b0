// What waits to be written, in two lanes, and which of it may fly together. Narrowings never wait behind mints, and
// a member that touches what an earlier one of its group writes waits for the next group. It never reorders one key.

import type { Lane, Member } from '../../actions/ports.ts'
import { keyOf } from '../../core/model.ts'
import { onceName } from './prepare.ts'

/** How far a group looks past members that must wait, so that a storm on one key costs no scan of everything. */
const LOOKAHEAD = 256

export type Waiting = {
  readonly lane: Lane
  /** Names of what it writes, and of all it reads or writes: {@link footprint}. */
  readonly writes: readonly string[]
  readonly touches: readonly string[]
}

export type Queue<T extends Waiting> = {
  /** False when this lane is full. */
  add(waiting: T): boolean
  /** The next group, narrowings first, at most `maxGroup`; empty when nothing waits. */
  take(): T[]
  readonly size: number
}

export function createQueue<T extends Waiting>(maxQueue: number, maxGroup: number): Queue<T> {
  const lanes: Record<Lane, T[]> = { narrowing: [], normal: [] }

  function takeFrom(lane: T[], group: T[], closed: Set<string>): void {
    const left: T[] = []
    let seen = 0
    while (seen < lane.length && seen < LOOKAHEAD && group.length < maxGroup) {
      const next = lane[seen++]!
      const isFree = next.touches.every((name) => !closed.has(name))
      ;(isFree ? group : left).push(next)
      // What a waiting member would write is closed as well: members on one key keep their order.
      for (const name of next.writes) closed.add(name)
    }
    lane.splice(0, seen, ...left)
  }

  return {
    add: (waiting) => lanes[waiting.lane].length < maxQueue && lanes[waiting.lane].push(waiting) > 0,
    take() {
      const group: T[] = []
      const closed = new Set<string>()
      takeFrom(lanes.narrowing, group, closed)
      takeFrom(lanes.normal, group, closed)
      return group
    },
    get size() {
      return lanes.narrowing.length + lanes.normal.length
    },
  }
}

/** What a member writes and touches, by name: rows by their key, single-use values, and its own id. */
export function footprint(member: Member): Waiting {
  const writes = [
    `commit ${member.id}`,
    ...member.put.map(({ kind, row }) => keyOf(kind, row.id)),
    ...member.once.map(({ space, value }) => `once ${onceName(space, value)}`),
  ]
  return { lane: member.lane, writes, touches: [...writes, ...member.expect.keys()] }
}
