// The real broker, as an operator runs it: the command line in a folder of its own, `init` first, then `serve`.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { testDatabase } from '../support/test-store.ts'
import { type Background, startInBackground } from './background.ts'

type BrokerProcess = {
  readonly issuer: string
  /** Runs a command of the command line in the broker's folder, as its operator; its standard output. */
  hallpass(...args: string[]): Promise<string>
  /** As `hallpass`, with this on its standard input, and whatever it exits with. */
  hallpassReading(input: string, ...args: string[]): Promise<string>
  start(launch?: Launch): Promise<Background>
  stop(): Promise<void>
  /** `kill -9`. */
  kill(): Promise<void>
}

/** How it is started, other than an operator would. */
export type Launch = {
  /** Modules that it runs first: they bend the world around it. */
  readonly preload?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** The command that starts it, such as `prlimit`. */
  readonly within?: readonly string[]
}

export type Initialised = BrokerProcess & { readonly ownerToken: string; readonly adminToken: string }

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))
const run = promisify(execFile)

/** `folder` holds `scopes`, and `data` from here on; `given` is its database, if it is not the suite's. The broker is initialised and not yet started. */
export async function initialiseBroker(
  folder: string,
  port: number,
  owner: string,
  given?: string,
): Promise<Initialised> {
  const issuer = `http://127.0.0.1:${port}`
  const database = given ?? (await testDatabase()).database
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    HALLPASS_PORT: String(port),
    HALLPASS_DATA: join(folder, 'data'),
    HALLPASS_SCOPES: join(folder, 'scopes'),
    HALLPASS_LOG: 'warn',
    HALLPASS_DATABASE: database,
  }
  const hallpass = async (...args: string[]) => {
    const { stdout } = await run(process.execPath, [CLI, ...args], { cwd: folder, env, timeout: 60_000 })
    return stdout
  }
  const hallpassReading = (input: string, ...args: string[]) =>
    new Promise<string>((resolve) => {
      const child = execFile(process.execPath, [CLI, ...args], { cwd: folder, env, timeout: 60_000 }, (_, stdout) =>
        resolve(stdout),
      )
      child.stdin?.end(input)
    })
  const printed = await hallpass('init', '--owner', owner, '--yes')
  let broker: Background | null = null
  return {
    issuer,
    hallpass,
    hallpassReading,
    ownerToken: bearerIn(printed, 'owner'),
    adminToken: bearerIn(printed, 'admin'),
    async start({ preload = [], env: more = {}, within = [] } = {}) {
      if (broker !== null && !broker.isOver()) throw new Error('a broker is running here already')
      const imports = preload.flatMap((path) => ['--import', pathToFileURL(path).href])
      const [command = '', ...args] = [...within, process.execPath, ...imports, CLI, 'serve']
      broker = await startInBackground(command, args, {
        cwd: folder,
        env: { ...env, ...more },
        ready: async () => (await fetch(`${issuer}/healthz`)).ok,
      })
      return broker
    },
    async stop() {
      await broker?.stop()
      broker = null
    },
    async kill() {
      await broker?.kill()
      broker = null
    },
  }
}

/** The one bearer of a kind in what a command printed. */
export function bearerIn(printed: string, kind: 'owner' | 'admin' | 'verify'): string {
  const found = new RegExp(`hp_${kind}_[A-Za-z0-9_-]+`).exec(printed)?.[0]
  if (found === undefined) throw new Error(`no hp_${kind}_ token was printed:\n${printed}`)
  return found
}
