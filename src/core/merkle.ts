// The append-only tree of RFC 9162 section 2 (the same tree as RFC 6962): roots, proofs and their verification.
// Numbers are counted, not shifted, so sizes are good to 2^53. It holds no state and does no I/O.
import { hash } from 'node:crypto'

/** 32 bytes of SHA-256. */
export type Hash = Uint8Array

/** A complete subtree: `level` 0 is leaf hashes, node `index` covers leaves `index·2^level` to `(index+1)·2^level`. */
export type NodeId = { readonly level: number; readonly index: number }
export type TreeNode = NodeId & { readonly hash: Hash }

/** Finds the stored hash of a complete subtree; it is asked only for subtrees that are complete at the proof's size. */
export type GetNode = (level: number, index: number) => Hash | undefined

/** All that appending needs: the size, and the roots of the complete subtrees that make it up, largest first. */
export type Frontier = { readonly size: number; readonly nodes: readonly Hash[] }

/** A tree without leaves. */
export const emptyFrontier: Frontier = { size: 0, nodes: [] }

/** SHA-256(00 ‖ entry): RFC 9162 section 2.1.1. */
export function leafHash(entry: Uint8Array): Hash {
  const input = new Uint8Array(entry.length + 1)
  input.set(entry, 1)
  return hash('sha256', input, 'buffer')
}

/** SHA-256(01 ‖ left ‖ right): RFC 9162 section 2.1.1. */
export function nodeHash(left: Hash, right: Hash): Hash {
  const input = new Uint8Array(1 + left.length + right.length)
  input[0] = 1
  input.set(left, 1)
  input.set(right, 1 + left.length)
  return hash('sha256', input, 'buffer')
}

/**
 * The frontier with one more leaf: one hash on average beyond the leaf's own. `onNode` hears of every subtree that
 * the leaf completes, the leaf itself first: these, and no others, are what a store keeps.
 */
export function append(frontier: Frontier, leaf: Hash, onNode?: (node: TreeNode) => void): Frontier {
  const nodes = frontier.nodes.slice()
  let { level, index } = { level: 0, index: frontier.size }
  let top = leaf
  onNode?.({ level, index, hash: top })
  while (index % 2 === 1) {
    top = nodeHash(nodes.pop()!, top)
    level += 1
    index = (index - 1) / 2
    onNode?.({ level, index, hash: top })
  }
  nodes.push(top)
  return { size: frontier.size + 1, nodes }
}

/** The subtrees that appending leaf `index` completes, the leaf itself first. */
export function completedBy(index: number): NodeId[] {
  const nodes: NodeId[] = [{ level: 0, index }]
  for (let level = 1, at = index; at % 2 === 1; level++) {
    at = (at - 1) / 2
    nodes.push({ level, index: at })
  }
  return nodes
}

/** The frontier of a tree of `size` leaves whose complete subtrees are stored. Throws where one is missing. */
export const frontierOf = (getNode: GetNode, size: number): Frontier => ({
  size,
  nodes: completeNodes(0, checkedSize(size)).map((id) => required(getNode, id)),
})

/** The root of the tree that the frontier stands for; of an empty one, SHA-256 of nothing. */
export function frontierRoot(frontier: Frontier): Hash {
  return frontier.nodes.length === 0 ? hash('sha256', new Uint8Array(), 'buffer') : foldRight(frontier.nodes)
}

/** The root over leaf hashes. */
export const rootOf = (leaves: readonly Hash[]): Hash =>
  frontierRoot(leaves.reduce((frontier, leaf) => append(frontier, leaf), emptyFrontier))

/** All complete subtrees over leaf hashes, for trees small enough to be held in memory. */
export function nodesOver(leaves: readonly Hash[]): GetNode {
  const nodes = new Map<string, Hash>()
  let frontier = emptyFrontier
  for (const leaf of leaves) {
    frontier = append(frontier, leaf, ({ level, index, hash }) => nodes.set(`${level}/${index}`, hash))
  }
  return (level, index) => nodes.get(`${level}/${index}`)
}

/**
 * The proof that leaf `index` is in the tree of `size` leaves: RFC 9162 section 2.1.3.1.
 * Throws RangeError where there is no such leaf, and Error where the store lacks a node.
 */
export function inclusionProof(getNode: GetNode, index: number, size: number): Hash[] {
  checkedSize(size)
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
    throw new RangeError(`a tree of ${size} has no leaf ${index}`)
  }
  const proof: Hash[] = []
  let [from, to] = [0, size]
  while (to - from > 1) {
    const middle = from + splitOf(to - from)
    if (index < middle) {
      proof.push(rangeHash(getNode, middle, to))
      to = middle
    } else {
      proof.push(rangeHash(getNode, from, middle))
      from = middle
    }
  }
  return proof.reverse()
}

/** Whether the proof shows leaf `index` in the tree of `size` leaves with this root: RFC 9162 section 2.1.3.2. */
export function verifyInclusion(
  claim: { readonly index: number; readonly size: number; readonly leaf: Hash; readonly root: Hash },
  proof: readonly Hash[],
): boolean {
  const { index, size, leaf, root } = claim
  if (!isSize(index) || !isSize(size) || index >= size || !areHashes([leaf, root, ...proof])) return false
  let [node, last] = [index, size - 1]
  let top = leaf
  for (const step of proof) {
    if (last === 0) return false
    if (node % 2 === 1 || node === last) {
      top = nodeHash(step, top)
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)]
    } else {
      top = nodeHash(top, step)
    }
    ;[node, last] = [half(node), half(last)]
  }
  return last === 0 && same(top, root)
}

/**
 * The proof that the tree of `from` leaves is the beginning of the tree of `size`: RFC 9162 section 2.1.4.1. Empty
 * where `from` is 0 or `size`. Throws RangeError where `from > size`, and Error where the store lacks a node.
 */
export function consistencyProof(getNode: GetNode, from: number, size: number): Hash[] {
  checkedSize(size)
  if (!isSize(from) || from > size) throw new RangeError(`a tree of ${size} has no beginning of ${from}`)
  if (from === 0 || from === size) return []
  const proof: Hash[] = []
  let [start, end] = [0, size]
  while (end !== from) {
    const middle = start + splitOf(end - start)
    if (from <= middle) {
      proof.push(rangeHash(getNode, middle, end))
      end = middle
    } else {
      proof.push(rangeHash(getNode, start, middle))
      start = middle
    }
  }
  if (start > 0) proof.push(rangeHash(getNode, start, end))
  return proof.reverse()
}

/** Whether the proof shows that the first tree is the beginning of the second: RFC 9162 section 2.1.4.2. */
export function verifyConsistency(
  first: { readonly size: number; readonly root: Hash },
  second: { readonly size: number; readonly root: Hash },
  proof: readonly Hash[],
): boolean {
  if (!isSize(first.size) || !isSize(second.size) || first.size > second.size) return false
  if (!areHashes([first.root, second.root, ...proof])) return false
  if (first.size === 0) return proof.length === 0 && same(first.root, frontierRoot(emptyFrontier))
  if (first.size === second.size) return proof.length === 0 && same(first.root, second.root)
  const isComplete = completeNodes(0, first.size).length === 1
  const [seed, ...steps] = isComplete ? [first.root, ...proof] : proof
  if (seed === undefined) return false
  let [node, last] = [first.size - 1, second.size - 1]
  while (node % 2 === 1) [node, last] = [half(node), half(last)]
  let [firstTop, secondTop] = [seed, seed]
  for (const step of steps) {
    if (last === 0) return false
    if (node % 2 === 1 || node === last) {
      firstTop = nodeHash(step, firstTop)
      secondTop = nodeHash(step, secondTop)
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)]
    } else {
      secondTop = nodeHash(secondTop, step)
    }
    ;[node, last] = [half(node), half(last)]
  }
  return last === 0 && same(firstTop, first.root) && same(secondTop, second.root)
}

/** The largest power of two below `count`, which is at least 2: where RFC 9162 splits a tree. */
function splitOf(count: number): number {
  let power = 1
  while (power * 2 < count) power *= 2
  return power
}

/** The complete subtrees that make up leaves `from` to `to`, largest first; `from` is a multiple of the largest. */
function completeNodes(from: number, to: number): NodeId[] {
  const nodes: NodeId[] = []
  for (let start = from; start < to; ) {
    let [level, width] = [0, 1]
    while (width * 2 <= to - start) [level, width] = [level + 1, width * 2]
    nodes.push({ level, index: start / width })
    start += width
  }
  return nodes
}

const rangeHash = (getNode: GetNode, from: number, to: number): Hash =>
  foldRight(completeNodes(from, to).map((id) => required(getNode, id)))

function foldRight(nodes: readonly Hash[]): Hash {
  return nodes.reduceRight((right, left) => nodeHash(left, right))
}

function required(getNode: GetNode, { level, index }: NodeId): Hash {
  const found = getNode(level, index)
  if (found === undefined) throw new Error(`the tree lacks node ${level}/${index}`)
  return found
}

function checkedSize(size: number): number {
  if (!isSize(size)) throw new RangeError(`${size} is not a tree's size`)
  return size
}

const isSize = (value: number): boolean => Number.isSafeInteger(value) && value >= 0
const half = (value: number): number => Math.floor(value / 2)
const same = (a: Hash, b: Hash): boolean => Buffer.compare(a, b) === 0
const areHashes = (values: readonly Hash[]): boolean => values.every((value) => value.length === 32)
