// `npm run bench`: every row against its rivals in one run, the tables printed and written to docs/performance.md.
// `--quick` is a smoke of about a minute that writes nothing; `--only NAME` runs one row.

import { execFile } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { stopAll } from '../tools/background.ts'
import { type BenchBroker, startBenchBroker } from './broker.ts'
import type { Aim } from './load.ts'
import { onAllCores, onServerCore } from './processes.ts'
import * as report from './report.ts'
import type { Pace } from './rounds.ts'
import { guardVerify } from './rows/guard.ts'
import { callOverMcp, listOverMcp, mintOverMcp } from './rows/mcp.ts'
import { exchangeAim, forwardAuth, tokenExchange } from './rows/mint.ts'
import { overload } from './rows/overload.ts'
import { proxiedCall } from './rows/proxy.ts'
import { revocationLatency } from './rows/revocation.ts'

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } } })
const { quick, only } = values
/** What people wrote about the figures, which stays when they are made anew. */
const BY_HAND = '\n## Where a goal is missed\n'
const root = fileURLToPath(new URL('../..', import.meta.url))

if (!existsSync(`${root}/node_modules/oidc-provider`)) {
  process.stderr.write('oidc-provider is missing, the rival of token exchange: npm install\n')
  process.exit(1)
}

/** Rounds are short and many: what disturbs the machine for a second then spoils one of them. */
const pace: Pace = quick
  ? { rounds: 2, milliseconds: 400, warmUp: 1_000, warmUpMs: 2_000 }
  : { rounds: 9, milliseconds: 1_000, warmUp: 10_000, warmUpMs: 60_000 }
const CHILD_TIMEOUT_MS = 900_000

const child = <T>(file: string, ...args: string[]): Promise<T> => childOn(onServerCore, file, ...args)

const childOn = async <T>(cores: typeof onServerCore, file: string, ...args: string[]): Promise<T> => {
  const path = fileURLToPath(new URL(`rows/${file}`, import.meta.url))
  const [command, all] = cores([path, ...args])
  const { stdout } = await promisify(execFile)(command, all, { cwd: root, timeout: CHILD_TIMEOUT_MS })
  return JSON.parse(stdout)
}

type Row = { readonly name: string; readonly run: (broker: () => Promise<BenchBroker>) => Promise<string> }

const loadOf = (broker: BenchBroker): Aim => exchangeAim(broker)
const rows: readonly Row[] = [
  { name: 'list', run: async (broker) => report.list(await listOverMcp(await broker(), pace)) },
  { name: 'call', run: async (broker) => report.call(await callOverMcp(await broker(), pace)) },
  { name: 'mint', run: async (broker) => report.mint(await mintOverMcp(await broker(), pace)) },
  { name: 'exchange', run: async (broker) => report.exchange(await tokenExchange(await broker(), pace)) },
  { name: 'forward-auth', run: async (broker) => report.forwardAuth(await forwardAuth(await broker(), pace)) },
  { name: 'proxy', run: async (broker) => report.proxy(await proxiedCall(await broker(), pace)) },
  { name: 'guard', run: async (broker) => report.guard(await guardVerify(await broker(), quick ? 5 : 31)) },
  {
    name: 'revocation',
    run: async (broker) => {
      const one = await broker()
      return report.revocation(await revocationLatency(one, quick ? 30 : 1_000, loadOf(one)))
    },
  },
  {
    name: 'tools',
    run: async () => {
      const lives: report.Lives[] = []
      for (const tool of ['redmine', 'rt', 'influxdb'])
        lives.push(await childOn<report.Lives>(onAllCores, 'tools.ts', tool, quick ? '3' : '20'))
      return report.tools(lives)
    },
  },
  {
    name: 'overload',
    run: async (broker) => {
      const one = await broker()
      return report.overload(await overload(one, loadOf(one), quick ? 500 : 4_000, quick ? 2_000 : 10_000))
    },
  },
  {
    name: 'scale',
    run: async () => {
      const sizes = quick
        ? [[1_000, 1_000]]
        : [
            [1_000, 1_000],
            [10_000, 10_000],
            [100_000, 100_000],
            [1_000, 1_000_000],
          ]
      const measured: report.Size[] = []
      for (const [agents, grants] of sizes)
        measured.push(await child<report.Size>('scale.ts', 'size', String(agents), String(grants)))
      return report.scale(measured)
    },
  },
  {
    name: 'decommission',
    run: async () => report.decommission(await child('scale.ts', 'decommission', quick ? '1000' : '10000')),
  },
  { name: 'revision', run: async () => report.revision(await child('scale.ts', 'revision', quick ? '1000' : '10000')) },
  {
    name: 'audit',
    run: async () => {
      const counts = quick ? ['20000'] : ['100000', '1000000']
      const measured: report.Verified[] = []
      for (const count of counts) measured.push(await child<report.Verified>('audit.ts', count))
      return report.audit(measured)
    },
  },
]

// Whatever was started ends with this process, also where it is told to stop.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const started: Promise<BenchBroker>[] = []
const startBroker = () => {
  started[0] ??= startBenchBroker(64)
  return started[0]
}
const parts: string[] = []
let failed = false
try {
  for (const { name, run } of rows) {
    if (only !== undefined && only !== name) continue
    process.stderr.write(`${name} …\n`)
    try {
      parts.push(await run(startBroker))
    } catch (thrown) {
      failed = true
      parts.push(report.brokenRow(name, thrown))
    }
    process.stdout.write(`${parts.at(-1)}\n`)
  }
} finally {
  for (const one of started) await (await one).close()
  await stopAll()
}
if (!quick && only === undefined && !failed) {
  const page = `${root}/docs/performance.md`
  const [, words] = existsSync(page) ? readFileSync(page, 'utf8').split(BY_HAND) : []
  writeFileSync(page, `${report.opening(pace)}\n${parts.join('\n')}${words === undefined ? '' : `${BY_HAND}${words}`}`)
}
process.exitCode = failed ? 1 : 0
