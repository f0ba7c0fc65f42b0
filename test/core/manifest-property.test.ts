// Whatever the bytes: never a throw, never slow, never a set that a later reader would refuse.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { UNPRINTABLE } from '../../src/core/manifest-faults.ts'
import { parseManifests } from '../../src/core/manifest-parse.ts'

const root = fileURLToPath(new URL('../../scopes', import.meta.url))
const sample = new Map(
  readdirSync(root, { recursive: true })
    .map(String)
    .filter((path) => !path.startsWith('.') && statSync(`${root}/${path}`).isFile())
    .map((path) => [path, new Uint8Array(readFileSync(`${root}/${path}`))]),
)
const options = { issuerOrigin: 'http://127.0.0.1:8420', secretsFolder: null, known: null }

/** Parses, and holds what must hold of every outcome. */
const check = (files: Map<string, Uint8Array>): void => {
  const start = performance.now()
  const parsed = parseManifests(files, options)
  expect(performance.now() - start, 'a parse that hangs').toBeLessThan(20_000)
  if (parsed.ok) {
    for (const agent of parsed.set.agents.values()) {
      expect(agent.owners.length).toBeGreaterThan(0)
      for (const entry of agent.access) {
        const tool = parsed.set.tools.get(entry.tool)
        expect(entry.scopes.every((scope) => Object.hasOwn(tool?.scopes ?? {}, scope))).toBe(true)
        expect(entry.scopes.length).toBeGreaterThan(0)
        expect(entry.tokenTtlSeconds).toBeLessThanOrEqual(tool?.token.maxTtlSeconds ?? 0)
      }
    }
    return
  }
  expect(parsed.faults.length).toBeGreaterThan(0)
  for (const fault of parsed.faults) {
    expect(fault.line).toBeGreaterThan(0)
    expect(fault.column).toBeGreaterThan(0)
    expect(UNPRINTABLE.test(fault.message + fault.file) || /[\n\r]/.test(fault.message)).toBe(false)
  }
}

test('arbitrary bytes never throw and finish quickly (P10)', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom('a.yaml', 'b/c.yml', 'k.pem'), fc.uint8Array({ maxLength: 400 })),
      (files) => check(new Map(Object.entries(files))),
    ),
    { numRuns: 300 },
  )
})

const yamlSoup = fc
  .array(
    fc.constantFrom(
      'apiVersion: hallpass/v1\n',
      'kind: Agent\n',
      'kind: Tool\n',
      'metadata: ',
      'spec:\n',
      '  owners: ',
      '  access:\n',
      '    - ',
      'tool: tickets',
      'scopes: ',
      '[',
      ']',
      '{',
      '}',
      ',',
      ': ',
      '\n',
      '  ',
      '---\n',
      '? ',
      '|\n',
      '>-\n',
      '"',
      "'",
      '&a ',
      '*a',
      '!t ',
      '<<: ',
      '# c\n',
      '5',
      'null',
      '~',
      '2027-03-01',
      '\t',
      '%YAML 1.1\n',
      'name: x',
      '__proto__: ',
      '\\u0000',
      '@',
      '`',
    ),
    { maxLength: 60 },
  )
  .map((parts) => parts.join(''))

test('soups of YAML words never throw (P10)', () => {
  fc.assert(
    fc.property(yamlSoup, (text) => check(new Map([['a.yaml', new TextEncoder().encode(text)]]))),
    { numRuns: 600 },
  )
})

const edit = fc.record({
  file: fc.constantFrom(...sample.keys()),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  remove: fc.nat({ max: 40 }),
  insert: fc.oneof(
    fc.string({ maxLength: 12, unit: 'binary' }),
    yamlSoup.map((text) => text.slice(0, 40)),
  ),
})

test('sample manifests with random edits never throw, and what still parses is sound (P2)', () => {
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
      const files = new Map(sample)
      for (const { file, at, remove, insert } of edits) {
        const text = new TextDecoder().decode(files.get(file))
        const start = Math.floor(at * text.length)
        files.set(file, new TextEncoder().encode(text.slice(0, start) + insert + text.slice(start + remove)))
      }
      check(files)
    }),
    { numRuns: 300 },
  )
})
