// Runs the conformance suite as it is published, and reads what it says of each scenario.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SUITE = fileURLToPath(new URL('../peers/node_modules/@modelcontextprotocol/conformance', import.meta.url))
const CLI = join(SUITE, 'dist/index.js')

export type Check = { readonly id: string; readonly status: string; readonly errorMessage?: string }

export type Ran = {
  readonly exit: number | null
  readonly output: string
  /** By scenario. */
  readonly checks: ReadonlyMap<string, readonly Check[]>
}

/** The scenarios that count for a server of this revision, from the suite's own frozen list. */
export function scoredScenarios(revision: string): readonly string[] {
  const list = readFileSync(join(SUITE, 'requirements', `${revision}.yaml`), 'utf8')
  const [, server = ''] = /^server:\n((?: {2}- .*\n)+)/m.exec(list) ?? []
  return [...server.matchAll(/- (\S+)/g)].map(([, name]) => name!)
}

/** @param args of the suite's command line. */
export async function runSuite(...args: readonly string[]): Promise<Ran> {
  if (!existsSync(CLI)) throw new Error('the conformance suite is missing: npm ci --prefix test/peers')
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-conformance-'))
  try {
    const child = spawn(process.execPath, [CLI, ...args, '-o', folder], { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    const [exit] = (await once(child, 'close')) as [number | null]
    return { exit, output, checks: checksIn(folder) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Folders are named after the scenario and the time. */
const NAMED = /^(?:server-|authorization-)?(.+?)-\d{4}-\d\d-\d\dT[\d-]+Z?$/

function checksIn(folder: string): Map<string, Check[]> {
  const found = new Map<string, Check[]>()
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith('checks.json')) continue
    const parent = path.split('/').at(-2) ?? path
    found.set(NAMED.exec(parent)?.[1] ?? parent, JSON.parse(readFileSync(join(folder, path), 'utf8')))
  }
  return found
}
