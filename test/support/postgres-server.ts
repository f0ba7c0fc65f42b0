// A PostgreSQL server of its own: a temporary folder, a socket in it and no network. It says exactly what is missing where
// there is none to start; nothing is skipped for the lack of it.

import { execFileSync } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Plain data: it crosses to the tests' processes. */
export type Server = {
  readonly url: string
  readonly control: string
  readonly folder: string
  readonly data: string
  readonly start: readonly string[]
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
function unprivileged(): Server['user'] {
  if (process.getuid?.() !== 0) return null
  try {
    const idOf = (kind: string) => Number(execFileSync('id', [kind, 'postgres'], { encoding: 'utf8', stdio: 'pipe' }))
    return { uid: idOf('-u'), gid: idOf('-g') }
  } catch {
    throw new Error(
      'PostgreSQL does not run as root, and there is no user postgres to run it as: apt-get install postgresql.',
    )
  }
}

/** The first folder for temporary things in which this user may make one. */
function roomFor(user: Server['user']): string {
  const folders = [tmpdir(), '/var/tmp']
  const found = folders.find((folder) => {
    try {
      execFileSync('test', ['-w', folder, '-a', '-x', folder], { cwd: '/', stdio: 'ignore', ...user })
      return true
    } catch {
      return false
    }
  })
  if (found === undefined) {
    throw new Error(
      `PostgreSQL runs as a user that may not write to ${folders.join(' or ')}: name a folder in TMPDIR that every user may enter and write to.`,
    )
  }
  return found
}

/** `prepare` is given the folder before anything is in it. */
export function startServer(prepare: (folder: string) => void = () => {}): Server {
  const bin = binaries()
  const user = unprivileged()
  const folder = mkdtempSync(join(roomFor(user), 'pg-'))
  prepare(folder)
  if (user !== null) chownSync(folder, user.uid, user.gid)
  const data = join(folder, 'data')
  const options = `-k ${folder} -c listen_addresses= -c max_connections=400 -c jit=off -c max_wal_size=2GB`
  const server: Server = {
    url: `postgres://hallpass@${encodeURIComponent(folder)}/postgres`,
    control: join(bin, 'pg_ctl'),
    folder,
    data,
    start: ['-l', join(folder, 'log'), '-o', options, '-w', 'start'],
    user,
  }
  try {
    execFileSync(
      join(bin, 'initdb'),
      ['-D', data, '-U', 'hallpass', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'],
      { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'], ...user },
    )
    startAgain(server)
  } catch (thrown) {
    removeServer(server)
    throw thrown
  }
  return server
}

const control = ({ control, folder, data, user }: Server, args: readonly string[]) =>
  execFileSync(control, ['-D', data, ...args], { cwd: folder, stdio: 'ignore', ...user })

export const startAgain = (server: Server): void => void control(server, server.start)

/** Without any farewell, as a power cut would. */
export const crash = (server: Server): void => void control(server, ['-m', 'immediate', '-w', 'stop'])

export function crashAndRestart(server: Server): void {
  crash(server)
  startAgain(server)
}

/** To every process of it, such as SIGSTOP: then it neither answers nor goes away. */
export function signalServer({ data }: Server, name: NodeJS.Signals): void {
  const [postmaster = ''] = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')
  const children = readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8').trim()
  // Who makes new ones is stopped before them, and goes on after them.
  const pids = [postmaster, ...children.split(' ').filter(Boolean)].map(Number)
  for (const pid of name === 'SIGSTOP' ? pids : pids.toReversed()) process.kill(pid, name)
}

/** Whatever state it is in. */
export function endServer(server: Server): void {
  if (!existsSync(join(server.data, 'postmaster.pid'))) return
  try {
    crash(server)
  } catch {
    // It ended by itself; its file is all that is left.
    rmSync(join(server.data, 'postmaster.pid'), { force: true })
  }
}

export function removeServer(server: Server): void {
  endServer(server)
  rmSync(server.folder, { recursive: true, force: true })
}
