// What a tool holds, sorted, as a table.

import { describe, expect, test } from 'vitest'
import { accountId, accountName, installationTag, isOurs } from '../../src/core/account-name.ts'
import { expected, type KnownAccount, sortHeld } from '../../src/core/drift.ts'
import type { HeldAccount } from '../../src/core/target.ts'

const held = (name: string, rights = ['Read'], active = true): HeldAccount => ({ name, external: name, active, rights })
const known = (name: string, state: KnownAccount['state'] = 'present', rights: string[] | null = ['Read']) =>
  [name, { id: `acc_${name}`, name, state, rights }] as const
const sorted = (
  accounts: HeldAccount[],
  rows: ReturnType<typeof known>[],
  policy: { others?: 'report' | 'ignore'; exempt?: string[] } = {},
) => {
  const { managed, findings } = sortHeld(accounts, new Map(rows), (name) => name.startsWith('hp-'), {
    others: 'report',
    exempt: [],
    ...policy,
  })
  return [managed, ...findings.map(({ drift, name, rights }) => `${drift} ${name} ${rights.join()}`.trim())]
}

describe('what a tool holds', () => {
  test('as it should be is managed, and what is inactive is nobody’s business', () => {
    expect(sorted([held('hp-a'), held('x', [], false)], [known('hp-a')])).toEqual([1])
  })
  test.each([
    ['ghost', [held('hp-a')], [], 'ghost hp-a Read'],
    ['unlocked', [held('hp-a')], [known('hp-a', 'gone')], 'unlocked hp-a Read'],
    ['missing', [], [known('hp-a')], 'missing hp-a'],
    ['missing: inactive', [held('hp-a', ['Read'], false)], [known('hp-a')], 'missing hp-a'],
    ['over-scoped', [held('hp-a', ['Admin', 'Read'])], [known('hp-a')], 'over-scoped hp-a Admin'],
    ['under-scoped', [held('hp-a', [])], [known('hp-a')], 'under-scoped hp-a Read'],
    ['other', [held('eve')], [], 'other eve Read'],
  ])('is found: %s', (_, accounts, rows, finding) => {
    expect(sorted(accounts, rows)).toEqual([0, finding])
  })
  test('while it is made or taken away is no finding, whatever it looks like', () => {
    expect(sorted([held('hp-a', [])], [known('hp-a', 'planned'), known('hp-b', 'leaving')])).toEqual([0])
  })
  test('of others is not told where the manifest expects it, and never taken for ours', () => {
    expect(
      sorted([held('admin'), held('a@example.com'), held('eve')], [], { exempt: ['admin', '*@example.com'] }),
    ).toEqual([0, 'other eve Read'])
    expect(sorted([held('eve')], [], { others: 'ignore' })).toEqual([0])
    expect(sorted([held('hp-a')], [], { others: 'ignore', exempt: ['*'] })).toEqual([0, 'ghost hp-a Read'])
  })
  test.each([
    ['*', 'anything', true],
    ['a*', 'ab', true],
    ['a*b*c', 'a--b--c', true],
    ['a*a', 'a', false],
    ['*bb*b', 'abb', false],
    ['a.c', 'abc', false],
    ['a*b', 'ba', false],
    [`${'*a'.repeat(60)}*b`, 'a'.repeat(5000), false],
  ])('fits %s: %s', (pattern, name, fits) => {
    expect(expected([pattern])(name)).toBe(fits)
  })
})

describe('the name of an account', () => {
  test('is the same after any crash, short, and never that of another installation, grant or generation (P9)', () => {
    const tag = installationTag('https://a.example.com', 1)
    const name = accountName(tag, 'grt_1', 1)
    expect(name).toBe(accountName(tag, 'grt_1', 1))
    expect(name).toMatch(/^hp-[0-9a-f]{16}$/)
    expect(new Set([name, accountName(tag, 'grt_1', 2), accountName(tag, 'grt_2', 1)]).size).toBe(3)
    expect(isOurs(tag, name)).toBe(true)
    expect(isOurs(installationTag('https://a.example.com', 2), name)).toBe(false)
    expect([`x${name}`, `${name}0`, 'hp-', 'hp-bot'].some((other) => isOurs(tag, other))).toBe(false)
    expect(accountId('grt_abc', 2) > accountId('grt_abc', 1)).toBe(true)
    expect(accountId('grt_abc', 10) > accountId('grt_abc', 9)).toBe(true)
  })
})
