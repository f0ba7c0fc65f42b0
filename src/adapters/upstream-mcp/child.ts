// A program that speaks MCP on stdio: started from the operator's configuration with exactly the environment that is given
// there, in a process group of its own, so that nothing of it is left when it is closed. What it says is bounded.

import { type ChildProcess, spawn } from 'node:child_process'
import type { JSONRPCMessage, Transport } from '@modelcontextprotocol/client'
import { deserializeMessage, serializeMessage } from '@modelcontextprotocol/client'
import { UpstreamFailure } from '../../actions/ports.ts'
import { UPSTREAM_MCP } from '../../core/limits.ts'

export type Program = {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/** Characters of what it complained of, for an operator. */
const COMPLAINT_MAX = 2_000

export class ChildTransport implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: Transport['onmessage']
  readonly #program: Program
  readonly #maxBytes: number
  readonly #killMs: number
  #child: ChildProcess | null = null
  #ended: Promise<void> = Promise.resolve()
  #held: Buffer[] = []
  #heldBytes = 0
  #complaint = ''

  constructor(program: Program, maxBytes: number = UPSTREAM_MCP.answerBytes, killMs: number = UPSTREAM_MCP.killMs) {
    this.#program = program
    this.#maxBytes = maxBytes
    this.#killMs = killMs
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** The last that it wrote to stderr; may hold anything, secrets too. */
  get complaint(): string {
    return this.#complaint
  }

  start(): Promise<void> {
    const { command, args, cwd, env } = this.#program
    const child = spawn(command, args, { cwd, env: { ...env }, stdio: 'pipe', shell: false, detached: true })
    this.#child = child
    this.#ended = new Promise((resolve) => {
      // What it started must not outlive it, and may hold its pipes open.
      child.once('exit', () => kill(child.pid, 'SIGKILL'))
      child.once('close', () => {
        resolve()
        this.onclose?.()
      })
    })
    child.stdout.on('data', (chunk: Buffer) => this.#read(chunk))
    child.stderr.on('data', (chunk: Buffer) => {
      this.#complaint = (this.#complaint + chunk.toString('utf8')).slice(-COMPLAINT_MAX)
    })
    child.stdin.on('error', (error) => this.onerror?.(error))
    return new Promise((resolve, reject) => {
      child.once('spawn', () => resolve())
      child.once('error', (error: NodeJS.ErrnoException) => {
        this.onerror?.(error)
        reject(new UpstreamFailure('unreachable', `cannot be started (${error.code ?? error.name})`))
      })
    })
  }

  #read(chunk: Buffer): void {
    let rest = chunk
    for (let at = rest.indexOf(10); at !== -1; at = rest.indexOf(10)) {
      const line = Buffer.concat([...this.#held, rest.subarray(0, at)])
      this.#held = []
      this.#heldBytes = 0
      rest = rest.subarray(at + 1)
      if (line.length > this.#maxBytes) {
        this.#cutOff()
        return
      }
      this.#say(line.toString('utf8').trim())
    }
    if (rest.length === 0) return
    this.#held.push(rest)
    this.#heldBytes += rest.length
    if (this.#heldBytes > this.#maxBytes) this.#cutOff()
  }

  #say(line: string): void {
    if (line === '') return
    let message: JSONRPCMessage
    try {
      message = deserializeMessage(line)
    } catch {
      // Programs print what is no message; nobody waits for it.
      this.onerror?.(new Error('said what is no message'))
      return
    }
    this.onmessage?.(message)
  }

  #cutOff(): void {
    this.#held = []
    this.#heldBytes = 0
    this.#child?.stdout?.destroy()
    this.onerror?.(new UpstreamFailure('too long', `says more than ${this.#maxBytes} bytes at once`))
    kill(this.#child?.pid, 'SIGKILL')
  }

  send(message: JSONRPCMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      const stdin = this.#child?.stdin
      if (stdin == null || !stdin.writable) reject(new UpstreamFailure('broken', 'has ended'))
      else stdin.write(serializeMessage(message), (error) => (error == null ? resolve() : reject(error)))
    })
  }

  /** Resolves once nothing of it runs any more: asked by the end of its input, then told, then ended. */
  async close(): Promise<void> {
    const child = this.#child
    if (child === null) return
    if (child.pid !== undefined) {
      child.stdin?.end()
      const steps = [
        setTimeout(() => kill(child.pid, 'SIGTERM'), this.#killMs / 2),
        setTimeout(() => kill(child.pid, 'SIGKILL'), this.#killMs),
      ]
      await this.#ended
      for (const step of steps) clearTimeout(step)
    }
    this.#child = null
  }
}

/** The whole group; whoever is gone already is as wanted. */
function kill(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // Nobody is left of it.
  }
}
