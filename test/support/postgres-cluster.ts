// A PostgreSQL server of its own for one run: a temporary folder, a socket in it and no network. It says exactly what is
// missing where there is none to start; nothing is skipped for the lack of it.

import { execFileSync } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  export interface ProvidedContext {
    readonly postgresUrl: string
    /** What starts this server again, and what kills it: see {@link crashAndRestart}. */
    readonly postgresServer: Server
  }
}

export type Server = {
  readonly control: string
  readonly folder: string
  readonly start: readonly string[]
  readonly crash: readonly string[]
  readonly user: { readonly uid: number; readonly gid: number } | null
}

const DEBIAN = '/usr/lib/postgresql'

/** Where `initdb` and `pg_ctl` are: `POSTGRES_BIN`, or the newest that Debian's packages brought, or the path. */
function binaries(): string {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).filter((name) => /^\d+$/.test(name)) : []
  const newestFirst = versions.toSorted((a, b) => Number(b) - Number(a)).map((name) => join(DEBIAN, name, 'bin'))
  const folders = [process.env.POSTGRES_BIN, ...newestFirst, ...(process.env.PATH ?? '').split(':')]
  const found = folders.find((folder) => folder && ['initdb', 'pg_ctl'].every((name) => existsSync(join(folder, name))))
  if (found === undefined) {
    throw new Error(
      'These tests start a PostgreSQL server of their own, and initdb and pg_ctl are not on this machine: apt-get install postgresql, or name their folder in POSTGRES_BIN.',
    )
  }
  return found
}

/** PostgreSQL refuses to run as root; its package made a user for it. */
function unprivileged(): { readonly uid: number; readonly gid: number } | null {
  if (process.getuid?.() !== 0) return null
  try {
    const idOf = (kind: string) => Number(execFileSync('id', [kind, 'postgres'], { encoding: 'utf8' }))
    return { uid: idOf('-u'), gid: idOf('-g') }
  } catch {
    throw new Error(
      'PostgreSQL does not run as root, and there is no user postgres to run it as: apt-get install postgresql.',
    )
  }
}

/** Ends the server without any farewell, as a power cut would, and starts it again. */
export function crashAndRestart({ control, folder, start, crash, user }: Server): void {
  for (const args of [crash, start]) execFileSync(control, args, { cwd: folder, stdio: 'ignore', ...user })
}

export default function startCluster(project: TestProject): () => void {
  const bin = binaries()
  const user = unprivileged()
  const folder = mkdtempSync(join(tmpdir(), 'pg-'))
  if (user !== null) chownSync(folder, user.uid, user.gid)
  const data = join(folder, 'data')
  const log = join(folder, 'log')
  const options = `-k ${folder} -c listen_addresses= -c max_connections=400 -c jit=off -c max_wal_size=2GB`
  const start = ['-D', data, '-l', log, '-o', options, '-w', 'start']
  const crash = ['-D', data, '-m', 'immediate', '-w', 'stop']
  const run = (name: string, args: readonly string[]) =>
    execFileSync(join(bin, name), args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'], ...user })

  const stop = () => {
    if (existsSync(join(data, 'postmaster.pid'))) run('pg_ctl', crash)
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    run('initdb', ['-D', data, '-U', 'hallpass', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'])
    run('pg_ctl', start)
  } catch (thrown) {
    stop()
    throw thrown
  }
  project.provide('postgresServer', { control: join(bin, 'pg_ctl'), folder, start, crash, user })
  project.provide('postgresUrl', `postgres://hallpass@${encodeURIComponent(folder)}/postgres`)
  return stop
}
