// `tool definitions`, `tool pin`, `tool unpin`: what a tool's MCP server says of its tools, as a readable diff, and an
// owner's yes to exactly what was printed.

import type { Command } from 'commander'
import { type Cli, piece, verb } from './command.ts'
import { confirm } from './confirm.ts'
import { at, diffLines, listOf, numberOf, objectOf, show, textOf } from './show.ts'
import { Stop } from './stop.ts'

const STATES: Readonly<Record<string, string>> = {
  unseen: 'not seen yet',
  waiting: 'waits to be accepted',
  pinned: 'accepted',
  suspended: 'SUSPENDED: changed since it was accepted',
}

export function addToolDefinitions(tool: Command, cli: Cli): void {
  const { terminal } = cli
  const read = async (name: string) =>
    objectOf(await cli.remote().call({ path: `/v1/tools/${piece(name)}/definitions`, act: 'tool.see' }))

  verb(tool, 'definitions <tool>', "print what a tool's MCP server says of its tools, and what changed")
    .addHelpText('after', '\nExit 3 where something waits for an owner, 2 where the server cannot be asked.')
    .action(async (name: string) => {
      const found = await read(name)
      const all = listOf(found.definitions)
      terminal.answer(found, () => [
        ...(found.failure === undefined
          ? []
          : [terminal.paint('red', `The server of ${show(name)} ${show(found.failure)}.`)]),
        ...all.flatMap((one) => definitionLines(one)),
      ])
      if (found.failure !== undefined) cli.exitWith(2)
      else if (all.some(waits)) cli.exitWith(3)
    })

  verb(tool, 'pin <tool> [names...]', 'accept what its MCP server says: these of its tools, or all that waits')
    .option('--digest <digest...>', 'accept without asking, what `tool definitions` printed with these digests')
    .action(async (name: string, names: readonly string[], { digest }: { digest?: readonly string[] }) => {
      const all = listOf((await read(name)).definitions).filter(waits)
      const named = all.filter((one) => names.length === 0 || names.includes(textOf(objectOf(one).name)))
      const missing = names.find((each) => !named.some((one) => objectOf(one).name === each))
      if (missing !== undefined) throw new Stop(2, `nothing waits to be accepted for ${missing} of ${name}`)
      const chosen = digest === undefined ? named : named.filter((one) => digest.includes(digestOf(one)))
      const stale = digest?.find((each) => !chosen.some((one) => digestOf(one) === each))
      if (stale !== undefined)
        throw new Stop(2, `nothing that waits has the digest ${stale}`, [
          `It has changed since, or is accepted: hallpass tool definitions ${name}`,
        ])
      if (chosen.length === 0) return terminal.answer({ pinned: [] }, () => ['Nothing waits.'])
      if (digest === undefined) {
        if (!terminal.interactive())
          throw new Stop(3, 'nobody is there to accept this', [
            `Read hallpass tool definitions ${name}, then name what you read: hallpass tool pin ${name} --digest …`,
          ])
        for (const line of chosen.flatMap((one) => definitionLines(one))) terminal.note(line)
        await confirm(cli, `Let agents' models read this and call ${chosen.length} of them?`, 'nothing was accepted')
      }
      const definitions = chosen.map((one) => ({ name: objectOf(one).name, digest: digestOf(one) }))
      const path = `/v1/tools/${piece(name)}/definitions/pin`
      const done = objectOf(await cli.remote().call({ path, body: { definitions }, act: 'tool.pin' }))
      terminal.answer(done, () => listOf(done.pinned).map((one) => `Accepted ${at(one, 'name')}  ${at(one, 'digest')}`))
    })

  verb(tool, 'unpin <tool> <names...>', 'take back what was accepted: agents see and call it no longer')
    .option('--reason <text>', 'for the record')
    .action(async (name: string, names: readonly string[], { reason }: { reason?: string }) => {
      const path = `/v1/tools/${piece(name)}/definitions/withdraw`
      const body = { names, ...(reason === undefined ? {} : { reason }) }
      const done = objectOf(await cli.remote().call({ path, body, act: 'tool.pin' }))
      terminal.answer(done, () => listOf(done.withdrawn).map((one) => `Taken back: ${show(one)}`))
    })
}

const digestOf = (one: unknown): string => textOf(objectOf(one).digest)

/** What is not fit to be accepted waits for its server, not for a person. */
const waits = (one: unknown): boolean => digestOf(one) !== '' && objectOf(one).fault === undefined

function definitionLines(one: unknown): string[] {
  const { status, shown, scope, fault, missing, digest, diff, pinnedBy } = objectOf(one)
  const state = STATES[textOf(status)] ?? show(status)
  return [
    `${show(shown)} (${show(scope)}): ${state}${status === 'pinned' ? ` by ${show(pinnedBy)}` : ''}${missing === true ? '; its server does not have it' : ''}`,
    ...diffLines(diff),
    ...(fault === undefined ? [] : [`  it cannot be accepted: it ${show(fault)}`]),
    ...(digest === null || fault !== undefined ? [] : [`  digest ${show(digest)}`]),
  ]
}

/** How a tool's MCP server stands, in a few words; of `tool list` and `status`. */
export function mcpWords(value: unknown): string {
  const standing = objectOf(value)
  if (standing.server === undefined) return ''
  if (standing.failure !== undefined) return `its server ${show(standing.failure)}`
  const counts = (['pinned', 'waiting', 'suspended', 'missing'] as const).flatMap((of) =>
    numberOf(standing[of]) === 0 ? [] : [`${show(standing[of])} ${of === 'pinned' ? 'accepted' : of}`],
  )
  return counts.length === 0 ? 'not looked at yet' : counts.join(', ')
}
