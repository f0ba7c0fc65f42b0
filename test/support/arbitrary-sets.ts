// Small random manifest sets that overlap much: few names, few people, few values, so that edits meet.

import fc from 'fast-check'
import type { AccessEntry, Manifest, ManifestSet } from '../../src/core/manifest.ts'
import { agent, entry, key, role, scope, setOf, team, tool } from './manifest-set.ts'

const PEOPLE = ['alice@example.com', 'bob@example.com', 'tina@example.com', 'mallory@example.com']
export const SCOPES = ['read', 'comment', 'close']
const OWNERS = [...PEOPLE, 'team/sre', 'team/desk']

const some = <T>(items: readonly T[], minLength = 0) => fc.subarray([...items], { minLength })
const sorted = (arbitrary: fc.Arbitrary<string[]>) => arbitrary.map((items) => items.toSorted())

export const arbitraryDetails = fc
  .record({ queue: sorted(some(['a', 'b', 'c'], 1)), site: sorted(some(['x', 'y'], 1)) }, { requiredKeys: [] })
  .map((details) => Object.fromEntries(Object.entries(details)))

const arbitraryEntry: fc.Arbitrary<AccessEntry> = fc
  .record({
    tool: fc.constantFrom('tickets', 'metrics'),
    scopes: sorted(some(SCOPES, 1)),
    details: arbitraryDetails,
    approval: fc.constantFrom('none' as const, 'owner' as const),
    grantForSeconds: fc.constantFrom(60, 3600),
    tokenTtlSeconds: fc.constantFrom(60, 300),
    delivery: fc.constantFrom('inline' as const, 'exchange' as const),
  })
  .map((made) => entry(made.tool, made.scopes, made))

const entries = fc.array(arbitraryEntry, { maxLength: 3 })

const arbitraryAgent = (name: string) =>
  fc
    .record({
      owners: sorted(some(OWNERS, 1)),
      keys: some([key('one'), key('two')]),
      roles: some(['triage']),
      access: entries,
      reviewBy: fc.constantFrom(null, '2027-01-01', '2027-06-01'),
      state: fc.constantFrom('active' as const, 'active' as const, 'decommissioned' as const),
    })
    .map((made) => agent(name, made))

const arbitraryTool = (name: string) =>
  fc
    .record({
      owners: sorted(some(OWNERS, 1)),
      resource: fc.constantFrom(`https://${name}.example.com`, `https://new-${name}.example.com`),
      scopes: fc.record(
        Object.fromEntries(
          SCOPES.map((name) => [
            name,
            fc
              .record({
                risk: fc.constantFrom('low' as const, 'high' as const),
                approval: fc.constantFrom('none' as const, 'owner' as const),
              })
              .map(scope),
          ]),
        ),
        { requiredKeys: ['read'] },
      ),
      details: fc
        .record(
          {
            queue: fc.record({
              description: fc.constant(''),
              enforcedBy: fc.constantFrom('tool' as const, 'guard' as const),
            }),
            site: fc.record({ description: fc.constant(''), enforcedBy: fc.constant('tool' as const) }),
          },
          { requiredKeys: [] },
        )
        .map((details) => Object.fromEntries(Object.entries(details))),
      token: fc.record({
        alg: fc.constant('ES256' as const),
        maxTtlSeconds: fc.constantFrom(60, 600),
        verifiedBy: fc.constantFrom('asks' as const, 'alone' as const),
        leewaySeconds: fc.constant(60),
      }),
    })
    .map((made) =>
      tool(name, {
        ...made,
        scopes: Object.fromEntries(Object.entries(made.scopes).flatMap(([name, of]) => (of ? [[name, of]] : []))),
      }),
    )

const arbitraryTeam = (name: string) => sorted(some(PEOPLE, 1)).map((members) => team(name, members))

/** Each document is there or not, on its own. */
export const arbitrarySet: fc.Arbitrary<ManifestSet> = fc
  .tuple(
    fc.option(arbitraryAgent('bot')),
    fc.option(arbitraryAgent('other')),
    fc.option(arbitraryTool('tickets')),
    fc.option(arbitraryTool('metrics')),
    fc.option(entries.map((access) => role('triage', access))),
    fc.option(arbitraryTeam('sre')),
    fc.option(arbitraryTeam('desk')),
  )
  .map((documents) => setOf(...documents.filter((document): document is Manifest => document !== null)))
