// Agents in processes of their own, which can be killed at any moment, and what they said.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** Every real client, in each way to wait that it supports. */
export const CLIENTS = [
  'v2 task',
  'v2 link',
  'v2 pending',
  'v2 legacy link',
  'v2 legacy pending',
  'v1 link',
  'v1 pending',
  'inspector task',
  'inspector pending',
] as const

export type AgentOrders = {
  readonly client: (typeof CLIENTS)[number]
  readonly issuer: string
  readonly agent: string
  readonly keyPath: string
  /** What it asks for, one after the other: each duration is another request. */
  readonly durations: readonly number[]
  /** A task to go on with, as the agent before it said. */
  readonly resume?: { readonly taskId: string; readonly endpointId: string }
}

export type Said = {
  /** The duration that it asked for. */
  readonly of: number
  readonly told?: 'task' | 'pending'
  readonly request?: string
  readonly reference?: NonNullable<AgentOrders['resume']>
  /** The link that its client was asked to show. */
  readonly shown?: string
  readonly granted?: string
  readonly used?: string
  readonly lost?: string
}

export type AgentProcess = {
  readonly said: readonly Said[]
  /** What it first said under this name, of one duration. */
  first<K extends keyof Said>(key: K, of: number): Said[K] | undefined
  /** The same once it says so; an error with the last that it said where that takes too long. */
  until<K extends keyof Said>(key: K, of: number): Promise<NonNullable<Said[K]>>
  /** `kill -9`, with all that it started. */
  kill(): Promise<void>
}

const CHILD = fileURLToPath(new URL('agent-child.ts', import.meta.url))
const WITHIN_MS = 30_000
const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) slay(child)
})

function slay(child: ChildProcess): void {
  if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
    process.kill(-child.pid, 'SIGKILL')
}

/** `home` is where what it runs may write. */
export function startAgent(orders: AgentOrders, home: string): AgentProcess {
  const child = spawn(process.execPath, [CHILD, JSON.stringify(orders)], {
    env: { PATH: process.env.PATH, HOME: home },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  const ended = once(child, 'exit').then(() => running.delete(child))
  const said: Said[] = []
  let rest = ''
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = `${rest}${chunk}`.split('\n')
    rest = lines.pop() ?? ''
    said.push(...lines.map((line) => JSON.parse(line) as Said))
  })
  child.stderr.on('data', (chunk: Buffer) => said.push({ of: 0, lost: chunk.toString().slice(0, 500) }))
  const first = <K extends keyof Said>(key: K, of: number) =>
    said.find((line) => line.of === of && line[key] !== undefined)?.[key]
  return {
    said,
    first,
    async until(key, of) {
      for (const deadline = performance.now() + WITHIN_MS; performance.now() < deadline; await wait(25)) {
        const value = first(key, of)
        if (value !== undefined) return value
      }
      throw new Error(`${orders.client} never said "${key}" but ${JSON.stringify(said.slice(-4))}`)
    },
    async kill() {
      slay(child)
      await ended
    },
  }
}

export async function killAgents(): Promise<void> {
  for (const child of running) slay(child)
}
