// Opens the store and the keys of one data folder and builds what actions need. `init` and `serve` both start here;
// the store is held exclusively by whoever has it open.

import { createExpiryWatch } from '../actions/expiry-watch.ts'
import type { Deps, Guards, Keys, Log, Notifier, Store } from '../actions/ports.ts'
import type { OpenSecret } from '../actions/proxy-secret.ts'
import { ensureKeys } from '../actions/rotate-keys.ts'
import { createToolCalls } from '../actions/tool-calls.ts'
import { createKeys } from '../adapters/keys/create-keys.ts'
import { loadKek } from '../adapters/keys/kek.ts'
import { createSigner, type KeyRing } from '../adapters/keys/signer.ts'
import { createVault } from '../adapters/keys/vault.ts'
import { openPostgresStore } from '../adapters/store/postgres/postgres-store.ts'
import { openSqliteStore } from '../adapters/store/sqlite/sqlite-store.ts'
import { systemClock } from '../adapters/system/clock.ts'
import { type DataFolder, openDataFolder } from '../adapters/system/data-folder.ts'
import { systemIds } from '../adapters/system/ids.ts'
import { readToolSecret } from '../adapters/system/tool-secrets.ts'
import type { Config } from '../config.ts'
import { LIFETIME, TARGET } from '../core/limits.ts'
import { err, ok, type Result } from '../core/result.ts'
import { type ConnectedTargets, connectTargets } from './connect-targets.ts'

export type Broker = {
  readonly deps: Deps
  readonly keys: Keys
  readonly folder: DataFolder
  readonly targets: ConnectedTargets
  /** For calls through the proxy, which are made with a secret of the tool's. */
  readonly openSecret: OpenSecret
  close(): Promise<void>
}

export type Connections = {
  readonly guards: (deps: Pick<Deps, 'store' | 'clock'>) => Guards
  readonly notifier: Notifier
}

/** The error is a sentence for whoever starts it: what is wrong and what to do. */
export async function openBroker(config: Config, log: Log, connections: Connections): Promise<Result<Broker, string>> {
  const folder = openDataFolder(config.dataPath)
  if (!folder.ok) return folder
  let store: Store
  try {
    store = await openStore(config.database, folder.value, log)
  } catch (thrown) {
    return err(thrown instanceof Error ? thrown.message : String(thrown))
  }
  // Before anything is written by the clock of this start.
  const expiry = createExpiryWatch(systemClock, store.highestTime())
  const kek = loadKek(config.kek, {
    dataPath: folder.value.path,
    loopback: config.loopback,
    mayGenerate: (await store.tree()).size === 0,
  })
  if (!kek.ok) {
    await store.close()
    return kek
  }
  const ids = systemIds(systemClock)
  const keys = createKeys(kek.value)
  const settings = {
    issuer: config.issuer,
    mcpUrl: `${config.issuer}/mcp`,
    sessionMaxSeconds: config.sessionMaxSeconds,
    scopesMode: config.scopesMode,
    requestTtlSeconds: LIFETIME.request,
    supportedApprovals: ['none', 'owner'] as const,
  }
  const made = await ensureKeys({ store, clock: systemClock, ids }, keys)
  if (!made.ok) {
    await store.close()
    return err(made.error.message)
  }
  let signer: KeyRing
  try {
    signer = await createSigner({ store, kek: kek.value, clock: systemClock, settings, log })
  } catch (thrown) {
    await store.close()
    return err(thrown instanceof Error ? thrown.message : String(thrown))
  }
  const sources = {
    env: process.env,
    secretsPath: config.secretsPath,
    dataPath: folder.value.path,
    kekPath: config.kek.from === 'value' ? null : config.kek.path,
  }
  const targets = connectTargets(sources)
  const deps: Deps = {
    store,
    signer,
    keys,
    vault: createVault(kek.value),
    targets,
    toolCalls: createToolCalls(systemClock, TARGET),
    drifts: new Map(),
    looks: new Map(),
    clock: systemClock,
    ids,
    guards: connections.guards({ store, clock: systemClock }),
    expiry,
    notifier: connections.notifier,
    log,
    settings,
  }
  return ok({
    deps,
    keys,
    folder: folder.value,
    targets,
    openSecret: (reference) => readToolSecret(reference, sources),
    async close() {
      await signer.close()
      await store.close()
    },
  })
}

/** One broker at a time: what it keeps in memory alone is not shared yet. */
function openStore(database: Config['database'], folder: DataFolder, log: Log): Promise<Store> {
  const shared = { clock: systemClock, log }
  return database.engine === 'sqlite'
    ? openSqliteStore({ path: database.path, ...shared })
    : openPostgresStore({
        url: database.url.reveal(),
        intentsPath: folder.intents,
        exclusive: true,
        ...shared,
      })
}
