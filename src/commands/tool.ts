// `tool`: what is held in the tools, and what does not belong there. `drill`: whether taking away works.

import type { Command } from 'commander'
import { type Cli, detailList, piece, verb } from './command.ts'
import { at, fields, listOf, numberOf, objectOf, show, table } from './show.ts'
import { mcpWords } from './tool-definitions.ts'

export function addTool(tool: Command, cli: Cli): void {
  verb(tool, 'list', 'list the tools in force, the accounts in them, and what was last found there').action(
    async () => {
      const tools = await cli.remote().all({ path: '/v1/tools', act: 'tool.see' })
      const rows = tools.map((one) => {
        const last = objectOf(objectOf(one).reconciled)
        return {
          ...objectOf(one),
          found: last.failure ?? last.found,
          looked: last.at,
          mcp: mcpWords(objectOf(one).mcp),
        }
      })
      cli.terminal.answer(tools, () =>
        table(rows, ['name', 'category', 'target', 'accounts', 'reachable', 'found', 'looked', 'mcp'], 'No tools.'),
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

export function addDrill(program: Command, cli: Cli): void {
  verb(
    program,
    'drill <tool>',
    'make a canary account in a tool, use it, take it away, and print how long until it was dead',
  )
    .option('--scope <scope>', 'what the canary may do; default: the scope of the lowest risk')
    .option('--detail <key=value>', 'narrow it, such as queue=incidents; may be repeated', detailList)
    .addHelpText('after', '\nExit 2 unless it was made, worked, and was dead in time; a timer can run it.')
    .action(
      async (
        tool: string,
        { scope, detail }: { scope?: string; detail?: Readonly<Record<string, readonly string[]>> },
      ) => {
        const drilled = objectOf(
          await cli.remote().call({
            path: `/v1/tools/${piece(tool)}/drill`,
            body: { ...(scope === undefined ? {} : { scope }), ...(detail === undefined ? {} : { details: detail }) },
            act: 'tool.drill',
            waitSeconds: 60,
          }),
        )
        const took = (name: string) => (drilled[name] === null ? '-' : `${show(drilled[name])} ms`)
        cli.terminal.answer(drilled, () => [
          `${show(tool)}: ${show(drilled.outcome)}`,
          ...fields([
            ['account', drilled.name],
            ['scope', drilled.scope],
            ['made', took('provisionMilliseconds')],
            ['first use', took('firstUseMilliseconds')],
            ['revoked to dead', took('deadAfterMilliseconds')],
          ]),
        ])
        if (drilled.outcome !== 'dead') cli.exitWith(2)
      },
    )
}

/** What is said of a tool's last drill. */
export function drillWords(last: Readonly<Record<string, unknown>>): string {
  if (last.at === undefined) return 'never'
  const ms = last.deadAfterMilliseconds
  return `${show(last.status)}${ms === null ? '' : ` after ${show(ms)} ms`}, ${show(last.at)}`
}
