// `lock`, `unlock`: the kill switch. It says what died, what is not confirmed dead yet, and how to undo it.

import type { Command } from 'commander'
import { type Cli, duration, piece, verb } from './command.ts'
import { answerReceipt, awaitReceipt, SHORT_WAIT_SECONDS } from './receipts.ts'
import { at, objectOf, show, table } from './show.ts'
import { Stop } from './stop.ts'

const KINDS = ['agent', 'tool', 'owner']

type Options = { reason?: string; for?: number; revokeGrants?: boolean; wait?: number }

export function addLock(program: Command, cli: Cli): void {
  const lock = verb(
    program,
    'lock',
    'lock agent/NAME, tool/NAME, owner/EMAIL or everything; `lock list` lists the locks',
  )
    .argument('<target>', 'agent/NAME, tool/NAME, owner/EMAIL or everything')
    .option('--reason <text>', 'why, for the record (needed)')
    .option('--for <duration>', 'lift it by itself after this long', duration)
    .option('--revoke-grants', 'take the grants for good, instead of suspending them')
    .option('--wait <duration>', `how long to wait for confirmation; default ${SHORT_WAIT_SECONDS}s`, duration)
    .action(async (target: string, options: Options) => {
      const { kind, name } = parsedTarget(target)
      const { reason, for: forSeconds, revokeGrants = false, wait = SHORT_WAIT_SECONDS } = options
      if (reason === undefined || reason.trim() === '')
        throw new Stop(1, 'a lock needs a reason', [`hallpass lock ${target} --reason "…"`])
      const remote = cli.remote()
      const body = {
        kind,
        ...(name === null ? {} : { name }),
        reason,
        revokeGrants,
        ...(forSeconds === undefined ? {} : { forSeconds }),
      }
      const done = objectOf(await remote.call({ path: '/v1/locks', body, act: 'lock.set' }))
      const receipt = await awaitReceipt(cli, remote, done.receipt, wait)
      const set = objectOf(done.lock)
      answerReceipt(cli, { lock: set, receipt }, receipt, [
        `Locked ${set.kind === 'everything' ? 'everything' : `${show(set.kind)}/${show(set.name)}`}${set.until === undefined ? '' : ` until ${show(set.until)}`}. ` +
          `Grants are ${revokeGrants ? 'taken for good' : 'suspended while it stands'}.`,
        `Undo: hallpass unlock ${show(set.id)}   (no session and no credential comes back)`,
      ])
    })

  verb(lock, 'list', 'list the locks that stand, newest first')
    .option('--all', 'lifted and expired ones too')
    .action(async ({ all }: { all?: boolean }) => {
      const query = all === true ? { all: 'true' } : {}
      const locks = await cli.remote().all({ path: '/v1/locks', query, act: 'lock.see' })
      const columns = [
        'id',
        'kind',
        'name',
        'status',
        'setAt',
        'until',
        ['by', (row: unknown) => at(row, 'by.id')] as const,
        'reason',
      ]
      cli.terminal.answer(locks, () => table(locks, columns, 'No locks.'))
    })

  verb(program, 'unlock <id>', 'lift a lock')
    .option('--reason <text>', 'for the record')
    .action(async (id: string, { reason }: { reason?: string }) => {
      const lifted = await cli.remote().call({
        method: 'DELETE',
        path: `/v1/locks/${piece(id)}`,
        body: reason === undefined ? {} : { reason },
        act: 'lock.lift',
      })
      cli.terminal.answer(lifted, () => [
        `Lifted ${at(lifted, 'id')} on ${at(lifted, 'kind')} ${at(lifted, 'name')}. What it killed stays dead.`,
      ])
    })
}

function parsedTarget(target: string): { kind: string; name: string | null } {
  if (target === 'everything') return { kind: 'everything', name: null }
  const [, kind, name] = /^([a-z]+)\/(.+)$/s.exec(target) ?? []
  if (kind === 'session') throw new Stop(1, 'a session is revoked, not locked', [`hallpass session revoke ${name}`])
  if (kind === undefined || name === undefined || !KINDS.includes(kind))
    throw new Stop(1, `"${target}" cannot be locked`, ['Lock agent/NAME, tool/NAME, owner/EMAIL or everything.'])
  return { kind, name }
}
