// Everything that actions need, for real but the network: a store on disk, keys, a clock that the test moves. What was
// told to the notifier is kept for the test to look at.

import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { createExpiryWatch } from '../../src/actions/expiry-watch.ts'
import { initialize } from '../../src/actions/initialize.ts'
import { issueCredential } from '../../src/actions/issue-credential.ts'
import { openSession } from '../../src/actions/open-session.ts'
import type { CallLimits, Context, Deps, Keys, Settings } from '../../src/actions/ports.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { ensureKeys } from '../../src/actions/rotate-keys.ts'
import { createKeys } from '../../src/adapters/keys/create-keys.ts'
import { createSigner } from '../../src/adapters/keys/signer.ts'
import type { ManifestSet } from '../../src/core/manifest.ts'
import type { Grant, Kind, Rows, Session } from '../../src/core/model.ts'
import { type RevealedRecord, reveal } from '../../src/core/record.ts'
import type { Target } from '../../src/core/target.ts'
import { fakeTargets } from './fake-targets.ts'
import { operator, type StoreOnDisk, silentLog, storeOnDisk, unwrap } from './store-on-disk.ts'

type Told = Parameters<Deps['notifier']['notify']>[0]

export type Harness = {
  readonly deps: Deps
  readonly disk: StoreOnDisk
  readonly told: Told[]
  /** Sealed as this signer opens them. */
  readonly keys: Keys
  readonly kek: KeyObject
  /** The trail from `from` on, texts revealed. */
  trail(from?: number): Promise<readonly RevealedRecord[]>
  row<K extends Kind>(kind: K, id: string): Promise<Rows[K] | undefined>
  rows<K extends Kind>(kind: K): Promise<readonly Rows[K][]>
  /** Accepts a first set, as `hallpass init` does. */
  start(set: ManifestSet): Promise<void>
  session(agent: string, key?: string): Promise<Session>
  /** A grant that needs no approval: throws where it is not given at once. */
  grant(session: Session, tool: string, scopes: readonly string[]): Promise<Grant>
  credential(session: Session, grant: Grant): ReturnType<typeof issueCredential>
  /** As after a crash: store and keys are read anew from the disk, and everything held in memory is gone. */
  reopen(): Promise<Deps>
  close(): Promise<void>
}

export const as = {
  operator,
  watcher: { caller: { role: 'system', part: 'watcher' }, requestId: 'req_watch' },
  admin: { caller: { role: 'admin', id: 'admin@example.com', bearer: 'brr_admin' }, requestId: 'req_admin' },
  publisher: { caller: { role: 'publisher', id: 'ci', bearer: 'brr_pub' }, requestId: 'req_pub' },
  auditor: { caller: { role: 'auditor', id: 'audit@example.com', bearer: 'brr_audit' }, requestId: 'req_audit' },
  owner: (email: string): Context => ({
    caller: { role: 'owner', email, bearer: `brr_${email}` },
    requestId: 'req_owner',
  }),
} as const satisfies Record<string, Context | ((email: string) => Context)>

export async function createHarness(
  more: Partial<Settings> = {},
  tools: ReadonlyMap<string, Target> = new Map(),
  limits: Partial<CallLimits> = {},
): Promise<Harness> {
  const disk = await storeOnDisk()
  const { clock, ids } = disk
  let { store } = disk
  const kek = createSecretKey(randomBytes(32))
  const issuer = 'https://hallpass.example.com'
  const settings: Settings = {
    issuer,
    mcpUrl: `${issuer}/mcp`,
    sessionMaxSeconds: 3600,
    scopesMode: 'watch',
    requestTtlSeconds: 3600,
    supportedApprovals: ['none', 'owner'],
    ...more,
  }
  const keys = createKeys(kek)
  unwrap(await ensureKeys(disk, keys))
  let signer = await createSigner({ store, kek, clock, settings, log: silentLog })
  const told: Told[] = []
  let deps: Deps = {
    store,
    signer,
    keys,
    ...fakeTargets(kek, clock, tools, limits),
    clock,
    ids,
    guards: { lease: () => ({ leaseSeconds: 10 }), acknowledged: () => ({ all: true, guards: 0 }) },
    expiry: createExpiryWatch(clock, store.highestTime()),
    notifier: { notify: (event) => void told.push(event) },
    log: silentLog,
    settings,
  }
  const harness: Harness = {
    get deps() {
      return deps
    },
    disk,
    told,
    keys,
    kek,
    trail: async (from = 0) => (await store.records(from, 1000)).map(({ bytes, opened }) => reveal(bytes, opened)),
    row: async (kind, id) => (await store.read([`${kind}/${id}`])).get(kind, id),
    rows: async (kind) => (await store.list({ kind, limit: 500 })).rows,
    async start(set) {
      unwrap(await initialize(deps, operator, { set, ownerEmail: 'alice@example.com' }))
    },
    async session(agent, key = `${agent}-key`) {
      const proof = { agent, key, jti: ids.next('jti'), expiresAt: clock.now() + 60_000 }
      return unwrap(await openSession(deps, proof, 'req_session')).session
    },
    async grant(session, tool, scopes) {
      const caller = { role: 'agent', agent: session.agent, session: session.id } as const
      const asked = { tool, scopes, reason: 'INC-1', durationSeconds: null, details: {} }
      const outcome = unwrap(await requestAccess(deps, caller, asked, 'req_ask'))
      if (outcome.status !== 'granted') throw new Error('the grant waits for an owner')
      return (await harness.row('grant', outcome.grant.id))!
    },
    credential: (session, grant) =>
      issueCredential(
        deps,
        { role: 'agent', agent: session.agent, session: session.id },
        { grant: grant.id, scopes: null, details: null, via: 'exchange' },
        'req_mint',
      ),
    async reopen() {
      await signer.close()
      await store.close()
      store = await disk.reopen()
      signer = await createSigner({ store, kek, clock, settings, log: silentLog })
      deps = {
        ...deps,
        ...fakeTargets(kek, clock, tools, limits),
        store,
        signer,
        expiry: createExpiryWatch(clock, store.highestTime()),
      }
      return deps
    },
    async close() {
      await signer.close()
      await store.close()
      await disk.close()
    },
  }
  return harness
}
