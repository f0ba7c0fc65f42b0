// `status`, `can`, `key`: how the house stands, what an agent can do and why, and the broker's own keys.

import type { Command } from 'commander'
import { type Cli, duration, instant, verb } from './command.ts'
import { answerReceipt, awaitReceipt, SHORT_WAIT_SECONDS } from './receipts.ts'
import { at, fields, indented, listOf, numberOf, objectOf, receiptLines, show, table, textOf } from './show.ts'
import { Stop } from './stop.ts'
import { drillWords, lines as toolLines } from './tool.ts'
import { mcpWords } from './tool-definitions.ts'

export function addStatus(program: Command, cli: Cli): void {
  verb(program, 'status', 'say what is outstanding, waiting, overdue, locked and stale').action(async () => {
    const status = objectOf(await cli.remote().call({ path: '/v1/status', act: 'status.read' }))
    const outstanding = objectOf(status.outstanding)
    cli.terminal.answer(status, () => statusLines(cli, status))
    const isReady = status.fresh !== false && status.room !== false && objectOf(status.clock).behind !== true
    if (numberOf(outstanding.count) > 0 || !isReady) cli.exitWith(2)
  })
}

function statusLines({ terminal }: Cli, status: Readonly<Record<string, unknown>>): string[] {
  const count = (of: string, what = 'count') => numberOf(objectOf(status[of])[what])
  const items = (of: string) => listOf(objectOf(status[of]).items)
  const loud = (text: string, isLoud: boolean) => (isLoud ? terminal.paint('red', text) : text)
  return [
    ...fields([
      ['version', status.version],
      ['initialised', status.initialized],
      ['revision', status.revision],
      ['manifests', status.scopesMode],
      ['records', `${numberOf(status.records).toLocaleString('en-US')}, root ${textOf(status.root).slice(0, 16)}…`],
      ['signing key', at(status, 'signingKey.kid')],
    ]),
    loud(`outstanding  ${count('outstanding')}`, count('outstanding') > 0),
    ...items('outstanding').flatMap((receipt) => receiptLines(receipt).map((line) => `  ${line}`)),
    `revoking     ${count('revoking')}`,
    `waiting      ${count('waiting', 'requests')} requests, ${count('waiting', 'widenings')} widenings`,
    loud(`overdue      ${count('overdue')}`, count('overdue') > 0),
    ...items('overdue').map((one) => `  ${at(one, 'agent')} was to be reviewed by ${at(one, 'reviewBy')}`),
    `locks        ${count('locks')}${status.locked === true ? terminal.paint('red', '  everything is locked') : ''}`,
    ...items('locks').map(
      (one) => `  ${at(one, 'id')}  ${at(one, 'kind')} ${at(one, 'name')}  until ${at(one, 'until')}`,
    ),
    loud(
      `stale        ${status.fresh === false ? 'yes: nothing is decided until the store answers again' : 'no'}`,
      status.fresh === false,
    ),
    ...(status.room === false
      ? [
          terminal.paint('red', 'disk         full: nothing is issued; locks and revocations are still written'),
          '  make room on the disk of the data folder; it goes on by itself',
        ]
      : []),
    ...(objectOf(status.clock).behind === true
      ? [
          terminal.paint(
            'red',
            `clock        ${at(status, 'clock.now')} is behind ${at(status, 'clock.highest')}, the highest time seen: nothing is issued`,
          ),
          '  set it right; where it once ran ahead and is right now: hallpass clock reset',
        ]
      : []),
    ...listOf(status.manifestFaults).map((fault) => terminal.paint('red', `manifest fault: ${show(fault)}`)),
    ...listOf(status.tools)
      .flatMap((tool) => toolLines(at(tool, 'tool'), objectOf(tool)))
      .map((line) => terminal.paint('red', line)),
    ...listOf(status.mcp).map((one) => {
      const text = `MCP server   ${at(one, 'tool')}: ${mcpWords(one)} (hallpass tool definitions ${at(one, 'tool')})`
      return loud(text, numberOf(objectOf(one).suspended) > 0 || objectOf(one).failure !== undefined)
    }),
    ...listOf(status.drills).map((one) => {
      const last = objectOf(objectOf(one).last)
      const every = objectOf(one).every
      const schedule = typeof every === 'string' ? ` (every ${every})` : ''
      const isFailing = objectOf(one).failing === true
      const late = isFailing && last.status === 'dead' ? ': that took too long, or the next is overdue' : ''
      return loud(`drill        ${at(one, 'tool')}: ${drillWords(last)}${schedule}${late}`, isFailing)
    }),
    ...listOf(status.verifiersExpiring).map(
      (one) =>
        `verifier of ${at(one, 'tool')} expires ${at(one, 'expiresAt')}: hallpass verifier token ${at(one, 'tool')}`,
    ),
  ]
}

const ABOUT_PAST = `
--at answers from the versions that are kept of manifests in force, locks, agents and tools, by the broker's clock of
then, and from what became of each grant since. It does not know whether the broker was running, and of what was last
changed before versions were kept (0.1) it says so instead of guessing.`

const EXIT_OF: Readonly<Record<string, 0 | 2 | 3>> = { yes: 0, 'may ask': 0, 'needs approval': 3, no: 2 }

export function addCan(program: Command, cli: Cli): void {
  verb(
    program,
    'can <agent> <tool> <scope>',
    'yes or no, and why (exit 0: yes, or it need only ask; 3: an owner has to say yes; 2: no)',
  )
    .option('--at <time>', 'as it was then: a time (RFC 3339), or how long ago: 2h', instant)
    .addHelpText('after', ABOUT_PAST)
    .action(async (agent: string, tool: string, scope: string, options: { at?: string }) => {
      const answer = objectOf(
        await cli.remote().call({ path: '/v1/can', query: { agent, tool, scope, at: options.at }, act: 'can.ask' }),
      )
      const said = textOf(answer.answer)
      cli.terminal.answer(answer, () => [
        `${cli.terminal.paint(said === 'no' ? 'red' : 'green', show(said))}: ${show(answer.why)}`,
        ...fields([
          ['code', answer.code],
          ['hint', answer.hint],
          ['approval', answer.approval],
          ['revision', answer.revision],
        ]),
        ...listOf(answer.grants).map(
          (grant) =>
            `grant ${at(grant, 'id')}, approved by ${at(grant, 'approvedBy')}, until ${at(grant, 'expiresAt')}`,
        ),
        ...(answer.manifestPatch === undefined
          ? []
          : ['An owner could allow it with:', ...indented(textOf(answer.manifestPatch))]),
      ])
      cli.exitWith(EXIT_OF[said] ?? 2)
    })
}

const ABOUT_COMPROMISED = `
--compromised: the keys leave the key set at once, guards are told to deny them, agents open new sessions, and a new key
signs from the same moment. Grants stay. A verifier that asks nobody goes on believing a withdrawn key until it fetches
the key set again (5 minutes, unless it keeps keys longer than it is told): until then it is outstanding (exit 2).`

async function withdraw(cli: Cli, named: { kid?: string; reason?: string }, wait: number): Promise<void> {
  const remote = cli.remote()
  const body = { compromised: true, ...named }
  const done = objectOf(await remote.call({ path: '/v1/keys/rotate', body, act: 'key.rotate' }))
  const receipt = await awaitReceipt(cli, remote, done.receipt, wait)
  answerReceipt(cli, { ...done, receipt }, receipt, [
    `Withdrawn: ${listOf(done.withdrawn).map(show).join(', ')}.`,
    `${show(done.kid)} signs from ${show(done.signsFrom)}.`,
  ])
}

export function addKey(key: Command, cli: Cli): void {
  verb(key, 'list', 'list the broker’s own keys').action(async () => {
    const keys = await cli.remote().all({ path: '/v1/keys', act: 'key.list' })
    cli.terminal.answer(keys, () => table(keys, ['kid', 'use', 'alg', 'status', 'signsFrom', 'retiresAt'], 'No keys.'))
  })

  verb(key, 'rotate', 'publish a new key, which signs once every cache has it')
    .option('--alg <alg>', 'ES256 or RS256', 'ES256')
    .option('--compromised', 'withdraw the token keys at once, with every session and credential that they signed')
    .option('--kid <kid>', 'with --compromised: this key alone')
    .option('--reason <text>', 'with --compromised: why, for the record')
    .option(
      '--wait <duration>',
      `with --compromised: how long to wait for confirmation; default ${SHORT_WAIT_SECONDS}s`,
      duration,
    )
    .addHelpText('after', ABOUT_COMPROMISED)
    .action(async (options: { alg: string; compromised?: boolean; kid?: string; reason?: string; wait?: number }) => {
      const { compromised, kid, reason, wait } = options
      if (compromised === true) return withdraw(cli, { kid, reason }, wait ?? SHORT_WAIT_SECONDS)
      if (kid !== undefined || reason !== undefined || wait !== undefined)
        throw new Stop(1, '--kid, --reason and --wait go with --compromised')
      const rotated = await cli
        .remote()
        .call({ path: '/v1/keys/rotate', body: { alg: options.alg }, act: 'key.rotate' })
      cli.terminal.answer(rotated, () => [
        `Published ${at(rotated, 'kid')}; it signs from ${at(rotated, 'signsFrom')}.`,
      ])
    })
}
