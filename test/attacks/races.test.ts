// A mint, an ask and an approval race what takes them away: 1,000 rounds of each on the real store, with random delays
// around everything that is awaited of it. Whoever comes out with something alive has won, and nobody may (S16).

import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { createTokenVerifier } from '../../src/actions/authenticate-session.ts'
import { checkCredential } from '../../src/actions/check-credential.ts'
import { decommissionAgent } from '../../src/actions/decommission-agent.ts'
import { issueCredential } from '../../src/actions/issue-credential.ts'
import { liftLock, setLock } from '../../src/actions/lock.ts'
import { openSession } from '../../src/actions/open-session.ts'
import type { Deps } from '../../src/actions/ports.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { approveRequest } from '../../src/actions/settle-request.ts'
import { settleRevision } from '../../src/actions/settle-revision.ts'
import type { ManifestSet } from '../../src/core/manifest.ts'
import type { LockKind, Session } from '../../src/core/model.ts'
import { reveal } from '../../src/core/record.ts'
import type { Result } from '../../src/core/result.ts'
import { dither, ditheringStore } from '../support/dithering-store.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, key, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

const WAVES = 20
const AGENTS = 50
const ALICE = 'alice@example.com'
const alice = as.owner(ALICE)
const named = (count: number) => Array.from({ length: count }, (_, i) => `bot-${i}`)
const BOTS = named(AGENTS)

/** Reading needs nobody; commenting needs alice, and goes in a narrowing. */
const setWith = (bots: readonly string[], comments = true): ManifestSet =>
  setOf(
    tool('tickets'),
    ...bots.map((name) =>
      agent(name, {
        access: [
          entry('tickets', ['read'], { approval: 'none' }),
          ...(comments ? [entry('tickets', ['comment'])] : []),
        ],
      }),
    ),
  )

let h: Harness
/** Slow in every await, for those who race. */
let deps: Deps
let verify: ReturnType<typeof createTokenVerifier>
let rounds = 0
let minted = 0
let stopped = 0
beforeEach(async () => {
  h = await createHarness()
  deps = { ...h.deps, store: ditheringStore(h.deps.store) }
  verify = createTokenVerifier(h.deps)
})
afterEach(() => h.close())
afterAll(() => console.log(`races: ${rounds} rounds, ${minted} mints came first, ${stopped} did not; none lived`))

type Player = { readonly session: Session; readonly open: string; readonly pending: string }
type Loot = { readonly tokens: readonly string[]; readonly grants: readonly string[] }

const ask = (by: Deps, session: Session, scope: string, durationSeconds: number) =>
  requestAccess(
    by,
    { role: 'agent', agent: session.agent, session: session.id },
    { tool: 'tickets', scopes: [scope], reason: 'INC-1', durationSeconds, details: {} },
    'req_ask',
  )
const mint = (session: Session, grant: string) =>
  issueCredential(
    deps,
    { role: 'agent', agent: session.agent, session: session.id },
    { grant, scopes: null, details: null, via: 'exchange' },
    'req_mint',
  )
const approve = (request: string) =>
  approveRequest(deps, alice, { request, hash: null, scopes: null, durationSeconds: null })

/** A session with one grant, and one request that waits. */
async function player(name: string, wave: number): Promise<Player> {
  const session = await h.session(name)
  const [open, pending] = await Promise.all([
    ask(h.deps, session, 'read', 600 + wave),
    ask(h.deps, session, 'comment', 700 + wave),
  ])
  const [granted, waits] = [unwrap(open), unwrap(pending)]
  if (granted.status !== 'granted' || waits.status !== 'pending') throw new Error('the stage is not as it should be')
  return { session, open: granted.grant.id, pending: waits.request.id }
}

/** Everything that an agent and its owner can do at once, and what they have of it. */
async function grab({ session, open, pending }: Player, wave: number): Promise<Loot> {
  const had = <T>(result: Result<T, unknown>): T | null => {
    if (result.ok) return result.value
    stopped++
    return null
  }
  const [first, asked, approved] = await Promise.all([
    mint(session, open),
    ask(deps, session, 'read', 800 + wave),
    approve(pending).then(async (yes) => {
      const grant = had(yes)?.grant.id ?? null
      return { grant, minted: grant === null ? null : had(await mint(session, grant)) }
    }),
  ])
  const more = had(asked)
  return {
    tokens: [had(first), approved.minted].flatMap((one) => one?.token ?? []),
    grants: [open, approved.grant ?? [], more?.status === 'granted' ? more.grant.id : []].flat(),
  }
}

/** One wave: all of them grab while `take` takes. */
async function race<T>(bots: readonly string[], wave: number, take: (players: readonly Player[]) => Promise<T>) {
  const players = await Promise.all(bots.map((name) => player(name, wave)))
  const from = (await h.deps.store.tree()).size
  const [loot, taken] = await Promise.all([
    Promise.all(players.map((one) => grab(one, wave))),
    dither().then(() => take(players)),
  ])
  const tokens = loot.flatMap((one) => one.tokens)
  rounds += players.length
  minted += tokens.length
  return { players, taken, tokens, grants: loot.flatMap((one) => one.grants), trail: await trailFrom(from) }
}

const alive = async (tokens: readonly string[]): Promise<readonly string[]> => {
  const checked = await Promise.all(tokens.map((token) => checkCredential(h.deps, verify, 'tickets', token)))
  return tokens.filter((_, i) => checked[i]?.ok)
}
const claimOf = (token: string, name: string): string =>
  String(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))[name])

type Said = { readonly index: number; readonly kind: string; readonly agent: string | undefined }

async function trailFrom(from: number): Promise<readonly Said[]> {
  const found: Said[] = []
  for (let at = from; ; at += 1000) {
    const page = await h.deps.store.records(at, 1000)
    for (const { index, bytes, opened } of page) {
      const { kind, subject } = reveal(bytes, opened)
      found.push({ index, kind, agent: typeof subject.agent === 'string' ? subject.agent : undefined })
    }
    if (page.length < 1000) return found
  }
}

/** Kinds of records of the agent after the one that took. */
function afterwards(trail: readonly Said[], name: string, isTaking: (said: Said) => boolean): ReadonlySet<string> {
  const at = trail.find(isTaking)?.index
  if (at === undefined) throw new Error('what took is not on the trail')
  return new Set(trail.filter(({ index, agent: of }) => index > at && of === name).map(({ kind }) => kind))
}
const MADE = ['credential.issued', 'grant.made', 'request.made', 'request.approved', 'session.opened']

test.each(['agent', 'tool', 'owner', 'everything'] as const satisfies readonly LockKind[])(
  'nothing outlives a lock on %s that it raced, 1,000 rounds (S12, S16)',
  async (kind) => {
    await h.start(setWith(BOTS))
    for (let wave = 0; wave < WAVES; wave++) {
      const targets = kind === 'agent' ? BOTS : [kind === 'tool' ? 'tickets' : ALICE]
      const { taken, tokens, grants, trail } = await race(BOTS, wave, () =>
        Promise.all(
          targets.map((name) =>
            setLock(deps, as.admin, { kind, name, reason: 'incident', forSeconds: null, revokeGrants: false }),
          ),
        ),
      )
      // An owner's lock takes what rests on that owner; what nobody approved goes on.
      const rows = await Promise.all(grants.map((id) => h.row('grant', id)))
      const spared = new Set(rows.flatMap((row) => (kind === 'owner' && row?.approvers.length === 0 ? [row.id] : [])))
      const reached = tokens.filter((token) => !spared.has(claimOf(token, 'grant_id')))
      expect(await alive(reached)).toEqual([])
      for (const name of BOTS) {
        const after = afterwards(trail, name, (said) => said.kind === 'lock.set' && (said.agent ?? name) === name)
        expect(kind === 'owner' ? after.has('request.approved') : MADE.some((made) => after.has(made))).toBe(false)
      }
      for (const set of taken) unwrap(await liftLock(h.deps, as.admin, { lock: unwrap(set).lock.id, reason: null }))
      expect(await alive(reached)).toEqual([])
    }
  },
  300_000,
)

test('no grant, request or credential outlives the revoked session that it raced, 1,000 rounds (S11, S16)', async () => {
  await h.start(setWith(BOTS))
  for (let wave = 0; wave < WAVES; wave++) {
    const { players, taken, tokens } = await race(BOTS, wave, (all) =>
      Promise.all(all.map(({ session }) => revoke(deps, as.admin, { kind: 'session', id: session.id, reason: null }))),
    )
    for (const one of taken) unwrap(one)
    expect(await alive(tokens)).toEqual([])
    for (const { session } of players) {
      const where = { session: session.id }
      const active = await h.deps.store.list({ kind: 'grant', where: { ...where, state: 'active' }, limit: 9 })
      const waiting = await h.deps.store.list({ kind: 'request', where: { ...where, state: 'pending' }, limit: 9 })
      expect([...active.rows, ...waiting.rows]).toEqual([])
    }
  }
}, 300_000)

test('nothing outlives the narrowing that it raced, 1,000 rounds (P3, S16)', async () => {
  await h.start(setWith(BOTS))
  for (let wave = 0; wave < WAVES; wave++) {
    const { taken, tokens, trail } = await race(BOTS, wave, () =>
      applyManifests(deps, as.watcher, { set: setWith(BOTS, false), base: null }),
    )
    unwrap(taken)
    expect(await alive(tokens.filter((token) => claimOf(token, 'scope') === 'comment'))).toEqual([])
    for (const name of BOTS)
      expect(afterwards(trail, name, ({ kind }) => kind === 'revision.in_force')).not.toContain('request.approved')
    const { revision } = unwrap(await applyManifests(h.deps, as.watcher, { set: setWith(BOTS), base: null }))
    unwrap(await settleRevision(h.deps, alice, { id: revision.id, decision: 'accept', reason: null }))
  }
}, 300_000)

test('what is asked for in a session opened while its key is taken out goes with the key, 1,000 rounds (S11, S16)', async () => {
  const withKeys = (...keys: readonly string[]) =>
    setOf(
      tool('tickets'),
      ...BOTS.map((name) =>
        agent(name, {
          keys: keys.map((of) => key(`${name}-${of}`)),
          access: [entry('tickets', ['read'], { approval: 'none' }), entry('tickets', ['comment'])],
        }),
      ),
    )
  await h.start(withKeys('good', 'stolen'))
  const thief = async (name: string, wave: number): Promise<readonly string[]> => {
    await dither()
    const proof = {
      agent: name,
      key: `${name}-stolen`,
      jti: h.deps.ids.next('jti'),
      expiresAt: h.disk.clock.now() + 60_000,
    }
    const opened = await openSession(deps, proof, 'req_session')
    if (!opened.ok) return []
    const { session } = opened.value
    const [open, waits] = await Promise.all([
      ask(deps, session, 'read', 600 + wave),
      ask(deps, session, 'comment', 600 + wave),
    ])
    const approved = waits.ok && waits.value.status === 'pending' ? await approve(waits.value.request.id) : null
    rounds++
    return [
      open.ok && open.value.status === 'granted' ? open.value.grant.id : [],
      approved?.ok ? approved.value.grant.id : [],
    ].flat()
  }
  let stolen = 0
  for (let wave = 0; wave < WAVES; wave++) {
    const good = await Promise.all(BOTS.map((name) => h.session(name, `${name}-good`)))
    const [loot, taken] = await Promise.all([
      Promise.all(BOTS.map((name) => thief(name, wave))),
      dither().then(() => applyManifests(deps, as.watcher, { set: withKeys('good'), base: null })),
    ])
    unwrap(taken)
    stolen += loot.flat().length
    const used = await Promise.all(loot.flatMap((grants, i) => grants.map((grant) => mint(good[i]!, grant))))
    expect(used.filter(({ ok }) => ok)).toEqual([])
    const rows = await Promise.all(loot.flat().map((id) => h.row('grant', id)))
    expect(rows.filter((row) => row?.state === 'active')).toEqual([])
    const { revision } = unwrap(
      await applyManifests(h.deps, as.watcher, { set: withKeys('good', 'stolen'), base: null }),
    )
    unwrap(await settleRevision(h.deps, alice, { id: revision.id, decision: 'accept', reason: null }))
    const back = await Promise.all(loot.flatMap((grants) => grants.map((id) => h.row('grant', id))))
    expect(back.filter((row) => row?.state === 'active')).toEqual([])
  }
  expect(stolen).toBeGreaterThan(WAVES)
}, 180_000)

test('nothing outlives the decommission that it raced, 1,000 rounds (P6, S16)', async () => {
  const mortals = named(WAVES * AGENTS)
  await h.start(setWith(mortals))
  for (let wave = 0; wave < WAVES; wave++) {
    const doomed = mortals.slice(wave * AGENTS, (wave + 1) * AGENTS)
    const { taken, tokens, trail } = await race(doomed, wave, () =>
      Promise.all(doomed.map((name) => decommissionAgent(deps, as.admin, { agent: name, reason: null }))),
    )
    for (const one of taken) unwrap(one)
    expect(await alive(tokens)).toEqual([])
    for (const name of doomed) {
      const after = afterwards(trail, name, (said) => said.kind === 'agent.decommissioning' && said.agent === name)
      expect(MADE.filter((made) => after.has(made))).toEqual([])
      expect(await h.row('agent', name)).toMatchObject({ state: 'decommissioned' })
    }
  }
}, 300_000)
