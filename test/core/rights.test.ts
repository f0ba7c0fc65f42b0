// Rights as a table: what fills a word, what is refused.

import { describe, expect, test } from 'vitest'
import { rightsFor } from '../../src/core/rights.ts'

const target = { rights: { read: ['{project}:Reader', 'All'], both: ['{project}/{queue}'], plain: ['All'] } }
const of = (scopes: string[], details: Record<string, string[]>) => {
  const rights = rightsFor(target, scopes, details)
  return rights.ok ? rights.value : rights.error.code
}

describe('rights', () => {
  test('are one a value, sorted and unique over all scopes (P2)', () => {
    expect(of(['read', 'plain'], { project: ['ops', 'db'] })).toEqual(['All', 'db:Reader', 'ops:Reader'])
    expect(of(['both'], { project: ['a', 'b'], queue: ['x'] })).toEqual(['a/x', 'b/x'])
  })

  test('are refused where a detail that they name is left open, with a hint to name it (P8)', () => {
    const rights = rightsFor(target, ['read'], { queue: ['x'] })
    expect(rights.ok ? null : rights.error).toMatchObject({ code: 'details_not_allowed', nextTool: 'request_access' })
    expect(rights.ok ? '' : rights.error.hint).toContain('"project"')
  })

  test.each(['ops:Manager', '', ' ops', '{queue}', 'a"b', 'a\nb', '__proto__', 'a,b', 'ops/../x'])(
    'are refused where a value is %j, which could end a word and begin another (P2)',
    (value) => {
      expect(of(['read'], { project: [value] })).toBe('details_not_allowed')
    },
  )

  test('are refused for a scope that has none, inherited names included (P2)', () => {
    expect(of(['constructor'], {})).toBe('scope_not_in_manifest')
    expect(of(['close'], {})).toBe('scope_not_in_manifest')
  })

  test('are never more than an account is given (S17)', () => {
    const many = Array.from({ length: 64 }, (_, n) => `v${n}`)
    expect(of(['both'], { project: many, queue: many })).toBe('details_not_allowed')
  })
})
