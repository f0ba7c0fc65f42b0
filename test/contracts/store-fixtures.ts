// Rows, records and members for the store's contract, and a clock that a test moves.

import type { Clock, Lane, Member, Outcome, Store } from '../../src/actions/ports.ts'
import { leafHash } from '../../src/core/merkle.ts'
import type { Grant, Key, Row, Session } from '../../src/core/model.ts'
import { rfc3339, type Sealed } from '../../src/core/record.ts'

export const START = Date.UTC(2030, 0, 1)

export type TestClock = Clock & { at: number }

export function testClock(): TestClock {
  const clock = { at: START, now: () => clock.at, monotonic: () => performance.now() }
  return clock
}

let made = 0

/** Ids that grow, as the product's own do. */
export const nextId = (prefix: string): string => `${prefix}_${String(++made).padStart(9, '0')}`

export function sealed(fields: Partial<Omit<Sealed, 'leaf'>> & { readonly says?: string } = {}): Sealed {
  const { says = nextId('says'), ...given } = fields
  const bytes = given.bytes ?? new TextEncoder().encode(JSON.stringify({ says }))
  return {
    kind: 'session.revoked',
    at: rfc3339(START),
    agent: null,
    tool: null,
    jti: null,
    ownerHash: null,
    opened: {},
    ...given,
    bytes,
    leaf: leafHash(bytes),
  }
}

export type Wanted = {
  readonly id?: string
  readonly lane?: Lane
  readonly at?: number
  readonly notAfter?: number | null
  readonly expect?: Readonly<Record<string, number>> | ReadonlyMap<Key, number>
  readonly put?: readonly Row[]
  readonly once?: Member['once']
  readonly records?: readonly Sealed[]
}

export function member(wanted: Wanted = {}): Member {
  const [first = sealed(), ...rest] = wanted.records ?? []
  const expect = wanted.expect ?? {}
  return {
    id: wanted.id ?? nextId('cmt'),
    lane: wanted.lane ?? 'normal',
    at: wanted.at ?? START,
    notAfter: wanted.notAfter ?? null,
    expect: expect instanceof Map ? expect : new Map(Object.entries(expect) as [Key, number][]),
    put: wanted.put ?? [],
    once: wanted.once ?? [],
    records: [first, ...rest],
  }
}

export const tool = (id: string, epoch = 0): Row => ({
  kind: 'tool',
  row: { id, epoch, grantEpoch: 0, locks: [], epochAt: 0 },
})

export const session = (id: string, fields: Partial<Session> = {}): Row => ({
  kind: 'session',
  row: {
    id,
    agent: 'triage-bot',
    key: 'thumbprint',
    signedBy: 'kid',
    openedAt: START,
    expiresAt: START + 3_600_000,
    state: 'open',
    revocation: null,
    born: { agent: 0, installation: 0 },
    ...fields,
  },
})

/** Commits and gives the outcome's first and last index; throws where it was refused. */
export async function committed(store: Store, wanted: Wanted = {}): Promise<Outcome & { ok: true }> {
  const outcome = await store.commit(member(wanted))
  if (!outcome.ok) throw new Error(`refused: ${outcome.why} ${outcome.keys.join(' ')}`)
  return outcome
}

/** Every record of the log. */
export async function wholeLog(store: Store) {
  const all = []
  for (;;) {
    const page = await store.records(all.length, 1_000)
    if (page.length === 0) return all
    all.push(...page)
  }
}

/** The same store, each call starting and ending after a random while. */
export function jittered(store: Store, random: () => number): Store {
  const later = async <T>(work: () => Promise<T>): Promise<T> => {
    await pause(random)
    const value = await work()
    await pause(random)
    return value
  }
  return {
    ...store,
    commit: (given) => later(() => store.commit(given)),
    read: (keys) => later(() => store.read(keys)),
    list: (query) => later(() => store.list(query)),
  }
}

function pause(random: () => number): Promise<void> {
  const chance = random()
  if (chance < 0.4) return Promise.resolve()
  return new Promise((resolve) => (chance < 0.7 ? setImmediate(resolve) : setTimeout(resolve, chance * 4)))
}

export const grant = (id: string, fields: Partial<Grant> = {}): Row => ({
  kind: 'grant',
  row: {
    id,
    agent: 'triage-bot',
    session: 'ses_1',
    request: null,
    tool: 'tickets',
    scopes: ['read'],
    details: {},
    delivery: 'inline',
    entitlement: 'digest',
    askedSeconds: 3600,
    approval: 'none',
    approvers: [],
    approvedHash: null,
    createdAt: START,
    expiresAt: START + 3_600_000,
    state: 'active',
    revocation: null,
    born: { agent: 0, tool: 0, installation: 0, approvers: [] },
    ...fields,
  },
})
