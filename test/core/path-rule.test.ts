import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { onlyValue, readCallTarget, withoutValues } from '../../src/core/call-target.ts'
import { judgeCall } from '../../src/core/judge-call.ts'
import { isWithin, type PathRule, readPattern } from '../../src/core/path-rule.ts'
import { scope, tool } from '../support/manifest-set.ts'

const targetOf = (text: string) => {
  const read = readCallTarget(text)
  if (!read.ok) throw new Error(read.error)
  return read.value
}
const allows = (path: string, target: string, details = {}, query = {}) =>
  isWithin({ method: 'GET', path, query }, 'GET', targetOf(target), details)

describe('a path that could be read in two ways is refused (S21)', () => {
  test.each([
    'api',
    '/a//b',
    '//a',
    '/a/./b',
    '/a/../b',
    '/..',
    '/a/%2e%2e/b',
    '/a/%2E./b',
    '/a/.%2e',
    '/a%2fb',
    '/a%2Fb',
    '/a%5cb',
    '/a\\b',
    '/a%252fb',
    '/a%25b',
    '/a;x=1/b',
    '/a%3bb',
    '/a%00b',
    '/a%0d%0ab',
    '/a%09b',
    '/a%7fb',
    '/a%61b',
    '/a%2db',
    '/a%7eb',
    '/a%3fb',
    '/a%23b',
    '/a#b',
    '/a b',
    '/a\tb',
    '/ä',
    '/a%zz',
    '/a%',
    '/a%c0%ae',
    '/a%ff',
    '/a?b\\c',
    '/a?b c',
    '/a?b#c',
  ])('%s', (target) => {
    expect(readCallTarget(target).ok).toBe(false)
  })

  test('plain ones go on as they came, and only the comparing is done decoded', () => {
    expect(targetOf('/a%20b/c?x=%2e%2e/&y')).toEqual({ path: '/a%20b/c', segments: ['a b', 'c'], query: 'x=%2e%2e/&y' })
    expect(targetOf('').path).toBe('/')
    expect(targetOf('?a=1')).toEqual({ path: '/', segments: [''], query: 'a=1' })
  })

  test('what is let through means the same to a URL parser', () => {
    const piece = fc.constantFrom(
      '/',
      '.',
      '..',
      '%2e',
      '%2f',
      'a',
      ';',
      '\\',
      '%',
      '%25',
      '?',
      '//',
      'ü',
      '%c3%bc',
      '@',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const target = `/${pieces.join('')}`
        const read = readCallTarget(target)
        if (!read.ok) return
        expect(new URL(`http://tool${target}`).pathname).toBe(read.value.path)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('a pattern allows what it says and nothing beside (P2)', () => {
  test.each([
    ['/api/v1/query', '/api/v1/query', true],
    ['/api/v1/query', '/api/v1/query/', false],
    ['/api/v1/query', '/api/v1/queryx', false],
    ['/api/v1/query', '/API/v1/query', false],
    ['/api/v1/query*', '/api/v1/query', true],
    ['/api/v1/query*', '/api/v1/query_range', true],
    ['/api/v1/query*', '/api/v1/query/x', false],
    ['/a/*/c', '/a/b/c', true],
    ['/a/*/c', '/a//c', false],
    ['/a/*', '/a/', false],
    ['/a/**', '/a/b/c', true],
    ['/a/**', '/a/', true],
    ['/a/**', '/a', false],
    ['/', '/', true],
    ['/', '/a', false],
    ['/a', '/%61', false],
  ])('%s and %s: %s', (pattern, target, expected) => {
    const read = readCallTarget(target)
    expect(read.ok && allows(pattern, target)).toBe(expected)
  })

  test.each([
    'a',
    '//',
    '/a//b',
    '/..',
    '/a*b',
    '/**/a',
    '/***',
    '/%61',
    '/a?b',
    '/a;b',
    '/{',
    '/x{a}',
    '/{a}{b}',
    '/{1}',
  ])('the pattern %s is a fault', (pattern) => {
    expect(readPattern(pattern).ok).toBe(false)
  })

  test('{detail} is one of the values of the grant, in a segment or a query, once and under its own name (S9)', () => {
    const held = { ns: ['dev', 'a b'] }
    expect(allows('/n/{ns}.json', '/n/dev.json', held)).toBe(true)
    expect(allows('/n/{ns}', '/n/a%20b', held)).toBe(true)
    for (const target of ['/n/prod.json', '/n/.json', '/n/devx.json', '/n/dev'])
      expect(allows('/n/{ns}.json', target, held)).toBe(false)
    const query = { namespace: 'ns' }
    expect(allows('/n', '/n?x=1&namespace=dev', held, query)).toBe(true)
    for (const asked of [
      'namespace=prod',
      'namespace=dev&namespace=prod',
      'namespace=dev&namespace[]=prod',
      'namespace=dev&Namespace=prod',
      'namespace=dev&%6eamespace=prod',
      'namespace=dev;namespace=prod',
      'namespace=dev&+namespace=prod',
      'namespace=dev&namespace%00x=prod',
      'namespace',
      'x=1',
      'namespace=dev&x=%ff',
    ])
      expect({ asked, allowed: allows('/n', `/n?${asked}`, held, query) }).toEqual({ asked, allowed: false })
    expect(allows('/n', '/n', held, query)).toBe(false)
    expect(allows('/n', '/n', {}, query)).toBe(true)
  })

  test('onlyValue reads plus signs and encodings as servers do', () => {
    expect(onlyValue('a=1+2&b=%2B', 'a')).toBe('1 2')
    expect(onlyValue('a=1+2&b=%2B', 'b')).toBe('+')
    expect(onlyValue(null, 'a')).toBeNull()
  })

  test('the trail gets the names of parameters and none of their values (P7)', () => {
    expect(withoutValues(targetOf('/a?key=s3cret&q=up&q=2'))).toBe('/a?key&q')
  })
})

describe('a call is judged by the rules of the credential’s own scopes', () => {
  const get = (path: string, query: PathRule['query'] = {}): PathRule => ({ method: 'GET', path, query })
  const made = tool('metrics', {
    scopes: {
      read: scope({ allow: [get('/query'), get('/ns/{ns}')] }),
      admin: scope({ allow: [{ ...get('/admin'), method: 'POST' }] }),
      none: scope(),
    },
    details: { ns: { description: '', enforcedBy: 'proxy' }, queue: { description: '', enforcedBy: 'tool' } },
  })
  const judge = (scopes: readonly string[], method: string, target: string, details = {}) =>
    judgeCall(made, { scopes, details }, method, targetOf(target))

  test('deny by default, and the refusal names the scope that would do (P2, P8)', () => {
    expect(judge(['read'], 'GET', '/query')).toEqual({ ok: true, value: 'read' })
    for (const [method, path] of [
      ['POST', '/query'],
      ['HEAD', '/query'],
      ['get', '/query'],
      ['GET', '/other'],
      ['GET', '/admin'],
    ] as const)
      expect(judge(['read', 'none'], method, path)).toMatchObject({ error: { code: 'scope_not_in_manifest' } })
    expect(judge(['none'], 'POST', '/admin')).toMatchObject({ error: { hint: expect.stringContaining('admin') } })
    expect(judge(['__proto__'], 'GET', '/query').ok).toBe(false)
  })

  test('a detail that no rule holds refuses the call, whatever the path allows (S9)', () => {
    expect(judge(['read'], 'GET', '/query', { ns: ['dev'] })).toMatchObject({ error: { code: 'details_not_allowed' } })
    expect(judge(['read'], 'GET', '/ns/dev', { ns: ['dev'] }).ok).toBe(true)
    expect(judge(['read'], 'GET', '/ns/prod', { ns: ['dev'] })).toMatchObject({
      error: { code: 'details_not_allowed' },
    })
    expect(judge(['read'], 'GET', '/ns/dev', { ns: ['dev'], queue: ['a'] })).toMatchObject({
      error: { code: 'details_not_allowed' },
    })
  })
})
