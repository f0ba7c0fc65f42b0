// `agent`: who there is, a new one made ready for its owners to accept, and an old one ended for ever.

import type { Command } from 'commander'
import { addAgentNew } from './agent-new.ts'
import { type Cli, piece, verb } from './command.ts'
import { answerReceipt, awaitReceipt } from './receipts.ts'
import { fields, listOf, objectOf, show, table } from './show.ts'

export function addAgent(agent: Command, cli: Cli): void {
  addAgentNew(agent, cli)

  verb(agent, 'list', 'list the agents')
    .option('--owner <email>', 'those that this person owns')
    .action(async ({ owner }: { owner?: string }) => {
      const agents = await cli.remote().all({ path: '/v1/agents', query: { owner }, act: 'agent.see' })
      cli.terminal.answer(agents, () => table(agents, ['name', 'status', 'owners', 'roles', 'purpose'], 'No agents.'))
    })

  verb(agent, 'show <name>', 'show an agent and what it may ask for').action(async (name: string) => {
    const found = objectOf(await cli.remote().call({ path: `/v1/agents/${piece(name)}`, act: 'agent.see' }))
    cli.terminal.answer(found, () => [
      ...fields([
        ['agent', found.name],
        ['status', found.status],
        ['purpose', found.purpose],
        ['owners', found.owners],
        ['people', found.people],
        ['keys', listOf(found.keys).map((key) => objectOf(key).kid)],
        ['roles', found.roles],
        ['reviewBy', found.reviewBy],
        ['locks', found.locks],
        ['receipt', found.receipt],
      ]),
      ...listOf(found.access).flatMap((one) => {
        const entry = objectOf(one)
        const { file, line } = objectOf(entry.manifest)
        const details = entry.details === undefined ? '' : ` within ${show(entry.details)}`
        return [
          `  ${show(entry.tool)}: ${show(entry.scopes)}${details}`,
          `    approval ${show(entry.approval)}, delivery ${show(entry.delivery)}${entry.role === null ? '' : `, role ${show(entry.role)}`}  (${show(file)}:${show(line)})`,
        ]
      }),
    ])
  })

  verb(agent, 'decommission <name>', 'end an agent for ever: its name is not used again')
    .requiredOption('--reason <text>', 'why, for the record')
    .option('--no-wait', 'do not wait until every tool confirmed')
    .action(async (name: string, { reason, wait }: { reason: string; wait: boolean }) => {
      const remote = cli.remote()
      const begun = await remote.call({
        path: `/v1/agents/${piece(name)}/decommission`,
        body: { reason, wait: false },
        act: 'agent.decommission',
      })
      const receipt = wait ? await awaitReceipt(cli, remote, begun, Number.POSITIVE_INFINITY) : begun
      answerReceipt(cli, receipt, receipt)
    })
}
