// `hallpass mcp` and a client without an SDK.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

const LAUNCHER = fileURLToPath(new URL('../../hallpass', import.meta.url))

/** A client that says what it likes, and keeps every byte that it is told. */
export function rawBridge(env: Readonly<Record<string, string>>) {
  const child: ChildProcess = spawn(process.execPath, [LAUNCHER, 'mcp'], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr?.on('data', (chunk) => {
    stderr += chunk
  })
  child.stdin?.on('error', () => undefined)
  const lines = () => stdout.split('\n').slice(0, -1)
  return {
    child,
    send: (line: string) => child.stdin?.write(`${line}\n`),
    call: (id: unknown, name: string, args: object = {}) =>
      child.stdin?.write(
        `${JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args } })}\n`,
      ),
    answer: async (id: unknown) => {
      const found = () =>
        lines()
          .map((line) => JSON.parse(line))
          .find((message) => message.id === id)
      await expect.poll(found, { timeout: 20_000 }).toBeDefined()
      return found()
    },
    /** Messages that came by themselves, in order. */
    told: (method: string) =>
      lines()
        .map((line) => JSON.parse(line))
        .filter((message) => message.method === method),
    lines,
    transcript: () => stdout,
    stderr: () => stderr,
    ended: once(child, 'close'),
  }
}
