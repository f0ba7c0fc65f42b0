// A recipe of one's own as authority: what it says is what is accepted, and it stays in force until another is.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { diffSets } from '../../src/core/authority.ts'
import { compileSlices, valueDigest } from '../../src/core/compile-slices.ts'
import type { ManifestSet } from '../../src/core/manifest.ts'
import { parseManifests } from '../../src/core/manifest-parse.ts'
import { acceptedRecipe } from '../../src/core/own-recipe.ts'

const RECIPE = readFileSync(fileURLToPath(new URL('../../recipes/redmine.yaml', import.meta.url)), 'utf8')
const tool = (more = 'recipeFile: ../recipes/own.recipe.yaml') => `apiVersion: hallpass/v1
kind: Tool
metadata: { name: desk }
spec:
  owners: [alice@example.com]
  category: ticketing
  resource: https://desk.example.com
  scopes: { 'a:read': { description: Read, risk: low } }
  target:
    type: http
    url: https://desk.example.com
    secret: env:HALLPASS_TOOL_DESK
    ${more}
    rights: { 'a:read': ['ops:Reader'] }
`
const parsed = (recipe: string, manifest = tool(), path = 'recipes/own.recipe.yaml') =>
  parseManifests(
    new Map([
      ['tools/desk.yaml', new TextEncoder().encode(manifest)],
      [path, new TextEncoder().encode(recipe)],
    ]),
    { issuerOrigin: null, known: null },
  )
function setOf(recipe: string, manifest = tool(), path?: string): ManifestSet {
  const read = parsed(recipe, manifest, path)
  if (!read.ok) throw new Error(JSON.stringify(read.faults))
  return read.set
}
const targetOf = (set: ManifestSet) => {
  const target = set.tools.get('desk')?.target
  if (target === undefined || target.type === 'none') throw new Error('no target')
  return target
}
const sliceOf = (set: ManifestSet) => compileSlices(set).get('tool/desk') ?? null

describe('a recipe of one’s own', () => {
  test('comes with the revision as it was read, and is read again from what was accepted (S3)', () => {
    const { recipe, ownRecipe = '' } = targetOf(setOf(RECIPE))
    expect(recipe).toBeNull()
    const accepted = acceptedRecipe(ownRecipe)
    expect(accepted).toMatchObject({ ok: true, value: { recipe: 'redmine', auth: { header: 'x-redmine-api-key' } } })
    // The first form that fits a right counts, so the order of the file is kept.
    expect(Object.keys(JSON.parse(ownRecipe)).slice(0, 3)).toEqual(['recipe', 'about', 'capabilities'])
  })

  test.each([
    ['a step', 'put: /users/{id}.json\n    json: { user: { status: 3 } }', 'delete: /users/{id}.json'],
    ['what counts as dead', 'dead: [401]', 'dead: [200, 401]'],
    ['what is promised', 'lists: true', 'lists: false'],
    ['where the secret stands', 'auth: { kind: header, header: x-redmine-api-key }', 'auth: { kind: basic }'],
    ['a word', 'about: Redmine 5', 'about: Redmine six'],
  ])('that changes %s waits for an admin, and the old one stays in force (S1, S5)', (_, from, to) => {
    expect(RECIPE).toContain(from)
    const [was, now] = [setOf(RECIPE), setOf(RECIPE.replace(from, to))]
    expect(now.digest).not.toBe(was.digest)
    const { next, widenings, narrowings } = diffSets(compileSlices(was), compileSlices(now))
    expect(narrowings).toEqual([])
    expect(next.get('tool/desk')).toMatchObject({ target: { ownRecipe: targetOf(was).ownRecipe } })
    expect(widenings).toHaveLength(1)
    expect(widenings[0]).toMatchObject({
      slice: 'tool/desk',
      before: valueDigest(sliceOf(was)),
      after: valueDigest(sliceOf(now)),
      needs: [{ as: 'admin', of: 'desk' }],
    })
    expect(widenings[0]?.diff.join('\n')).toMatch(/target recipeFile/)
  })

  test('is shown a line a step to whoever accepts it; a change shows the steps that changed alone', () => {
    const first = diffSets(new Map(), compileSlices(setOf(RECIPE))).widenings[0]?.diff ?? []
    expect(first).toContain('+ target recipeFile probe get "/users/current.json"')
    expect(first.filter((line) => line.includes('recipeFile remove'))).toEqual([
      '+ target recipeFile remove 1 {"put":"/users/{id}.json","json":{"user":{"status":3}}}',
    ])
    const changed = setOf(RECIPE.replace('status: 3 } }', 'status: 2 } }'))
    expect(diffSets(compileSlices(setOf(RECIPE)), compileSlices(changed)).widenings[0]?.diff).toEqual([
      '~ target recipeFile remove 1 {"put":"/users/{id}.json","json":{"user":{"status":3}}} → {"put":"/users/{id}.json","json":{"user":{"status":2}}}',
    ])
  })

  test('a change past what a line shows is seen as one all the same', () => {
    const long = (end: string) => RECIPE.replace(/about: .*/, `about: ${'x'.repeat(420)}${end}`)
    const { widenings } = diffSets(compileSlices(setOf(long('a'))), compileSlices(setOf(long('b'))))
    expect(widenings[0]?.diff).toHaveLength(1)
  })

  test('is the same by what it says: comments, layout and where it lies decide nothing (S1)', () => {
    const was = setOf(RECIPE)
    const moved = setOf(
      `# another remark\n${RECIPE.replaceAll('# ', '#  ').replace('{ status: 1 }\n', '\n  status: 1\n')}`,
      tool('recipeFile: ../other/place.recipe.yml'),
      'other/place.recipe.yml',
    )
    expect(moved.digest).toBe(was.digest)
    expect(diffSets(compileSlices(was), compileSlices(moved)).widenings).toEqual([])
  })

  test('in place of a shipped one waits, and so does the way back (S1)', () => {
    const [own, shipped] = [setOf(RECIPE), setOf(RECIPE, tool('recipe: redmine'))]
    for (const [was, now] of [
      [own, shipped],
      [shipped, own],
    ] as const)
      expect(diffSets(compileSlices(was), compileSlices(now)).widenings).toHaveLength(1)
    expect(shipped.warnings.map(({ file, message }) => [file, message])).toContainEqual([
      'recipes/own.recipe.yaml',
      'no tool names this recipe in "recipeFile": nothing comes of it',
    ])
  })

  test('leaves the digest of tools that use none as it was', () => {
    expect(JSON.stringify(sliceOf(setOf(RECIPE, tool('recipe: redmine'))))).not.toContain('ownRecipe')
  })
})
