// Complete subtrees of the log, stored after the commit and any number of times over, since each can be made again
// from its leaves. What is not stored yet is computed.

import type { Database } from 'better-sqlite3'
import { append, frontierOf, nodeHash } from '../../../core/merkle.ts'
import type { Seq } from '../../../core/model.ts'

/** Leaves are integrated in whole chunks of 2^8; what is stored at this level says how far that went. */
const CHUNK_LEVEL = 8
const CHUNK = 2 ** CHUNK_LEVEL

export type TreeReader = {
  /** The hash of a complete subtree; undefined where it is not complete in the log. */
  node(level: number, index: number): Uint8Array | undefined
}

export function prepareTreeReader(db: Database): TreeReader {
  const leaf = db.prepare<[number], { leaf: Uint8Array }>('select leaf from record where idx = ?')
  const stored = db.prepare<[number, number], { hash: Uint8Array }>('select hash from node where level = ? and idx = ?')

  function node(level: number, index: number): Uint8Array | undefined {
    if (level === 0) return leaf.get(index)?.leaf
    const found = stored.get(level, index)?.hash
    if (found !== undefined) return found
    const right = node(level - 1, 2 * index + 1)
    const left = right === undefined ? undefined : node(level - 1, 2 * index)
    return left === undefined || right === undefined ? undefined : nodeHash(left, right)
  }
  return { node }
}

/** Stores the subtrees of the next whole chunk, if the log of `size` has one; true where there may be more. */
export type Integrate = (size: Seq) => boolean

export function prepareIntegration(db: Database): Integrate {
  const { node } = prepareTreeReader(db)
  const furthest = db.prepare<[number], { count: number }>(
    'select coalesce(max(idx) + 1, 0) as count from node where level = ?',
  )
  const leaves = db.prepare<[number, number], { leaf: Uint8Array }>(
    'select leaf from record where idx >= ? and idx < ? order by idx',
  )
  const add = db.prepare('insert or ignore into node (level, idx, hash) values (?, ?, ?)')

  const integrate = db.transaction((from: Seq) => {
    let frontier = frontierOf(node, from)
    for (const { leaf } of leaves.all(from, from + CHUNK)) {
      frontier = append(frontier, leaf, ({ level, index, hash }) => {
        if (level > 0) add.run(level, index, hash)
      })
    }
  })

  return (size) => {
    const from = (furthest.get(CHUNK_LEVEL)?.count ?? 0) * CHUNK
    if (size - from < CHUNK) return false
    integrate.immediate(from)
    return size - from >= 2 * CHUNK
  }
}
