// `inspect -`: what a found token is. It comes in over stdin alone, so that no history and no process list has it.

import type { Command } from 'commander'
import { TOKEN_BYTES_MAX } from '../core/limits.ts'
import { type Cli, verb } from './command.ts'
import { answerReceipt, awaitReceipt, SHORT_WAIT_SECONDS } from './receipts.ts'
import { fields, listOf, objectOf, show } from './show.ts'
import { Stop } from './stop.ts'

export function addInspect(program: Command, cli: Cli): void {
  verb(
    program,
    'inspect <from>',
    'say whose a found token or key is, who approved it, and where it is alive; read from stdin',
  )
    .option('--revoke', 'take it away as well')
    .option('--reason <text>', 'for the record')
    .addHelpText(
      'after',
      '\nAn admin’s act, or an auditor’s without --revoke. Exit 2 where it is alive, or not yet confirmed dead.',
    )
    .action(async (from: string, { revoke = false, reason }: { revoke?: boolean; reason?: string }) => {
      if (from !== '-')
        throw new Stop(1, 'a found token is read from stdin alone, so that no history keeps it', [
          'hallpass inspect - < FILE',
        ])
      const remote = cli.remote()
      const token = await found(process.stdin)
      const body = { token, revoke, ...(reason === undefined ? {} : { reason }) }
      const answer = objectOf(await remote.call({ path: '/v1/inspect', body, act: 'token.inspect' }))
      if (answer.receipt !== undefined) {
        const receipt = await awaitReceipt(cli, remote, answer.receipt, SHORT_WAIT_SECONDS)
        answerReceipt(cli, { ...answer, receipt }, receipt, lines(answer))
        return
      }
      cli.terminal.answer(answer, () => lines(answer))
      if (answer.alive === true) cli.exitWith(2)
    })
}

async function found(stdin: NodeJS.ReadableStream): Promise<string> {
  let text = ''
  for await (const chunk of stdin) {
    text += String(chunk)
    if (text.length > TOKEN_BYTES_MAX) throw new Stop(1, 'what came over stdin is too long for a token')
  }
  if (text.trim() === '') throw new Stop(1, 'nothing came over stdin')
  return text.trim()
}

function lines(answer: Readonly<Record<string, unknown>>): string[] {
  if (answer.found === 'nothing') return ['Nothing that is known here, or that still can be recognised.']
  const manifest = objectOf(answer.manifest)
  const known = (value: unknown) => (value === null ? undefined : value)
  return [
    ...fields([
      ['found', `${show(answer.found)} ${show(answer.id)}`],
      ['agent', known(answer.agent)],
      ['owners', answer.owners],
      ['tool', known(answer.tool)],
      ['scopes', answer.scopes],
      ['grant', known(answer.grant)],
      ['session', known(answer.session)],
      ['approval', known(answer.approval)],
      ['approved by', answer.approvedBy],
      ['manifest', manifest.file === undefined ? undefined : `${show(manifest.file)}:${show(manifest.line)}`],
      ['issued', known(answer.issuedAt)],
      ['expires', known(answer.expiresAt)],
    ]),
    ...listOf(answer.places).map((one) => {
      const { where, alive, how } = objectOf(one)
      return `${alive === null ? 'unknown' : alive === true ? 'ALIVE' : 'dead'}  ${show(where)}: ${show(how)}`
    }),
  ]
}
