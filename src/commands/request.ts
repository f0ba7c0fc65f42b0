// `request`, `approve`, `deny`: what agents ask, shown whole, and an owner's answer bound to what was shown (S8).

import { setTimeout as wait } from 'node:timers/promises'
import type { Command } from 'commander'
import { formatDuration } from '../core/duration.ts'
import { type Cli, commaList, duration, piece, verb } from './command.ts'
import type { Remote } from './remote.ts'
import { at, fields, listOf, numberOf, objectOf, show, table, textOf } from './show.ts'
import { Stop } from './stop.ts'

const POLL_MS = 1500

type Less = { readonly scopes?: readonly string[]; readonly for?: number }
type Filter = { agent?: string; tool?: string; owner?: string; all?: boolean }

export function addRequest(request: Command, cli: Cli): void {
  const { terminal } = cli

  verb(request, 'list', 'list what waits for an owner, newest first')
    .option('--agent <name>', 'of this agent')
    .option('--tool <name>', 'for this tool')
    .option('--owner <email>', 'about agents and tools of this person')
    .option('--all', 'settled and expired ones too')
    .action(async ({ agent, tool, owner, all }: Filter) => {
      const query = { agent, tool, owner, ...(all === true ? {} : { status: 'pending' }) }
      const requests = await cli.remote().all({ path: '/v1/requests', query, act: 'request.see' })
      const columns = ['id', 'words', 'agent', 'tool', 'scopes', 'details', 'status', 'expiresAt', 'reason']
      terminal.answer(requests, () => table(requests, columns, all === true ? 'No requests.' : 'Nothing waits.'))
    })

  verb(request, 'show <id>', 'show a request').action(async (id: string) => {
    const found = await seen(cli.remote(), id)
    terminal.answer(found, () => requestLines(found))
  })

  verb(request, 'watch', 'ask yes, no or less as requests come (HALLPASS_TOKEN: an owner’s)').action(async () => {
    const remote = cli.remote()
    const known = new Set<string>()
    terminal.note('Watching for requests; Ctrl-C ends it.')
    while (!cli.signal.aborted) {
      const pending = await remote.all({
        path: '/v1/requests',
        query: { status: 'pending' },
        act: 'request.see',
        signal: cli.signal,
      })
      for (const request of [...pending].reverse()) {
        const id = textOf(objectOf(request).id)
        if (known.has(id)) continue
        known.add(id)
        terminal.item(request, () => ['', ...requestLines(request)])
        if (terminal.interactive()) await decide(cli, remote, request)
      }
      await wait(POLL_MS, null, { signal: cli.signal }).catch(() => null)
    }
  })
}

export function addDecisions(program: Command, cli: Cli): void {
  verb(program, 'approve <id>', 'say yes to a request, or yes to less')
    .option('--scopes <scopes>', 'only these of what was asked', commaList)
    .option('--for <duration>', 'for no longer than this', duration)
    .action(async (id: string, less: Less) => {
      const remote = cli.remote()
      const request = await seen(remote, id)
      if (!cli.terminal.json()) for (const line of requestLines(request)) cli.terminal.note(line)
      const done = await approve(remote, request, less)
      cli.terminal.answer(done, () => grantedLines(done))
    })

  verb(program, 'deny <id>', 'say no to a request')
    .requiredOption('--reason <text>', 'for the agent, and for the record')
    .action(async (id: string, { reason }: { reason: string }) => {
      const denied = await deny(cli.remote(), id, reason)
      cli.terminal.answer(denied, () => [`Denied ${at(denied, 'id')} (${at(denied, 'words')}).`])
    })
}

const seen = (remote: Remote, id: string) => remote.call({ path: `/v1/requests/${piece(id)}`, act: 'request.see' })

/** Names the hash that was shown: what changed since is refused. */
function approve(remote: Remote, request: unknown, { scopes, for: durationSeconds }: Less): Promise<unknown> {
  const { id, hash, status } = objectOf(request)
  if (typeof hash !== 'string')
    throw new Stop(
      2,
      status === 'pending'
        ? 'the manifest does not allow this any more, so it cannot be approved'
        : `this request is ${show(status)} already`,
    )
  const body = {
    hash,
    ...(scopes === undefined ? {} : { scopes }),
    ...(durationSeconds === undefined ? {} : { durationSeconds }),
  }
  return remote.call({ path: `/v1/requests/${piece(textOf(id))}/approve`, body, act: 'request.approve' })
}

const deny = (remote: Remote, id: string, reason: string) =>
  remote.call({ path: `/v1/requests/${piece(id)}/deny`, body: { reason }, act: 'request.deny' })

function requestLines(request: unknown): string[] {
  const {
    id,
    words,
    agent,
    purpose,
    reason,
    tool,
    scopeInfo,
    details,
    durationSeconds,
    delivery,
    status,
    owners,
    expiresAt,
    decidedBy,
    decidedReason,
    grantId,
  } = objectOf(request)
  return fields([
    ['request', `${show(id)}  "${show(words)}"`],
    ['agent', agent],
    ['purpose', purpose],
    ['tool', tool],
    ...listOf(scopeInfo).map((scope): [string, string] => [
      'scope',
      `${at(scope, 'name')}: ${at(scope, 'description')} (${at(scope, 'risk')} risk)`,
    ]),
    ['details', details === undefined ? 'unrestricted' : details],
    ['for', formatDuration(numberOf(durationSeconds))],
    ['delivery', delivery],
    ['reason', reason],
    ['status', status],
    ['owners', owners],
    ['decided', decidedBy],
    ['because', decidedReason],
    ['grant', grantId],
    ['expires', expiresAt],
  ])
}

const grantedLines = (done: unknown): string[] => {
  const { id, agent, tool, scopes, expiresAt } = objectOf(objectOf(done).grant)
  return [
    `Approved: ${show(agent)} may use ${show(tool)} (${show(scopes)}) until ${show(expiresAt)}. Take it back: hallpass grant revoke ${show(id)}`,
  ]
}

/** One request and one person. A refusal is told and does not end the watch. */
async function decide(cli: Cli, remote: Remote, request: unknown): Promise<void> {
  const { terminal, signal } = cli
  const id = textOf(objectOf(request).id)
  const answer = (await terminal.ask('yes / no / less / later? ', signal))?.toLowerCase() ?? 'later'
  try {
    if (answer === 'yes' || answer === 'y') terminal.note(grantedLines(await approve(remote, request, {})).join('\n'))
    else if (answer === 'no' || answer === 'n') {
      const reason = await terminal.ask('why? ', signal)
      if (reason === null || reason === '') terminal.note('Not decided: a no needs a reason.')
      else terminal.note(`Denied ${at(await deny(remote, id, reason), 'words')}.`)
    } else if (answer === 'less' || answer === 'l') {
      const scopes = commaList((await terminal.ask(`which of ${at(request, 'scopes')} (all: Enter)? `, signal)) ?? '')
      const length = (await terminal.ask('for how long, such as 1h (as asked: Enter)? ', signal)) ?? ''
      const less = { ...(scopes.length === 0 ? {} : { scopes }), ...(length === '' ? {} : { for: duration(length) }) }
      terminal.note(grantedLines(await approve(remote, request, less)).join('\n'))
    } else terminal.note(`Left: hallpass approve ${show(id)}`)
  } catch (thrown) {
    if (thrown instanceof Stop) terminal.fault(thrown)
    else if (thrown instanceof Error && thrown.name === 'CommanderError')
      terminal.note('Not decided: write a duration such as 1h.')
    else throw thrown
  }
}
