// A whole broker for a newcomer or a demo: temporary data, the sample manifests with key pairs of their own, initialised
// and serving. Nothing of it outlives close().

import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { initialize } from '../actions/initialize.ts'
import { makeBearer } from '../actions/make-bearer.ts'
import { readConfig } from '../config.ts'
import type { BearerKind } from '../core/model.ts'
import { createLog } from '../wire/log.ts'
import { openBroker } from '../wire/open-broker.ts'
import { type Running, startBroker } from '../wire/start-broker.ts'
import { NO_GUARDS, operator, orStop } from './as-operator.ts'
import { newKeyPair } from './new-key-pair.ts'
import { readScopes } from './read-scopes.ts'
import { Stop } from './stop.ts'

/** Who owns things in the sample: of the agents and `metrics`, and of `tickets`. */
export const SAMPLE_OWNERS = { agents: 'sre-lead@example.com', tickets: 'desk-lead@example.com' } as const

export type SampleBroker = {
  /** The issuer, without a slash at the end. */
  readonly url: string
  readonly dataPath: string
  readonly scopesPath: string
  readonly adminToken: string
  ownerToken(email: string): Promise<string>
  verifierToken(tool: string): Promise<string>
  bearer(kind: 'auditor' | 'publisher', email: string): Promise<string>
  /** The sample's agents by name, each with the private key that was made for it just now. */
  readonly agents: Readonly<Record<string, { readonly keyPath: string }>>
  readonly running: Running
  /** Stops it and removes all its files. */
  close(): Promise<void>
}

const SAMPLE = fileURLToPath(new URL('../../scopes', import.meta.url))

/** `dir` must be empty or absent, and goes away at close; without one a temporary folder is made. */
export async function startSampleBroker(
  options: {
    readonly port?: number
    readonly dir?: string
    readonly logLevel?: string
    /** HALLPASS_DATABASE; without it, SQLite in the folder. */
    readonly database?: string
    /** Where sample tools listen, by name, in place of what their manifests say. */
    readonly resources?: Readonly<Record<string, string>>
    /** Changes the sample's manifests, in the folder given, before they are accepted. */
    readonly edit?: (scopesPath: string) => void
    /** What the file of HALLPASS_COMMANDS says; without it there is none. */
    readonly commands?: string
  } = {},
): Promise<SampleBroker> {
  const folder = options.dir ?? mkdtempSync(join(tmpdir(), 'hallpass-'))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  try {
    const scopesPath = join(folder, 'scopes')
    cpSync(SAMPLE, scopesPath, { recursive: true })
    for (const [tool, resource] of Object.entries(options.resources ?? {})) {
      const manifest = join(scopesPath, 'tools', `${tool}.yaml`)
      writeFileSync(manifest, readFileSync(manifest, 'utf8').replace(/^( *resource: *)\S+/m, `$1${resource}`))
    }
    options.edit?.(scopesPath)
    const agents = freshKeys(scopesPath, join(folder, 'keys'))
    const port = options.port ?? (await freePort())
    const commandsPath = options.commands === undefined ? undefined : join(folder, 'commands.yaml')
    if (commandsPath !== undefined) writeFileSync(commandsPath, options.commands ?? '', { mode: 0o600 })
    const config = readConfig({
      HALLPASS_PORT: String(port),
      HALLPASS_DATA: join(folder, 'data'),
      HALLPASS_SCOPES: scopesPath,
      HALLPASS_LOG: options.logLevel ?? 'error',
      HALLPASS_DATABASE: options.database,
      HALLPASS_COMMANDS: commandsPath,
    })
    if (!config.ok) throw new Stop(1, config.error.join('\n'))
    const log = createLog(config.value.logLevel)

    const opened = orStop(await openBroker(config.value, log, { guards: () => NO_GUARDS, notifier: { notify() {} } }))
    try {
      const { set } = await readScopes(config.value)
      const accepted = await initialize(opened.deps, operator(opened.deps), { set, ownerEmail: SAMPLE_OWNERS.agents })
      if (!accepted.ok) throw new Stop(1, accepted.error.message)
    } finally {
      await opened.close()
    }

    const running = orStop(await startBroker(config.value, log))
    const { deps } = running.broker
    const tokenFor = async (kind: BearerKind, subject: string) => {
      const made = await makeBearer(deps, operator(deps), { kind, subject })
      if (!made.ok) throw new Stop(1, made.error.message)
      return made.value.secret.reveal()
    }
    return {
      url: running.address.issuer,
      dataPath: running.address.dataPath,
      scopesPath,
      adminToken: await tokenFor('admin', 'admin@example.com'),
      ownerToken: (email) => tokenFor('owner', email),
      verifierToken: (tool) => tokenFor('verifier', tool),
      bearer: tokenFor,
      agents,
      running,
      async close() {
        await running.close()
        remove()
      },
    }
  } catch (thrown) {
    remove()
    throw thrown
  }
}

/** The keys in the repository are known to nobody; each sample agent gets a pair of which the private half is here. */
function freshKeys(scopesPath: string, keysPath: string): Record<string, { readonly keyPath: string }> {
  mkdirSync(keysPath, { recursive: true, mode: 0o700 })
  const publicKeys = join(scopesPath, 'agents', 'keys')
  const names = readdirSync(publicKeys).filter((name) => name.endsWith('.pub.pem'))
  return Object.fromEntries(
    names.map((file) => {
      const name = basename(file, '.pub.pem')
      const { privatePem, publicPem } = newKeyPair()
      const keyPath = join(keysPath, `${name}.pem`)
      writeFileSync(keyPath, privatePem, { mode: 0o600, flag: 'wx' })
      writeFileSync(join(publicKeys, file), publicPem)
      return [name, { keyPath }]
    }),
  )
}

/** One that is free at this moment on loopback. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port')),
      )
    })
  })
}
