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

export type ProgramLimits = {
  readonly [K in 'answerBytes' | 'killMs' | 'burstMs' | 'burstLines' | 'burstBytes']: number
}

/** Characters of what it complained of, for an operator. */
const COMPLAINT_MAX = 8_000
/** How long what still holds the pipes of a program that has ended is read. Milliseconds. */
const LEFT_OVER_MS = 200

export class ChildTransport implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: Transport['onmessage']
  readonly #program: Program
  readonly #limits: ProgramLimits
  #child: ChildProcess | null = null
  #ended: Promise<void> = Promise.resolve()
  #held: Buffer[] = []
  #heldBytes = 0
  /** Lines that were read and not passed on yet. */
  #lines: string[] = []
  #passing: Promise<void> | null = null
  #burst = { since: 0, lines: 0, bytes: 0 }
  #complaint = ''
  #isCut = false

  constructor(program: Program, limits: ProgramLimits = UPSTREAM_MCP) {
    this.#program = program
    this.#limits = limits
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** The last that it wrote to stderr; may hold anything, secrets too. */
  get complaint(): { readonly text: string; readonly isCut: boolean } {
    return { text: this.#complaint, isCut: this.#isCut }
  }

  start(): Promise<void> {
    const { command, args, cwd, env } = this.#program
    const child = spawn(command, args, { cwd, env: { ...env }, stdio: 'pipe', shell: false, detached: true })
    this.#child = child
    this.#ended = new Promise((resolve) => {
      // What it started must not outlive it, and may hold its pipes open.
      child.once('exit', () => {
        kill(child.pid, 'SIGKILL')
        // What left its group is not found by that.
        setTimeout(() => {
          for (const pipe of child.stdio) pipe?.destroy()
        }, LEFT_OVER_MS).unref()
      })
      child.once('close', async () => {
        await this.#passing
        resolve()
        this.onclose?.()
      })
    })
    child.stdout.on('data', (chunk: Buffer) => this.#read(chunk))
    child.stderr.on('data', (chunk: Buffer) => {
      const complaint = this.#complaint + chunk.toString('utf8')
      this.#isCut ||= complaint.length > COMPLAINT_MAX
      this.#complaint = complaint.slice(-COMPLAINT_MAX)
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
    const { answerBytes, burstMs, burstLines, burstBytes } = this.#limits
    const now = performance.now()
    if (now - this.#burst.since > burstMs) this.#burst = { since: now, lines: 0, bytes: 0 }
    this.#burst.bytes += chunk.length
    let rest = chunk
    for (let at = rest.indexOf(10); at !== -1; at = rest.indexOf(10)) {
      if (++this.#burst.lines > burstLines || this.#burst.bytes > burstBytes) {
        this.#cutOff('says more at once than anybody asked for')
        return
      }
      const line = Buffer.concat([...this.#held, rest.subarray(0, at)])
      this.#held = []
      this.#heldBytes = 0
      rest = rest.subarray(at + 1)
      if (line.length > answerBytes) {
        this.#cutOff(`says more than ${answerBytes} bytes in one message`)
        return
      }
      this.#lines.push(line.toString('utf8').trim())
      this.#passing ??= this.#passOn()
    }
    if (rest.length === 0) return
    this.#held.push(rest)
    this.#heldBytes += rest.length
    if (this.#heldBytes > answerBytes) this.#cutOff(`says more than ${answerBytes} bytes in one message`)
  }

  /** One a turn: of what comes at once, the client forgets what belongs to an answer before it heard it. */
  async #passOn(): Promise<void> {
    for (let line = this.#lines.shift(); line !== undefined; line = this.#lines.shift()) {
      this.#say(line)
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.#passing = null
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

  #cutOff(why: string): void {
    this.#lines = []
    this.#held = []
    this.#heldBytes = 0
    this.#child?.stdout?.destroy()
    this.onerror?.(new UpstreamFailure('too long', why))
    kill(this.#child?.pid, 'SIGKILL')
  }

  send(message: JSONRPCMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      const stdin = this.#child?.stdin
      if (stdin == null || !stdin.writable) reject(new UpstreamFailure('broken', 'has ended'))
      else if (stdin.writableLength > this.#limits.answerBytes)
        reject(new UpstreamFailure('late', 'does not read what it is asked'))
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
        setTimeout(() => kill(child.pid, 'SIGTERM'), this.#limits.killMs / 2),
        setTimeout(() => kill(child.pid, 'SIGKILL'), this.#limits.killMs),
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
