// Random steps: what people, agents, git, crashes and clocks do, as plain data that shrinks. Things are picked by number from
// whatever is there when the step is taken.

import fc from 'fast-check'
import type { AccessEntry, Manifest, ManifestSet, ToolManifest } from '../../src/core/manifest.ts'
import { agent, entry, key, role, scope, setOf, team, tool } from '../support/manifest-set.ts'
import { DELIVERIES, GRANT_FOR, LEVELS, QUEUES, SCOPES, TOKEN_TTL } from './authority-model.ts'

export const PEOPLE = ['alice@example.com', 'bob@example.com', 'tina@example.com', 'mallory@example.com'] as const
const AGENTS = ['bot', 'other'] as const
const TOOLS = ['tickets', 'metrics'] as const
const OWNERS = [...PEOPLE, 'team/sre', 'team/desk']
const DAYS = [null, null, '2026-01-15', '2026-01-16'] as const

const some = <T>(items: readonly T[], minLength = 1) => fc.subarray([...items], { minLength })
const names = (items: readonly string[], minLength = 1) => some(items, minLength).map((few) => few.toSorted())
const oneOf = <T>(items: readonly T[]) => fc.constantFrom(...items)
/** Resolved when the step is taken, to somebody who has a right to it, so that enough gets done. */
export const WHOEVER_MAY = 'whoever may'
/** To somebody who came into force only after what waits began to wait: they may accept nothing of it (S2). */
export const WHOEVER_GAINED = 'whoever gained'
const who = fc.oneof(
  { weight: 6, arbitrary: fc.constant(WHOEVER_MAY) },
  { weight: 4, arbitrary: oneOf<string>(PEOPLE) },
  { weight: 1, arbitrary: fc.constant('admin') },
)
const nth = fc.nat({ max: 11 })

const access = fc
  .record({
    tool: oneOf(TOOLS),
    scopes: names(SCOPES),
    queues: oneOf(QUEUES),
    approval: oneOf(LEVELS),
    grantForSeconds: oneOf(GRANT_FOR),
    tokenTtlSeconds: oneOf(TOKEN_TTL),
    delivery: oneOf(DELIVERIES),
  })
  .map(
    ({ queues, ...made }): AccessEntry =>
      entry(made.tool, made.scopes, { ...made, details: queues === null ? {} : { queue: queues } }),
  )
const accesses = fc.array(access, { minLength: 1, maxLength: 3 })

const toolScope = fc
  .record({ risk: oneOf(['low', 'low', 'high'] as const), approval: oneOf(['none', 'none', 'owner'] as const) })
  .map(scope)
const toolScopes = fc
  .record({ read: toolScope, comment: toolScope, close: toolScope }, { requiredKeys: ['read'] })
  .map((made): ToolManifest['scopes'] => ({ ...made }))

const arbitraryDocument: fc.Arbitrary<Manifest> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({
        name: oneOf(AGENTS),
        owners: names(OWNERS),
        keys: some(['one', 'two']).map((kids) => kids.map(key)),
        roles: some(['triage'], 0),
        access: accesses,
        reviewBy: oneOf(DAYS),
        state: fc.oneof(
          { weight: 19, arbitrary: fc.constant('active' as const) },
          { weight: 1, arbitrary: fc.constant('decommissioned' as const) },
        ),
      })
      .map(({ name, ...made }) => agent(name, made)),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({
        name: oneOf(TOOLS),
        owners: names(OWNERS),
        resource: oneOf(['', 'new-']),
        scopes: toolScopes,
        details: oneOf<ToolManifest['details']>([{}, { queue: { description: '', enforcedBy: 'tool' } }]),
        maxTtlSeconds: oneOf([60, 600]),
      })
      .map(({ name, resource, maxTtlSeconds, ...made }) =>
        tool(name, {
          ...made,
          scopes: { ...made.scopes },
          resource: `https://${resource}${name}.example.com`,
          token: { alg: 'ES256', maxTtlSeconds, verifiedBy: 'asks', leewaySeconds: 60 },
        }),
      ),
  },
  { weight: 1, arbitrary: accesses.map((entries) => role('triage', entries)) },
  {
    weight: 1,
    arbitrary: fc.tuple(oneOf(['sre', 'desk']), names(PEOPLE)).map(([name, members]) => team(name, members)),
  },
)

const TERMS = { approval: 'none', tokenTtlSeconds: 300, delivery: 'inline' } as const

/** What the broker starts with: enough that most things may be asked for. */
export const firstDocuments = (): Manifest[] => [
  tool('tickets', { owners: ['tina@example.com'] }),
  tool('metrics', { owners: ['team/desk'] }),
  team('sre', ['alice@example.com', 'bob@example.com']),
  team('desk', ['tina@example.com', 'bob@example.com']),
  role('triage', [entry('tickets', ['read'], { ...TERMS, grantForSeconds: 7200 })]),
  agent('bot', {
    owners: ['alice@example.com', 'team/sre'],
    keys: [key('one'), key('two')],
    roles: ['triage'],
    access: [
      entry('tickets', ['read', 'comment'], { ...TERMS, grantForSeconds: 36_000, details: { queue: ['a', 'b'] } }),
      entry('metrics', ['read', 'close'], { grantForSeconds: 36_000 }),
    ],
  }),
  agent('other', {
    owners: ['bob@example.com'],
    keys: [key('one')],
    access: [entry('metrics', ['read', 'comment'], { ...TERMS, grantForSeconds: 600 })],
  }),
]

export const setFrom = (documents: ReadonlyMap<string, Manifest>): ManifestSet => setOf(...documents.values())

/** `at`: a commit of the step, from 0, at which the process dies, with it or just after it. */
export type Crash = { readonly at: 0 | 1; readonly durable: boolean }

type Acts =
  | { readonly do: 'edit'; readonly document: Manifest; readonly fields: readonly number[] }
  | { readonly do: 'widen'; readonly pick: number; readonly person: string; readonly entry: AccessEntry }
  | { readonly do: 'remove' | 'restore'; readonly pick: number }
  | { readonly do: 'settle'; readonly who: string; readonly yes: boolean; readonly one: number | 'people' | null }
  | { readonly do: 'open'; readonly agent: string; readonly key: string }
  | { readonly do: 'ask'; readonly session: number; readonly point: number; readonly seconds: number | null }
  | {
      readonly do: 'ask anything'
      readonly session: number
      readonly tool: string
      readonly scopes: readonly string[]
      readonly queues: readonly string[] | null
      readonly seconds: number | null
    }
  | {
      readonly do: 'approve'
      readonly who: string
      readonly request: number
      readonly fewer: boolean
      readonly seconds: number | null
    }
  | { readonly do: 'deny' | 'withdraw'; readonly who: string; readonly request: number }
  | {
      readonly do: 'mint'
      readonly session: number
      readonly grant: number
      readonly via: 'inline' | 'exchange'
      readonly fewer: boolean
    }
  | { readonly do: 'release'; readonly grant: number }
  | {
      readonly do: 'lock'
      readonly who: string
      readonly kind: 'agent' | 'tool' | 'owner' | 'everything'
      readonly name: number
      readonly forSeconds: number | null
      readonly revokeGrants: boolean
    }
  | { readonly do: 'lift'; readonly who: string; readonly lock: number }
  | {
      readonly do: 'revoke'
      readonly who: string
      readonly kind: 'session' | 'grant' | 'credential'
      readonly pick: number
    }
  | { readonly do: 'decommission'; readonly who: string; readonly agent: string }
  | { readonly do: 'clock'; readonly seconds: number }
  | { readonly do: 'reopen' | 'reconcile' }

export type Step = Acts & { readonly crash?: Crash | null }

const act = <D extends string, F extends Record<string, unknown>>(
  weight: number,
  name: D,
  fields: { readonly [K in keyof F]: fc.Arbitrary<F[K]> },
): { readonly weight: number; readonly arbitrary: fc.Arbitrary<F & { do: D }> } => ({
  weight,
  arbitrary: fc.record(fields).map((values) => ({ ...values, do: name })),
})

const acts: fc.Arbitrary<Acts> = fc.oneof(
  act(12, 'edit', {
    document: arbitraryDocument,
    fields: fc.uniqueArray(fc.nat({ max: 6 }), { minLength: 1, maxLength: 3 }),
  }),
  act(8, 'widen', { pick: nth, person: oneOf<string>(PEOPLE), entry: access }),
  act(3, 'remove', { pick: nth }),
  act(9, 'restore', { pick: fc.nat({ max: 20 }) }),
  act(9, 'settle', {
    who: fc.constant(WHOEVER_GAINED),
    yes: fc.constant(true),
    one: oneOf<number | null>([null, null, 0, 1]),
  }),
  act(12, 'settle', {
    who,
    yes: oneOf([true, true, true, true, true, true, false]),
    one: oneOf<number | 'people' | null>([null, 'people', 'people', 0, 1]),
  }),
  act(12, 'open', { agent: oneOf<string>(['bot', 'bot', 'other']), key: oneOf(['one', 'two']) }),
  act(14, 'ask', { session: nth, point: fc.nat({ max: 5000 }), seconds: oneOf([null, null, 600, 36_000]) }),
  act(4, 'ask anything', {
    session: nth,
    tool: oneOf<string>(TOOLS),
    scopes: names(SCOPES),
    queues: oneOf(QUEUES),
    seconds: oneOf([null, 600]),
  }),
  act(12, 'approve', { who, request: nth, fewer: fc.boolean(), seconds: oneOf([null, null, 600]) }),
  act(1, 'deny', { who, request: nth }),
  act(1, 'withdraw', { who, request: nth }),
  act(18, 'mint', { session: nth, grant: nth, via: oneOf(['inline', 'exchange'] as const), fewer: fc.boolean() }),
  act(1, 'release', { grant: nth }),
  act(5, 'lock', {
    who,
    kind: oneOf(['agent', 'tool', 'owner', 'owner', 'everything'] as const),
    name: fc.nat({ max: 3 }),
    forSeconds: oneOf([null, null, 90, 1000]),
    revokeGrants: fc.boolean(),
  }),
  act(12, 'lift', { who, lock: nth }),
  act(4, 'revoke', { who, kind: oneOf(['session', 'grant', 'credential'] as const), pick: nth }),
  act(1, 'decommission', { who, agent: oneOf<string>(AGENTS) }),
  act(2, 'reconcile', {}),
  act(8, 'clock', { seconds: oneOf([1, 20, 20, 61, 61, 301, 601, 601, 3601, 7201, 54_000, -1, -30]) }),
  act(3, 'reopen', {}),
)

const crash: fc.Arbitrary<Crash | null> = fc.oneof(
  { weight: 9, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.record({ at: oneOf([0, 1] as const), durable: fc.boolean() }) },
)

/** The document with one more person who decides, and one more thing to decide about. */
export function widened(document: Manifest, person: string, entry: AccessEntry): Manifest {
  const more = (people: readonly string[]) => [...new Set([...people, person])].toSorted()
  if (document.kind === 'Agent')
    return { ...document, owners: more(document.owners), access: [...document.access, entry] }
  if (document.kind === 'Tool')
    return {
      ...document,
      owners: more(document.owners),
      scopes: Object.fromEntries(SCOPES.map((name) => [name, scope()])),
    }
  if (document.kind === 'Team') return { ...document, members: more(document.members) }
  return { ...document, access: [...document.access, entry] }
}

/** How each history begins: sessions, grants with and without approval, and credentials. */
export const PRELUDE: readonly Step[] = [
  { do: 'open', agent: 'bot', key: 'one' },
  { do: 'open', agent: 'other', key: 'one' },
  { do: 'ask anything', session: 0, tool: 'tickets', scopes: ['comment', 'read'], queues: ['a'], seconds: null },
  { do: 'ask anything', session: 0, tool: 'metrics', scopes: ['read'], queues: null, seconds: null },
  { do: 'approve', who: 'bob@example.com', request: 0, fewer: false, seconds: null },
  { do: 'mint', session: 0, grant: 0, via: 'exchange', fewer: false },
  { do: 'mint', session: 0, grant: 1, via: 'exchange', fewer: false },
]

/** Histories of about `length` steps. */
export const arbitrarySteps = (length: number): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.tuple(acts, crash).map(([act, dies]): Step => (dies === null ? act : { ...act, crash: dies })),
    { minLength: 1, maxLength: 2 * length, size: 'max' },
  )
