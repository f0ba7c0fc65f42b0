// `revision`: what waits, as a readable diff, and an owner's or admin's yes or no to it.

import type { Command } from 'commander'
import { type Cli, piece, verb } from './command.ts'
import { at, fields, listOf, numberOf, objectOf, show, table, textOf, wideningLines } from './show.ts'

export function addRevision(revision: Command, cli: Cli): void {
  const { terminal } = cli

  verb(revision, 'list', 'list what waits and what is in force')
    .option('--all', 'replaced revisions too')
    .action(async ({ all }: { all?: boolean }) => {
      const revisions = await cli
        .remote()
        .all({ path: '/v1/revisions', act: 'revision.see' }, all === true ? 10_000 : 1000)
      const shown = revisions.filter(
        (one) => all === true || numberOf(objectOf(one).waiting) > 0 || objectOf(one).status === 'in force',
      )
      const waiting = shown
        .flatMap((one) => listOf(objectOf(one).widenings))
        .filter((one) => objectOf(one).status === 'waiting')
      terminal.answer(shown, () => [
        ...table(shown, ['id', 'status', 'proposedAt', 'proposedBy', 'waiting'], 'No revisions.'),
        ...(waiting.length === 0
          ? []
          : ['', 'Waiting (`hallpass revision accept ID`, with a revision’s id or one of these):']),
        ...waiting.flatMap(wideningLines),
      ])
    })

  verb(revision, 'show <id>', 'show a revision as a readable diff').action(async (id: string) => {
    const found = objectOf(await cli.remote().call({ path: `/v1/revisions/${piece(id)}`, act: 'revision.see' }))
    terminal.answer(found, () => [
      ...fields([
        ['revision', found.id],
        ['status', found.status],
        ['digest', found.digest],
        ['base', found.base],
        ['proposed', `${at(found, 'proposedAt')} by ${at(found, 'proposedBy')}`],
      ]),
      ...headed(
        'Taken away:',
        listOf(found.narrowings).map((line) => `  ${show(line)}`),
      ),
      ...headed('Given:', listOf(found.widenings).flatMap(wideningLines)),
      ...listOf(found.warnings).map((warning) => `warning: ${show(warning)}`),
    ])
  })

  for (const decision of ['accept', 'decline'] as const) {
    const says =
      decision === 'accept'
        ? 'say yes to all of it that is yours to accept'
        : 'say no to all of it that is yours to decline'
    verb(revision, `${decision} <id>`, `${says}; the id of a revision or of one widening`)
      .option('--reason <text>', 'for the record')
      .action(async (id: string, { reason }: { reason?: string }) => {
        const done = objectOf(
          await cli.remote().call({
            path: `/v1/revisions/${piece(id)}/${decision}`,
            body: reason === undefined ? {} : { reason },
            act: `widening.${decision}`,
          }),
        )
        const settled = listOf(done.settled)
        const left = [...settled, ...listOf(done.others)].filter((one) => objectOf(one).status === 'waiting')
        terminal.answer(done, () => [
          ...headed(
            decision === 'accept' ? 'Accepted:' : 'Declined:',
            settled.filter((one) => !left.includes(one)).flatMap(wideningLines),
          ),
          ...headed('Still waits for others:', left.flatMap(wideningLines)),
          ...listOf(done.receipts).map((receipt) => `receipt ${at(receipt, 'id')}: ${at(receipt, 'status')}`),
          ...settled.flatMap(nextStep),
        ])
        if (left.length > 0) cli.exitWith(3)
      })
  }
}

/** Where an MCP server is was accepted; what it says is another yes. */
function nextStep(widening: unknown): string[] {
  const { slice, status, diff } = objectOf(widening)
  const tool = /^tool\/([a-z0-9-]+)$/.exec(textOf(slice))?.[1]
  const isServer =
    status === 'accepted' && listOf(diff).some((line) => /^[-+~] mcp (url|command|tool) /.test(textOf(line)))
  return tool === undefined || !isServer
    ? []
    : [`Then read what its MCP server says, and accept that: hallpass tool definitions ${tool}`]
}

const headed = (heading: string, lines: readonly string[]): string[] => (lines.length === 0 ? [] : [heading, ...lines])
