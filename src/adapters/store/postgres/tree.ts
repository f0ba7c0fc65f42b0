// The tree over the log, read: what is stored of it (whole chunks of 256 leaves), and what is computed from leaves
// since. The log only grows, so several statements that agree on its size need no snapshot.

import { append, frontierOf, frontierRoot, rootOf } from '../../../core/merkle.ts'
import type { Seq } from '../../../core/model.ts'
import type { Query } from './connections.ts'

/** Leaves are integrated in whole chunks of 2^8; what is stored at this level says how far that went. */
const CHUNK = 256

export async function readRoot(query: Query): Promise<{ readonly size: Seq; readonly root: Uint8Array }> {
  const [{ size, chunks } = { size: 0, chunks: 0 }] = await query<{ size: Seq; chunks: number }>({
    name: 'tree',
    text: `select size, (select coalesce(max(idx) + 1, 0) from node where level = 8) as chunks from head where id = 1`,
  })
  // Asked once without answers, to learn which subtrees make up what is stored.
  const wanted: { level: number; index: number }[] = []
  const stored = Math.min(chunks, Math.floor(size / CHUNK)) * CHUNK
  frontierOf((level, index) => {
    wanted.push({ level, index })
    return new Uint8Array(32)
  }, stored)
  const nodes = await query<{ level: number; idx: number; hash: Uint8Array }>({
    name: 'nodes',
    text: `select n.level, n.idx, n.hash from unnest($1::int[], $2::bigint[]) as w(level, idx)
      join node n on n.level = w.level and n.idx = w.idx`,
    values: [wanted.map(({ level }) => level), wanted.map(({ index }) => index)],
  })
  const byPlace = new Map(nodes.map(({ level, idx, hash }) => [`${level}/${idx}`, hash]))
  let frontier = frontierOf((level, index) => byPlace.get(`${level}/${index}`), stored)
  for (const leaf of await leaves(query, stored, size)) frontier = append(frontier, leaf)
  return { size, root: frontierRoot(frontier) }
}

/** The hash of a complete subtree; undefined where it is not complete in the log. */
export async function readNode(query: Query, level: number, index: number): Promise<Uint8Array | undefined> {
  const [first, width] = [index * 2 ** level, 2 ** level]
  if (!Number.isSafeInteger(first + width)) return undefined
  const [found] = await query<{ size: Seq; hash: Uint8Array | null }>({
    name: 'node',
    text: `select size, (select hash from node where level = $1 and idx = $2) as hash from head where id = 1`,
    values: [level, index],
  })
  if (found === undefined || first + width > found.size) return undefined
  return found.hash ?? rootOf(await leaves(query, first, first + width))
}

async function leaves(query: Query, from: Seq, to: Seq): Promise<Uint8Array[]> {
  const found = await query<{ leaf: Uint8Array }>({
    name: 'leaves',
    text: 'select leaf from record where idx >= $1 and idx < $2 order by idx',
    values: [from, to],
  })
  return found.map(({ leaf }) => leaf)
}
