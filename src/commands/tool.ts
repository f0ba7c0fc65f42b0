// `tool`: what is held in the tools, and what does not belong there.

import type { Command } from 'commander'
import { type Cli, verb } from './command.ts'
import { at, listOf, numberOf, objectOf, show, table } from './show.ts'

export function addTool(tool: Command, cli: Cli): void {
  verb(tool, 'list', 'list the tools in force, the accounts in them, and what was last found there').action(
    async () => {
      const tools = await cli.remote().all({ path: '/v1/tools', act: 'tool.see' })
      const rows = tools.map((one) => {
        const last = objectOf(objectOf(one).reconciled)
        return { ...objectOf(one), found: last.failure ?? last.found, looked: last.at }
      })
      cli.terminal.answer(tools, () =>
        table(rows, ['name', 'category', 'target', 'accounts', 'reachable', 'found', 'looked'], 'No tools.'),
      )
    },
  )

  verb(
    tool,
    'reconcile [tool]',
    'look through a tool now, or all of them: ghosts, missing, over-scoped; heal or report',
  )
    .addHelpText('after', '\nExit 2 where something was found or a tool could not be looked through.')
    .action(async (name: string | undefined) => {
      const remote = cli.remote()
      const names = name === undefined ? await withAccounts(cli) : [name]
      const looked: Record<string, unknown> = {}
      for (const each of names)
        looked[each] = await remote.call({
          path: `/v1/tools/${encodeURIComponent(each)}/reconcile`,
          body: {},
          act: 'tool.reconcile',
        })
      cli.terminal.answer(looked, () =>
        names.length === 0 ? ['No tool has accounts.'] : names.flatMap((each) => lines(each, objectOf(looked[each]))),
      )
      const isAmiss = (one: unknown) => numberOf(objectOf(one).found) > 0 || objectOf(one).failure !== undefined
      if (Object.values(looked).some(isAmiss)) cli.exitWith(2)
    })
}

async function withAccounts(cli: Cli): Promise<string[]> {
  const tools = await cli.remote().all({ path: '/v1/tools', act: 'tool.see' })
  return tools.filter((one) => objectOf(one).target !== 'none').map((one) => String(objectOf(one).name))
}

/** Also what `status` says of a tool. */
export function lines(name: string, last: Readonly<Record<string, unknown>>): string[] {
  if (last.failure !== undefined) return [`${show(name)}: could not be looked through (${show(last.failure)})`]
  return [
    `${show(name)}: ${show(last.managed)} as they should be, ${show(last.found)} amiss`,
    ...listOf(last.findings).map((finding) => {
      const rights = listOf(objectOf(finding).rights).map(show).join(', ')
      const has = rights === '' ? '' : ` (${rights})`
      return `  ${at(finding, 'finding')} ${at(finding, 'name')}${has}: ${at(finding, 'did')}`
    }),
  ]
}
