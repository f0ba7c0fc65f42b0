// The language of recipes: what is refused, where, and what a right is by them.

import { describe, expect, test } from 'vitest'
import { parseManifests } from '../../src/core/manifest-parse.ts'
import { faultsOfUse, parseRecipe } from '../../src/core/recipe-parse.ts'
import { parseRights, textsOf } from '../../src/core/recipe-rights.ts'

const LIST = `list:
  - get: /orgs/{organization}/users
    each: /users
    as: { id: /id, name: /login }
    yields: account
`
const GOOD = `recipe: sample
about: A sample
capabilities: { scope: exact, expires: false, lists: true, revokes: true, probes: true, deadWithinMilliseconds: 0 }
presents: { header: authorization, prefix: 'Bearer ' }
auth: { kind: header, header: x-key }
values: { organization: slug }
rights:
  grant: { text: '{project}:{role}', parts: { project: slug, role: [reader, writer] }, highest: role }
find:
  - get: /orgs/{organization}/users
    query: { name: '{name}' }
    each: /users
    as: { id: /id, name: /login }
    yields: account
remove:
  - delete: /users/{id}
probe: { get: /me, alive: [200], dead: [401] }
${LIST}`
const parsed = (text: string) => parseRecipe('sample.yaml', new TextEncoder().encode(text))
const faults = (from: string, to: string): string[] => {
  expect(GOOD).toContain(from)
  const read = parsed(GOOD.replace(from, to))
  if (read.ok) return []
  return read.error.map(({ line, column, message }) => `${line}:${column} ${message}`)
}
const good = () => {
  const read = parsed(GOOD)
  if (!read.ok) throw new Error(JSON.stringify(read.error))
  return read.value
}

describe('a recipe', () => {
  test('that is right is read', () => {
    expect(good()).toMatchObject({ recipe: 'sample', keeps: 'accounts', create: [] })
  })

  test.each([
    ['an unknown key', 'about: A sample', 'about: A sample\nrun: rm', '3:1 unknown key "run"'],
    ['an unknown field of a step', "    query: { name: '{name}' }", '    script: x', '11:5 unknown key "script"'],
    ['a name bound nowhere', '/users/{id}', '/users/{uid}', '16:13 "delete" {uid} is bound nowhere'],
    ['a brace of its own', "'{name}' }", "'{name' }", '11:20 "name" has a brace that belongs to no {name}'],
    ['a path to elsewhere', '/users/{id}', '/users/../admin', '16:13 "delete": must be a path'],
    ['another origin', '/users/{id}', '//mallory.example/', '16:13 "delete": must be a path'],
    ['a query in a path', '/users/{id}', '/users?x=1', '16:13 "delete": must be a path'],
    ['two requests in one', '  - delete: /users/{id}', '  - delete: /users/{id}\n    get: /me', 'names get and delete'],
    ['a binding over a value', 'as: { id: /id', 'as: { organization: /id', 'means something else already'],
    ['parts with nothing between', '{project}:{role}', '{project}{role}', 'must name each part once'],
    ['no way to look up', '    yields: account\n', '    yields: account\nread: 7\n', '15:7 "read"'],
    [
      'a list that is none',
      LIST,
      '',
      '3:54 "lists" needs steps under "list": those under "find" ask for one {name} alone',
    ],
    [
      'a list without accounts',
      LIST,
      LIST.replace('    yields: account\n', ''),
      '19:3 "list" has no step that yields an account',
    ],
    [
      'a way to look up nobody',
      '/login }\n    yields: account\nremove',
      '/login }\nremove',
      '10:3 "find" has no step that yields an account',
    ],
    ['a pattern of its own', 'project: slug', 'project: ^(a+)+$', '8:56 "project"'],
    ['a pointer that is none', 'id: /id', 'id: $.id', '13:15 "id": must be a JSON pointer'],
    [
      'a bound on no list',
      '    each: /users\n    as',
      '    fewerThan: 9\n    pages: { offset: o, size: 10 }\n    each: /users\n    as',
      '"fewerThan" is for one answer',
    ],
    ['pages without rows', '    each: /users\n', '    pages: { offset: o, size: 10 }\n', 'is for a get with "each"'],
    [
      'a list of no right in JSON',
      '  - delete: /users/{id}',
      "  - post: /users\n    json: { ids: { each: key, value: '{id}' } }",
      'only rights are listed',
    ],
    ['an anchor', 'about: A sample', 'about: &a A sample', '2:8 anchors'],
    ['too long a death', 'deadWithinMilliseconds: 0', 'deadWithinMilliseconds: 9000000', '3:'],
    ['a header that splits', 'header: x-key', "header: 'x-key: a'", '5:31 "header": must be the name of a header'],
  ])('with %s is refused, with its place', (_, from, to, said) => {
    expect(faults(from, to).join('\n')).toContain(said)
  })

  test('that nests deep, or is long, is refused and not run into', () => {
    const deep = `${'steps: [{ '.repeat(6)}get: /me${' }]'.repeat(6)}`
    expect(faults('    yields: account\n', `    ${deep}\n`).join('\n')).toContain('nests more than 4 deep')
    expect(faults('remove:\n', `remove:\n${'  - get: /me\n'.repeat(101)}`).join('\n')).toMatch(/remove|steps/)
    const read = parsed(`# ${'x'.repeat(70_000)}\n${GOOD}`)
    expect(read.ok ? '' : read.error[0]?.message).toContain('at most 65536 bytes')
  })
})

describe('rights by a recipe', () => {
  test('are split at what is between their parts, and held to their kinds', () => {
    for (const right of [
      '',
      ':',
      'a:',
      ':reader',
      'a:Reader',
      'A:reader',
      '12:reader',
      'a:reader\n',
      'a/b:reader',
      'a:b:reader',
    ])
      expect(parseRights(good(), [right]).ok, right).toBe(false)
    const read = parseRights(good(), ['ops:writer', 'a-b_1:reader', 'ops:reader', 'ops:writer'])
    expect(read.ok && textsOf(good(), read.value)).toEqual(['a-b_1:reader', 'ops:writer'])
  })

  test('take time by their length alone', () => {
    const started = performance.now()
    expect(parseRights(good(), [`${'a:'.repeat(200_000)}!`]).ok).toBe(false)
    expect(performance.now() - started).toBeLessThan(1000)
  })
})

describe('a target that uses a recipe', () => {
  test('is faulty where a value is missing, unknown or unfit, or a right is none of it', () => {
    const uses = (values: Record<string, string>, right = 'ops:reader') =>
      faultsOfUse(good(), { values, rights: { 'a:read': [right] } }).map(({ path, message }) => [
        path.join('.'),
        message,
      ])
    expect(uses({ organization: 'acme' })).toEqual([])
    expect(uses({ organization: 'acme' }, '{project}:reader')).toEqual([])
    expect(uses({})).toEqual([['values', '"organization" is missing: the recipe needs it (a slug)']])
    expect(uses({ organization: '../x' })).toEqual([['values.organization', '"organization" must be a slug']])
    expect(uses({ organization: 'acme', organisation: 'acme' })).toEqual([
      ['values.organisation', 'the recipe takes no value "organisation"; did you mean "organization"?'],
    ])
    expect(uses({ organization: 'acme' }, 'ops:root')).toEqual([
      ['rights.a:read.0', 'the right "ops:root" is none of this recipe: write {project}:reader|writer'],
    ])
  })
})

describe('a manifest of type http', () => {
  const tool = (recipe: string, values: string) => `apiVersion: hallpass/v1
kind: Tool
metadata: { name: sample }
spec:
  owners: [alice@example.com]
  category: ticketing
  resource: https://sample.example.com
  scopes: { 'a:read': { description: Read, risk: low } }
  token: { maxTtl: 10m, verifiedBy: guard }
  target:
    type: http
    url: https://sample.example.com
    secret: env:HALLPASS_TOOL_SAMPLE
    recipe: ${recipe}
    values: ${values}
    rights: { 'a:read': ['ops:reader'] }
`
  const said = (recipe: string, values: string, uses = good()) => {
    const files = new Map([['tool.yaml', new TextEncoder().encode(tool(recipe, values))]])
    const recipes = new Map([['sample', uses]])
    const read = parseManifests(files, { issuerOrigin: null, known: null, recipes })
    return (read.ok ? read.set.warnings : read.faults).map(
      ({ line, column, message }) => `${line}:${column} ${message}`,
    )
  }

  test('names a recipe that there is, and its values, or is faulty at that place', () => {
    expect(said('sampel', '{}')).toEqual(['14:13 no recipe "sampel"; did you mean "sample"?'])
    expect(said('sample', '{ organization: A/B }')).toEqual(['15:29 "organization" must be a slug'])
  })

  test('is warned of what its recipe cannot do, and of nothing else', () => {
    expect(said('sample', '{ organization: acme }')).toEqual([])
  })

  test('is drilled on a schedule only where its recipe takes accounts away', () => {
    const scheduled = '{ organization: acme }\n    drill: { every: 24h }'
    expect(said('sample', scheduled)).toEqual([])
    const revokesNothing = { ...good(), capabilities: { ...good().capabilities, revokes: false } }
    expect(said('sample', scheduled, revokesNothing)).toEqual([
      '16:12 "drill" is for tools that take an account away when they are asked to: each one would fail here',
    ])
  })
})
