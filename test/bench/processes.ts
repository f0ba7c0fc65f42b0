// Starts what is measured, each in a process of its own on a core that the client does not use, where the system lets one say so.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { type Background, freePort, startInBackground } from '../tools/background.ts'

/** The last core is the client's, the first the servers'. */
const CLIENT_CORE = cpus().length - 1
const SERVER_CORE = 0

const canPin = ((): boolean => {
  try {
    execFileSync('taskset', ['-a', '-p', '-c', String(CLIENT_CORE), String(process.pid)], { stdio: 'ignore' })
    return CLIENT_CORE !== SERVER_CORE
  } catch {
    return false
  }
})()

export const pinning = canPin
  ? `servers on core ${SERVER_CORE}, client on core ${CLIENT_CORE} (taskset)`
  : 'not pinned: there is no taskset, or one core only'

/** The command that runs a program on the servers' core. */
export const pinned = (file: string, args: readonly string[]): readonly [string, readonly string[]] =>
  canPin ? ['taskset', ['-c', String(SERVER_CORE), file, ...args]] : [file, args]

/** The same of node. */
export const onServerCore = (args: readonly string[]): readonly [string, readonly string[]] =>
  pinned(process.execPath, args)

/** Node where the system sees fit: for what is a client and several servers by itself. */
export const onAllCores = (args: readonly string[]): readonly [string, readonly string[]] =>
  canPin ? ['taskset', ['-c', `0-${cpus().length - 1}`, process.execPath, ...args]] : [process.execPath, args]

export type Server = {
  readonly port: number
  /** CPU seconds used so far, all threads; null where the system does not tell. */
  cpuSeconds(): number | null
  /** Resident memory in MiB; null where the system does not tell. */
  memoryMib(): number | null
  stop(): Promise<void>
}

export const serverOf = (background: Background, port: number): Server => ({
  port,
  cpuSeconds: () => cpuSecondsOf(background.pid),
  memoryMib: () => memoryMibOf(background.pid),
  stop: () => background.stop(),
})

/** A rival: one file that listens on the port it is given, with the set-up it is given. */
export async function startRival(file: string, setUp: string): Promise<Server> {
  const port = await freePort()
  const path = fileURLToPath(new URL(`rivals/${file}`, import.meta.url))
  const [command, args] = onServerCore([path, setUp, String(port)])
  const ready = async () => (await fetch(`http://127.0.0.1:${port}/ready`)).status < 500
  return serverOf(await startInBackground(command, args, { cwd: process.cwd(), ready }), port)
}

/** Starts all, and ends all however it goes. */
export async function withRivals<N extends string, T>(
  starting: Readonly<Record<N, Promise<Server>>>,
  run: (servers: Readonly<Record<N, Server>>) => Promise<T>,
): Promise<T> {
  const started = await Promise.allSettled(Object.values<Promise<Server>>(starting))
  try {
    const failed = started.find((one) => one.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    const servers: Partial<Record<N, Server>> = {}
    for (const name of Object.keys(starting) as N[]) servers[name] = await starting[name]
    return await run(servers as Record<N, Server>)
  } finally {
    for (const one of started) if (one.status === 'fulfilled') await one.value.stop()
  }
}

const TICKS_PER_SECOND = 100

function cpuSecondsOf(pid: number): number | null {
  const stat = readProc(pid, 'stat')
  // After the command's name, which may hold spaces: fields 14 and 15 are user and system time (proc(5)).
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields === undefined ? null : (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

function memoryMibOf(pid: number): number | null {
  const [, kib] = /VmRSS:\s+(\d+) kB/.exec(readProc(pid, 'status') ?? '') ?? []
  return kib === undefined ? null : Number(kib) / 1024
}

function readProc(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return null
  }
}
