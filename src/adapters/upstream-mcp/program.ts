// The one running program of a tool whose MCP server is a command: started when it is needed, started again with growing
// pauses when it ends by itself, and gone with the broker.

import type { Log, UpstreamMcp } from '../../actions/ports.ts'
import { UpstreamFailure } from '../../actions/ports.ts'
import { UPSTREAM_MCP } from '../../core/limits.ts'
import type { Result } from '../../core/result.ts'
import { safeText } from '../../core/safe-text.ts'
import { ChildTransport, type Program, type ProgramLimits } from './child.ts'
import { type Connection, connectChild } from './connection.ts'
import { createMask } from './without-secrets.ts'

/** A program ready to be started, and the secrets that its environment carries; the error is the end of a sentence. */
export type OpenProgram = (command: string) => Result<Opened, string>
type Opened = { readonly program: Program; readonly secrets: readonly string[] }

export type RunningProgram = {
  connection(): Promise<Connection>
  close(): Promise<void>
}

type Limits = ProgramLimits & { readonly [K in 'restartMs' | 'restartMsMax' | 'wellMs']: number }
type Changed = Parameters<UpstreamMcp['onChanged']>[0]

export function runProgram(
  tool: string,
  command: string,
  open: OpenProgram,
  deps: { readonly log: Log; readonly monotonic: () => number; readonly changed: Changed },
  limits: Limits = UPSTREAM_MCP,
): RunningProgram {
  const { log, monotonic, changed } = deps
  let running: Promise<Connection> | null = null
  let notBefore = Number.NEGATIVE_INFINITY
  let pauseMs = limits.restartMs
  let closed = false
  let started: ChildTransport | null = null

  const start = async ({ program, secrets }: Opened): Promise<Connection> => {
    const startedAt = monotonic()
    const transport = new ChildTransport(program, limits)
    started = transport
    const mask = createMask(secrets)
    const ended = () => {
      running = null
      if (closed) return
      pauseMs = monotonic() - startedAt >= limits.wellMs ? limits.restartMs : Math.min(pauseMs * 2, limits.restartMsMax)
      notBefore = monotonic() + pauseMs
      const { text, isCut } = transport.complaint
      const complaint = safeText((isCut ? mask.endOf(text) : mask.text(text)).slice(-500), 500)
      log.warn({ tool, command, pauseMs, complaint }, "a tool's MCP program ended; it is started again")
    }
    try {
      const connection = await connectChild(transport, mask, () => changed(tool))
      const { onclose } = connection.client
      connection.client.onclose = () => {
        onclose?.()
        ended()
      }
      if (connection.isOver()) throw new UpstreamFailure('broken', 'has ended')
      // It may be another version by now, and say something else.
      changed(tool)
      return connection
    } catch (thrown) {
      ended()
      throw thrown instanceof UpstreamFailure ? thrown : new UpstreamFailure('unreachable', 'did not speak MCP in time')
    }
  }

  return {
    async connection() {
      if (closed) throw new UpstreamFailure('unreachable', 'is not run any more')
      if (running === null && monotonic() < notBefore)
        throw new UpstreamFailure('unreachable', 'has ended, and is started again in a while')
      if (running !== null) return running
      const opened = open(command)
      if (!opened.ok) throw new UpstreamFailure('unreachable', opened.error)
      running = start(opened.value)
      return running
    },
    async close() {
      closed = true
      // One that is still being started need not be waited for.
      await started?.close()
      const connection = await running?.catch(() => null)
      await connection?.close()
    },
  }
}
