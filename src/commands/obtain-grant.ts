// Asking for a tool from a shell: what is asked, and waiting for the owner who has to say yes.

import type { Command } from 'commander'
import { WAIT_SECONDS_MAX } from '../core/limits.ts'
import type { AgentIdentity } from './agent-identity.ts'
import { type Cli, commaList, detailList, duration, piece } from './command.ts'
import { listOf, objectOf, show, textOf } from './show.ts'
import { Stop } from './stop.ts'

export type Asked = {
  readonly scope: readonly string[]
  readonly reason: string
  readonly detail?: Readonly<Record<string, readonly string[]>>
  readonly for?: number
  readonly wait?: number
}

/** The options that every command has which asks; `reason` is each one's own. */
export const withAsking = (command: Command): Command =>
  command
    .requiredOption('--scope <scopes>', 'what it must allow; commas between several, or repeat it', commaList)
    .option('--detail <key=value>', 'narrow it, such as queue=incidents; may be repeated', detailList)
    .option('--for <duration>', 'how long the approval should last; default: what the manifest says', duration)
    .option('--wait <duration>', 'wait this long for an owner; default: exit 3 when one has to say yes', duration)

/** The live grant, or a stop with 3 while an owner is still to decide. */
export async function obtainGrant(
  cli: Cli,
  identity: AgentIdentity,
  tool: string,
  options: Asked,
): Promise<Readonly<Record<string, unknown>>> {
  const api = await identity.api()
  const asked = objectOf(
    await api.call({
      path: '/v1/requests',
      body: {
        tool,
        scopes: options.scope,
        reason: options.reason,
        ...(options.detail === undefined ? {} : { details: options.detail }),
        ...(options.for === undefined ? {} : { durationSeconds: options.for }),
      },
      act: 'request.make',
    }),
  )
  if (asked.status === 'granted') return objectOf(asked.grant)
  const request = objectOf(asked.request)
  const id = textOf(request.id)
  cli.terminal.note(`An owner has to say yes: ${listOf(request.owners).map(show).join(' or ')}`)
  cli.terminal.note(`  words    ${show(request.words)}`)
  cli.terminal.note(`  page     ${show(asked.approveUrl)}`)
  cli.terminal.note(`  command  hallpass approve ${show(id)}`)
  if (options.wait === undefined)
    throw new Stop(3, 'waiting for an owner', ['Run the same command again once they said yes, or with --wait 10m.'])
  return settled(cli, identity, id, options.wait)
}

/** Long polls until the owner decided or the time is over. */
async function settled(
  cli: Cli,
  identity: AgentIdentity,
  id: string,
  waitSeconds: number,
): Promise<Readonly<Record<string, unknown>>> {
  const until = performance.now() + waitSeconds * 1000
  for (let left = waitSeconds; left > 0; left = (until - performance.now()) / 1000) {
    const wait = Math.max(1, Math.min(WAIT_SECONDS_MAX, Math.ceil(left)))
    const api = await identity.api()
    const seen = objectOf(
      await api.call({
        path: `/v1/requests/${piece(id)}`,
        query: { wait },
        waitSeconds: wait,
        act: 'request.see',
        signal: cli.signal,
      }),
    )
    const request = seen.request === undefined ? seen : objectOf(seen.request)
    if (seen.status === 'granted' && seen.grant !== undefined) return objectOf(seen.grant)
    if (request.status === 'approved') return { id: request.grantId }
    if (request.status !== 'pending') {
      const why = request.decidedReason === undefined ? '' : `: ${textOf(request.decidedReason)}`
      throw new Stop(2, `the request was ${textOf(request.status)}${why}`, [], {
        code: request.status === 'denied' ? 'approval_denied' : 'request_expired',
        requestId: null,
        manifestPatch: null,
      })
    }
  }
  throw new Stop(3, `no owner decided within the time: the request still waits`, [
    'Run the same command again to go on waiting.',
  ])
}
