import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Ask, decide } from '../../src/core/decision.ts'
import { agentValue, entry, toolValue, world } from './world.ts'

const ask = (over: Partial<Ask> = {}): Ask => ({
  tool: 'tickets',
  scopes: ['ticket:read'],
  details: { queue: ['incidents'] },
  durationSeconds: null,
  ...over,
})

describe('decide', () => {
  it('what the manifest gives needs the approval it names, for as long as it says', () => {
    expect(decide(world(), ask())).toMatchObject({ ok: true, value: { approval: 'owner', durationSeconds: 28_800 } })
  })

  it('a longer time than the manifest gives is cut to it, a shorter one kept (P2)', () => {
    expect(decide(world(), ask({ durationSeconds: 999_999 }))).toMatchObject({ value: { durationSeconds: 28_800 } })
    expect(decide(world(), ask({ durationSeconds: 60 }))).toMatchObject({ value: { durationSeconds: 60 } })
  })

  it('a scope outside the manifest is refused with the patch that would allow it (P2, P8)', () => {
    const refused = decide(world(), ask({ scopes: ['ticket:close'] }))
    expect(refused).toMatchObject({
      ok: false,
      error: {
        code: 'scope_not_in_manifest',
        manifestPatch:
          '# agents/triage-bot.yaml, line 12: in the access entry for tickets\nscopes: [ticket:close, ticket:comment, ticket:read]',
      },
    })
  })

  it('a mistyped scope is told what it may have meant, and gets no patch (P8)', () => {
    const refused = decide(world(), ask({ scopes: ['ticket:raed'] }))
    expect(refused).toMatchObject({ ok: false, error: { code: 'scope_not_in_manifest', didYouMean: 'ticket:read' } })
    expect(refused).not.toHaveProperty('error.manifestPatch')
  })

  it('details wider than the manifest are refused and the allowed ones named (P2)', () => {
    expect(decide(world(), ask({ details: {} }))).toMatchObject({ ok: false, error: { code: 'details_not_allowed' } })
    expect(decide(world(), ask({ details: { queue: ['incidents', 'payroll'] } }))).toMatchObject({
      ok: false,
      error: { code: 'details_not_allowed' },
    })
  })

  it('a detail that the tool never declared is refused, also by an unrestricted entitlement: nobody would enforce it (S9)', () => {
    const refused = decide(world({}, [entry({ details: {} })]), ask({ details: { project: ['x'] } }))
    expect(refused).toMatchObject({
      ok: false,
      error: { code: 'details_not_allowed', message: 'tickets has no detail "project".' },
    })
  })

  it('scopes that no single entitlement covers are refused with the split (S9)', () => {
    const split = world({}, [entry({ scopes: ['ticket:read'], details: {} }), entry({ scopes: ['ticket:comment'] })])
    const refused = decide(split, ask({ scopes: ['ticket:comment', 'ticket:read'] }))
    expect(refused).toMatchObject({
      ok: false,
      error: {
        code: 'scope_not_in_manifest',
        hint: expect.stringMatching(/ticket:comment.*ticket:read|ticket:read.*ticket:comment/),
      },
    })
  })

  it('of several entitlements that cover, the least approval counts (S9)', () => {
    const both = world({}, [entry(), entry({ scopes: ['ticket:read'], approval: 'none' })])
    expect(decide(both, ask())).toMatchObject({ value: { approval: 'none' } })
    expect(decide(both, ask({ scopes: ['ticket:comment', 'ticket:read'] }))).toMatchObject({
      value: { approval: 'owner' },
    })
  })

  it("a scope's own approval makes an entry stricter, never weaker (S8)", () => {
    const own = {
      ...toolValue,
      scopes: {
        ...toolValue.scopes,
        'ticket:read': { ...toolValue.scopes['ticket:read']!, approval: 'owner' as const },
      },
    }
    expect(decide(world({ toolValue: own }, [entry({ approval: 'none' })]), ask())).toMatchObject({
      value: { approval: 'owner' },
    })
    expect(decide(world({}, [entry({ approval: 'owner' })]), ask())).toMatchObject({ value: { approval: 'owner' } })
  })

  it('a name such as __proto__ is a scope that nobody has (S13)', () => {
    for (const scope of ['__proto__', 'constructor', 'toString'])
      expect(decide(world(), ask({ scopes: [scope] }))).toMatchObject({
        ok: false,
        error: { code: 'scope_not_in_manifest' },
      })
  })

  it('an overdue review stops every new ask (S1)', () => {
    expect(decide(world({ identity: { ...agentValue, reviewBy: '2026-11-23' } }), ask())).toMatchObject({
      ok: false,
      error: { code: 'review_overdue' },
    })
  })

  const scope = fc.constantFrom('ticket:read', 'ticket:comment', 'ticket:close')
  const details = fc.constantFrom<Record<string, string[]>>(
    {},
    { queue: ['a'] },
    { queue: ['a', 'b'] },
    { queue: ['b'] },
  )
  const entitlement = fc
    .record({
      scopes: fc.uniqueArray(scope, { minLength: 1 }),
      details,
      approval: fc.constantFrom('none' as const, 'owner' as const),
      grantForSeconds: fc.integer({ min: 60, max: 600 }),
    })
    .map((over) => entry({ ...over, scopes: over.scopes.sort() }))

  it('nothing is ever granted that no entitlement in force covers alone (P2)', () => {
    fc.assert(
      fc.property(
        fc.array(entitlement, { maxLength: 4 }),
        fc.uniqueArray(scope, { minLength: 1 }),
        details,
        fc.integer({ min: 1, max: 900 }),
        (held, scopes, wanted, durationSeconds) => {
          const decided = decide(world({}, held), ask({ scopes: scopes.sort(), details: wanted, durationSeconds }))
          if (!decided.ok) return
          const { entitlement: by, durationSeconds: given } = decided.value
          expect(held).toContain(by)
          expect(scopes.every((s) => by.scopes.includes(s))).toBe(true)
          for (const [key, allowed] of Object.entries(by.details))
            expect(wanted[key]?.every((v) => allowed.includes(v))).toBe(true)
          expect(given).toBeLessThanOrEqual(Math.min(durationSeconds, by.grantForSeconds))
        },
      ),
    )
  })
})
