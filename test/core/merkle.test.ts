import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  append,
  completedBy,
  consistencyProof,
  emptyFrontier,
  type Frontier,
  frontierOf,
  frontierRoot,
  type Hash,
  inclusionProof,
  leafHash,
  type NodeId,
  nodeHash,
  nodesOver,
  rootOf,
  verifyConsistency,
  verifyInclusion,
} from '../../src/core/merkle.ts'

type Vectors = {
  emptyRoot: string
  leaves: string[]
  roots: string[]
  inclusion: { index: number; size: number; proof: string[] }[]
  consistency: { from: number; size: number; proof: string[] }[]
}
const vectors: Vectors = JSON.parse(readFileSync(new URL('../vectors/rfc6962.json', import.meta.url), 'utf8'))
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const unhex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'))
const published = vectors.leaves.map((leaf) => leafHash(unhex(leaf)))
const publishedRoot = (size: number) => unhex(vectors.roots[size - 1] ?? vectors.emptyRoot)

/** RFC 9162 section 2.1.1, word for word: what the fast forms are compared with. */
function slowRoot(leaves: readonly Hash[]): Hash {
  if (leaves.length === 0) return unhex(vectors.emptyRoot)
  if (leaves.length === 1) return leaves[0]!
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  return nodeHash(slowRoot(leaves.slice(0, split)), slowRoot(leaves.slice(split)))
}
const numbered = (count: number) => Array.from({ length: count }, (_, i) => leafHash(Buffer.from(`leaf ${i}`)))
const changed = (hash: Hash) => Uint8Array.from(hash, (byte, i) => (i === 7 ? byte ^ 1 : byte))

describe('the published Certificate Transparency tree', () => {
  test('an empty tree has the published root', () => {
    expect(hex(frontierRoot(emptyFrontier))).toBe(vectors.emptyRoot)
  })

  test.each(vectors.roots.map((root, i) => [i + 1, root] as const))('%i leaves have the root %s', (size, root) => {
    expect(hex(rootOf(published.slice(0, size)))).toBe(root)
  })

  test.each(vectors.inclusion)('leaf $index of $size has the published proof', ({ index, size, proof }) => {
    const made = inclusionProof(nodesOver(published), index, size)
    expect(made.map(hex)).toEqual(proof)
    const claim = { index, size, leaf: published[index]!, root: publishedRoot(size) }
    expect(verifyInclusion(claim, proof.map(unhex))).toBe(true)
  })

  test.each(vectors.consistency)('$from of $size has the published proof', ({ from, size, proof }) => {
    expect(consistencyProof(nodesOver(published), from, size).map(hex)).toEqual(proof)
    const [first, second] = [from, size].map((n) => ({ size: n, root: publishedRoot(n) }))
    expect(verifyConsistency(first!, second!, proof.map(unhex))).toBe(true)
  })
})

describe('the frontier', () => {
  test('appending gives the root of the definition at every size', () => {
    const leaves = numbered(70)
    let frontier: Frontier = emptyFrontier
    leaves.forEach((leaf, i) => {
      frontier = append(frontier, leaf)
      expect(frontier.size).toBe(i + 1)
      expect(hex(frontierRoot(frontier))).toBe(hex(slowRoot(leaves.slice(0, i + 1))))
    })
  })

  test('appending leaves the frontier it started from as it was', () => {
    const before = append(append(append(emptyFrontier, published[0]!), published[1]!), published[2]!)
    const root = hex(frontierRoot(before))
    append(before, published[3]!)
    expect(hex(frontierRoot(before))).toBe(root)
  })

  test('a leaf completes exactly the subtrees that are told, and a store of them gives frontiers and proofs', () => {
    const kept = new Map<string, Hash>()
    const getNode = (level: number, index: number) => kept.get(`${level}/${index}`)
    const leaves = numbered(45)
    let frontier: Frontier = emptyFrontier
    leaves.forEach((leaf, i) => {
      const told: NodeId[] = []
      frontier = append(frontier, leaf, ({ level, index, hash }) => {
        told.push({ level, index })
        expect(hex(hash)).toBe(hex(slowRoot(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level))))
        expect(kept.has(`${level}/${index}`)).toBe(false)
        kept.set(`${level}/${index}`, hash)
      })
      expect(told).toEqual(completedBy(i))
      expect(frontierOf(getNode, i + 1)).toEqual(frontier)
      expect(frontierOf(getNode, Math.floor(i / 2)).size).toBe(Math.floor(i / 2))
    })
    expect(kept.size).toBe(45 + 22 + 11 + 5 + 2 + 1)
  })

  test('a missing node and an impossible size throw', () => {
    expect(() => frontierOf(() => undefined, 1)).toThrow(/lacks node 0\/0/)
    for (const size of [-1, 0.5, Number.NaN, 2 ** 53]) expect(() => frontierOf(nodesOver([]), size)).toThrow(RangeError)
    expect(() => inclusionProof(nodesOver(published), 8, 8)).toThrow(RangeError)
    expect(() => consistencyProof(nodesOver(published), 8, 7)).toThrow(RangeError)
  })
})

describe('proofs', () => {
  const sizes = fc.integer({ min: 1, max: 130 }).chain((size) => fc.tuple(fc.nat(size - 1), fc.constant(size)))

  test('every inclusion proof verifies, and none for another index, size, leaf, root or proof', () => {
    fc.assert(
      fc.property(sizes, fc.nat(), ([index, size], at) => {
        const leaves = numbered(size)
        const claim = { index, size, leaf: leaves[index]!, root: rootOf(leaves) }
        const proof = inclusionProof(nodesOver(leaves), index, size)
        expect(verifyInclusion(claim, proof)).toBe(true)
        for (const other of [index - 1, index + 1, index ^ 2, index + 0.5]) {
          expect(verifyInclusion({ ...claim, index: other }, proof)).toBe(false)
        }
        expect(verifyInclusion({ ...claim, leaf: changed(claim.leaf) }, proof)).toBe(false)
        expect(verifyInclusion({ ...claim, root: changed(claim.root) }, proof)).toBe(false)
        expect(verifyInclusion({ ...claim, size: size * 4 }, proof)).toBe(false)
        expect(verifyInclusion(claim, [...proof, claim.root])).toBe(false)
        expect(verifyInclusion(claim, [...proof, new Uint8Array()])).toBe(false)
        if (proof.length > 0) {
          const spoilt = proof.map((step, i) => (i === at % proof.length ? changed(step) : step))
          expect(verifyInclusion(claim, spoilt)).toBe(false)
          expect(verifyInclusion(claim, proof.slice(1))).toBe(false)
          expect(verifyInclusion(claim, proof.slice(0, -1))).toBe(false)
        }
      }),
    )
  })

  test('every consistency proof verifies, and none for another size, root or proof', () => {
    fc.assert(
      fc.property(sizes, fc.nat(), ([before, size], at) => {
        const from = before + 1
        const leaves = numbered(size)
        const first = { size: from, root: rootOf(leaves.slice(0, from)) }
        const second = { size, root: rootOf(leaves) }
        const proof = consistencyProof(nodesOver(leaves), from, size)
        expect(verifyConsistency(first, second, proof)).toBe(true)
        expect(verifyConsistency({ ...first, root: changed(first.root) }, second, proof)).toBe(false)
        expect(verifyConsistency(first, { ...second, root: changed(second.root) }, proof)).toBe(false)
        expect(verifyConsistency(first, second, [...proof, second.root])).toBe(false)
        if (from < size) {
          expect(verifyConsistency(second, first, proof)).toBe(false)
          expect(verifyConsistency({ ...first, size: from + 1 }, second, proof)).toBe(false)
          const spoilt = proof.map((step, i) => (i === at % proof.length ? changed(step) : step))
          expect(verifyConsistency(first, second, spoilt)).toBe(false)
          expect(verifyConsistency(first, second, proof.slice(0, -1))).toBe(false)
          expect(verifyConsistency(first, second, [])).toBe(false)
        }
      }),
    )
  })

  test('the empty tree is the beginning of every tree, by its own root alone', () => {
    const [empty, second] = [frontierRoot(emptyFrontier), { size: 8, root: publishedRoot(8) }]
    expect(verifyConsistency({ size: 0, root: empty }, second, [])).toBe(true)
    expect(verifyConsistency({ size: 0, root: publishedRoot(1) }, second, [])).toBe(false)
    expect(verifyConsistency({ size: 0, root: empty }, second, [empty])).toBe(false)
  })

  test('a proof longer than the tree is high, and hashes of another length, prove nothing', () => {
    const [left, right] = [published[0]!, published[1]!]
    const root = nodeHash(left, right)
    expect(verifyInclusion({ index: 0, size: 1, leaf: right, root }, [left])).toBe(false)
    const both = Buffer.concat([left, right])
    expect(verifyInclusion({ index: 1, size: 2, leaf: new Uint8Array(), root }, [both])).toBe(false)
    expect(verifyInclusion({ index: 0, size: 1, leaf: new Uint8Array(), root: new Uint8Array() }, [])).toBe(false)
  })

  test('a rewritten history has no consistency proof', () => {
    const [honest, forged] = [numbered(20), numbered(20)]
    forged[3] = leafHash(Buffer.from('another'))
    const first = { size: 11, root: rootOf(honest.slice(0, 11)) }
    for (const tree of [honest, forged]) {
      const proof = consistencyProof(nodesOver(tree), 11, 20)
      expect(verifyConsistency(first, { size: 20, root: rootOf(forged) }, proof)).toBe(false)
    }
  })

  test('any altered, dropped, reordered, added or truncated leaf changes the root', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 80 }), fc.nat(), fc.nat(), (size, at, to) => {
        const leaves = numbered(size)
        const root = hex(rootOf(leaves))
        const [i, j] = [at % size, to % size]
        const swapped = leaves.with(i, leaves[j]!).with(j, leaves[i]!)
        expect(hex(rootOf(leaves.with(i, changed(leaves[i]!))))).not.toBe(root)
        expect(hex(rootOf(leaves.toSpliced(i, 1)))).not.toBe(root)
        expect(hex(rootOf(leaves.toSpliced(i, 0, leaves[i]!)))).not.toBe(root)
        expect(hex(rootOf(leaves.slice(0, i)))).not.toBe(root)
        expect(hex(rootOf(swapped)) === root).toBe(i === j)
      }),
    )
  })
})
