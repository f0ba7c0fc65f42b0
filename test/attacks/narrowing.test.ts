// An edit that takes from very many, or from what is made while it is judged: dead at once, marked in chunks, also over a
// crash, and nothing that is given later finds a row that it could revive (P3, P9, STORE rule 4).

import { afterEach, beforeEach, expect, test } from 'vitest'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { type Deps, type Member, StoreUnavailable } from '../../src/actions/ports.ts'
import { reconcileTargets } from '../../src/actions/reconcile-targets.ts'
import { settleRevision } from '../../src/actions/settle-revision.ts'
import { recordOf, transact } from '../../src/actions/transact.ts'
import type { Grant } from '../../src/core/model.ts'
import { ok } from '../../src/core/result.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

const CHUNK = 500
const HOUR_MS = 3_600_000
const free = { approval: 'none' } as const
const bot = (...access: Parameters<typeof entry>[]) =>
  setOf(tool('tickets'), agent('bot', { access: access.map((one) => entry(...one)) }))
const WIDE = bot(['tickets', ['read'], free], ['tickets', ['comment'], free])
const NARROW = bot(['tickets', ['read'], free])

let h: Harness
beforeEach(async () => {
  h = await createHarness()
})
afterEach(() => h.close())

/** As many grants as the one that is there, all of it. */
async function manyLike(grant: Grant, count: number): Promise<readonly string[]> {
  const ids: string[] = []
  for (let made = 0; made < count; made += CHUNK) {
    const rows = Array.from({ length: Math.min(CHUNK, count - made) }, () => ({
      kind: 'grant' as const,
      row: { ...grant, id: h.deps.ids.next('grt') },
    }))
    ids.push(...rows.map(({ row }) => row.id))
    unwrap(
      await transact(h.deps, 'normal', async (look) =>
        ok({
          value: null,
          put: rows,
          records: [recordOf(as.watcher, look.now, 'agent.proved', { agent: 'bot' }, { kid: 'bot-key' })],
        }),
      ),
    )
  }
  return ids
}

/** Killed after its first commit: nothing that follows is written. */
function mortal(commits: Member[]): Deps {
  const { store } = h.deps
  const commit = (member: Member) => {
    commits.push(member)
    return commits.length > 1 ? Promise.reject(new StoreUnavailable('killed')) : store.commit(member)
  }
  return {
    ...h.deps,
    store: new Proxy(store, { get: (of, name) => (name === 'commit' ? commit : Reflect.get(of, name)) }),
  }
}

const active = async (ids: readonly string[]): Promise<number> => {
  const snapshot = await h.deps.store.read(ids.map((id) => `grant/${id}` as const))
  return ids.filter((id) => snapshot.get('grant', id)?.state === 'active').length
}
const apply = (set: typeof WIDE, deps = h.deps) => applyManifests(deps, as.watcher, { set, base: null })
const accept = (id: string) =>
  settleRevision(h.deps, as.owner('alice@example.com'), { id, decision: 'accept', reason: null })

test('10,000 grants lose their entitlement in one short commit; killed there, a restart marks the rest in chunks (P9)', async () => {
  await h.start(WIDE)
  const session = await h.session('bot')
  const one = await h.grant(session, 'tickets', ['comment'])
  const kept = await h.grant(session, 'tickets', ['read'])
  const ids = [one.id, ...(await manyLike(one, 9_999))]
  const last = (await h.row('grant', ids.at(-1)!))!
  expect((await h.credential(session, last)).ok).toBe(true)

  const commits: Member[] = []
  unwrap(await apply(NARROW, mortal(commits)))
  expect(commits[0]!.put.length).toBeLessThan(CHUNK + 20)
  expect(await active(ids)).toBeGreaterThanOrEqual(10_000 - CHUNK)
  expect((await h.credential(session, last)).ok).toBe(false)
  expect((await h.credential(session, kept)).ok).toBe(true)

  await h.reopen()
  expect(await reconcileTargets(h.deps, new Set())).toBe(0)
  expect(await active(ids)).toBe(0)
  expect(await active([kept.id])).toBe(1)
  expect(await h.row('grant', last.id)).toMatchObject({ state: 'superseded' })
  const [receipt] = await h.rows('revocation')
  expect(receipt).toMatchObject({ act: 'narrowed', state: 'complete', counts: { grants: 10_000, credentials: 1 } })
}, 120_000)

test('nothing is given back while rows that an edit took are not marked: they would live again (P3)', async () => {
  await h.start(WIDE)
  const session = await h.session('bot')
  const one = await h.grant(session, 'tickets', ['comment'])
  const ids = [one.id, ...(await manyLike(one, 700))]
  unwrap(await apply(NARROW, mortal([])))
  await h.reopen()
  const { revision } = unwrap(await apply(WIDE))
  unwrap(await accept(revision.id))
  expect(await active(ids)).toBe(0)
  expect((await h.credential(session, one)).ok).toBe(false)
  expect((await h.credential(session, await h.grant(session, 'tickets', ['comment']))).ok).toBe(true)
}, 60_000)

test('of a document that goes and comes back at once the rows are marked before it resumes (S3)', async () => {
  await h.start(WIDE)
  const session = await h.session('bot')
  const one = await h.grant(session, 'tickets', ['read'])
  const ids = [one.id, ...(await manyLike(one, 700))]
  unwrap(await apply(setOf(tool('tickets'), agent('other')), mortal([])))
  await h.reopen()
  unwrap(await apply(WIDE))
  expect(await active(ids)).toBe(0)
}, 60_000)

test('a grant made while the edit is judged ends when the edit says, in its row too, whatever is accepted later (S1)', async () => {
  const long = bot(['tickets', ['read'], { ...free, grantForSeconds: 8 * 3600 }])
  const short = bot(['tickets', ['read'], { ...free, grantForSeconds: 3600 }])
  await h.start(long)
  const session = await h.session('bot')
  let late: Grant | undefined
  const { store } = h.deps
  const list: typeof store.list = async (query) => {
    const page = await store.list(query)
    if (query.kind === 'grant') late ??= await h.grant(session, 'tickets', ['read'])
    return page
  }
  const slow = new Proxy(store, { get: (of, name) => (name === 'list' ? list : Reflect.get(of, name)) })
  unwrap(await apply(short, { ...h.deps, store: slow }))
  expect(late!.expiresAt - late!.createdAt).toBe(8 * HOUR_MS)
  const end = async () => (await h.row('grant', late!.id))!.expiresAt - late!.createdAt
  expect(await end()).toBe(HOUR_MS)
  const { revision } = unwrap(await apply(long))
  unwrap(await accept(revision.id))
  expect(await end()).toBe(HOUR_MS)
})
