// Programs that a suite starts and ends. None outlives the process that started it.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'

export type Background = {
  readonly pid: number
  /** The end of what it wrote, for error messages. */
  output(): string
  /** True once it ended, by whoever's hand. */
  isOver(): boolean
  /** Resolves then. */
  readonly ended: Promise<void>
  /** To it and all that it started, such as SIGSTOP. */
  signal(name: NodeJS.Signals): void
  stop(): Promise<void>
  /** `kill -9`, and waits for the end. */
  kill(): Promise<void>
}

export type BackgroundOptions = {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Asked until it says yes. */
  readonly ready: () => Promise<boolean>
  /** Slower than this it has not started. */
  readonly readyWithinMs?: number
}

const READY_WITHIN_MS = 90_000
const STOPPED_WITHIN_MS = 5000
const KEPT_OUTPUT = 20_000

const running = new Map<ChildProcess, () => Promise<void>>()
process.on('exit', () => {
  for (const child of running.keys()) signal(child, 'SIGKILL')
})

/** To it and all that it started: each leads a process group of its own. */
function signal(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, name)
}

/** Ends everything that was started and still runs, ready or not. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running.values()].map((stop) => stop()))
}

/** Starts it and resolves once it is ready; throws with what it wrote where it ends or takes too long. */
export async function startInBackground(
  command: string,
  args: readonly string[],
  { cwd, env, ready, readyWithinMs = READY_WITHIN_MS }: BackgroundOptions,
): Promise<Background> {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let written = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      written = (written + chunk.toString()).slice(-KEPT_OUTPUT)
    })
  const ended = once(child, 'exit').then(() => {
    running.delete(child)
  })
  const isOver = () => child.exitCode !== null || child.signalCode !== null
  const stop = async () => {
    if (isOver()) return
    signal(child, 'SIGTERM')
    const killer = setTimeout(() => signal(child, 'SIGKILL'), STOPPED_WITHIN_MS)
    await ended
    clearTimeout(killer)
  }
  running.set(child, stop)

  const deadline = performance.now() + readyWithinMs
  while (!(await ready().catch(() => false))) {
    if (isOver() || performance.now() > deadline) {
      await stop()
      throw new Error(`${[command, ...args].join(' ')} did not become ready:\n${written}`)
    }
    await wait(25)
  }
  const kill = async () => {
    signal(child, 'SIGKILL')
    await ended
  }
  return {
    pid: child.pid ?? 0,
    output: () => written,
    isOver,
    ended,
    signal: (name) => signal(child, name),
    stop,
    kill,
  }
}

/** A loopback port that nothing listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
