import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { diffSets } from '../../src/core/authority.ts'
import { type Authority, compileSlices, covers, valueDigest } from '../../src/core/compile-slices.ts'
import { approvalOf, covering, type World } from '../../src/core/judge.ts'
import { APPROVAL_LEVELS } from '../../src/core/manifest.ts'
import { meet } from '../../src/core/meet.ts'
import { ownersOf, peopleOf } from '../../src/core/needs.ts'
import type { SliceValue } from '../../src/core/slice.ts'
import { arbitraryDetails, arbitrarySet, SCOPES } from '../support/arbitrary-sets.ts'

const RUNS = { numRuns: 400 }
const slices = arbitrarySet.map((set): Authority => compileSlices(set))
const digests = (authority: Authority) =>
  Object.fromEntries([...authority].flatMap(([id, value]) => (value === null ? [] : [[id, valueDigest(value)]])))

const everySlice = (
  a: Authority,
  b: Authority,
  check: (one: SliceValue | null, other: SliceValue | null, id: string) => void,
) => {
  for (const id of new Set([...a.keys(), ...b.keys()])) check(a.get(id) ?? null, b.get(id) ?? null, id)
}

/** What a decision would say: the least approval and longest life, or null for no. */
function allowed(
  authority: Authority,
  agent: string,
  tool: string,
  scopes: readonly string[],
  details: Record<string, string[]>,
) {
  const of = authority.get(`agent/${agent}`)
  const access = authority.get(`access/${agent}/${tool}`)
  const toolValue = authority.get(`tool/${tool}`)
  if (of?.of !== 'agent' || of.state !== 'active' || access?.of !== 'access' || toolValue?.of !== 'tool') return null
  const world: World = { now: 0, installation: null, agent: null, identity: of, access, tool: null, toolValue }
  const all = covering(world, scopes, details)
  if (all.length === 0) return null
  return {
    approval: Math.min(
      ...all.map((entitlement) => APPROVAL_LEVELS.indexOf(approvalOf(entitlement, scopes, toolValue))),
    ),
    grantFor: Math.max(...all.map(({ grantForSeconds }) => grantForSeconds)),
    tokenTtl: Math.min(toolValue.token.maxTtlSeconds, Math.max(...all.map(({ tokenTtlSeconds }) => tokenTtlSeconds))),
    people: ownersOf(authority, `agent/${agent}`),
  }
}

describe('the meet', () => {
  test('is the same authority whichever way round, but for fields without an order (S1)', () => {
    fc.assert(
      fc.property(slices, slices, (a, b) =>
        everySlice(a, b, (one, other) => {
          if (one?.of !== 'tool') expect(valueDigest(meet(one, other))).toBe(valueDigest(meet(other, one)))
        }),
      ),
      RUNS,
    )
  })

  test('of a value with itself, and with a meet of it, is itself (S1)', () => {
    fc.assert(
      fc.property(slices, slices, (a, b) =>
        everySlice(a, b, (one, other) => {
          expect(valueDigest(meet(one, one))).toBe(valueDigest(one))
          const both = meet(one, other)
          expect(valueDigest(meet(one, both))).toBe(valueDigest(both))
          expect(valueDigest(meet(both, other))).toBe(valueDigest(both))
        }),
      ),
      RUNS,
    )
  })

  test('never keeps an entitlement that another of it covers (S9)', () => {
    fc.assert(
      fc.property(slices, slices, (a, b) =>
        everySlice(a, b, (one, other) => {
          const both = meet(one, other)
          if (both?.of !== 'access') return
          for (const x of both.entitlements)
            for (const y of both.entitlements) expect(x !== y && covers(x, y)).toBe(false)
        }),
      ),
      RUNS,
    )
  })

  test('refuses values of two kinds', () => {
    const agent: SliceValue = {
      of: 'agent',
      name: 'a',
      labels: {},
      purpose: '',
      owners: [],
      keys: [],
      roles: [],
      reviewBy: null,
      state: 'active',
      source: { file: '', line: 1, column: 1 },
    }
    expect(() => meet(agent, { of: 'team', name: 'a', members: [], source: agent.source })).toThrow('never becomes')
  })
})

describe('the diff', () => {
  test('with every widening accepted reaches exactly what is proposed (P3)', () => {
    fc.assert(
      fc.property(slices, slices, (inForce, proposed) => {
        const { next, widenings } = diffSets(inForce, proposed)
        const reached = new Map(next)
        for (const { slice, to, before, after } of widenings) {
          expect(valueDigest(reached.get(slice) ?? null)).toBe(before)
          expect(valueDigest(to)).toBe(after)
          reached.set(slice, to)
        }
        expect(digests(reached)).toEqual(digests(proposed))
      }),
      RUNS,
    )
  })

  test('what is in force at once never allows more than before, nor more than proposed (P2, P3)', () => {
    const ask = fc.record({
      agent: fc.constantFrom('bot', 'other'),
      tool: fc.constantFrom('tickets', 'metrics'),
      scopes: fc.subarray(SCOPES, { minLength: 1 }),
      details: arbitraryDetails,
    })
    fc.assert(
      fc.property(slices, slices, ask, (inForce, proposed, { agent, tool, scopes, details }) => {
        const now = allowed(diffSets(inForce, proposed).next, agent, tool, scopes, details)
        if (now === null) return
        for (const side of [inForce, proposed]) {
          const was = allowed(side, agent, tool, scopes, details)
          expect(was).not.toBeNull()
          expect(now.approval).toBeGreaterThanOrEqual(was!.approval)
          expect(now.grantFor).toBeLessThanOrEqual(was!.grantFor)
          expect(now.tokenTtl).toBeLessThanOrEqual(was!.tokenTtl)
          for (const person of now.people) expect(was!.people).toContain(person)
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('lets nobody accept who did not already own that very thing before the edit (S2)', () => {
    fc.assert(
      fc.property(slices, slices, (inForce, proposed) => {
        for (const { needs } of diffSets(inForce, proposed).widenings) {
          expect(needs.length).toBeGreaterThan(0)
          for (const { as, of, eligible } of needs) {
            const before =
              as === 'member of team'
                ? peopleOf(inForce, [`team/${of}`])
                : ownersOf(inForce, as === 'owner of agent' ? `agent/${of}` : `tool/${of}`)
            const still =
              as === 'member of team'
                ? peopleOf(proposed, [`team/${of}`])
                : ownersOf(proposed, as === 'owner of agent' ? `agent/${of}` : `tool/${of}`)
            if (as === 'admin') expect(eligible).toEqual([])
            for (const person of eligible) {
              expect(before).toContain(person)
              expect(still).toContain(person)
            }
          }
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('of a set with itself is nothing (S1)', () => {
    fc.assert(
      fc.property(slices, (inForce) => {
        const { narrowings, widenings } = diffSets(inForce, inForce)
        expect([narrowings, widenings]).toEqual([[], []])
      }),
      RUNS,
    )
  })

  test('shows a line for every widening and every narrowing (P8)', () => {
    fc.assert(
      fc.property(slices, slices, (inForce, proposed) => {
        const { narrowings, widenings } = diffSets(inForce, proposed)
        for (const { slice, lines } of narrowings)
          expect({ slice, shown: lines.length > 0 }).toEqual({ slice, shown: true })
        for (const { slice, diff } of widenings)
          expect({ slice, shown: diff.length > 0 }).toEqual({ slice, shown: true })
      }),
      RUNS,
    )
  })
})
