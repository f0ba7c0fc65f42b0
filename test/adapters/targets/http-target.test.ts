// A connection of type http finds its recipe, or says what it lacks before anything is asked.

import { expect, test } from 'vitest'
import { Secret } from '../../../src/core/secret.ts'
import { TargetFailure } from '../../../src/core/target.ts'
import { TARGET_MAKERS } from '../../../src/wire/connect-targets.ts'

const make = (recipe: string | null, values: Readonly<Record<string, string>> = {}) => {
  const connection = { type: 'http', url: 'https://tool.example.com', secret: 'env:A', recipe, values } as const
  return TARGET_MAKERS.http?.(connection, async () => new Secret('s3cret'))
}
const failure = (doing: () => unknown): TargetFailure => {
  try {
    doing()
  } catch (thrown) {
    if (thrown instanceof TargetFailure) return thrown
  }
  return expect.fail('it did not fail')
}

test('a tool of type http speaks by the recipe that it names', () => {
  expect(make('grafana')?.canonical(['Viewer'])).toEqual(['Viewer'])
  expect(make('github-app', { app: 'Iv1.a', installation: '42' })?.capabilities.lists).toBe(false)
})

test('a recipe that this version lacks, and a value that it needs, are refused before anything is asked', () => {
  for (const [recipe, values, said] of [
    ['jira', {}, 'no recipe "jira"'],
    ['../redmine', {}, 'no recipe "../redmine"'],
    [null, {}, 'no recipe'],
    ['github-app', { app: 'Iv1.a' }, '"installation" is missing'],
    ['github-app', { app: 'Iv1.a', installation: '4/2' }, '"installation" must be a number'],
  ] as const)
    expect(failure(() => make(recipe, values))).toMatchObject({
      why: 'refused',
      mayHaveActed: false,
      message: expect.stringContaining(said),
    })
})
